//! Reads a published append-only table (`enriched_logs` or `_rejects`) page by page, newest rows first.
//!
//! The table may be larger than memory. Each page is therefore read backwards from the point where the
//! previous page ended, and a filtered page scans a limited number of bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::insights::Column;
use crate::publish::manifest::{InsightEntry, PartEntry};
use crate::serve::view::page::{Cursor, Page, Query, Row};
use crate::serve::view::search::Needle;

/// Bytes per read.
const BLOCK: u64 = 256 << 10;
/// Maximum number of bytes that are scanned for one page. The scan takes a few hundredths of a second.
const MAX_SCAN: u64 = 32 << 20;

/// The rows of an append-only table that belong to an epoch.
#[derive(Clone, Debug)]
pub struct AppendOnlyTable {
    folder: PathBuf,
    entry: InsightEntry,
    columns: &'static [Column],
    escaped: bool,
}

/// A part, and the byte range of its rows. Offsets count from the start of the first part, as if all
/// parts were one file.
#[derive(Clone, Copy, Debug)]
struct PartRange<'a> {
    part: &'a PartEntry,
    from: u64,
    to: u64,
}

impl AppendOnlyTable {
    /// The table in `folder`. `entry` lists its parts and their lengths.
    pub fn new(folder: &Path, entry: &InsightEntry, columns: &'static [Column], escaped: bool) -> Self {
        Self { folder: folder.to_owned(), entry: entry.clone(), columns, escaped }
    }

    /// Columns of the table, in file order.
    pub fn columns(&self) -> &'static [Column] {
        self.columns
    }

    /// The part files, each with the number of bytes that belong to the epoch.
    ///
    /// # Errors
    /// If a file cannot be opened.
    pub fn files(&self) -> io::Result<Vec<(File, u64)>> {
        self.entry
            .parts
            .iter()
            .map(|part| Ok((File::open(self.folder.join(&part.file))?, part.bytes)))
            .collect()
    }

    /// The next page of matching rows. A filtered page can be short or empty although more pages follow.
    ///
    /// # Errors
    /// If a file cannot be read, or if the cursor belongs to a different table.
    pub fn page(&self, query: &Query<'_>) -> io::Result<Page> {
        let ranges = self.ranges();
        let len = ranges.last().map_or(0, |range| range.to);
        let start = match query.cursor {
            Some(Cursor::Offset(at)) => at.min(len),
            _ => len,
        };
        let filters = query.column_filters(self.columns);
        let mut needle = query.search.map(Needle::new);
        let mut rows = Vec::new();
        let mut at = start;
        for range in ranges.iter().rev().filter(|range| range.from < start) {
            at = at.min(range.to);
            let file = File::open(self.folder.join(&range.part.file))?;
            check_end(&file, range, at)?;
            while at > range.from && rows.len() < query.limit && start - at < MAX_SCAN {
                let block = Block::before(&file, range, at)?;
                let mut lines = block.lines();
                while let Some(line) = lines.next_back() {
                    if rows.len() == query.limit {
                        break;
                    }
                    at -= line.len() as u64 + 1;
                    if needle.as_mut().is_none_or(|needle| needle.is_in(line)) {
                        let row = Row::read(line, self.escaped);
                        if filters.iter().all(|(column, value)| row.bytes(*column) == *value) {
                            rows.push(row);
                        }
                    }
                }
            }
        }
        let is_end = at <= ranges.first().map_or(0, |range| range.from);
        let is_filtered = needle.is_some() || !filters.is_empty();
        Ok(Page {
            rows,
            total: (!is_filtered).then_some(self.entry.rows),
            from: 0,
            next: (!is_end).then_some(Cursor::Offset(at)),
        })
    }

    /// Length in bytes of the header. Every part begins with this header.
    pub fn header_len(&self) -> u64 {
        self.columns.iter().map(|column| column.name.len() as u64 + 1).sum()
    }

    /// For each part, the byte range of its rows without the header.
    fn ranges(&self) -> Vec<PartRange<'_>> {
        let header = self.header_len();
        let mut to = 0;
        let mut ranges = Vec::new();
        for part in &self.entry.parts {
            let from = to + header;
            to += part.bytes;
            ranges.push(PartRange { part, from, to });
        }
        ranges
    }
}

/// Checks that the offset of the cursor is the end of a line.
fn check_end(file: &File, range: &PartRange<'_>, at: u64) -> io::Result<()> {
    let mut last = [0];
    file.read_exact_at(&mut last, at - 1 - (range.to - range.part.bytes))?;
    if last == *b"\n" {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "cursor: this cursor belongs to a different table"))
}

/// Complete lines of a part.
struct Block(Vec<u8>);

impl Block {
    /// Reads the complete lines before `end` that fit into [`BLOCK`] bytes. If the last line alone is
    /// longer, reads more bytes.
    fn before(file: &File, range: &PartRange<'_>, end: u64) -> io::Result<Self> {
        let in_file = |at: u64| at - (range.to - range.part.bytes);
        let mut len = BLOCK;
        loop {
            let from = end.saturating_sub(len).max(range.from);
            let mut bytes = vec![0; (end - from) as usize];
            file.read_exact_at(&mut bytes, in_file(from))?;
            if from == range.from {
                return Ok(Self(bytes));
            }
            // The block probably begins in the middle of a line.
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
