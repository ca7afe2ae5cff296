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

    /// The rows as bytes, for another process. [`from_bytes`](Self::from_bytes) reads them.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.text.len() + self.rows.len() * 5 * size_of::<u32>());
        for Song { song_id, title, artist, genre, mood } in self.iter() {
            for field in [song_id, title, artist, genre, mood] {
                bytes.extend_from_slice(&(field.len() as u32).to_le_bytes());
                bytes.extend_from_slice(field);
            }
        }
        bytes
    }

    /// The rows in bytes; `None` if the bytes are damaged.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut songs = Self::with_room(bytes.len());
        while !bytes.is_empty() {
            let mut fields = [b"".as_slice(); 5];
            for field in &mut fields {
                let (len, rest) = bytes.split_first_chunk()?;
                (*field, bytes) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            }
            songs.push(fields);
        }
        Some(songs)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_from_bytes() {
        let mut songs = Songs::of_ids([b"a".as_slice(), b"\xc3\xa4"]);
        songs.push([b"b", b"A, \"title\"", b"", b"rock", b"happy"]);
        let bytes = songs.to_bytes();
        let read = Songs::from_bytes(&bytes).unwrap();
        assert!(read.iter().eq(songs.iter()) && read.len() == 3);
        assert!(Songs::from_bytes(&bytes[..bytes.len() - 1]).is_none());
    }
}
