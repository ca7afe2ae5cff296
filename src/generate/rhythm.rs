//! The times of plays. There are more plays by day than by night, and on weekends the day starts later.
//!
//! Every hour of the week has a weight. The number of rows in an hour is proportional to its weight. Times
//! never decrease.

use crate::time::civil;

/// Seconds of a day. Times in this room are never negative.
pub const DAY: u64 = civil::DAY as u64;

const HOUR: u64 = 3600;

/// Number of units per second in an hour of weight 1. A unit is small enough to spread many rows evenly, and
/// large enough that a century fits into 64 bits.
const GRAIN: u64 = 1 << 16;

/// Weights of the hours from Monday to Friday, with peaks at the commutes and in the evening.
const WORKDAY: [u64; 24] =
    [18, 10, 6, 4, 5, 12, 34, 62, 74, 56, 50, 52, 58, 54, 50, 54, 66, 82, 88, 84, 86, 80, 58, 34];

/// Weights of the hours of Saturday and Sunday, which start and end later.
const WEEKEND: [u64; 24] =
    [44, 34, 22, 12, 8, 8, 14, 24, 40, 56, 66, 70, 72, 70, 68, 70, 74, 80, 86, 88, 90, 88, 78, 62];

/// How time advances from row to row, in seconds since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// `rows` rows fill `days` days with the rhythm of the week. Additional rows continue at the same pace.
    Rhythm {
        /// The first second.
        start: u64,
        /// The length of the period.
        days: u64,
        /// The number of rows in the period.
        rows: u64,
    },
    /// `rate` rows every second, as in a live feed.
    Steady {
        /// The first second.
        start: u64,
        /// Rows per second.
        rate: u64,
    },
}

impl Pace {
    /// The first second. No play is earlier.
    pub fn start(self) -> u64 {
        match self {
            Self::Rhythm { start, .. } | Self::Steady { start, .. } => start,
        }
    }
}

/// Produces the times of consecutive rows.
#[derive(Debug, Clone)]
pub struct Clock {
    /// The first second of the current interval. An interval is one hour, or one second if the rate is
    /// steady.
    begin: u64,
    /// Units since the beginning of the interval.
    passed: u64,
    /// Units per second.
    per_second: u64,
    /// Units per row are `step + part / parts`; `debt` accumulates the fractions.
    step: u64,
    part: u64,
    parts: u64,
    debt: u64,
    rhythmic: bool,
}

impl Clock {
    /// A clock at the time of the first row.
    pub fn new(pace: Pace) -> Self {
        match pace {
            Pace::Rhythm { start, days, rows } => {
                let begin = start / HOUR * HOUR;
                let per_second = weight(begin) * GRAIN;
                let span = units(start, start + days * DAY);
                let passed = (start - begin) * per_second;
                let (step, part) = (span / rows, span % rows);
                Self { begin, passed, per_second, step, part, parts: rows, debt: 0, rhythmic: true }
            }
            Pace::Steady { start, rate } => Self {
                begin: start,
                passed: 0,
                per_second: 1,
                step: 0,
                part: 1,
                parts: rate,
                debt: 0,
                rhythmic: false,
            },
        }
    }

    /// Returns the time of the current row and advances to the next row.
    #[inline]
    pub fn tick(&mut self) -> u64 {
        let now = self.begin + self.passed / self.per_second;
        self.passed += self.step;
        self.debt += self.part;
        if self.debt >= self.parts {
            self.debt -= self.parts;
            self.passed += 1;
        }
        if self.rhythmic {
            while self.passed >= self.per_second * HOUR {
                self.passed -= self.per_second * HOUR;
                self.begin += HOUR;
                self.per_second = weight(self.begin) * GRAIN;
            }
        }
        now
    }
}

/// The weight of the hour that contains a second.
fn weight(second: u64) -> u64 {
    // 1970-01-01 was a Thursday.
    let weekday = (second / DAY + 3) % 7;
    let hours = if weekday < 5 { &WORKDAY } else { &WEEKEND };
    hours[(second % DAY / HOUR) as usize]
}

/// The units between two seconds.
fn units(from: u64, to: u64) -> u64 {
    let mut sum = 0;
    let mut at = from;
    while at < to {
        let end = ((at / HOUR + 1) * HOUR).min(to);
        sum += (end - at) * weight(at) * GRAIN;
        at = end;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY: u64 = 20_171 * DAY;

    #[test]
    fn rows_fill_the_period_by_weight() {
        for (start, days, rows) in [(MONDAY, 7, 100_000), (MONDAY + 1234, 1, 7), (MONDAY, 36_500, 3)] {
            let mut clock = Clock::new(Pace::Rhythm { start, days, rows });
            let times: Vec<u64> = (0..rows).map(|_| clock.tick()).collect();
            assert_eq!(times[0], start);
            assert!(times.is_sorted());
            assert!(*times.last().unwrap() < start + days * DAY);
            assert_eq!(clock.tick(), start + days * DAY, "the next period begins where this one ends");
            if rows == 100_000 {
                let in_hour = |hour: u64| times.iter().filter(|&&time| (time - start) / HOUR == hour).count();
                let (night, evening) = (in_hour(3), in_hour(18));
                assert!(evening > 20 * night && night > 0, "{night} {evening}");
            }
        }
    }

    #[test]
    fn a_steady_clock_counts_rows() {
        let mut clock = Clock::new(Pace::Steady { start: 100, rate: 3 });
        let times: Vec<u64> = (0..7).map(|_| clock.tick()).collect();
        assert_eq!(times, [100, 100, 100, 101, 101, 101, 102]);
    }

    #[test]
    fn a_century_fits() {
        assert!(units(MONDAY, MONDAY + 36_500 * DAY) < u64::MAX / 64);
    }
}
