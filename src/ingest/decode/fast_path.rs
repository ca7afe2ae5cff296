//! Decodes lines on the fast path or the slow path, and chooses the path of each line.

use std::sync::Arc;

use crate::ingest::decode::line::Ending;
use crate::ingest::decode::record::{ID_LIMIT, Record, check_id};
use crate::ingest::decode::timestamp::TimestampReader;
use crate::ingest::decode::{duration, line, scan};
use crate::model::delimiter::Delimiter;
use crate::model::dictionary::Dictionaries;
use crate::model::{Batch, Field, Header, Input, PlayTime, Position, Reason, Reject, Span, Text};
use crate::text::{needs_quotes, push_cell};
use crate::time::zone::Zone;

/// Typical length of a row in bytes, used to estimate the capacity of columns.
const TYPICAL_ROW: usize = 32;

/// The columns of a batch that is being decoded.
pub(super) struct Rows<'a> {
    header: &'a Header,
    timestamps: TimestampReader<'a>,
    span: Span,
    /// Whether the whole text is valid UTF-8. If so, the lines need no separate checks.
    all_utf8: bool,
    users: Vec<Field>,
    songs: Vec<Field>,
    play_times: Vec<PlayTime>,
    millis: Vec<u32>,
    rejects: Vec<Reject>,
    plays_before: Vec<u32>,
    /// Number of rejected rows whose timestamp is too far in the future.
    future: u32,
    /// Ids that the slow path has unquoted. They are appended to the text of the chunk. `base` is the
    /// length of that text.
    unquoted: Vec<u8>,
    base: usize,
    record: Record,
}

/// A play before its ids are interned.
struct Row {
    user: Field,
    song: Field,
    play_time: PlayTime,
    millis: u32,
}

impl<'a> Rows<'a> {
    pub(super) fn new(zone: &'a Zone, header: &'a Header, latest: i64, span: Span, text: &Text) -> Self {
        let bytes = text.as_bytes();
        let rows = bytes.len() / TYPICAL_ROW;
        Self {
            header,
            timestamps: TimestampReader::new(zone, latest),
            span,
            all_utf8: std::str::from_utf8(bytes).is_ok(),
            users: Vec::with_capacity(rows),
            songs: Vec::with_capacity(rows),
            play_times: Vec::with_capacity(rows),
            millis: Vec::with_capacity(rows),
            rejects: Vec::new(),
            plays_before: Vec::new(),
            future: 0,
            unquoted: Vec::new(),
            base: bytes.len(),
            record: Record::new(header.delimiter),
        }
    }

    pub(super) fn read(&mut self, text: &Text) {
        let bytes = text.as_bytes();
        let delimiter = self.header.delimiter;
        let index = scan::scan(text.padded(), bytes.len(), delimiter);
        let mut separators = index.separators.as_slice();
        let mut irregular = index.irregular.iter().copied().peekable();
        let mut start = 0;
        let mut line_number = self.span.first_line;
        while start < bytes.len() {
            let regular =
                separators.get(..self.header.fields).filter(|ends| is_record(bytes, ends, delimiter));
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
                self.push(&row);
                separators = &separators[self.header.fields..];
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
        for ((start, line, ending), line_number) in line::lines(text.as_bytes()).zip(self.span.first_line..) {
            self.read_line(line, ending, start, line_number);
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
        if !self.all_utf8 && std::str::from_utf8(&bytes[line.clone()]).is_err() {
            return None;
        }
        let (user, song) = (field(self.header.user), field(self.header.song));
        let is_id = |id: &std::ops::Range<usize>| (1..=ID_LIMIT).contains(&id.len());
        if !is_id(&user) || !is_id(&song) || line.len() > line::LINE_LIMIT {
            return None;
        }
        let play_time = self.timestamps.read(&bytes[field(self.header.timestamp)]).ok()?;
        let duration = &bytes[field(self.header.duration)];
        let millis = duration::parse_plain(duration).or_else(|| duration::parse(duration).ok())?;
        let cell =
            |range: std::ops::Range<usize>| Field { start: range.start as u32, len: range.len() as u32 };
        Some(Row { user: cell(user), song: cell(song), play_time, millis })
    }

    #[inline]
    fn push(&mut self, row: &Row) {
        self.users.push(row.user);
        self.songs.push(row.song);
        self.play_times.push(row.play_time);
        self.millis.push(row.millis);
    }

    /// The slow path: decodes a line into a play or a reject. Skips blank lines. `line` does not include
    /// its line end.
    fn read_line(&mut self, line: &[u8], ending: Ending, start: usize, line_number: u64) {
        // An overlong line is rejected even if it is blank, so the check for blank lines never reads an
        // overlong line.
        if line.len() <= line::LINE_LIMIT && line::is_blank(line, self.header.delimiter) {
            return;
        }
        match self.read_record(line, ending) {
            Ok(row) => self.push(&row),
            // Some logs are several files joined together, so they repeat the header.
            Err(_) if line == self.header.line => {}
            Err(reason) => {
                self.future += u32::from(reason == Reason::TimestampRange && self.timestamps.is_late());
                self.plays_before.push(self.users.len() as u32);
                self.rejects.push(Reject::new(reason, line_number, self.span.from + start as u64, line));
            }
        }
    }

    fn read_record(&mut self, line: &[u8], ending: Ending) -> Result<Row, Reason> {
        line::check(line, ending)?;
        self.record.read(line)?;
        if self.record.len() != self.header.fields {
            return Err(Reason::FieldCount);
        }
        let [user, song] = [self.header.user, self.header.song].map(|index| self.record.field(index));
        check_id(user)?;
        check_id(song)?;
        let play_time = self.timestamps.read(self.record.field(self.header.timestamp))?;
        let millis = duration::parse(self.record.field(self.header.duration))?;
        let mut keep = |id: &[u8]| {
            let start = self.base + self.unquoted.len();
            self.unquoted.extend_from_slice(id);
            Field { start: start as u32, len: id.len() as u32 }
        };
        Ok(Row { user: keep(user), song: keep(song), play_time, millis })
    }

    pub(super) fn into_batch(
        self,
        dictionaries: &Dictionaries,
        input: Arc<Input>,
        position: Position,
        mut text: Text,
    ) -> Batch {
        if !self.unquoted.is_empty() {
            text.append(&self.unquoted);
        }
        let users = dictionaries.users.intern_column(&text, &self.users);
        let songs = dictionaries.songs.intern_column(&text, &self.songs);
        let mut batch = Batch {
            input,
            span: self.span,
            position,
            text,
            users,
            songs,
            play_times: self.play_times,
            millis: self.millis,
            user_cells: self.users,
            song_cells: self.songs,
            rejects: self.rejects,
            plays_before: self.plays_before,
            future: self.future,
            refused: None,
        };
        if !self.unquoted.is_empty() {
            quote_cells(&mut batch.text, self.base, &mut batch.user_cells);
            quote_cells(&mut batch.text, self.base, &mut batch.song_cells);
        }
        batch
    }
}

/// Quotes the ids that need quotes in CSV output. Only ids from the slow path can need quotes. The text
/// of these ids starts at `base`.
fn quote_cells(text: &mut Text, base: usize, cells: &mut [Field]) {
    for cell in cells.iter_mut().filter(|cell| cell.start as usize >= base) {
        let id = text.field(*cell);
        if needs_quotes(id) {
            let mut quoted = Vec::with_capacity(id.len() + 2);
            push_cell(&mut quoted, id);
            *cell = text.append(&quoted);
        }
    }
}

/// Whether the last of `ends` is a line feed and all other ends are delimiters.
#[inline]
fn is_record(bytes: &[u8], ends: &[u32], delimiter: Delimiter) -> bool {
    let (last, inner) = ends.split_last().expect("a header has a field");
    inner.iter().all(|&at| bytes[at as usize] == delimiter.byte()) && bytes[*last as usize] == b'\n'
}
