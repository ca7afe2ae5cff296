//! The types that stages pass to each other: ids, spans, chunks, batches and rejects.
//!
//! A source reads [`Chunk`]s, and a decoder turns each chunk into a [`Batch`]. Each chunk and each batch has
//! a [`Span`], the part of the input that it covers. The data therefore always carries its read position.

pub mod bit_set;
pub mod delimiter;
pub mod dialect;
pub mod dictionary;
pub mod error;
pub mod layout;
pub mod memory;
pub mod outside;
pub mod period_rules;
pub mod rejects;
pub mod shutdown;
pub mod sorted_ids;
pub mod text_list;
pub mod value;

use std::sync::Arc;

pub use crate::model::layout::{FurtherFields, Header, Layout, RowLayout};
pub use crate::model::outside::OutsidePlays;
pub use crate::model::rejects::{RAW_LIMIT, Reason, Reject};

/// The dense number of a listener. [`crate::model::dictionary::Dictionaries`] assigns it in order of first
/// occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u32);

/// The dense number of a song, assigned in order of first occurrence. The song may be outside the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SongId(pub u32);

impl UserId {
    /// The id as an index into a vector.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl SongId {
    /// The id as an index into a vector.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The number of an input, assigned by its source in order of discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputId(pub u32);

/// The number of a published cut. Numbers start at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// A byte range of an input (after decompression), and the number of its first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub from: u64,
    /// Offset after the last byte.
    pub to: u64,
    /// Physical number of the first line; files start at line 1.
    pub first_line: u64,
}

/// Number of zero bytes after the text of a chunk or the cells of a catalog. With this padding, a load of
/// this many bytes is possible at the start of any field.
pub const PADDING: usize = 64;

/// The bytes of a chunk: text, then [`PADDING`] zeros.
#[derive(Clone, Debug, Default)]
pub struct Text {
    bytes: Vec<u8>,
    len: usize,
    growth: Option<u64>,
}

impl Text {
    /// Takes the first `len` bytes as the text, and adds the padding.
    ///
    /// # Panics
    /// If `len` exceeds the length of `bytes`.
    pub fn new(mut bytes: Vec<u8>, len: usize) -> Self {
        assert!(len <= bytes.len(), "text of {len} bytes in {}", bytes.len());
        bytes.truncate(len);
        bytes.resize(len + PADDING, 0);
        Self { bytes, len, growth: None }
    }

    /// Sets the [`growth`](Self::growth).
    #[must_use]
    pub fn with_growth(self, growth: Option<u64>) -> Self {
        Self { growth, ..self }
    }

    /// By how many bytes the text before this one grows when it is converted to UTF-8. In a compressed file,
    /// offsets refer to the converted text. `None` if offsets refer to the file.
    pub fn growth(&self) -> Option<u64> {
        self.growth
    }

    /// The text without its padding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The text with its padding.
    pub fn padded(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends `more` to the text and returns the place of the new bytes.
    pub fn append(&mut self, more: &[u8]) -> Field {
        let start = self.len;
        self.bytes.truncate(start);
        self.bytes.extend_from_slice(more);
        self.len = self.bytes.len();
        self.bytes.resize(self.len + PADDING, 0);
        Field { start: start as u32, len: more.len() as u32 }
    }

    /// The bytes of one field.
    pub fn field(&self, field: Field) -> &[u8] {
        &self.bytes[field.start as usize..][..field.len as usize]
    }
}

/// The place of a field in a [`Text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Index of the first byte.
    pub start: u32,
    /// Length in bytes.
    pub len: u32,
}

/// How far an input was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Offset of the first unread byte.
    pub offset: u64,
    /// Number of lines before the offset.
    pub lines: u64,
    /// What the reader expects at the offset.
    pub state: ReaderState,
    /// Hash of the bytes before the offset. A different hash reveals that the file was rewritten.
    pub tail: u128,
    /// Hash of all whole blocks before the offset; see `ingest::source::content_hash`. `None` if not known.
    pub blocks: Option<u128>,
}

/// What a reader expects at its position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReaderState {
    /// The header.
    #[default]
    Start,
    /// Lines after the header, or from the beginning if the file has no header.
    Lines(Arc<Layout>),
    /// The continuation of a last line that was read as complete without a line feed.
    AfterEnd(Arc<Layout>),
    /// Nothing, because a compressed file was read to its end.
    Finished,
    /// Nothing, because the file was rejected as a whole.
    Refused,
    /// Nothing until the file changes, because its content could not be read.
    Faulted,
}

impl ReaderState {
    /// The layout of the input, if the reader expects rows.
    pub fn layout(&self) -> Option<&Arc<Layout>> {
        match self {
            Self::Lines(layout) | Self::AfterEnd(layout) => Some(layout),
            Self::Start | Self::Finished | Self::Refused | Self::Faulted => None,
        }
    }
}

/// A piece of one input: whole lines, or bytes that are not readable lines.
#[derive(Debug)]
pub struct Chunk {
    /// The input.
    pub input: Arc<Input>,
    /// The bytes that the chunk covers.
    pub span: Span,
    /// The position after the chunk.
    pub position: Position,
    /// When the chunk was first read, in seconds since 1970-01-01T00:00:00Z. Its rows use this time as *now*.
    pub read_at: i64,
    /// The lines or the error.
    pub content: Content,
}

/// The content of a [`Chunk`].
#[derive(Debug)]
pub enum Content {
    /// Whole lines after the header. At the end of a file, the last line may lack its line end.
    Lines(Arc<Layout>, Text),
    /// Bytes that are not a readable line, such as a line above the size limit.
    Fault(Reject),
    /// A file that is not a log, and a text that says why. It has no further chunks.
    Refused(Reject, Box<str>),
}

/// The identity of an input for all later stages.
#[derive(Debug, PartialEq, Eq)]
pub struct Input {
    /// The number of the input.
    pub id: InputId,
    /// The path as given, with non-UTF-8 bytes as `\xNN`. Rejects and messages show it.
    pub label: String,
}

/// The time of a play: local wall-clock time in the configured zone, and its offset from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayTime {
    /// Seconds of the local wall clock since 1970-01-01 00:00:00 local.
    pub local: i64,
    /// How many seconds the local clock is ahead of UTC.
    pub offset: i32,
    /// Nanoseconds within the second.
    pub nanos: u32,
}

impl PlayTime {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn instant(self) -> i64 {
        self.local - i64::from(self.offset)
    }
}

/// Plays as columns: row `i` is entry `i` of every column.
#[derive(Debug)]
pub struct Batch {
    /// The input.
    pub input: Arc<Input>,
    /// The bytes of the input that the batch covers.
    pub span: Span,
    /// The position after the batch.
    pub position: Position,
    /// The text of the chunk. Cells point into this text.
    pub text: Text,
    /// The listeners.
    pub users: Vec<UserId>,
    /// The songs.
    pub songs: Vec<SongId>,
    /// The times.
    pub play_times: Vec<PlayTime>,
    /// The durations in milliseconds.
    pub millis: Vec<u32>,
    /// The user ids as CSV cells (quoted if needed), inside `text`.
    pub user_cells: Vec<Field>,
    /// The song ids as CSV cells, inside `text`.
    pub song_cells: Vec<Field>,
    /// The rejected rows.
    pub rejects: Vec<Reject>,
    /// For each reject, the number of plays in the columns before the reject.
    pub plays_before: Vec<u32>,
    /// The valid plays outside the dates of the run. They are not in the columns above.
    pub outside: OutsidePlays,
    /// Number of rejected rows whose timestamp is too far in the future.
    pub future: u32,
    /// Why the input was rejected as a whole; `None` if it was not. The batch of a refusal has one reject.
    pub refused: Option<Box<str>>,
}

impl Batch {
    /// Number of plays.
    pub fn plays(&self) -> usize {
        self.users.len()
    }

    /// Number of rows: plays, rejects, and plays outside the dates of the run.
    pub fn rows(&self) -> usize {
        self.plays() + self.rejects.len() + self.outside.len()
    }

    /// Removes everything after the reject with index `last`.
    pub fn truncate_after_reject(&mut self, last: usize) {
        let plays = self.plays_before[last] as usize;
        self.users.truncate(plays);
        self.songs.truncate(plays);
        self.play_times.truncate(plays);
        self.millis.truncate(plays);
        self.user_cells.truncate(plays);
        self.song_cells.truncate(plays);
        self.rejects.truncate(last + 1);
        self.plays_before.truncate(last + 1);
        self.outside.truncate_after_reject(last);
    }
}
