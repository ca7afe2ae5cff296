//! Stretches: neighbouring rows of a batch that are added to the tables together.
//!
//! Most logs are sorted by time, so all rows of a stretch usually lie in the same hour. Hour of the week, week and
//! night are then found once per stretch instead of once per row.

use crate::ledger::hours::HOURS;
use crate::model::PlayTime;
use crate::time::civil::Week;

/// Maximum number of rows in a stretch. It exceeds the number of cache misses that a core handles at once.
pub const STRETCH: usize = 64;
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

/// The hour of rows that all lie in the same hour. `None` if they do not, or if there are no rows.
pub fn common_hour(play_times: &[PlayTime]) -> Option<LocalHour> {
    let hour = LocalHour::of(play_times.first()?.local);
    let start = hour.start();
    play_times.iter().all(|time| (0..HOUR).contains(&(time.local - start))).then_some(hour)
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
        fn rows_have_a_common_hour_if_all_hours_are_equal(
            locals in proptest::collection::vec(prop_oneof![0_i64..3_600, -4_000_i64..4_000], 0..4),
        ) {
            let play_times: Vec<PlayTime> =
                locals.iter().map(|&local| PlayTime { local, offset: 0, nanos: 0 }).collect();
            let mut hours: Vec<i64> = locals.iter().map(|local| local.div_euclid(HOUR) * HOUR).collect();
            hours.dedup();
            let common = <[i64; 1]>::try_from(hours).ok().map(|[start]| start);
            prop_assert_eq!(common_hour(&play_times).map(LocalHour::start), common);
            for local in locals {
                prop_assert_eq!(LocalHour::of(local).week(), Week::of_local(local));
            }
        }
    }
}
