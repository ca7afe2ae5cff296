//! When plays happen: by day more than by night, and on weekends later.
//!
//! Every hour of the week has a weight. Rows are spread evenly over the sum of the weights of the whole period, so
//! that a busy hour gets more of them; their times go forward by construction.

use crate::generate::DAY;

const HOUR: u64 = 3600;

/// Units per second and weight: small steps, so that even very many rows lie evenly, yet a century fits into 64 bits.
const GRAIN: u64 = 1 << 16;

/// Weights of the hours from Monday to Friday; the peaks are the ways to work and home, and the evening.
const WORKDAY: [u64; 24] =
    [18, 10, 6, 4, 5, 12, 34, 62, 74, 56, 50, 52, 58, 54, 50, 54, 66, 82, 88, 84, 86, 80, 58, 34];

/// Weights of the hours of Saturday and Sunday: up late, and at it until late.
const WEEKEND: [u64; 24] =
    [44, 34, 22, 12, 8, 8, 14, 24, 40, 56, 66, 70, 72, 70, 68, 70, 74, 80, 86, 88, 90, 88, 78, 62];

/// How the time moves from row to row; times are seconds since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// `rows` rows fill `days` days with the rhythm of the week; further rows go on at the same pace.
    Rhythm {
        /// The first second.
        start: u64,
        /// The length of the period.
        days: u64,
        /// The rows that fill it.
        rows: u64,
    },
    /// So many rows every second, as a live feed has them.
    Steady {
        /// The first second.
        start: u64,
        /// Rows per second.
        rate: u64,
    },
}

impl Pace {
    /// The first second: no play is earlier.
    pub fn start(self) -> u64 {
        match self {
            Self::Rhythm { start, .. } | Self::Steady { start, .. } => start,
        }
    }
}

/// The times of one row after the other, never going back.
#[derive(Debug, Clone)]
pub struct Clock {
    /// The second at which the current stretch (an hour, or a steady second) begins.
    begin: u64,
    /// What has passed of the stretch, and the divisor that makes seconds of it.
    passed: u64,
    per_second: u64,
    /// What passes per row: `step + part / parts` units, `debt` collecting the parts.
    step: u64,
    part: u64,
    parts: u64,
    debt: u64,
    rhythmic: bool,
}

impl Clock {
    /// A clock that shows the time of the first row.
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

    /// The time of this row; the clock then shows that of the next.
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

/// The weight of the hour in which a second lies.
fn weight(second: u64) -> u64 {
    // 1970-01-01 was a Thursday.
    let weekday = (second / DAY + 3) % 7;
    let hours = if weekday < 5 { &WORKDAY } else { &WEEKEND };
    hours[(second % DAY / HOUR) as usize]
}

/// The units that pass from one second to another.
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
