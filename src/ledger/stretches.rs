//! Stretches: neighbouring rows of a batch that are added to the tables together.
//!
//! Most logs are sorted by time, so all rows of a stretch usually lie in the same hour. Hour of the week, week and
//! night are then found once per stretch instead of once per row.

use crate::ledger::hours::HOURS;
use crate::model::PlayTime;
use crate::time::civil::Week;

/// Maximum number of rows in a stretch. It exceeds the number of cache misses that a core handles at once.
pub const STRETCH: usize = 64;
/// Minimum number of rows of a stretch that ends with its hour.
const FEWEST: usize = 8;
/// Seconds per hour.
const HOUR: i64 = 3600;
/// The number of hours from the preceding Monday to 1970-01-01, which was a Thursday.
const SINCE_MONDAY: i64 = 3 * 24;

/// An hour of the local wall clock: the number of hours since the Monday before 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalHour(i64);

impl LocalHour {
    /// The hour of a local time. A local time can be some hours before 1970.
    pub fn of(local: i64) -> Self {
        Self(((local + SINCE_MONDAY * HOUR) as u64 / HOUR as u64) as i64)
    }

    /// The first second of the hour, as a local time.
    pub fn start(self) -> i64 {
        (self.0 - SINCE_MONDAY) * HOUR
    }

    /// The index of the hour in its week. The first hour begins on Monday at 00:00.
    pub fn of_week(self) -> usize {
        self.0 as usize % HOURS
    }

    /// The week that contains the hour.
    pub fn week(self) -> Week {
        Week((self.0 as u64 / HOURS as u64) as i64)
    }
}

/// The next stretch of some rows: its hour and the number of its rows. The hour is `None` if the rows lie in different
/// hours, with only a few of them in the first one. `None` if there are no rows.
pub fn next_stretch(play_times: &[PlayTime]) -> Option<(Option<LocalHour>, usize)> {
    let play_times = &play_times[..play_times.len().min(STRETCH)];
    let hour = LocalHour::of(play_times.first()?.local);
    let start = hour.start();
    let same = play_times.iter().take_while(|time| (0..HOUR).contains(&(time.local - start))).count();
    // In a sorted log, a stretch ends with the hour. In an unsorted log, hours end after a row or two.
    let is_common = same == play_times.len() || same >= FEWEST;
    Some(if is_common { (Some(hour), same) } else { (None, play_times.len()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_week_begins_on_monday() {
        // 1970-01-01 was a Thursday. 2025-03-24 was a Monday, so one second earlier it was still Sunday.
        let hours = [0, -3600, 1_742_774_400, 1_742_774_399].map(|local| LocalHour::of(local).of_week());
        assert_eq!(hours, [3 * 24, 2 * 24 + 23, 0, 6 * 24 + 23]);
    }

    proptest! {
        #[test]
        fn stretches_divide_the_rows(
            locals in proptest::collection::vec(prop_oneof![12 => 0_i64..3_600, 1 => -4_000_i64..4_000], 0..200),
        ) {
            let play_times: Vec<PlayTime> =
                locals.iter().map(|&local| PlayTime { local, offset: 0, nanos: 0 }).collect();
            let mut rest = &play_times[..];
            while let Some((hour, rows)) = next_stretch(rest) {
                prop_assert!((1..=STRETCH).contains(&rows));
                let (stretch, others) = rest.split_at(rows);
                let hours: Vec<LocalHour> = stretch.iter().map(|time| LocalHour::of(time.local)).collect();
                match hour {
                    Some(hour) => prop_assert!(hours.iter().all(|other| *other == hour)),
                    None => prop_assert!(hours.iter().any(|other| *other != hours[0])),
                }
                rest = others;
            }
            prop_assert!(rest.is_empty());
            for local in locals {
                prop_assert_eq!(LocalHour::of(local).week(), Week::of_local(local));
            }
        }
    }
}
