//! Parses `timestamp` in the form that the dialect declares. A timestamp without an offset is local time.

mod day;
mod iso;
mod minute;
mod pattern;
mod unix;
mod wall_clock;

use std::ops::Range;

use crate::ingest::decode::timestamp::day::Days;
pub use crate::ingest::decode::timestamp::iso::PLAIN;
use crate::ingest::decode::timestamp::minute::Minute;
use crate::ingest::decode::timestamp::wall_clock::WallClock;
use crate::model::dialect::timestamp_format::TimestampFormat;
use crate::model::{PlayTime, Reason};
use crate::time::civil::DAY;
use crate::time::zone::Zone;

/// Parses timestamps. It caches the last minute, the last days and the last offsets, because rows often share
/// them.
#[derive(Debug)]
pub struct TimestampReader<'a> {
    zone: &'a Zone,
    latest: i64,
    format: &'a TimestampFormat,
    /// The last minute of the common form.
    minute: Minute,
    days: Days,
    /// The range of local times that have the cached `offset`.
    known: Range<i64>,
    offset: i32,
    /// The range of instants that have the cached `instant_offset`.
    known_instants: Range<i64>,
    instant_offset: i32,
    /// Whether the last time out of range was too late.
    late: bool,
}

impl<'a> TimestampReader<'a> {
    /// A parser for timestamps in a zone. It rejects times after `latest`, which is in seconds since
    /// 1970-01-01T00:00:00Z.
    pub fn new(zone: &'a Zone, latest: i64, format: &'a TimestampFormat) -> Self {
        Self {
            zone,
            latest,
            format,
            minute: Minute::default(),
            days: Days::default(),
            known: 0..0,
            offset: 0,
            known_instants: 0..0,
            instant_offset: 0,
            late: false,
        }
    }

    /// Parses a cell.
    ///
    /// # Errors
    /// The first reason that applies: `bad_timestamp`, `dst_gap` or `timestamp_range`.
    pub fn read(&mut self, cell: &[u8]) -> Result<PlayTime, Reason> {
        cell.try_into()
            .ok()
            .and_then(|plain| self.read_in_last_minute(plain))
            .map_or_else(|| self.read_any(cell), Ok)
    }

    /// Parses a cell of the common length if its minute is the last minute.
    #[inline]
    pub fn read_in_last_minute(&self, cell: &[u8; PLAIN]) -> Option<PlayTime> {
        self.minute.read(cell)
    }

    /// Same as [`read`](Self::read), for a cell that is not in the last minute.
    ///
    /// # Errors
    /// The same as `read`.
    pub fn read_any(&mut self, cell: &[u8]) -> Result<PlayTime, Reason> {
        if let Ok(plain) = cell.try_into()
            && let Some(play_time) = self.days.read(plain)
        {
            self.minute = Minute::new(plain, first_of(play_time, MINUTE));
            return Ok(play_time);
        }
        // A number that is too large for a date is too late, too.
        self.late = true;
        let play_time = if *self.format == TimestampFormat::Iso
            && let Ok(plain) = cell.try_into()
            && let Some(local) = iso::parse_plain(plain)
        {
            let play_time = PlayTime { local, offset: self.offset_of_local(local)?, nanos: 0 };
            self.remember(plain, play_time);
            play_time
        } else {
            self.read_other(cell)?
        };
        let instant = play_time.instant();
        if instant < 0 || instant > self.latest || (instant == self.latest && play_time.nanos > 0) {
            self.late = instant >= 0;
            return Err(Reason::TimestampRange);
        }
        Ok(play_time)
    }

    /// Remembers the minute and the day of a time in the common form, if all their times are accepted.
    fn remember(&mut self, cell: &[u8; PLAIN], play_time: PlayTime) {
        let first = first_of(play_time, MINUTE);
        if self.accepts_all(first, MINUTE) {
            self.minute = Minute::new(cell, first);
        }
        let first = first_of(play_time, DAY);
        if self.accepts_all(first, DAY) {
            self.days.remember(cell, first);
        }
    }

    /// Whether all times in a number of seconds from `first` on are accepted and have the same offset.
    fn accepts_all(&self, first: PlayTime, seconds: i64) -> bool {
        let last = first.local + seconds - 1;
        let has_one_offset = self.known.contains(&first.local) && self.known.contains(&last);
        has_one_offset && first.instant() >= 0 && first.instant() + seconds - 1 <= self.latest
    }

    /// Whether the last time that was rejected as `timestamp_range` was too far in the future.
    pub fn is_late(&self) -> bool {
        self.late
    }

    #[inline]
    fn offset_of_local(&mut self, local: i64) -> Result<i32, Reason> {
        if !self.known.contains(&local) {
            (self.offset, self.known) = self.zone.offsets_around_local(local).ok_or(Reason::DstGap)?;
        }
        Ok(self.offset)
    }

    fn read_other(&mut self, cell: &[u8]) -> Result<PlayTime, Reason> {
        let clock = match self.format {
            TimestampFormat::Unix(unit) => unix::parse(cell, *unit)?,
            TimestampFormat::Iso => iso::parse(cell).ok_or(Reason::BadTimestamp)?,
            TimestampFormat::Pattern(pattern) => pattern::parse(cell, pattern)?,
        };
        let WallClock { local, nanos, offset } = clock;
        let Some(given) = offset else {
            return Ok(PlayTime { local, offset: self.offset_of_local(local)?, nanos });
        };
        let instant = local - i64::from(given);
        if !self.known_instants.contains(&instant) {
            (self.instant_offset, self.known_instants) = self.zone.offset_around(instant);
        }
        let offset = self.instant_offset;
        Ok(PlayTime { local: instant + i64::from(offset), offset, nanos })
    }
}

/// Seconds per minute.
const MINUTE: i64 = 60;

/// The first second of the minute or the day of a time.
fn first_of(time: PlayTime, unit: i64) -> PlayTime {
    PlayTime { local: time.local - time.local % unit, ..time }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LATEST: i64 = 4_000_000_000;

    fn instant(cell: &str) -> Result<(i64, u32), Reason> {
        let utc = Zone::named("UTC").unwrap();
        TimestampReader::new(&utc, LATEST, &TimestampFormat::Iso)
            .read(cell.as_bytes())
            .map(|play_time| (play_time.instant(), play_time.nanos))
    }

    #[test]
    fn all_accepted_forms_give_the_same_instant() {
        let expected = Ok((1_742_519_340, 0));
        for cell in [
            "2025-03-21 01:09",
            "2025-03-21T01:09",
            "2025-03-21 01:09:00",
            "2025-03-21T01:09:00Z",
            "2025-03-21T01:09:00.000000000Z",
            "2025-03-21 02:09:00+01:00",
            "2025-03-20T20:09-05:00",
            "2025-03-22T01:08+23:59",
            "2025-03-21 01:09:00 Z",
            "2025-03-21 01:09 UTC",
            "2025-03-21T01:09:00UTC",
            "2025-03-21T02:09:00.0+0100",
            "2025-03-21 02:09:00 +01",
            "2025-03-20 20:09-0500",
        ] {
            assert_eq!(instant(cell), expected, "{cell}");
        }
        assert_eq!(instant("2025-03-21 01:09:00.25"), Ok((1_742_519_340, 250_000_000)));
    }

    #[test]
    fn other_forms_are_rejected() {
        for cell in [
            "",
            "2025-03-21",
            "2025-03-21 01",
            "2025-3-21 01:09",
            "2025-02-29 01:09",
            "2025-03-21 24:00",
            "2025-03-21 01:60",
            "2025-03-21 01:09:60",
            "2025-03-21 01:09:00.",
            "2025-03-21 01:09:00.1234567890",
            "2025-03-21 01:09:00z",
            "2025-03-21t01:09:00",
            "2025-03-21  01:09:00",
            "2025-03-21 01:09:00  Z",
            "2025-03-21 01:09:00 ",
            "2025-03-21 01:09 ",
            "2025-03-21 01:09:00 utc",
            "2025-03-21 01:09:00 GMT",
            "2025-03-21 01:09:00+24:00",
            "2025-03-21 01:09:00+2400",
            "2025-03-21 01:09:00+01:60",
            "2025-03-21 01:09:00+1",
            "2025-03-21 01:09:00+010",
            "2025-03-21 01:09:00+01:0",
            "2025-03-21 01:09:00+01:00:00",
            "2025-03-21 01:09:00+01 ",
            "2025-03-21 01:09.5",
            "2025-03-21 01:09:00ZZ",
            "2025-13-01 00:00",
            "2025-00-01 00:00",
            "2025-01-00 00:00:00",
            "2025-03-21_01:09:00",
            "1742519340",
            "２025-03-21 01:09",
            "+2025-03-21 01:09",
            "2025-03-21 01:09:00.5.5",
        ] {
            assert_eq!(instant(cell), Err(Reason::BadTimestamp), "{cell}");
        }
    }

    #[test]
    fn the_range_is_from_1970_to_the_latest_with_fractions() {
        assert_eq!(instant("1970-01-01 00:00:00"), Ok((0, 0)));
        assert_eq!(instant("1969-12-31 23:59:59.999"), Err(Reason::TimestampRange));
        assert_eq!(instant("1970-01-01 00:30:00+01:00"), Err(Reason::TimestampRange));
        assert_eq!(instant("2096-10-02 07:06:40"), Ok((LATEST, 0)));
        assert_eq!(instant("2096-10-02 07:06:40.000000001"), Err(Reason::TimestampRange));
        assert_eq!(instant("9999-12-31 23:59:59"), Err(Reason::TimestampRange));
        assert_eq!(instant("0000-01-01 00:00:00"), Err(Reason::TimestampRange));
    }

    #[test]
    fn a_known_day_accepts_no_time_out_of_range() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let mut reader = TimestampReader::new(&berlin, LATEST, &TimestampFormat::Iso);
        let mut instant = |cell: &str| reader.read(cell.as_bytes()).map(PlayTime::instant);
        assert_eq!(instant("1970-01-01 01:30:00"), Ok(1800));
        assert_eq!(instant("1970-01-01 00:30:00"), Err(Reason::TimestampRange));
        assert_eq!(instant("1970-01-02 00:30:00"), Ok(84_600));
        assert_eq!(instant("1970-01-02 23:59:59"), Ok(169_199));
        assert_eq!(instant("1970-01-02 24:00:00"), Err(Reason::BadTimestamp));
        assert_eq!(instant("2096-10-02 09:06:40"), Ok(LATEST));
        assert_eq!(instant("2096-10-02 09:06:41"), Err(Reason::TimestampRange));
        assert_eq!(instant("2096-10-01 23:59:59"), Ok(LATEST - 32_801));
    }

    #[test]
    fn skipped_local_times_need_an_offset() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let mut reader = TimestampReader::new(&berlin, LATEST, &TimestampFormat::Iso);
        assert_eq!(reader.read(b"2025-03-30 02:30"), Err(Reason::DstGap));
        let play_time = reader.read(b"2025-03-30 02:30Z").unwrap();
        assert_eq!((play_time.instant(), play_time.offset), (1_743_301_800, 7200));
    }

    #[test]
    fn other_forms_follow_the_format_and_not_the_default_form() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        for (format, cell, expected) in [
            ("unix_ms", "1743301800500", Ok((1_743_301_800, 500_000_000, 7200))),
            ("unix_s", "1743296399", Ok((1_743_296_399, 0, 3600))),
            ("unix_s", "2025-03-30 02:30:00", Err(Reason::BadTimestamp)),
            ("unix_s", "4000000000.000000001", Err(Reason::TimestampRange)),
            ("%Y-%d-%m %H:%M:%S", "2025-12-01 02:30:00", Ok((1_736_645_400, 0, 3600))),
            ("%d.%m.%Y %H:%M", "30.03.2025 02:30", Err(Reason::DstGap)),
            ("%d.%m.%Y %H:%M", "26.10.2025 02:30", Ok((1_761_438_600, 0, 7200))),
            ("%d.%m.%Y %H:%M", "31.12.1969 02:30", Err(Reason::TimestampRange)),
            ("%F %T %z", "2025-03-30 02:30:00 +0000", Ok((1_743_301_800, 0, 7200))),
            ("%s", "1743301800", Ok((1_743_301_800, 0, 7200))),
        ] {
            let format = format.parse().unwrap();
            let read = TimestampReader::new(&zone, LATEST, &format).read(cell.as_bytes());
            let read = read.map(|time| (time.instant(), time.nanos, time.offset));
            assert_eq!(read, expected, "{cell}");
        }
    }

    proptest! {
        #[test]
        fn the_cache_does_not_change_results(
            seconds in proptest::collection::vec((0_i64..300_000, 0_u8..16), 1..50),
            zone in prop_oneof![Just("UTC"), Just("Europe/Berlin"), Just("America/New_York")],
        ) {
            let zone = Zone::named(zone).unwrap();
            let mut reader = TimestampReader::new(&zone, LATEST, &TimestampFormat::Iso);
            for (second, form) in seconds {
                // The times lie around the last Sunday of October 2025, or of March 2025 if `form` is
                // odd.
                let local = 1_761_350_400 + second - if form % 2 == 0 { 0 } else { 18_403_200 };
                let time = chrono::DateTime::from_timestamp(local, 0).unwrap();
                let form = [
                    "%F %T", "%FT%T", "%F %H:%M", "%F %T.5", "%F %H:%M:7%S", "%F %T+01:00", "%FT%T.000Z", "%F %T UTC",
                ][form as usize / 2];
                let cell = time.format(form).to_string();
                let alone = TimestampReader::new(&zone, LATEST, &TimestampFormat::Iso).read(cell.as_bytes());
                prop_assert_eq!(reader.read(cell.as_bytes()), alone, "{}", cell);
            }
        }
    }
}
