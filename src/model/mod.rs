//! The nouns on every edge of the flow: ids, spans, chunks, batches and rejects.
//!
//! A [`Chunk`] is what a source reads, a [`Batch`] is what decoding makes of it. Both carry the
//! [`Span`] of the input that they cover, so that how far we have read travels with the data.

pub mod delimiter;
pub mod dictionary;
pub mod error;
pub mod rejects;
pub mod shutdown;
pub mod value;

use std::sync::Arc;

use crate::model::delimiter::Delimiter;

/// A listener, numbered densely in the order of first sight by [`crate::model::dictionary::Dictionaries`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u32);

/// A song, played or in the catalog, numbered densely in the order of first sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SongId(pub u32);

impl UserId {
    /// The id as an index into a column.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl SongId {
    /// The id as an index into a column.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One input file, numbered in the order in which its source met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputId(pub u32);

/// The number of a published cut; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// A stretch of an input in bytes (of the decompressed text), and the number of its first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub from: u64,
    /// Offset after the last byte.
    pub to: u64,
    /// Physical line number of the first line; the first line of a file is 1.
    pub first_line: u64,
}

/// Where the columns of a listening log stand, read from its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of fields that every row must have.
    pub fields: usize,
    /// Position of `user_id`.
    pub user: usize,
    /// Position of `song_id`.
    pub song: usize,
    /// Position of `timestamp`.
    pub timestamp: usize,
    /// Position of `duration_sec`.
    pub duration: usize,
    /// What parts the fields.
    pub delimiter: Delimiter,
    /// The header line itself (no byte order mark, no line end): a repetition of it is no row.
    pub line: Vec<u8>,
}

/// Zero bytes after the text of a chunk (and after the cells of a catalog), so that pieces of fixed
/// lengths up to this can be loaded at any field.
pub const PADDING: usize = 64;

/// The bytes of a chunk: text, then [`PADDING`] zeros.
#[derive(Clone, Debug, Default)]
pub struct Text {
    bytes: Vec<u8>,
    len: usize,
}

impl Text {
    /// Takes the first `len` of `bytes` as the text and sees to the padding.
    ///
    /// # Panics
    /// If `len` is beyond the end of `bytes`.
    pub fn new(mut bytes: Vec<u8>, len: usize) -> Self {
        assert!(len <= bytes.len(), "text of {len} bytes in {}", bytes.len());
        bytes.truncate(len);
        bytes.resize(len + PADDING, 0);
        Self { bytes, len }
    }

    /// The text without its padding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The text with its padding.
    pub fn padded(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends `more` behind the text and returns where it stands.
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

/// A field inside a [`Text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Index of the first byte.
    pub start: u32,
    /// Length in bytes.
    pub len: u32,
}

/// Where reading of an input goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Offset of the first byte that is still to be read.
    pub offset: u64,
    /// Number of the line at the offset, counted from 0.
    pub lines: u64,
    /// What stands at the offset.
    pub state: ReaderState,
    /// Hash of the bytes just before the offset, by which a rewritten file is known.
    pub tail: u128,
}

/// What stands where reading goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReaderState {
    /// The header is still to come.
    #[default]
    Start,
    /// A line below the header.
    Lines(Arc<Header>),
    /// The rest of a last line that was taken as ended without a line feed.
    AfterEnd(Arc<Header>),
    /// Nothing more: a compressed file was read to its end.
    Finished,
    /// Nothing more: the file was rejected whole.
    Refused,
    /// Nothing more, unless the file changes: what is stored in it could not be read.
    Faulted,
}

/// What a source hands on: whole lines of one input, or what it could not read as lines.
#[derive(Debug)]
pub struct Chunk {
    /// The input it belongs to.
    pub input: Arc<Input>,
    /// What it covers.
    pub span: Span,
    /// Where reading goes on behind it.
    pub position: Position,
    /// When it was first read, in seconds since 1970-01-01T00:00:00Z: the *now* of its rows.
    pub read_at: i64,
    /// What is in it.
    pub content: Content,
}

/// The content of a [`Chunk`].
#[derive(Debug)]
pub enum Content {
    /// Whole lines below a header; the last one may lack its line end at the end of a file.
    Lines(Arc<Header>, Text),
    /// Bytes that are no line to be read: an endless one, what follows an ended one.
    Fault(Reject),
    /// A file that is no log; nothing more comes of it.
    Refused(Reject),
}

/// An input as everything downstream knows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Input {
    /// Its number.
    pub id: InputId,
    /// Its path as given, with bytes that are not UTF-8 as `\xNN`: what rejects and reports show.
    pub label: String,
}

/// The time of a play: what the wall clock in the configured zone shows, and how to get back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayTime {
    /// Seconds of the local wall clock since 1970-01-01 00:00:00 local.
    pub local: i64,
    /// Seconds by which the local clock is ahead of UTC.
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
    /// The input it comes from.
    pub input: Arc<Input>,
    /// What it covers of that input.
    pub span: Span,
    /// Where reading goes on behind it.
    pub position: Position,
    /// The chunk's text, kept for rows that are copied.
    pub text: Text,
    /// Who listened.
    pub users: Vec<UserId>,
    /// To what.
    pub songs: Vec<SongId>,
    /// When.
    pub play_times: Vec<PlayTime>,
    /// For how many milliseconds.
    pub millis: Vec<u32>,
    /// The user's id as it is written to CSV (quoted where needed), inside `text`.
    pub user_cells: Vec<Field>,
    /// The song's id as it is written to CSV, inside `text`.
    pub song_cells: Vec<Field>,
    /// Rows that are no plays.
    pub rejects: Vec<Reject>,
    /// For each reject the number of plays that stand before it.
    pub plays_before: Vec<u32>,
    /// Whether the one reject is of the whole input.
    pub refused: bool,
}

impl Batch {
    /// Number of plays.
    pub fn plays(&self) -> usize {
        self.users.len()
    }

    /// Drops everything behind the reject number `last`, counted from 0.
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
    }
}

/// A row that is no play, with all that its producer needs to find and mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Physical line number; the first line of a file is 1.
    pub line: u64,
    /// Offset of the line's first byte in the (decompressed) file.
    pub offset: u64,
    /// Why.
    pub reason: Reason,
    /// The line without its end, at most [`RAW_LIMIT`] bytes.
    pub raw: Vec<u8>,
}

/// How much of a rejected line is kept, in bytes (spec.md section 2).
pub const RAW_LIMIT: usize = 4096;

impl Reject {
    /// A reject of `line`, of which at most [`RAW_LIMIT`] bytes are kept.
    pub fn new(reason: Reason, line: u64, offset: u64, raw: &[u8]) -> Self {
        Self { line, offset, reason, raw: raw[..raw.len().min(RAW_LIMIT)].to_vec() }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Why a row or a file was rejected. The set is fixed; codes never change their meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// All of them, in the order of the code.
            pub const ALL: &[Reason] = &[$(Reason::$name,)*];

            /// The code that stands in `_rejects`.
            pub fn code(self) -> &'static str {
                match self { $(Reason::$name => $code,)* }
            }
        }
    };
}

reasons! {
    /// A carriage return outside quotes that is not part of a line end.
    BareCr = "bare_cr",
    /// A duration that is not digits with at most three decimals.
    BadNumber = "bad_number",
    /// Text after a closing quote.
    BadQuote = "bad_quote",
    /// A timestamp that is none, or names a date or time that does not exist.
    BadTimestamp = "bad_timestamp",
    /// Bytes that follow a last line which had been taken as ended.
    ContinuedAfterEof = "continued_after_eof",
    /// A local time that the clocks skip.
    DstGap = "dst_gap",
    /// A file whose header names a column twice.
    DuplicateColumn = "duplicate_column",
    /// A duration above a day.
    DurationRange = "duration_range",
    /// An empty id.
    EmptyField = "empty_field",
    /// A file in UTF-16.
    EncodingUtf16 = "encoding_utf16",
    /// Another number of fields than the header has.
    FieldCount = "field_count",
    /// An id of more than 4 KiB.
    FieldTooLong = "field_too_long",
    /// A gzip file that is cut short or damaged.
    GzCorrupt = "gz_corrupt",
    /// A compressed file that grows beyond all measure.
    GzRatio = "gz_ratio",
    /// Bytes that are not UTF-8.
    InvalidUtf8 = "invalid_utf8",
    /// A line of more than 1 MiB.
    LineTooLong = "line_too_long",
    /// A file whose header lacks a required column.
    MissingColumn = "missing_column",
    /// A file that starts without a header.
    MissingHeader = "missing_header",
    /// A duration below zero.
    NegativeDuration = "negative_duration",
    /// A file without line feeds.
    NoNewline = "no_newline",
    /// A file of another kind: an image, a program, an archive.
    NotCsv = "not_csv",
    /// A NUL byte.
    NulByte = "nul_byte",
    /// A last line of nothing but NUL bytes: space that was reserved but never written.
    NulTail = "nul_tail",
    /// A number beyond 64 bits.
    Overflow = "overflow",
    /// A Parquet file that is cut short or damaged.
    ParquetCorrupt = "parquet_corrupt",
    /// A time before 1970 or too far in the future.
    TimestampRange = "timestamp_range",
    /// A file that reached `input.max_bad_lines`.
    TooManyBadLines = "too_many_bad_lines",
    /// A quote that is opened and never closed.
    UnclosedQuote = "unclosed_quote",
    /// A file whose columns are parted by something else than a comma.
    WrongDelimiter = "wrong_delimiter",
    /// A zstd file that is cut short or damaged.
    ZstCorrupt = "zst_corrupt",
}
