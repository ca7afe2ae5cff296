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
    /// Where the fields of each row end.
    ends: Vec<[usize; 5]>,
}

impl Songs {
    /// An empty list with room for `bytes` bytes of text.
    pub(super) fn with_room(bytes: usize) -> Self {
        Self { text: Vec::with_capacity(bytes), ends: Vec::new() }
    }

    /// Rows that have only an id.
    pub fn of_ids<'a>(ids: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut songs = Self::default();
        ids.into_iter().for_each(|id| songs.push([id, b"", b"", b"", b""]));
        songs
    }

    /// Appends a row: id, title, artist, genre, mood.
    pub(super) fn push(&mut self, fields: [&[u8]; 5]) {
        self.ends.push(fields.map(|field| {
            self.text.extend_from_slice(field);
            self.text.len()
        }));
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The rows in order.
    pub fn iter(&self) -> impl Iterator<Item = Song<'_>> {
        let mut start = 0;
        self.ends.iter().map(move |ends| {
            let [song_id, title, artist, genre, mood] = ends.map(|end| {
                let field = &self.text[start..end];
                start = end;
                field
            });
            Song { song_id, title, artist, genre, mood }
        })
    }
}
