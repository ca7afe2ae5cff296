//! A published log (`enriched_logs`, `_rejects`) page by page, the newest rows first.
//!
//! Logs may be longer than memory, so a page is read backwards from where the one before ended, and
//! a page of rows that are picked looks through a bounded piece only.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::insights::Column;
use crate::publish::manifest::{InsightEntry, PartEntry};
use crate::serve::view::page::{Cursor, Page, Query, Row};
use crate::serve::view::search::Needle;

/// Bytes that are read at once.
const BLOCK: u64 = 256 << 10;
/// Bytes that are looked through for one page at the most: some hundredths of a second.
const REACH: u64 = 32 << 20;

/// What counts of a log at an epoch.
#[derive(Clone, Debug)]
pub struct Log {
    folder: PathBuf,
    entry: InsightEntry,
    columns: &'static [Column],
    escaped: bool,
}

/// A part of a log, and where its rows begin among those of all parts, in bytes.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    part: &'a PartEntry,
    from: u64,
    to: u64,
}

impl Log {
    /// The log in a folder, as far as the entry says.
    pub fn new(folder: &Path, entry: &InsightEntry, columns: &'static [Column], escaped: bool) -> Self {
        Self { folder: folder.to_owned(), entry: entry.clone(), columns, escaped }
    }

    /// The columns.
    pub fn columns(&self) -> &'static [Column] {
        self.columns
    }

    /// The files with the bytes of each that count.
    ///
    /// # Errors
    /// If one cannot be opened.
    pub fn files(&self) -> io::Result<Vec<(File, u64)>> {
        self.entry
            .parts
            .iter()
            .map(|part| Ok((File::open(self.folder.join(&part.file))?, part.bytes)))
            .collect()
    }

    /// A page of the rows that a query picks; the page may be short though there is a next one.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn page(&self, query: &Query<'_>) -> io::Result<Page> {
        let places = self.places();
        let len = places.last().map_or(0, |place| place.to);
        let start = match query.cursor {
            Some(Cursor::At(at)) => at.min(len),
            _ => len,
        };
        let wanted = query.wanted(self.columns);
        let mut needle = query.search.map(Needle::new);
        let mut rows = Vec::new();
        let mut at = start;
        for place in places.iter().rev().filter(|place| place.from < start) {
            at = at.min(place.to);
            let file = File::open(self.folder.join(&place.part.file))?;
            check_end(&file, place, at)?;
            while at > place.from && rows.len() < query.limit && start - at < REACH {
                let block = Block::before(&file, place, at)?;
                let mut lines = block.lines();
                while let Some(line) = lines.next_back() {
                    if rows.len() == query.limit {
                        break;
                    }
                    at -= line.len() as u64 + 1;
                    if needle.as_mut().is_none_or(|needle| needle.is_in(line)) {
                        let row = Row::read(line, self.escaped);
                        if wanted.iter().all(|(column, value)| row.bytes(*column) == *value) {
                            rows.push(row);
                        }
                    }
                }
            }
        }
        let is_end = at <= places.first().map_or(0, |place| place.from);
        let picks = needle.is_some() || !wanted.is_empty();
        Ok(Page {
            rows,
            total: (!picks).then_some(self.entry.rows),
            from: 0,
            next: (!is_end).then_some(Cursor::At(at)),
        })
    }

    /// The length of the header of each part.
    pub fn header_len(&self) -> u64 {
        self.columns.iter().map(|column| column.name.len() as u64 + 1).sum()
    }

    /// Where the rows of each part are; headers are passed over.
    fn places(&self) -> Vec<Place<'_>> {
        let header = self.header_len();
        let mut to = 0;
        let mut places = Vec::new();
        for part in &self.entry.parts {
            let from = to + header;
            to += part.bytes;
            places.push(Place { part, from, to });
        }
        places
    }
}

/// Makes sure that a line ends where the page before is said to have ended.
fn check_end(file: &File, place: &Place<'_>, at: u64) -> io::Result<()> {
    let mut last = [0];
    file.read_exact_at(&mut last, at - 1 - (place.to - place.part.bytes))?;
    if last == *b"\n" {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "this cursor is of another table"))
}

/// Whole lines of a part.
struct Block(Vec<u8>);

impl Block {
    /// The lines that end at `end`: as many as fit, or one that does not.
    fn before(file: &File, place: &Place<'_>, end: u64) -> io::Result<Self> {
        let in_file = |at: u64| at - (place.to - place.part.bytes);
        let mut len = BLOCK;
        loop {
            let from = end.saturating_sub(len).max(place.from);
            let mut bytes = vec![0; (end - from) as usize];
            file.read_exact_at(&mut bytes, in_file(from))?;
            if from == place.from {
                return Ok(Self(bytes));
            }
            // The first line is most likely cut off.
            let first_end = memchr::memchr(b'\n', &bytes).map_or(bytes.len(), |end| end + 1);
            if first_end < bytes.len() {
                return Ok(Self(bytes.split_off(first_end)));
            }
            len *= 2;
        }
    }

    fn lines(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        let lines = self.0.strip_suffix(b"\n").unwrap_or(&self.0);
        lines.split(|&byte| byte == b'\n')
    }
}
