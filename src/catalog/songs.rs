//! The rows of a catalog as text.

/// One row of the catalog, as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Song<'a> {
    /// The id; never empty.
    pub song_id: &'a [u8],
    /// The title, without line ends, like the other fields but the id.
    pub title: &'a [u8],
    /// The artist.
    pub artist: &'a [u8],
    /// The genre; may be empty.
    pub genre: &'a [u8],
    /// The mood; may be empty.
    pub mood: &'a [u8],
}

/// The rows of a catalog in order. All fields stand in one text, so a row needs no memory of its own.
#[derive(Debug, Default)]
pub struct Songs {
    text: Vec<u8>,
    rows: Vec<Row>,
}

/// The place of a row in the text.
#[derive(Clone, Copy, Debug)]
struct Row {
    start: usize,
    /// Where the fields end.
    ends: [usize; 5],
}

impl Songs {
    /// An empty list with room for `bytes` bytes of text.
    pub(super) fn with_room(bytes: usize) -> Self {
        Self { text: Vec::with_capacity(bytes), rows: Vec::new() }
    }

    /// Rows that have only an id.
    pub fn of_ids<'a>(ids: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut songs = Self::default();
        ids.into_iter().for_each(|id| songs.push([id, b"", b"", b"", b""]));
        songs
    }

    /// Appends a row: id, title, artist, genre, mood.
    pub(super) fn push(&mut self, fields: [&[u8]; 5]) {
        let row = self.append(fields);
        self.rows.push(row);
    }

    /// Replaces the fields of a row.
    pub(super) fn replace(&mut self, index: usize, fields: [&[u8]; 5]) {
        self.rows[index] = self.append(fields);
    }

    fn append(&mut self, fields: [&[u8]; 5]) -> Row {
        let start = self.text.len();
        let ends = fields.map(|field| {
            self.text.extend_from_slice(field);
            self.text.len()
        });
        Row { start, ends }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows in order.
    pub fn iter(&self) -> impl Iterator<Item = Song<'_>> {
        self.rows.iter().map(|&Row { mut start, ends }| {
            let [song_id, title, artist, genre, mood] = ends.map(|end| {
                let field = &self.text[start..end];
                start = end;
                field
            });
            Song { song_id, title, artist, genre, mood }
        })
    }
}
