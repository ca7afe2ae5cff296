//! A time zone as a table of its offset changes. Looking up an offset in the table is faster than applying
//! the rules of the zone to each row.

use std::ops::Range;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;

use crate::time::civil::DAY;

/// First instant of the table. It is two days before 1970-01-01T00:00:00Z, so that the table covers all local
/// times from 1970-01-01 on.
const FIRST: i64 = -2 * 86_400;
/// End of the table, 2200-01-01T00:00:00Z. Later times keep the last offset.
const LAST: i64 = 7_258_118_400;
/// The ends of the first and the last interval.
const BEGINNING: i64 = i64::MIN / 4;
const END: i64 = i64::MAX / 4;
/// Interval at which the zone is sampled for changes. Since 1970 no zone has changed its offset twice
/// within six hours.
const STEP: i64 = 6 * 3600;

/// An interval with a constant offset from UTC.
#[derive(Clone, Copy, Debug)]
struct Interval {
    /// First instant, in seconds since 1970-01-01T00:00:00Z.
    from: i64,
    /// End, exclusive.
    to: i64,
    /// How many seconds local clocks are ahead of UTC.
    offset: i32,
}

impl Interval {
    fn contains_local(&self, local: i64) -> bool {
        (self.from..self.to).contains(&(local - i64::from(self.offset)))
    }
}

/// A time zone of the IANA database.
///
/// ```
/// use music_insights::time::zone::Zone;
/// let zone = Zone::named("Europe/Berlin").unwrap();
/// assert_eq!(zone.offset_at(1_742_519_340), 3600);
/// ```
#[derive(Clone, Debug)]
pub struct Zone {
    name: Tz,
    intervals: Vec<Interval>,
}

impl Zone {
    /// The zone with an IANA name such as `Europe/Berlin`; `None` if there is no such zone.
    pub fn named(name: &str) -> Option<Self> {
        name.parse().ok().map(Self::new)
    }

    fn new(name: Tz) -> Self {
        // Every start needs UTC, and sampling takes as long as reading a catalog.
        if name == Tz::UTC {
            return Self { name, intervals: vec![Interval { from: BEGINNING, to: END, offset: 0 }] };
        }
        Self::sampled(name)
    }

    /// The zone with all changes of its offset.
    fn sampled(name: Tz) -> Self {
        let mut intervals = Vec::new();
        let mut from = BEGINNING;
        let mut at = FIRST;
        let mut offset = offset_of(name, at);
        while at < LAST {
            let next = (at + STEP).min(LAST);
            if offset_of(name, next) == offset {
                at = next;
                continue;
            }
            let change = first_change(name, at, next);
            intervals.push(Interval { from, to: change, offset });
            (from, at, offset) = (change, change, offset_of(name, change));
        }
        intervals.push(Interval { from, to: END, offset });
        Self { name, intervals }
    }

    /// The IANA name.
    pub fn name(&self) -> &'static str {
        self.name.name()
    }

    /// How many seconds local clocks are ahead of UTC at an instant (Unix time).
    pub fn offset_at(&self, instant: i64) -> i32 {
        self.offset_around(instant).0
    }

    /// The offset at an instant (Unix time), and the range of instants around it with the same offset.
    pub fn offset_around(&self, instant: i64) -> (i32, Range<i64>) {
        let next = self.intervals.partition_point(|interval| interval.from <= instant);
        let Interval { from, to, offset } = self.intervals[next - 1];
        (offset, from..to)
    }

    /// The local date at an instant (Unix time), as a number of days since 1970-01-01.
    ///
    /// ```
    /// use music_insights::time::zone::Zone;
    /// let berlin = Zone::named("Europe/Berlin").unwrap();
    /// // 1970-01-01T23:30:00Z is half past midnight on the next day.
    /// assert_eq!(berlin.local_date(84_600), 1);
    /// ```
    pub fn local_date(&self, instant: i64) -> i64 {
        (instant + i64::from(self.offset_at(instant))).div_euclid(DAY)
    }

    /// The offset at a local wall-clock time. When clocks are set back, a time can occur twice; then the
    /// earlier instant counts. A time that is skipped when clocks are set forward has no offset.
    pub fn offset_of_local(&self, local: i64) -> Option<i32> {
        self.offsets_around_local(local).map(|(offset, _)| offset)
    }

    /// The offset at a local wall-clock time, and a range of local times around it with the same offset.
    pub fn offsets_around_local(&self, local: i64) -> Option<(i32, Range<i64>)> {
        // Offsets are less than a day, so no earlier interval can contain the local time.
        let first = self.intervals.partition_point(|interval| interval.to <= local - DAY);
        let mut near = self.intervals[first..].iter().take_while(|interval| interval.from <= local + DAY);
        let interval = near.find(|interval| interval.contains_local(local))?;
        // A local time more than a day from both ends of this interval lies in no other interval.
        let unambiguous = interval.from + DAY..interval.to - DAY;
        Some((interval.offset, if unambiguous.contains(&local) { unambiguous } else { local..local + 1 }))
    }
}

fn offset_of(zone: Tz, instant: i64) -> i32 {
    let utc = DateTime::from_timestamp(instant, 0).expect("an instant within the calendar").naive_utc();
    zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()
}

/// The first instant with an offset that differs from the offset at `before`. The result is later than
/// `before` and not later than `after`.
fn first_change(zone: Tz, mut before: i64, mut after: i64) -> i64 {
    let offset = offset_of(zone, before);
    while after - before > 1 {
        let middle = i64::midpoint(before, after);
        if offset_of(zone, middle) == offset {
            before = middle;
        } else {
            after = middle;
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::civil::CivilDate;

    fn local(year: i32, month: u32, day: u32, hour: i64, minute: i64) -> i64 {
        CivilDate { year, month, day }.to_days().unwrap() * 86_400 + hour * 3600 + minute * 60
    }

    #[test]
    fn a_skipped_hour_has_no_offset_and_an_ambiguous_hour_is_the_earlier() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        assert_eq!(berlin.offset_of_local(local(2025, 3, 30, 1, 59)), Some(3600));
        assert_eq!(berlin.offset_of_local(local(2025, 3, 30, 2, 0)), None);
        assert_eq!(berlin.offset_of_local(local(2025, 3, 30, 3, 0)), Some(7200));
        assert_eq!(berlin.offset_of_local(local(2025, 10, 26, 2, 30)), Some(7200));
        assert_eq!(berlin.offset_of_local(local(2025, 10, 26, 3, 0)), Some(3600));
    }

    #[test]
    fn the_local_date_changes_at_local_midnight() {
        // In Berlin, 2025-03-30 has 23 hours.
        for (zone, midnight, date) in [
            ("UTC", "2025-03-30T00:00:00Z", (2025, 3, 30)),
            ("UTC", "1970-01-01T00:00:00Z", (1970, 1, 1)),
            ("Europe/Berlin", "2025-03-29T23:00:00Z", (2025, 3, 30)),
            ("Europe/Berlin", "2025-03-30T22:00:00Z", (2025, 3, 31)),
            ("America/New_York", "1970-01-01T05:00:00Z", (1970, 1, 1)),
            ("Asia/Kathmandu", "2025-01-01T18:15:00Z", (2025, 1, 2)),
        ] {
            let instant = DateTime::parse_from_rfc3339(midnight).unwrap().timestamp();
            let (year, month, day) = date;
            let day = CivilDate { year, month, day }.to_days().unwrap();
            let zone = Zone::named(zone).unwrap();
            let dates = [-1, 0].map(|seconds| zone.local_date(instant + seconds));
            assert_eq!(dates, [day - 1, day], "{midnight} in {}", zone.name());
        }
    }

    #[test]
    fn half_hour_changes_and_skipped_days_are_in_the_table() {
        let lord_howe = Zone::named("Australia/Lord_Howe").unwrap();
        assert_eq!(lord_howe.offset_of_local(local(2025, 10, 5, 2, 15)), None);
        let apia = Zone::named("Pacific/Apia").unwrap();
        assert_eq!(apia.offset_of_local(local(2011, 12, 30, 12, 0)), None);
    }

    #[test]
    fn the_table_agrees_with_the_database() {
        for name in ["America/St_Johns", "Africa/Monrovia", "Africa/Casablanca", "Asia/Tehran"] {
            let zone = Zone::named(name).unwrap();
            for instant in (0..4_000_000_000).step_by(999_983) {
                assert_eq!(zone.offset_at(instant), offset_of(zone.name, instant), "{name} at {instant}");
            }
        }
    }

    #[test]
    fn utc_has_one_interval() {
        let utc = Zone::named("UTC").unwrap();
        assert_eq!(utc.intervals.len(), 1);
        assert_eq!(utc.offset_of_local(0), Some(0));
        assert_eq!(format!("{utc:?}"), format!("{:?}", Zone::sampled(Tz::UTC)));
    }
}
