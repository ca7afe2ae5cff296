//! Pages of rows: the query and the result.

use std::fmt::{self, Display};
use std::str::FromStr;

use crate::ingest::decode::record::Record;
use crate::insights::Column;
use crate::publish::formula_escape::is_formula;

/// Selects, orders and limits rows.
#[derive(Clone, Debug, Default)]
pub struct Query<'a> {
    /// Pairs of a column and the value that a row must have in that column.
    pub filters: Vec<(&'static str, &'a [u8])>,
    /// Text that a row must contain, regardless of case.
    pub search: Option<&'a str>,
    /// Order of the rows. `None` means the order of the file.
    pub sort: Option<Sort>,
    /// Maximum number of rows.
    pub limit: usize,
    /// Point where the previous page ended; `None` for the first page.
    pub cursor: Option<Cursor>,
}

impl<'a> Query<'a> {
    /// The filters with column indices instead of names. Filters on columns that are not in `columns`
    /// are left out.
    pub fn column_filters(&self, columns: &[Column]) -> Vec<(usize, &'a [u8])> {
        let index = |name| columns.iter().position(|column| column.name == name);
        self.filters.iter().filter_map(|&(name, value)| Some((index(name)?, value))).collect()
    }
}

/// Order of rows by one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// Index of the column.
    pub column: usize,
    /// Whether the largest value comes first.
    pub descending: bool,
}

/// Start of a page. Clients must treat the text of a cursor as opaque.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// The index of a row in a snapshot, or a byte offset in an append-only table.
    Offset(u64),
    /// The page starts after `rows` rows with the same key. Such a cursor stays correct if a later epoch
    /// has more rows before the key.
    AfterKey {
        /// First cell of these rows.
        key: Vec<u8>,
        /// Number of rows with this key that earlier pages returned.
        rows: u64,
    },
}

impl Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offset(at) => write!(out, "a{at}"),
            Self::AfterKey { key, rows } => {
                write!(out, "b{rows}-")?;
                key.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
            }
        }
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "not a valid cursor; use `next_cursor` of the previous page";
        // `parse` alone would accept a sign.
        let number =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        if let Some(at) = text.strip_prefix('a') {
            return number(at).map(Self::Offset).ok_or(EXPECTED);
        }
        let (rows, key) = text.strip_prefix('b').and_then(|rest| rest.split_once('-')).ok_or(EXPECTED)?;
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        };
        let key: Option<Vec<u8>> = key.as_bytes().chunks(2).map(byte).collect();
        Ok(Self::AfterKey { key: key.ok_or(EXPECTED)?, rows: number(rows).ok_or(EXPECTED)? })
    }
}

/// One page of rows.
#[derive(Debug, Default)]
pub struct Page {
    /// Rows in the order of the query.
    pub rows: Vec<Row>,
    /// Number of matching rows; `None` if not all rows were scanned.
    pub total: Option<u64>,
    /// Number of matching rows before this page.
    pub from: u64,
    /// Start of the next page; `None` if this is the last page.
    pub next: Option<Cursor>,
}

/// The cells of one row.
#[derive(Debug, Default)]
pub struct Row {
    record: Record,
    escaped: bool,
}

impl Row {
    /// Reads a line of a published file. `escaped` says whether formulas in the file start with a `'`.
    pub fn read(line: &[u8], escaped: bool) -> Self {
        let mut record = Record::default();
        // The program wrote the line, so it is normally valid. If the file was edited afterwards, the row
        // has only the cells that can be read.
        let _ = record.read(line);
        Self { record, escaped }
    }

    /// A cell, without the `'` that escapes a formula. Empty if the row has no such cell.
    pub fn bytes(&self, column: usize) -> &[u8] {
        let cell = if column < self.record.len() { self.record.field(column) } else { b"" };
        match cell {
            [b'\'', text @ ..] if self.escaped && is_formula(text) => text,
            _ => cell,
        }
    }

    /// A cell as text, with invalid UTF-8 replaced.
    pub fn text(&self, column: usize) -> String {
        String::from_utf8_lossy(self.bytes(column)).into_owned()
    }
}
