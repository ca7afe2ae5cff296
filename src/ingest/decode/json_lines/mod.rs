//! Decodes JSON Lines: one object per line.

mod object;
mod value;

use crate::ingest::decode::duration::DurationReader;
use crate::ingest::decode::json_lines::object::{KeyMemory, WantedKeys, find_values};
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
    pub(super) fn read(&mut self, text: &Text) {
        let utf8 = Utf8::of(text.as_bytes());
        let wanted = WantedKeys::of(self.columns);
        let mut memory = KeyMemory::default();
        let first_line = self.rows.first_line();
        for ((start, line, ending), line_number) in line::lines(text.as_bytes()).zip(first_line..) {
            // An overlong line is rejected even if it is blank.
            if line.len() <= line::LINE_LIMIT && line::is_blank(line, Delimiter::TAB) {
                continue;
            }
            let values = self.find_values(&utf8, start, line, &wanted, &mut memory);
            let row = values.and_then(|values| self.read_row(&utf8, &values));
            match row {
                Ok(row) => self.rows.push(&row),
                Err(reason) => {
                    // Other faults of a line come first.
                    let other =
                        (reason == Reason::BadJson).then(|| self.check_line(line, ending, start).err());
                    let reason = other.flatten().unwrap_or(reason);
                    self.rows.reject(Reject::new(reason, line_number, start as u64, line));
                }
            }
        }
    }

    /// Checks a line that is not valid JSON for a fault that has its own reason.
    fn check_line(&self, line: &[u8], ending: line::Ending, start: usize) -> Result<(), Reason> {
        line::check(line, ending)?;
        if self.undecodable.binary_search(&start).is_ok() { Err(Reason::InvalidUtf8) } else { Ok(()) }
    }

    /// The values of a line.
    fn find_values<'t>(
        &self,
        utf8: &Utf8<'t>,
        start: usize,
        line: &[u8],
        wanted: &WantedKeys<'_>,
        memory: &mut KeyMemory<'t>,
    ) -> Result<[Value<'t>; 4], Reason> {
        if line.len() > line::LINE_LIMIT {
            return Err(Reason::LineTooLong);
        }
        let line = utf8.part(start, line.len()).ok_or(Reason::BadJson)?;
        if !self.undecodable.is_empty() && self.undecodable.binary_search(&start).is_ok() {
            return Err(Reason::BadJson);
        }
        let [user, song, timestamp, duration] =
            find_values(line, wanted, memory).ok_or(Reason::BadJson)?.map(Value::of);
        match (user, song, timestamp, duration) {
            (Some(user), Some(song), Some(timestamp), Some(duration))
                if user.can_be_id() && song.can_be_id() =>
            {
                Ok([user, song, timestamp, duration])
            }
            _ => Err(Reason::BadJson),
        }
    }

    fn read_row(&mut self, utf8: &Utf8<'_>, values: &[Value<'_>; 4]) -> Result<Row, Reason> {
        let [user, song, timestamp, duration] = values;
        check_id(user.as_bytes())?;
        check_id(song.as_bytes())?;
        let play_time = self.timestamps.read(timestamp.as_bytes())?;
        let millis = self.durations.read(duration.as_bytes())?;
        let [user, song] = [user, song].map(|id| self.field_of(utf8, id));
        Ok(Row { user, song, play_time, millis })
    }

    /// The field of an id. It lies in the text of the chunk if the text of the id is the same in CSV.
    fn field_of(&mut self, utf8: &Utf8<'_>, id: &Value<'_>) -> Field {
        match id.in_line() {
            Some(text) if !needs_quotes(text.as_bytes()) => {
                Field { start: utf8.start_of(text) as u32, len: text.len() as u32 }
            }
            _ => self.rows.keep(id.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests;
