//! Plays as lines of a listening log, written by hand: formatting is most of the work of making a row.

use crate::generate::DAY;
use crate::generate::ids::{Ids, Noun};
use crate::generate::plays::{Plan, Play, Plays};
use crate::time::civil::CivilDate;

/// The first line of every listening log.
pub const HEADER: &[u8] = b"user_id,song_id,timestamp,duration_sec\n";

/// Longer than any line that is written here: two UUIDs, a timestamp and a duration are 102 bytes.
const LINE: usize = 128;

/// A line in the making, which never allocates.
#[derive(Debug)]
pub struct Line {
    text: [u8; LINE],
    length: usize,
}

impl Line {
    /// An empty line.
    #[expect(clippy::new_without_default, reason = "nobody needs a default line")]
    #[inline]
    pub fn new() -> Self {
        Self { text: [0; LINE], length: 0 }
    }

    /// What has been written so far.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }

    #[inline]
    fn clear(&mut self) {
        self.length = 0;
    }

    /// Appends bytes.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        self.text[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Appends a number.
    #[inline]
    pub fn number(&mut self, number: u64) {
        self.padded(number, number.checked_ilog10().unwrap_or(0) as usize + 1);
    }

    /// Appends the last `digits` digits of a number.
    #[inline]
    pub fn padded(&mut self, mut number: u64, digits: usize) {
        for digit in self.text[self.length..self.length + digits].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        self.length += digits;
    }
}

/// Writes the plays of a plan as text.
#[derive(Debug)]
pub struct PlayLog {
    plays: Plays,
    ids: Ids,
    dates: Dates,
    line: Line,
}

impl PlayLog {
    /// The log of a plan, at its first row.
    pub fn new(plan: &Plan) -> Self {
        Self { plays: Plays::new(plan), ids: plan.ids, dates: Dates::default(), line: Line::new() }
    }

    /// Appends the next `rows` lines, each with its newline.
    pub fn append(&mut self, rows: u64, out: &mut Vec<u8>) {
        for _ in 0..rows {
            let play = self.plays.draw();
            self.write(&play);
            out.extend_from_slice(self.line.bytes());
        }
    }

    #[inline]
    fn write(&mut self, play: &Play) {
        let line = &mut self.line;
        line.clear();
        self.ids.write(Noun::User, play.user, line);
        line.push(b",");
        self.ids.write(Noun::Song, play.song, line);
        line.push(b",");
        line.push(self.dates.text(play.time / DAY));
        let second = play.time % DAY;
        line.push(b" ");
        line.padded(second / 3600, 2);
        line.push(b":");
        line.padded(second / 60 % 60, 2);
        line.push(b":");
        line.padded(second % 60, 2);
        line.push(b",");
        line.number(u64::from(play.seconds));
        if play.decimals > 0 {
            line.push(b".");
            line.padded(u64::from(play.fraction), usize::from(play.decimals));
        }
        line.push(b"\n");
    }
}

/// The text of the latest few days: late plays go back and forth over midnights, but not further than three days.
#[derive(Debug, Default)]
struct Dates {
    days: [(u64, [u8; 10]); 8],
}

impl Dates {
    #[inline]
    fn text(&mut self, day: u64) -> &[u8; 10] {
        let entry = &mut self.days[(day % 8) as usize];
        // An entry that was never written has no text, whatever its day.
        if entry.0 != day || entry.1[0] == 0 {
            let date = CivilDate::from_days(day as i64);
            let mut line = Line::new();
            line.padded(u64::from(date.year.unsigned_abs()), 4);
            line.push(b"-");
            line.padded(u64::from(date.month), 2);
            line.push(b"-");
            line.padded(u64::from(date.day), 2);
            entry.0 = day;
            entry.1.copy_from_slice(line.bytes());
        }
        &entry.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_dates_as_text() {
        let mut line = Line::new();
        line.number(0);
        line.push(b" ");
        line.number(10_203);
        line.push(b" ");
        line.padded(7, 3);
        assert_eq!(line.bytes(), b"0 10203 007");
        let mut dates = Dates::default();
        for _ in 0..2 {
            assert_eq!(dates.text(0), b"1970-01-01");
            assert_eq!(dates.text(8), b"1970-01-09");
        }
    }
}
