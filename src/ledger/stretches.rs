//! Stretches: neighbouring rows of a batch that lie in the same hour.
//!
//! Most logs are sorted by time, so a stretch is usually long. Hour of the week, week and night are then found
//! once per stretch instead of once per row.

use std::ops::Range;

use crate::ledger::hours::HOURS;
use crate::model::PlayTime;
use crate::time::civil::Week;

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

/// Neighbouring rows in the same hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The hour.
    pub hour: LocalHour,
    /// The rows.
    pub rows: Range<usize>,
    /// The latest instant of the rows, in seconds since 1970-01-01T00:00:00Z.
    pub latest: i64,
}

/// Divides rows into stretches.
pub fn stretches(play_times: &[PlayTime]) -> impl Iterator<Item = Stretch> {
    let mut end = 0;
    std::iter::from_fn(move || {
        let rest = &play_times[end..];
        let hour = LocalHour::of(rest.first()?.local);
        let start = hour.start();
        let same_hour = rest.iter().take_while(|time| (0..HOUR).contains(&(time.local - start)));
        let (rows, latest) =
            same_hour.fold((0, i64::MIN), |(rows, latest), time| (rows + 1, latest.max(time.instant())));
        end += rows;
        Some(Stretch { hour, rows: end - rows..end, latest })
    })
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
        fn stretches_divide_the_rows_by_hour(
            rows in proptest::collection::vec((-50_000_i64..50_000, prop_oneof![Just(0), Just(3600)]), 0..50),
        ) {
            let play_times: Vec<PlayTime> =
                rows.into_iter().map(|(local, offset)| PlayTime { local, offset, nanos: 0 }).collect();
            let mut end = 0;
            for Stretch { hour, rows, latest } in stretches(&play_times) {
                prop_assert_eq!(rows.start, end);
                prop_assert!(!rows.is_empty());
                end = rows.end;
                let rows = &play_times[rows];
                prop_assert_eq!(Some(latest), rows.iter().map(|time| time.instant()).max());
                for time in rows {
                    prop_assert_eq!(hour.start(), time.local.div_euclid(HOUR) * HOUR);
                    prop_assert_eq!(hour.week(), Week::of_local(time.local));
                }
                let next = play_times.get(end);
                prop_assert!(next.is_none_or(|time| LocalHour::of(time.local) != hour));
            }
            prop_assert_eq!(end, play_times.len());
        }
    }
}
