//! Decodes lines on the fast path or the slow path, and chooses the path of each line.

use crate::ingest::decode::duration::DurationReader;
use crate::ingest::decode::line::Ending;
use crate::ingest::decode::record::{ID_LIMIT, Record, check_id};
use crate::ingest::decode::rows::{Row, Rows};
use crate::ingest::decode::timestamp::TimestampReader;
use crate::ingest::decode::{line, scan};
use crate::model::delimiter::Delimiter;
use crate::model::{Field, FurtherFields, Header, Reason, Reject, Text};

/// Decodes the rows of a chunk of CSV.
pub(super) struct CsvRows<'a> {
    header: &'a Header,
    timestamps: TimestampReader<'a>,
    durations: DurationReader,
    /// Whether the whole text is valid UTF-8. If so, the lines need no separate checks.
    all_utf8: bool,
    /// Where the lines start that have bytes without a character, ascending.
    undecodable: &'a [usize],
    record: Record,
    pub(super) rows: Rows,
}

impl<'a> CsvRows<'a> {
    pub(super) fn new(
        header: &'a Header,
        timestamps: TimestampReader<'a>,
        durations: DurationReader,
        undecodable: &'a [usize],
        text: &Text,
        rows: Rows,
    ) -> Self {
        Self {
            header,
            timestamps,
            durations,
            all_utf8: undecodable.is_empty() && std::str::from_utf8(text.as_bytes()).is_ok(),
            undecodable,
            record: Record::new(header.delimiter, header.quoting),
            rows,
        }
    }

    pub(super) fn read(&mut self, text: &Text) {
        let bytes = text.as_bytes();
        if self.header_is_row() {
            self.read_slow(text);
            return;
        }
        let delimiter = self.header.delimiter;
        let fields = self.typical_fields(bytes);
        let index = scan::scan(text.padded(), bytes.len(), delimiter);
        let mut separators = index.separators.as_slice();
        let mut irregular = index.irregular.iter().copied().peekable();
        let mut start = 0;
        let mut line_number = self.rows.first_line();
        while start < bytes.len() {
            let regular = separators.get(..fields).filter(|ends| is_record(bytes, ends, delimiter));
            let is_irregular = |end: u32, irregular: &mut std::iter::Peekable<_>| {
                let found = irregular.peek().is_some_and(|&at| at < end);
                while irregular.next_if(|&at| at < end).is_some() {}
                found
            };
            if let Some(ends) = regular
                && let end = ends[ends.len() - 1]
                && !is_irregular(end, &mut irregular)
                && let Some(row) = self.read_fast(bytes, start, ends)
            {
                self.rows.push(&row);
                separators = &separators[fields..];
                start = end as usize + 1;
            } else {
                let newline = separators.iter().position(|&at| bytes[at as usize] == b'\n');
                let (end, ending) = match newline {
                    Some(index) => (separators[index] as usize, Ending::LineFeed),
                    None => (bytes.len(), Ending::EndOfFile),
                };
                self.read_line(line::without_return(&bytes[start..end]), ending, start, line_number);
                is_irregular(end as u32, &mut irregular);
                separators = newline.map_or(&[], |index| &separators[index + 1..]);
                start = end + 1;
            }
            line_number += 1;
        }
    }

    pub(super) fn read_slow(&mut self, text: &Text) {
        let first_line = self.rows.first_line();
        for ((start, line, ending), line_number) in line::lines(text.as_bytes()).zip(first_line..) {
            self.read_line(line, ending, start, line_number);
        }
    }

    /// Whether the header line can be read as a play. This is possible if columns are given by their places.
    /// Lines that are equal to the header must then be compared before they are decoded.
    fn header_is_row(&mut self) -> bool {
        let header = self.header;
        !header.line.is_empty() && self.read_record(&header.line, Ending::LineFeed, usize::MAX).is_ok()
    }

    /// Number of fields that the fast path expects: that of the first line if rows may have different numbers.
    fn typical_fields(&self, bytes: &[u8]) -> usize {
        let Header { fields, min_fields, further, delimiter, .. } = *self.header;
        if further == FurtherFields::Empty && min_fields == fields {
            return fields;
        }
        let first = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let found = memchr::memchr_iter(delimiter.byte(), first).count() + 1;
        match further {
            FurtherFields::Ignored => found.max(min_fields),
            // A row with more fields takes the slow path, which checks that they are empty.
            FurtherFields::Empty => found.clamp(min_fields, fields),
        }
    }

    /// Decodes a row on the fast path. `ends` holds the end of each field. Returns `None` if the row
    /// needs the slow path.
    #[inline]
    fn read_fast(&mut self, bytes: &[u8], start: usize, ends: &[u32]) -> Option<Row> {
        let last = ends.len() - 1;
        let field = |index: usize| {
            let from = if index == 0 { start } else { ends[index - 1] as usize + 1 };
            let to = ends[index] as usize;
            let to = if index == last && to > from && bytes[to - 1] == b'\r' { to - 1 } else { to };
            from..to
        };
        let line = start..ends[last] as usize;
        if !self.all_utf8
            && (std::str::from_utf8(&bytes[line.clone()]).is_err()
                || self.undecodable.binary_search(&start).is_ok())
        {
            return None;
        }
        let (user, song) = (field(self.header.user), field(self.header.song));
        let is_id = |id: &std::ops::Range<usize>| (1..=ID_LIMIT).contains(&id.len());
        if !is_id(&user) || !is_id(&song) || line.len() > line::LINE_LIMIT {
            return None;
        }
        let play_time = self.timestamps.read(&bytes[field(self.header.timestamp)]).ok()?;
        let duration = &bytes[field(self.header.duration)];
        let millis = self.durations.read(duration).ok()?;
        let cell =
            |range: std::ops::Range<usize>| Field { start: range.start as u32, len: range.len() as u32 };
        Some(Row { user: cell(user), song: cell(song), play_time, millis })
    }

    /// The slow path: decodes a line into a play or a reject. Skips blank lines. `line` does not include
    /// its line end.
    fn read_line(&mut self, line: &[u8], ending: Ending, start: usize, line_number: u64) {
        // An overlong line is rejected even if it is blank, so the check for blank lines never reads an
        // overlong line.
        if line.len() <= line::LINE_LIMIT && line::is_blank(line, self.header.delimiter) {
            return;
        }
        // Some logs are several files joined together, so they repeat the header.
        if line == self.header.line {
            return;
        }
        match self.read_record(line, ending, start) {
            Ok(row) => self.rows.push(&row),
            Err(reason) => {
                self.rows.future += u32::from(reason == Reason::TimestampRange && self.timestamps.is_late());
                self.rows.reject(Reject::new(reason, line_number, start as u64, line));
            }
        }
    }

    fn read_record(&mut self, line: &[u8], ending: Ending, start: usize) -> Result<Row, Reason> {
        line::check(line, ending)?;
        if self.undecodable.binary_search(&start).is_ok() {
            return Err(Reason::InvalidUtf8);
        }
        self.record.read(line)?;
        if !self.has_all_fields() {
            return Err(Reason::FieldCount);
        }
        let [user, song] = [self.header.user, self.header.song].map(|index| self.record.field(index));
        check_id(user)?;
        check_id(song)?;
        let play_time = self.timestamps.read(self.record.field(self.header.timestamp))?;
        let millis = self.durations.read(self.record.field(self.header.duration))?;
        let [user, song] = [user, song].map(|id| self.rows.keep(id));
        Ok(Row { user, song, play_time, millis })
    }

    /// Whether the record has the fields of the header. More fields must be empty, such as those of trailing
    /// delimiters. If the last columns have no names, their fields may be missing.
    fn has_all_fields(&self) -> bool {
        let mut further = self.record.fields().skip(self.header.fields);
        self.record.len() >= self.header.min_fields
            && (self.header.further == FurtherFields::Ignored || further.all(<[u8]>::is_empty))
    }
}

/// Whether the last of `ends` is a line feed and all other ends are delimiters.
#[inline]
fn is_record(bytes: &[u8], ends: &[u32], delimiter: Delimiter) -> bool {
    let (last, inner) = ends.split_last().expect("a header has a field");
    inner.iter().all(|&at| bytes[at as usize] == delimiter.byte()) && bytes[*last as usize] == b'\n'
}
