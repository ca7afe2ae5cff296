//! The times of plays. There are more plays by day than by night, and on weekends the day starts later.
//!
//! Every hour of the week has a weight. The number of rows in an hour is proportional to its weight. In a
//! period of more than a year, the weights grow from day to day. Times never decrease.

use crate::time::civil;

/// Seconds of a day. Times in this room are never negative.
pub const DAY: u64 = civil::DAY as u64;

const HOUR: u64 = 3600;

/// The longest period, in days, in which all weeks have the same number of rows, and the same songs and
/// listeners.
pub const STEADY_DAYS: u64 = 366;

/// The growth of the weights in a longer period, from its first day to its end: plays become four times as
/// frequent.
const GROWTH: [u64; 2] = [32, 128];

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
    /// `rows` rows fill `days` days with the rhythm of the week. In more than [`STEADY_DAYS`] days, there are
    /// more and more rows. Additional rows continue at the pace of the end.
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
    /// The rhythm; `None` if the rate is steady.
    rhythm: Option<Rhythm>,
}

/// The weights of the hours in a period.
#[derive(Debug, Clone, Copy)]
struct Rhythm {
    start: u64,
    days: u64,
}

impl Clock {
    /// A clock at the time of the first row.
    pub fn new(pace: Pace) -> Self {
        match pace {
            Pace::Rhythm { start, days, rows } => {
                let rhythm = Rhythm { start, days };
                let begin = start / HOUR * HOUR;
                let per_second = rhythm.per_second(begin);
                let span = rhythm.units(start, start + days * DAY);
                let passed = (start - begin) * per_second;
                let (step, part) = (span / rows, span % rows);
                Self { begin, passed, per_second, step, part, parts: rows, debt: 0, rhythm: Some(rhythm) }
            }
            Pace::Steady { start, rate } => Self {
                begin: start,
                passed: 0,
                per_second: 1,
                step: 0,
                part: 1,
                parts: rate,
                debt: 0,
                rhythm: None,
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
        if let Some(rhythm) = self.rhythm {
            while self.passed >= self.per_second * HOUR {
                self.passed -= self.per_second * HOUR;
                self.begin += HOUR;
                self.per_second = rhythm.per_second(self.begin);
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

impl Rhythm {
    /// The units per second of the hour that contains a second. `at` is the first second of the hour or of the
    /// period.
    fn per_second(self, at: u64) -> u64 {
        let growth = if self.days <= STEADY_DAYS {
            1
        } else {
            let [first, last] = GROWTH;
            let day = (at.saturating_sub(self.start) / DAY).min(self.days);
            first + (last - first) * day / self.days
        };
        weight(at) * GRAIN * growth
    }

    /// The units between two seconds.
    fn units(self, from: u64, to: u64) -> u64 {
        let mut sum = 0;
        let mut at = from;
        while at < to {
            let end = ((at / HOUR + 1) * HOUR).min(to);
            sum += (end - at) * self.per_second(at);
            at = end;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY: u64 = 20_171 * DAY;

    #[test]
    fn rows_fill_the_period_by_weight() {
        let periods = [
            (MONDAY, 7, 100_000),
            (MONDAY + 1234, 1, 7),
            (MONDAY, 36_500, 3),
            (MONDAY + 1234, 3650, 100_001),
        ];
        for (start, days, rows) in periods {
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
    fn in_a_long_period_there_are_more_and_more_rows() {
        let days_of = |days: u64| {
            let mut clock = Clock::new(Pace::Rhythm { start: MONDAY, days, rows: 1000 * days });
            let mut rows = vec![0_u64; days as usize];
            (0..1000 * days).for_each(|_| rows[((clock.tick() - MONDAY) / DAY) as usize] += 1);
            (rows[..7].iter().sum::<u64>(), rows[rows.len() - 7..].iter().sum::<u64>())
        };
        let (first, last) = days_of(364);
        assert!(first.abs_diff(last) < 100, "{first} {last}");
        let (first, last) = days_of(371);
        assert!((38 * first..40 * first).contains(&(10 * last)), "{first} {last}");
    }

    #[test]
    fn a_century_fits() {
        let rhythm = Rhythm { start: MONDAY, days: 36_500 };
        assert!(rhythm.units(MONDAY, MONDAY + 36_500 * DAY) < u64::MAX / 4);
    }
}
