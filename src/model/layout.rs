//! The layout of an input: what a decoder must know to find the fields of its rows.

use crate::model::delimiter::Delimiter;
use crate::model::dialect::encoding::TextEncoding;

/// The layout of an input, as found at its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The encoding of the text. A byte order mark overrides the setting.
    pub encoding: TextEncoding,
    /// The layout of the rows.
    pub rows: RowLayout,
}

/// The layout of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowLayout {
    /// CSV records.
    Csv(Header),
    /// JSON objects, one per line.
    JsonLines,
}

/// The columns of a CSV log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of fields in a row.
    pub fields: usize,
    /// Number of fields that every row has. Fewer than `fields` if the last columns have no names.
    pub min_fields: usize,
    /// What a row may have after its last column.
    pub further: FurtherFields,
    /// Index of `user_id`.
    pub user: usize,
    /// Index of `song_id`.
    pub song: usize,
    /// Index of `timestamp`.
    pub timestamp: usize,
    /// Index of `duration_sec`.
    pub duration: usize,
    /// The field separator.
    pub delimiter: Delimiter,
    /// Whether quotes enclose fields.
    pub quoting: bool,
    /// Whether timestamps have the default form and durations a point, whatever the dialect says. This holds
    /// for typed columns of Parquet.
    pub typed: TypedCells,
    /// The header line without byte order mark and line end. Lines that are equal to it are skipped. Empty if
    /// the file has no header.
    pub line: Vec<u8>,
}

/// The fields after the last column of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FurtherFields {
    /// They must be empty, such as those of trailing delimiters.
    Empty,
    /// They are ignored, because no header says how many columns there are.
    Ignored,
}

/// The cells that were formatted from typed values, so that they do not follow the dialect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypedCells {
    /// Timestamps have the default form.
    pub timestamp: bool,
    /// Durations have a point.
    pub duration: bool,
}

impl Layout {
    /// Whether the file has a header line.
    pub fn has_header(&self) -> bool {
        matches!(&self.rows, RowLayout::Csv(header) if !header.line.is_empty())
    }
}
