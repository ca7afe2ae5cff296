//! The configured time zone as a table of its changes, so that a row costs a search, not a rule.

use std::ops::Range;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;

use crate::time::civil::DAY;

/// First instant of the table: two days before 1970-01-01T00:00:00Z, for local times around it.
const FIRST: i64 = -2 * 86_400;
/// End of the table, 2200-01-01T00:00:00Z; later times keep the last offset.
const LAST: i64 = 7_258_118_400;
/// How far apart the zone is sampled for changes. Since 1970 no zone has changed its clocks
/// twice within six hours.
const STEP: i64 = 6 * 3600;

/// A stretch of time in which the offset from UTC does not change.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// First instant, in seconds since 1970-01-01T00:00:00Z.
    from: i64,
    /// Instant after the last.
    to: i64,
    /// Seconds by which local clocks are ahead of UTC.
    offset: i32,
}

impl Stretch {
    fn holds_local(&self, local: i64) -> bool {
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
    stretches: Vec<Stretch>,
}

impl Zone {
    /// The zone with an IANA name such as `Europe/Berlin`, or nothing if there is none.
    pub fn named(name: &str) -> Option<Self> {
        name.parse().ok().map(Self::new)
    }

    fn new(name: Tz) -> Self {
        let mut stretches = Vec::new();
        let mut from = i64::MIN / 4;
        let mut at = FIRST;
        let mut offset = offset_of(name, at);
        while at < LAST {
            let next = (at + STEP).min(LAST);
            if offset_of(name, next) == offset {
                at = next;
                continue;
            }
            let change = first_change(name, at, next);
            stretches.push(Stretch { from, to: change, offset });
            (from, at, offset) = (change, change, offset_of(name, change));
        }
        stretches.push(Stretch { from, to: i64::MAX / 4, offset });
        Self { name, stretches }
    }

    /// Its IANA name.
    pub fn name(&self) -> &'static str {
        self.name.name()
    }

    /// Seconds by which local clocks are ahead of UTC at an instant (seconds since 1970).
    pub fn offset_at(&self, instant: i64) -> i32 {
        let next = self.stretches.partition_point(|stretch| stretch.from <= instant);
        self.stretches[next - 1].offset
    }

    /// The offset that a local wall-clock time has: the earlier instant where the clocks show it
    /// twice, nothing where they skip it.
    pub fn offset_of_local(&self, local: i64) -> Option<i32> {
        self.offsets_around_local(local).map(|(offset, _)| offset)
    }

    /// The offset that a local wall-clock time has, and local times around it that have the same.
    pub fn offsets_around_local(&self, local: i64) -> Option<(i32, Range<i64>)> {
        // A local time is at most a day from UTC, so no earlier stretch can hold it.
        let first = self.stretches.partition_point(|stretch| stretch.to <= local - DAY);
        let mut near = self.stretches[first..].iter().take_while(|stretch| stretch.from <= local + DAY);
        let stretch = near.find(|stretch| stretch.holds_local(local))?;
        // Farther than a day from both of its ends, no other stretch is near.
        let far = stretch.from + DAY..stretch.to - DAY;
        Some((stretch.offset, if far.contains(&local) { far } else { local..local + 1 }))
    }
}

fn offset_of(zone: Tz, instant: i64) -> i32 {
    let utc = DateTime::from_timestamp(instant, 0).expect("an instant within the calendar").naive_utc();
    zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()
}

/// The first instant after `before` (at most `after`) at which the offset differs.
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
    fn a_skipped_hour_does_not_exist_and_a_double_hour_is_the_earlier() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        assert_eq!(berlin.offset_of_local(local(2025, 3, 30, 1, 59)), Some(3600));
        assert_eq!(berlin.offset_of_local(local(2025, 3, 30, 2, 0)), None);
        assert_eq!(berlin.offset_of_local(local(2025, 3, 30, 3, 0)), Some(7200));
        assert_eq!(berlin.offset_of_local(local(2025, 10, 26, 2, 30)), Some(7200));
        assert_eq!(berlin.offset_of_local(local(2025, 10, 26, 3, 0)), Some(3600));
    }

    #[test]
    fn half_hour_changes_and_skipped_days_are_known() {
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
    fn utc_is_one_stretch() {
        let utc = Zone::named("UTC").unwrap();
        assert_eq!(utc.stretches.len(), 1);
        assert_eq!(utc.offset_of_local(0), Some(0));
    }
}
