//! A published snapshot as a table: found, searched, sorted and read page by page.
//!
//! It is the file that was published, held open, so a page is of its epoch however many follow. The
//! rows are read into memory when somebody asks for the first page, and forgotten with the epoch.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::ingest::decode::record::Record;
use crate::insights::{Column, ColumnType, MESSAGE, top_songs_this_week};
use crate::publish::manifest::PartEntry;
use crate::serve::view::page::{Cursor, Page, Query, Row, Sort};
use crate::serve::view::search::Needle;

/// Bytes of a key that still fits an address, where each takes two; behind a longer one, the place
/// counts.
const KEY: usize = 1024;

/// The table of one snapshot.
#[derive(Debug)]
pub struct Table {
    insight: &'static str,
    /// Whether text that looks like a formula stands behind an apostrophe.
    escaped: bool,
    file: Arc<File>,
    entry: PartEntry,
    columns: &'static [Column],
    lines: OnceLock<Lines>,
    /// By column the order of the lines if they are sorted by it.
    orders: Mutex<BTreeMap<usize, Arc<[u32]>>>,
}

/// The lines of a file.
#[derive(Debug)]
struct Lines {
    text: Vec<u8>,
    /// Where each line ends, its line feed not included; the header is none.
    ends: Vec<u64>,
    header_len: u64,
    escaped: bool,
}

impl Table {
    /// The table in a published snapshot file.
    pub fn new(
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
            lines: OnceLock::new(),
            orders: Mutex::default(),
        }
    }

    /// What the manifest says of the file.
    pub fn entry(&self) -> &PartEntry {
        &self.entry
    }

    /// The file itself, which nobody writes any more.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The columns.
    pub fn columns(&self) -> &'static [Column] {
        self.columns
    }

    /// What the file says instead of rows, if there are none.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn message(&self) -> io::Result<Option<String>> {
        let lines = self.lines()?;
        Ok((lines.is_message() && !lines.ends.is_empty()).then(|| lines.cells(0).text(0)))
    }

    /// A page of the rows that a query picks.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn page(&self, query: &Query<'_>) -> io::Result<Page> {
        let lines = self.lines()?;
        if lines.is_message() {
            return Ok(Page { total: Some(0), ..Page::default() });
        }
        let chosen = self.choose(lines, query);
        let from = match &query.cursor {
            None => 0,
            Some(Cursor::At(at)) => *at as usize,
            // Rows may have come before it meanwhile, so its key says where it is now.
            Some(Cursor::Behind { key, rows }) => {
                chosen.first_from(lines.first_of(key).saturating_add(*rows as usize))
            }
        };
        let from = from.min(chosen.len());
        let to = from.saturating_add(query.limit).min(chosen.len());
        let rows: Vec<Row> = (from..to).map(|at| lines.cells(chosen.line(at))).collect();
        let next = match rows.last() {
            Some(last)
                if to < chosen.len()
                    && query.sort.is_none()
                    && self.is_sorted_by_key()
                    && last.bytes(0).len() <= KEY =>
            {
                let key = last.bytes(0).to_vec();
                let rows = chosen.line(to - 1) + 1 - lines.first_of(&key);
                Some(Cursor::Behind { key, rows: rows as u64 })
            }
            _ => (to < chosen.len()).then_some(Cursor::At(to as u64)),
        };
        Ok(Page { rows, total: Some(chosen.len() as u64), from: from as u64, next })
    }

    /// All rows whose first column is this.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn rows_of(&self, key: &[u8]) -> io::Result<Vec<Row>> {
        let lines = self.lines()?;
        if lines.is_message() {
            return Ok(Vec::new());
        }
        let from = if self.is_sorted_by_key() { lines.first_of(key) } else { 0 };
        let is_key = |row: &Row| row.bytes(0) == key;
        let rows = (from..lines.ends.len()).map(|number| lines.cells(number));
        Ok(if self.is_sorted_by_key() {
            rows.take_while(is_key).collect()
        } else {
            rows.filter(is_key).collect()
        })
    }

    /// All insights are, but the one that is a ranking, and those whose keys may stand behind an apostrophe.
    fn is_sorted_by_key(&self) -> bool {
        self.insight != top_songs_this_week::NAME && !self.escaped
    }

    fn lines(&self) -> io::Result<&Lines> {
        if let Some(lines) = self.lines.get() {
            return Ok(lines);
        }
        let mut text = vec![0; self.entry.bytes as usize];
        self.file.read_exact_at(&mut text, 0)?;
        let mut ends = memchr::memchr_iter(b'\n', &text).map(|end| end as u64);
        let header_len = ends.next().unwrap_or_default();
        let ends = ends.collect();
        Ok(self.lines.get_or_init(|| Lines { text, ends, header_len, escaped: self.escaped }))
    }

    /// The lines that a query asks for.
    fn choose(&self, lines: &Lines, query: &Query<'_>) -> Chosen {
        let picked = self.pick(lines, query);
        let Some(Sort { column, descending }) = query.sort else {
            return picked.map_or(Chosen::All(lines.ends.len()), Chosen::These);
        };
        let order = self.order(lines, column);
        let Some(picked) = picked else { return Chosen::Sorted { order, descending } };
        let is_picked = |line: &u32| picked.binary_search(line).is_ok();
        let mut sorted: Vec<u32> = order.iter().copied().filter(is_picked).collect();
        if descending {
            sorted.reverse();
        }
        Chosen::These(sorted)
    }

    /// The lines that a query picks, ascending; nothing if that is all of them.
    fn pick(&self, lines: &Lines, query: &Query<'_>) -> Option<Vec<u32>> {
        let wanted = query.wanted(self.columns);
        if wanted.is_empty() && query.search.is_none() {
            return None;
        }
        let mut range = 0..lines.ends.len();
        if let (true, Some((_, key))) =
            (self.is_sorted_by_key(), wanted.iter().find(|(column, _)| *column == 0))
        {
            range.start = lines.first_of(key);
            range.end = lines.first_behind(key);
        }
        let mut needle = query.search.map(Needle::new);
        let picks = |number: &usize| {
            let found = needle.as_mut().is_none_or(|needle| needle.is_in(lines.line(*number)));
            found
                && (wanted.is_empty() || {
                    let row = lines.cells(*number);
                    wanted.iter().all(|(column, value)| row.bytes(*column) == *value)
                })
        };
        Some(range.filter(picks).map(|number| number as u32).collect())
    }

    /// The order of the lines by a column; equal ones stay as they are.
    fn order(&self, lines: &Lines, column: usize) -> Arc<[u32]> {
        let known = self.orders.lock().unwrap_or_else(PoisonError::into_inner).get(&column).cloned();
        if let Some(order) = known {
            return order;
        }
        let mut order: Vec<u32> = (0..lines.ends.len() as u32).collect();
        match self.columns[column].kind {
            ColumnType::Integer | ColumnType::Number => {
                let number = |line: u32| lines.cells(line as usize).text(column).parse().unwrap_or(f64::NAN);
                let keys: Vec<f64> = order.iter().map(|&line| number(line)).collect();
                order.sort_by(|&a, &b| keys[a as usize].total_cmp(&keys[b as usize]));
            }
            ColumnType::Text | ColumnType::Time => {
                order.sort_by_cached_key(|&line| lines.cells(line as usize).bytes(column).to_vec());
            }
        }
        let order: Arc<[u32]> = order.into();
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).insert(column, Arc::clone(&order));
        order
    }
}

/// Lines by the place in which they are given out.
enum Chosen {
    /// So many, as they come.
    All(usize),
    /// All of them in an order.
    Sorted {
        /// The order.
        order: Arc<[u32]>,
        /// Whether it is meant from its end.
        descending: bool,
    },
    /// Some.
    These(Vec<u32>),
}

impl Chosen {
    fn len(&self) -> usize {
        match self {
            Self::All(len) => *len,
            Self::Sorted { order, .. } => order.len(),
            Self::These(lines) => lines.len(),
        }
    }

    /// The line at a place.
    fn line(&self, place: usize) -> usize {
        match self {
            Self::All(_) => place,
            Self::Sorted { order, descending: false } => order[place] as usize,
            Self::Sorted { order, descending: true } => order[order.len() - 1 - place] as usize,
            Self::These(lines) => lines[place] as usize,
        }
    }

    /// The first place with this line or a later one, if they are not sorted.
    fn first_from(&self, line: usize) -> usize {
        match self {
            Self::These(lines) => lines.partition_point(|&other| (other as usize) < line),
            _ => line,
        }
    }
}

impl Lines {
    /// Whether there is a message instead of rows.
    fn is_message(&self) -> bool {
        &self.text[..self.header_len as usize] == MESSAGE.as_bytes()
    }

    fn line(&self, number: usize) -> &[u8] {
        let before = if number == 0 { self.header_len } else { self.ends[number - 1] };
        &self.text[before as usize + 1..self.ends[number] as usize]
    }

    fn cells(&self, number: usize) -> Row {
        Row::read(self.line(number), self.escaped)
    }

    /// The first line whose first cell is not less than `key`, if lines are sorted by it.
    fn first_of(&self, key: &[u8]) -> usize {
        self.partition_point(|cell| cell < key)
    }

    /// The first line whose first cell is greater than `key`, if lines are sorted by it.
    fn first_behind(&self, key: &[u8]) -> usize {
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
