//! Filters, searches and sorts the rows of a published snapshot, and returns them page by page.
//!
//! The published file stays open, so its rows remain readable after a later epoch has replaced the file. The
//! first request reads the rows into memory. The rows are dropped when no view uses the table any more.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::{self, Display};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use xxhash_rust::xxh3::Xxh3;

use crate::ingest::decode::record::Record;
use crate::insights::{Column, ColumnType, MESSAGE, top_songs_this_week};
use crate::publish::manifest::{PartEntry, hash_text};
use crate::serve::view::page::{Cursor, Page, Query, Row, Sort};
use crate::serve::view::search::Needle;

/// Maximum length in bytes of a key in a cursor. Each byte takes two characters of the URL, and the
/// length of a URL is limited. If a key is longer, the cursor is a row index.
const MAX_KEY_LEN: usize = 1024;
/// Bytes per read when the content of a file is checked.
const READ: u64 = 256 << 10;

/// The cause of an I/O error: a published file is not the file that the epoch lists. Usually, the next epoch
/// has replaced it, so the view of that epoch can be read.
#[derive(Debug)]
pub struct Replaced;

impl Replaced {
    /// Whether this is the cause of an error.
    pub fn is_cause_of(error: &io::Error) -> bool {
        error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<Self>)
    }
}

impl Display for Replaced {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a table of this period is being replaced, or it was changed by another program")
    }
}

impl Error for Replaced {}

impl From<Replaced> for io::Error {
    fn from(cause: Replaced) -> Self {
        Self::other(cause)
    }
}

/// The table of one insight in an epoch.
#[derive(Debug)]
pub struct SnapshotTable {
    insight: &'static str,
    /// Whether text that looks like a formula starts with a `'`.
    escaped: bool,
    file: Arc<File>,
    entry: PartEntry,
    columns: &'static [Column],
    /// Set when the file is known to have the content that the entry describes.
    checked: OnceLock<()>,
    lines: OnceLock<Lines>,
    /// For each column that a request has sorted by: the line numbers in the order of that column.
    orders: Mutex<BTreeMap<usize, Arc<[u32]>>>,
}

/// The lines of a file.
#[derive(Debug)]
struct Lines {
    text: Vec<u8>,
    /// Offset of the line feed at the end of each line. The header line has no entry.
    ends: Vec<u64>,
    header_len: u64,
    escaped: bool,
}

impl SnapshotTable {
    /// The table in a file that was opened when the epoch was published.
    pub fn new(
        insight: &'static str,
        file: Arc<File>,
        entry: &PartEntry,
        columns: &'static [Column],
        escaped: bool,
    ) -> Self {
        let table = Self::unchecked(insight, file, entry, columns, escaped);
        Self { checked: OnceLock::from(()), ..table }
    }

    /// The table in a file that was opened later. Its content is compared with the entry before it is used.
    pub fn unchecked(
        insight: &'static str,
        file: Arc<File>,
        entry: &PartEntry,
        columns: &'static [Column],
        escaped: bool,
    ) -> Self {
        Self {
            insight,
            escaped,
            file,
            entry: entry.clone(),
            columns,
            checked: OnceLock::new(),
            lines: OnceLock::new(),
            orders: Mutex::default(),
        }
    }

    /// The entry of the file in the manifest.
    pub fn entry(&self) -> &PartEntry {
        &self.entry
    }

    /// The published file. It never changes.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Checks that the file has the content that the entry describes.
    ///
    /// # Errors
    /// If the file cannot be read, or if it is [another file](Replaced).
    pub fn check(&self) -> io::Result<()> {
        if self.checked.get().is_some() {
            return Ok(());
        }
        let (mut hash, mut piece) = (Xxh3::new(), vec![0; READ as usize]);
        for from in (0..self.entry.bytes).step_by(READ as usize) {
            let piece = &mut piece[..READ.min(self.entry.bytes - from) as usize];
            self.file.read_exact_at(piece, from).map_err(|cause| match cause.kind() {
                io::ErrorKind::UnexpectedEof => Replaced.into(),
                _ => cause,
            })?;
            hash.update(piece);
        }
        if hash_text(hash.digest128()) != self.entry.hash {
            return Err(Replaced.into());
        }
        self.checked.get_or_init(|| ());
        Ok(())
    }

    /// Columns of the table, in file order.
    pub fn columns(&self) -> &'static [Column] {
        self.columns
    }

    /// The message that the file has instead of rows, if any.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn message(&self) -> io::Result<Option<String>> {
        let lines = self.lines()?;
        Ok((lines.is_message() && !lines.ends.is_empty()).then(|| lines.row(0).text(0)))
    }

    /// A page of the rows that match a query.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn page(&self, query: &Query<'_>) -> io::Result<Page> {
        let lines = self.lines()?;
        if lines.is_message() {
            return Ok(Page { total: Some(0), ..Page::default() });
        }
        let selection = self.select(lines, query);
        let from = match &query.cursor {
            None => 0,
            Some(Cursor::Offset(at)) => *at as usize,
            // A later epoch may have more rows before the key, so the index of the key is looked up again.
            Some(Cursor::AfterKey { key, rows }) => {
                selection.first_index_of(lines.lower_bound(key).saturating_add(*rows as usize))
            }
        };
        let from = from.min(selection.len());
        let to = from.saturating_add(query.limit).min(selection.len());
        let rows: Vec<Row> = (from..to).map(|at| lines.row(selection.line(at))).collect();
        let next = match rows.last() {
            Some(last)
                if to < selection.len()
                    && query.sort.is_none()
                    && self.is_sorted_by_key()
                    && last.bytes(0).len() <= MAX_KEY_LEN =>
            {
                let key = last.bytes(0).to_vec();
                let rows = selection.line(to - 1) + 1 - lines.lower_bound(&key);
                Some(Cursor::AfterKey { key, rows: rows as u64 })
            }
            _ => (to < selection.len()).then_some(Cursor::Offset(to as u64)),
        };
        Ok(Page { rows, total: Some(selection.len() as u64), from: from as u64, next })
    }

    /// All rows whose first cell is `key`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn rows_of(&self, key: &[u8]) -> io::Result<Vec<Row>> {
        let lines = self.lines()?;
        if lines.is_message() {
            return Ok(Vec::new());
        }
        let from = if self.is_sorted_by_key() { lines.lower_bound(key) } else { 0 };
        let is_key = |row: &Row| row.bytes(0) == key;
        let rows = (from..lines.ends.len()).map(|number| lines.row(number));
        Ok(if self.is_sorted_by_key() {
            rows.take_while(is_key).collect()
        } else {
            rows.filter(is_key).collect()
        })
    }

    /// Whether the rows are sorted by the first column. A ranking is sorted by its counts instead. An
    /// escaped table does not count as sorted, because the `'` in front of formulas can break the order.
    fn is_sorted_by_key(&self) -> bool {
        self.insight != top_songs_this_week::NAME && !self.escaped
    }

    fn lines(&self) -> io::Result<&Lines> {
        if let Some(lines) = self.lines.get() {
            return Ok(lines);
        }
        self.check()?;
        let mut text = vec![0; self.entry.bytes as usize];
        self.file.read_exact_at(&mut text, 0)?;
        let mut ends = memchr::memchr_iter(b'\n', &text).map(|end| end as u64);
        let header_len = ends.next().unwrap_or_default();
        let ends = ends.collect();
        Ok(self.lines.get_or_init(|| Lines { text, ends, header_len, escaped: self.escaped }))
    }

    /// The lines that match a query, in the order that the query asks for.
    fn select(&self, lines: &Lines, query: &Query<'_>) -> Selection {
        let matches = self.filter(lines, query);
        let Some(Sort { column, descending }) = query.sort else {
            return matches.map_or(Selection::All(lines.ends.len()), Selection::Lines);
        };
        let order = self.order(lines, column);
        let Some(matches) = matches else { return Selection::Sorted { order, descending } };
        let is_match = |line: &u32| matches.binary_search(line).is_ok();
        let mut sorted: Vec<u32> = order.iter().copied().filter(is_match).collect();
        if descending {
            sorted.reverse();
        }
        Selection::Lines(sorted)
    }

    /// The numbers of the lines that match a query, ascending; `None` if the query has no filter.
    fn filter(&self, lines: &Lines, query: &Query<'_>) -> Option<Vec<u32>> {
        let filters = query.column_filters(self.columns);
        if filters.is_empty() && query.search.is_none() {
            return None;
        }
        let mut range = 0..lines.ends.len();
        if let (true, Some((_, key))) =
            (self.is_sorted_by_key(), filters.iter().find(|(column, _)| *column == 0))
        {
            range.start = lines.lower_bound(key);
            range.end = lines.upper_bound(key);
        }
        let mut needle = query.search.map(Needle::new);
        let matches = |number: &usize| {
            let found = needle.as_mut().is_none_or(|needle| needle.is_in(lines.line(*number)));
            found
                && (filters.is_empty() || {
                    let row = lines.row(*number);
                    filters.iter().all(|(column, value)| row.bytes(*column) == *value)
                })
        };
        Some(range.filter(matches).map(|number| number as u32).collect())
    }

    /// Line numbers sorted by a column. The sort is stable.
    fn order(&self, lines: &Lines, column: usize) -> Arc<[u32]> {
        let known = self.orders.lock().unwrap_or_else(PoisonError::into_inner).get(&column).cloned();
        if let Some(order) = known {
            return order;
        }
        let mut order: Vec<u32> = (0..lines.ends.len() as u32).collect();
        match self.columns[column].kind {
            ColumnType::Integer | ColumnType::Number => {
                let number = |line: u32| lines.row(line as usize).text(column).parse().unwrap_or(f64::NAN);
                let keys: Vec<f64> = order.iter().map(|&line| number(line)).collect();
                order.sort_by(|&a, &b| keys[a as usize].total_cmp(&keys[b as usize]));
            }
            ColumnType::Text | ColumnType::Time => {
                order.sort_by_cached_key(|&line| lines.row(line as usize).bytes(column).to_vec());
            }
        }
        let order: Arc<[u32]> = order.into();
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).insert(column, Arc::clone(&order));
        order
    }
}

/// Line numbers in the order of a query.
enum Selection {
    /// All lines in the order of the file. The value is the number of lines.
    All(usize),
    /// All lines, sorted by a column.
    Sorted {
        /// Line numbers in ascending order of the column.
        order: Arc<[u32]>,
        /// Whether to read `order` backwards.
        descending: bool,
    },
    /// The matching lines.
    Lines(Vec<u32>),
}

impl Selection {
    fn len(&self) -> usize {
        match self {
            Self::All(len) => *len,
            Self::Sorted { order, .. } => order.len(),
            Self::Lines(lines) => lines.len(),
        }
    }

    /// The number of the line at an index.
    fn line(&self, index: usize) -> usize {
        match self {
            Self::All(_) => index,
            Self::Sorted { order, descending: false } => order[index] as usize,
            Self::Sorted { order, descending: true } => order[order.len() - 1 - index] as usize,
            Self::Lines(lines) => lines[index] as usize,
        }
    }

    /// The first index with this line or a later line. Only for unsorted selections.
    fn first_index_of(&self, line: usize) -> usize {
        match self {
            Self::Lines(lines) => lines.partition_point(|&other| (other as usize) < line),
            _ => line,
        }
    }
}

impl Lines {
    /// Whether the file has a message instead of rows.
    fn is_message(&self) -> bool {
        &self.text[..self.header_len as usize] == MESSAGE.as_bytes()
    }

    fn line(&self, number: usize) -> &[u8] {
        let before = if number == 0 { self.header_len } else { self.ends[number - 1] };
        &self.text[before as usize + 1..self.ends[number] as usize]
    }

    fn row(&self, number: usize) -> Row {
        Row::read(self.line(number), self.escaped)
    }

    /// The first line whose first cell is not less than `key`. Lines must be sorted by their first cell.
    fn lower_bound(&self, key: &[u8]) -> usize {
        self.partition_point(|cell| cell < key)
    }

    /// The first line whose first cell is greater than `key`. Lines must be sorted by their first cell.
    fn upper_bound(&self, key: &[u8]) -> usize {
        self.partition_point(|cell| cell <= key)
    }

    fn partition_point(&self, is_before: impl Fn(&[u8]) -> bool) -> usize {
        let (mut from, mut to) = (0, self.ends.len());
        let mut record = Record::default();
        while from < to {
            let middle = from.midpoint(to);
            let read = record.read(self.line(middle));
            if read.is_ok() && is_before(record.field(0)) {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        from
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use xxhash_rust::xxh3::xxh3_128;

    use super::*;
    use crate::insights::{columns, night_owl_users};

    fn table_of(text: &str, hashed: &str) -> SnapshotTable {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let entry = PartEntry {
            file: "part-00000.csv".to_owned(),
            rows: 2,
            bytes: hashed.len() as u64,
            hash: hash_text(xxh3_128(hashed.as_bytes())),
        };
        let columns = columns(night_owl_users::NAME).unwrap();
        SnapshotTable::unchecked(night_owl_users::NAME, Arc::new(file), &entry, columns, false)
    }

    #[test]
    fn only_the_listed_content_is_read() {
        let text = "user_id\nu1\nu2\n";
        let query = Query { limit: 9, ..Query::default() };
        assert_eq!(table_of(text, text).page(&query).unwrap().rows.len(), 2);
        for other in ["user_id\nu1\nu3\n", "user_id\nu1\nu2"] {
            let refused = [table_of(other, text).page(&query).map(drop), table_of(other, text).check()];
            for cause in refused.map(Result::unwrap_err) {
                assert!(Replaced::is_cause_of(&cause), "{cause}");
            }
        }
    }
}
