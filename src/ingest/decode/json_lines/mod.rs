//! Decodes JSON Lines: one object per line.

mod object;
mod shape;
mod value;

use std::ops::Range;

use crate::ingest::decode::duration::DurationReader;
use crate::ingest::decode::json_lines::object::{KeyMemory, WantedKeys, find_values};
use crate::ingest::decode::json_lines::shape::Shapes;
use crate::ingest::decode::json_lines::value::{Utf8, Value};
use crate::ingest::decode::line;
use crate::ingest::decode::record::check_id;
use crate::ingest::decode::rows::{Row, Rows};
use crate::ingest::decode::timestamp::TimestampReader;
use crate::model::delimiter::Delimiter;
use crate::model::dialect::columns::LogColumns;
use crate::model::{Field, Reason, Reject, Text};
use crate::text::needs_quotes;

/// Decodes the rows of a chunk of JSON Lines.
pub(super) struct JsonRows<'a> {
    pub(super) columns: &'a LogColumns,
    pub(super) timestamps: TimestampReader<'a>,
    pub(super) durations: DurationReader,
    /// Where the lines start that have bytes without a character, ascending.
    pub(super) undecodable: &'a [usize],
    pub(super) rows: Rows,
}

impl JsonRows<'_> {
    /// Decodes lines on the fast path if possible.
    pub(super) fn read(&mut self, text: &Text) {
        let utf8 = Utf8::of(text.as_bytes());
        let shapes = (utf8.is_whole() && self.undecodable.is_empty()).then(Shapes::default);
        self.read_lines(text, &utf8, shapes);
    }

    /// Decodes all lines on the slow path.
    pub(super) fn read_slow(&mut self, text: &Text) {
        self.read_lines(text, &Utf8::of(text.as_bytes()), None);
    }

    fn read_lines<'t>(&mut self, text: &'t Text, utf8: &Utf8<'t>, mut shapes: Option<Shapes<'t>>) {
        let wanted = WantedKeys::of(self.columns);
        let mut memory = KeyMemory::default();
        let first_line = self.rows.first_line();
        for ((start, line, ending), line_number) in line::lines(text.as_bytes()).zip(first_line..) {
            if let Some(shapes) = &mut shapes
                && line.len() <= line::LINE_LIMIT
                && let Some(row) = self.read_fast(text.padded(), start..start + line.len(), shapes)
            {
                self.rows.push(&row);
                continue;
            }
            // An overlong line is rejected even if it is blank.
            if line.len() <= line::LINE_LIMIT && line::is_blank(line, Delimiter::TAB) {
                continue;
            }
            let json = self.find_values(utf8, start, line, &wanted, &mut memory);
            let row = json.and_then(|json| Ok((json, self.read_row(utf8, &values_of(json)?)?)));
            match row {
                Ok((json, row)) => {
                    self.rows.push(&row);
                    if let (Some(shapes), Some(line)) = (&mut shapes, utf8.part(start, line.len())) {
                        shapes.learn(line, json);
                    }
                }
                Err(reason) => {
                    // Other faults of a line come first.
                    let other =
                        (reason == Reason::BadJson).then(|| self.check_line(line, ending, start).err());
                    let reason = other.flatten().unwrap_or(reason);
                    self.rows.future +=
                        u32::from(reason == Reason::TimestampRange && self.timestamps.is_late());
                    self.rows.reject(Reject::new(reason, line_number, start as u64, line));
                }
            }
        }
    }

    /// Decodes a line that has the shape of an earlier line. `None` if the line needs the slow path.
    #[inline]
    fn read_fast(&mut self, text: &[u8], line: Range<usize>, shapes: &mut Shapes<'_>) -> Option<Row> {
        let [user, song, timestamp, duration] = shapes.find(text, line)?;
        check_id(&text[user.clone()]).ok()?;
        check_id(&text[song.clone()]).ok()?;
        let play_time = self.timestamps.read(&text[timestamp]).ok()?;
        let millis = self.durations.read(&text[duration]).ok()?;
        let [user, song] = [user, song].map(|id| self.field_at(text, id));
        Some(Row { user, song, play_time, millis })
    }

    /// Checks a line that is not valid JSON for a fault that has its own reason.
    fn check_line(&self, line: &[u8], ending: line::Ending, start: usize) -> Result<(), Reason> {
        line::check(line, ending)?;
        if self.undecodable.binary_search(&start).is_ok() { Err(Reason::InvalidUtf8) } else { Ok(()) }
    }

    /// The JSON texts of the values of a line.
    fn find_values<'t>(
        &self,
        utf8: &Utf8<'t>,
        start: usize,
        line: &[u8],
        wanted: &WantedKeys<'_>,
        memory: &mut KeyMemory<'t>,
    ) -> Result<[Option<&'t str>; 4], Reason> {
        if line.len() > line::LINE_LIMIT {
            return Err(Reason::LineTooLong);
        }
        if self.undecodable.binary_search(&start).is_ok() {
            return Err(Reason::BadJson);
        }
        let line = utf8.part(start, line.len()).ok_or(Reason::BadJson)?;
        find_values(line, wanted, memory).ok_or(Reason::BadJson)
    }

    fn read_row(&mut self, utf8: &Utf8<'_>, values: &[Value<'_>; 4]) -> Result<Row, Reason> {
        let [user, song, timestamp, duration] = values;
        check_id(user.as_bytes())?;
        check_id(song.as_bytes())?;
        let play_time = self.timestamps.read(timestamp.as_bytes())?;
        let millis = self.durations.read(duration.as_bytes())?;
        let [user, song] = [user, song].map(|id| match id.in_line() {
            Some(text) => {
                let start = utf8.start_of(text);
                self.field_at(utf8.as_bytes(), start..start + text.len())
            }
            None => self.rows.keep(id.as_bytes()),
        });
        Ok(Row { user, song, play_time, millis })
    }

    /// The field of an id in the text of the chunk. The id is copied if it needs quotes in CSV.
    fn field_at(&mut self, text: &[u8], id: Range<usize>) -> Field {
        if needs_quotes(&text[id.clone()]) {
            self.rows.keep(&text[id])
        } else {
            Field { start: id.start as u32, len: id.len() as u32 }
        }
    }
}

/// The values of a line.
///
/// # Errors
/// `bad_json` if a value cannot be a field.
fn values_of(json: [Option<&str>; 4]) -> Result<[Value<'_>; 4], Reason> {
    match json.map(Value::of) {
        [Some(user), Some(song), Some(timestamp), Some(duration)] if user.can_be_id() && song.can_be_id() => {
            Ok([user, song, timestamp, duration])
        }
        _ => Err(Reason::BadJson),
    }
}

#[cfg(test)]
mod tests;
