//! Decodes lines on the fast path or the slow path, and chooses the path of each line.

use std::cell::RefCell;

use crate::ingest::decode::duration::DurationReader;
use crate::ingest::decode::line;
use crate::ingest::decode::line::Ending;
use crate::ingest::decode::record::{ID_LIMIT, Record, check_id};
use crate::ingest::decode::rows::{Row, Rows};
use crate::ingest::decode::scan::StructuralIndex;
use crate::ingest::decode::timestamp::{PLAIN, TimestampReader};
use crate::model::{Field, FurtherFields, Header, Reason, Reject, Text};

/// The usual order of the fields: user, song, timestamp, duration.
const DEFAULT_ORDER: [usize; 4] = [0, 1, 2, 3];

thread_local! {
    /// The index of the current text. The next text of the thread reuses its memory.
    static INDEX: RefCell<StructuralIndex> = RefCell::default();
}

/// Decodes the rows of a chunk of CSV.
pub(super) struct CsvRows<'a> {
    header: &'a Header,
    timestamps: TimestampReader<'a>,
    durations: DurationReader,
    /// Whether the whole text is valid UTF-8. If so, the lines need no separate checks.
    all_utf8: bool,
    /// Whether lines can be too long or invalid UTF-8.
    needs_checks: bool,
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
        rows: Rows,
    ) -> Self {
        Self {
            header,
            timestamps,
            durations,
            all_utf8: false,
            needs_checks: true,
            undecodable,
            record: Record::new(header.delimiter, header.quoting),
            rows,
        }
    }

    pub(super) fn read(&mut self, text: &Text) {
        if self.header_is_row() {
            self.read_slow(text);
            return;
        }
        INDEX.with_borrow_mut(|index| {
            index.scan(text.padded(), text.as_bytes().len(), self.header.delimiter);
            self.read_scanned(text, index);
        });
    }

    fn read_scanned(&mut self, text: &Text, index: &StructuralIndex) {
        let bytes = text.as_bytes();
        let fields = self.typical_fields(bytes);
        self.set_checks(bytes, index.is_ascii());
        self.rows.reserve(index.line_feeds().len() + 1);
        // The code is compiled twice. In one version, the places of the fields are constants.
        if fields == DEFAULT_ORDER.len() && self.field_order() == DEFAULT_ORDER {
            self.read_lines::<true>(text, index, fields);
        } else {
            self.read_lines::<false>(text, index, fields);
        }
    }

    /// Finds out which checks each line of the text needs.
    fn set_checks(&mut self, bytes: &[u8], is_ascii: bool) {
        self.all_utf8 = self.undecodable.is_empty() && (is_ascii || std::str::from_utf8(bytes).is_ok());
        self.needs_checks = !self.all_utf8 || bytes.len() > line::LINE_LIMIT;
    }

    /// The fields of user, song, timestamp and duration.
    fn field_order(&self) -> [usize; 4] {
        let Header { user, song, timestamp, duration, .. } = *self.header;
        [user, song, timestamp, duration]
    }

    fn read_lines<const DEFAULT: bool>(&mut self, text: &Text, index: &StructuralIndex, fields: usize) {
        let (bytes, padded) = (text.as_bytes(), text.padded());
        let fields = if DEFAULT { DEFAULT_ORDER.len() } else { fields };
        let mut irregular = index.irregular().iter().copied();
        let mut next_irregular = irregular.next().unwrap_or(u32::MAX);
        // The separators from the one before the line on.
        let mut separators = index.separators();
        for (number, &line_feed) in index.line_feeds().iter().enumerate() {
            if let Some(ends) = separators.get(..=fields)
                && ends[fields] == line_feed
                && line_feed < next_irregular
                && self.read_fast::<DEFAULT>(padded, ends)
            {
                separators = &separators[fields..];
                continue;
            }
            let start = separators[0].wrapping_add(1) as usize;
            let line = line::without_return(&bytes[start..line_feed as usize]);
            self.read_line(line, Ending::LineFeed, start, self.rows.first_line() + number as u64);
            let inside = separators[1..].partition_point(|&at| at < line_feed);
            separators = &separators[1 + inside..];
            while next_irregular < line_feed {
                next_irregular = irregular.next().unwrap_or(u32::MAX);
            }
        }
        let start = separators[0].wrapping_add(1) as usize;
        if start < bytes.len() {
            let number = self.rows.first_line() + index.line_feeds().len() as u64;
            self.read_line(line::without_return(&bytes[start..]), Ending::EndOfFile, start, number);
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

    /// Decodes a row on the fast path. `ends` holds the position before the row and the end of each field.
    /// Returns false if the row needs the slow path.
    #[inline]
    fn read_fast<const DEFAULT: bool>(&mut self, padded: &[u8], ends: &[u32]) -> bool {
        let [user, song, timestamp, duration] = if DEFAULT { DEFAULT_ORDER } else { self.field_order() };
        let last = ends.len() - 1;
        // A carriage return in front of the line feed belongs to the line end.
        let has_return = padded.get(ends[last].wrapping_sub(1) as usize) == Some(&b'\r');
        let field = |index: usize| {
            let start = ends[index].wrapping_add(1);
            let end = ends[index + 1].wrapping_sub(u32::from(index + 1 == last && has_return));
            Field { start, len: end.wrapping_sub(start) }
        };
        let (user, song, timestamp, duration) = (field(user), field(song), field(timestamp), field(duration));
        let is_id = |id: Field| id.len.wrapping_sub(1) < ID_LIMIT as u32;
        if !is_id(user) || !is_id(song) || (self.needs_checks && !self.passes_checks(padded, ends)) {
            return false;
        }
        let text = |field: Field| &padded[field.start as usize..];
        if timestamp.len as usize == PLAIN
            && let Some(cell) = text(timestamp).first_chunk()
            && let Some(play_time) = self.timestamps.read_in_last_minute(cell)
            && let Some(millis) = self.durations.read_padded(text(duration), duration.len as usize)
        {
            self.rows.push(&Row { user, song, play_time, millis });
            return true;
        }
        self.read_other_values(padded, [user, song, timestamp, duration])
    }

    /// Completes a row with another minute than the last row, or with an unusual value. This is a function of its
    /// own because the usual row would otherwise be kept in memory instead of registers.
    #[inline(never)]
    fn read_other_values(&mut self, padded: &[u8], fields: [Field; 4]) -> bool {
        let [user, song, timestamp, duration] = fields;
        let text = |field: Field| &padded[field.start as usize..];
        let cell = |field: Field| &text(field)[..field.len as usize];
        let Ok(play_time) = self.timestamps.read_any(cell(timestamp)) else { return false };
        let millis = self.durations.read_padded(text(duration), duration.len as usize);
        let Some(millis) = millis.or_else(|| self.durations.read(cell(duration)).ok()) else { return false };
        self.rows.push(&Row { user, song, play_time, millis });
        true
    }

    /// Whether a line is valid UTF-8 and not too long.
    #[cold]
    fn passes_checks(&self, padded: &[u8], ends: &[u32]) -> bool {
        let (start, end) = (ends[0].wrapping_add(1) as usize, ends[ends.len() - 1] as usize);
        let is_utf8 = || {
            std::str::from_utf8(&padded[start..end]).is_ok()
                && self.undecodable.binary_search(&start).is_err()
        };
        end - start <= line::LINE_LIMIT && (self.all_utf8 || is_utf8())
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
