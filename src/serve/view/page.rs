//! Pages of rows: what is asked for, and what comes back.

use std::fmt::{self, Display};
use std::str::FromStr;

use crate::ingest::decode::record::Record;
use crate::insights::Column;
use crate::publish::formula_escape::is_formula;

/// Which rows are wanted.
#[derive(Clone, Debug, Default)]
pub struct Query<'a> {
    /// Columns that must have these values.
    pub cells: Vec<(&'static str, &'a [u8])>,
    /// A text that must be in the row, whatever its case.
    pub search: Option<&'a str>,
    /// What they are sorted by; by the contract's order if nothing.
    pub sort: Option<Sort>,
    /// How many at the most.
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
}

impl<'a> Query<'a> {
    /// The indices of the columns that must have certain values, and these values.
    pub fn wanted(&self, columns: &[Column]) -> Vec<(usize, &'a [u8])> {
        let place = |name| columns.iter().position(|column| column.name == name);
        self.cells.iter().filter_map(|&(name, value)| Some((place(name)?, value))).collect()
    }
}

/// An order of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The index of the column.
    pub column: usize,
    /// Whether the greatest comes first.
    pub descending: bool,
}

/// Where a page begins. Its text means nothing to those who hand it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// At a place: of a row in a snapshot, of a byte in a log.
    At(u64),
    /// Behind so many rows of a key, wherever these are by now.
    Behind {
        /// The first cell of the rows.
        key: Vec<u8>,
        /// How many of its rows were given out.
        rows: u64,
    },
}

impl Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(at) => write!(out, "a{at}"),
            Self::Behind { key, rows } => {
                write!(out, "b{rows}-")?;
                key.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
            }
        }
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "not a cursor: give back `next_cursor` of the page before";
        // Signs are none of ours, though numbers may have them.
        let number =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        if let Some(at) = text.strip_prefix('a') {
            return number(at).map(Self::At).ok_or(EXPECTED);
        }
        let (rows, key) = text.strip_prefix('b').and_then(|rest| rest.split_once('-')).ok_or(EXPECTED)?;
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        };
        let key: Option<Vec<u8>> = key.as_bytes().chunks(2).map(byte).collect();
        Ok(Self::Behind { key: key.ok_or(EXPECTED)?, rows: number(rows).ok_or(EXPECTED)? })
    }
}

/// Some rows.
#[derive(Debug, Default)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// How many there are in all, if anybody knows.
    pub total: Option<u64>,
    /// How many come before the first one.
    pub from: u64,
    /// Where the next page begins, if there is more.
    pub next: Option<Cursor>,
}

/// The cells of a row.
#[derive(Debug, Default)]
pub struct Row {
    record: Record,
    escaped: bool,
}

impl Row {
    /// The row of a line that we have written, with a guard against formulas or without.
    pub fn read(line: &[u8], escaped: bool) -> Self {
        let mut record = Record::default();
        // What we have written can be read; should somebody have edited it, what could be read counts.
        let _ = record.read(line);
        Self { record, escaped }
    }

    /// A cell as it was before it was escaped; empty if there is none.
    pub fn bytes(&self, column: usize) -> &[u8] {
        let cell = if column < self.record.len() { self.record.field(column) } else { b"" };
        match cell {
            [b'\'', text @ ..] if self.escaped && is_formula(text) => text,
            _ => cell,
        }
    }

    /// A cell as text.
    pub fn text(&self, column: usize) -> String {
        String::from_utf8_lossy(self.bytes(column)).into_owned()
    }
}
