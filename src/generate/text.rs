//! Plays as lines of a log.

use crate::generate::ids::{Ids, Noun};
use crate::generate::line::Line;
use crate::generate::plays::{Plan, Play, Plays};
use crate::generate::rhythm::DAY;
use crate::time::civil::CivilDate;

/// The first line of every log.
pub const HEADER: &[u8] = b"user_id,song_id,timestamp,duration_sec\n";

/// Writes the plays of a plan as CSV.
#[derive(Debug)]
pub struct PlayLog {
    plays: Plays,
    ids: Ids,
    dates: Dates,
    line: Line,
}

impl PlayLog {
    /// The log of a plan, from its first row.
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

/// A cache of the texts of eight dates. Late plays make the dates alternate, but no play is more than three
/// days late.
#[derive(Debug, Default)]
struct Dates {
    days: [(u64, [u8; 10]); 8],
}

impl Dates {
    #[inline]
    fn text(&mut self, day: u64) -> &[u8; 10] {
        let entry = &mut self.days[(day % 8) as usize];
        // An unused entry has day 0 as well, but no text.
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
    fn dates_are_written_as_iso_8601() {
        let mut dates = Dates::default();
        for _ in 0..2 {
            assert_eq!(dates.text(0), b"1970-01-01");
            assert_eq!(dates.text(8), b"1970-01-09");
        }
    }
}
