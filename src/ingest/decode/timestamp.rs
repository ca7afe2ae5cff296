//! Parses `timestamp`: `YYYY-MM-DD HH:MM[:SS[.fraction]]`, with or without an offset. A timestamp
//! without an offset is local time.

use std::ops::Range;

use crate::model::dialect::timestamp_format::TimestampFormat;
use crate::model::{PlayTime, Reason};
use crate::time::civil::{CivilDate, DAY};
use crate::time::zone::Zone;

/// Days before each month, in a common year and in a leap year.
const DAYS_BEFORE: [[u16; 13]; 2] = [
    [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365],
    [0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335, 366],
];

/// A parsed cell, before the time zone is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WallClock {
    local: i64,
    nanos: u32,
    offset: Option<i32>,
}

/// Parses timestamps. It caches the last minute and offset, because neighbouring rows often share them.
#[derive(Debug)]
pub struct TimestampReader<'a> {
    zone: &'a Zone,
    latest: i64,
    format: &'a TimestampFormat,
    /// The last minute in the common form: its text, and the local time at which it starts.
    minute: ([u8; MINUTE], i64),
    /// The range of local times that have the cached `offset`.
    known: Range<i64>,
    offset: i32,
    /// Whether the last time out of range was too late.
    late: bool,
}

/// Length of `2025-03-21 01:09`.
const MINUTE: usize = 16;

impl<'a> TimestampReader<'a> {
    /// A parser for timestamps in a zone. It rejects times after `latest`, which is in seconds since
    /// 1970-01-01T00:00:00Z.
    pub fn new(zone: &'a Zone, latest: i64, format: &'a TimestampFormat) -> Self {
        Self { zone, latest, format, minute: ([0; MINUTE], 0), known: 0..0, offset: 0, late: false }
    }

    /// Parses a cell.
    ///
    /// # Errors
    /// The first reason that applies: `bad_timestamp`, `dst_gap` or `timestamp_range`.
    #[inline]
    pub fn read(&mut self, cell: &[u8]) -> Result<PlayTime, Reason> {
        let play_time = match self.read_plain(cell) {
            Some(local) => PlayTime { local, offset: self.offset_of_local(local)?, nanos: 0 },
            None => {
                // A number that is too large for a date is too late, too.
                self.late = true;
                self.read_slow(cell)?
            }
        };
        let instant = play_time.instant();
        if instant < 0 || instant > self.latest || (instant == self.latest && play_time.nanos > 0) {
            self.late = instant >= 0;
            return Err(Reason::TimestampRange);
        }
        Ok(play_time)
    }

    /// Whether the last time that was rejected as `timestamp_range` was too far in the future.
    pub fn is_late(&self) -> bool {
        self.late
    }

    /// Parses the common form. Within the cached minute, only the seconds are parsed.
    #[inline]
    fn read_plain(&mut self, cell: &[u8]) -> Option<i64> {
        let cell: &[u8; 19] = cell.try_into().ok()?;
        let (text, start) = &self.minute;
        let minute: &[u8; MINUTE] = cell.first_chunk()?;
        let [tens, ones] = [cell[17], cell[18]].map(|byte| byte.wrapping_sub(b'0'));
        if minute == text && cell[16] == b':' && tens < 6 && ones < 10 {
            return Some(start + i64::from(tens * 10 + ones));
        }
        let local = parse_plain(cell)?;
        self.minute = (*minute, local - local % 60);
        Some(local)
    }

    #[inline]
    fn offset_of_local(&mut self, local: i64) -> Result<i32, Reason> {
        if !self.known.contains(&local) {
            (self.offset, self.known) = self.zone.offsets_around_local(local).ok_or(Reason::DstGap)?;
        }
        Ok(self.offset)
    }

    /// Parses any accepted form.
    fn read_slow(&mut self, cell: &[u8]) -> Result<PlayTime, Reason> {
        let WallClock { local, nanos, offset } = parse_slow(cell).ok_or(Reason::BadTimestamp)?;
        let Some(given) = offset else {
            return Ok(PlayTime { local, offset: self.offset_of_local(local)?, nanos });
        };
        let instant = local - i64::from(given);
        let offset = self.zone.offset_at(instant);
        Ok(PlayTime { local: instant + i64::from(offset), offset, nanos })
    }
}

/// Parses the common form `2025-03-21 01:09:00`, eight bytes at a time. Accepts only the years 1970 to
/// 2199.
#[inline]
fn parse_plain(cell: &[u8; 19]) -> Option<i64> {
    let year_and_month = DATE.numbers(u64::from_le_bytes(*cell.first_chunk()?))?;
    let time = TIME.numbers(u64::from_le_bytes(*cell.last_chunk()?))?;
    let (tens, ones) = (u32::from(cell[8].wrapping_sub(b'0')), u32::from(cell[9].wrapping_sub(b'0')));
    if tens > 9 || ones > 9 || !matches!(cell[10], b' ' | b'T') {
        return None;
    }
    let number = |numbers: u64, at: u32| (numbers >> (8 * at)) as u32 & 0xff;
    let year = number(year_and_month, 0) * 100 + number(year_and_month, 2);
    let (month, day) = (number(year_and_month, 5), tens * 10 + ones);
    let (hour, minute, second) = (number(time, 0), number(time, 3), number(time, 6));
    if !(1970..2200).contains(&year) || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59
    {
        return None;
    }
    let leap = usize::from(year.is_multiple_of(4) && year != 2100);
    let before = u32::from(DAYS_BEFORE[leap][month as usize - 1]);
    if day == 0 || before + day > u32::from(DAYS_BEFORE[leap][month as usize]) {
        return None;
    }
    // The number of leap days from 1970 until this year begins. 1972 was the first leap year, and 2100
    // is not a leap year.
    let leap_days = (year - 1969) / 4 - u32::from(year > 2100);
    let days = (year - 1970) * 365 + leap_days + before + day - 1;
    Some(i64::from(days) * DAY + i64::from(hour * 3600 + minute * 60 + second))
}

/// A pattern of eight bytes: digits and fixed bytes.
struct Pattern {
    /// The fixed bytes of the pattern, with `0` for each digit.
    zeros: u64,
    /// A number that detects wrong bytes. It is added to the XOR of the input and
    /// [`zeros`](Self::zeros). In the sum, the highest bit of a byte is set if a digit is larger than 9
    /// or a fixed byte differs.
    over: u64,
}

/// The first eight bytes of a date.
const DATE: Pattern = Pattern::new(*b"0000-00-");
/// A time of day.
const TIME: Pattern = Pattern::new(*b"00:00:00");

impl Pattern {
    const fn new(zeros: [u8; 8]) -> Self {
        let mut over = [0x7f; 8];
        let mut at = 0;
        while at < 8 {
            if zeros[at] == b'0' {
                over[at] -= 9;
            }
            at += 1;
        }
        Self { zeros: u64::from_le_bytes(zeros), over: u64::from_le_bytes(over) }
    }

    /// The two-digit number that starts at each byte. `None` if a byte does not match the pattern.
    #[inline]
    fn numbers(&self, word: u64) -> Option<u64> {
        let digits = word ^ self.zeros;
        let wrong = (digits.wrapping_add(self.over) | digits) & 0x8080_8080_8080_8080;
        (wrong == 0).then(|| digits * 10 + (digits >> 8))
    }
}

/// Parses all accepted forms, byte by byte.
fn parse_slow(cell: &[u8]) -> Option<WallClock> {
    let mut rest = cell;
    let year = number(&mut rest, 4)?;
    literal(&mut rest, b'-')?;
    let month = number(&mut rest, 2)?;
    literal(&mut rest, b'-')?;
    let day = number(&mut rest, 2)?;
    literal(&mut rest, b' ').or_else(|| literal(&mut rest, b'T'))?;
    let (hour, minute) = hours_and_minutes(&mut rest)?;
    let mut second = 0;
    let mut nanos = 0;
    if literal(&mut rest, b':').is_some() {
        second = number(&mut rest, 2).filter(|&second| second <= 59)?;
        if literal(&mut rest, b'.').is_some() {
            nanos = fraction(&mut rest)?;
        }
    }
    let offset = if rest.is_empty() { None } else { Some(offset(&mut rest)?) };
    let days = CivilDate { year: year as i32, month, day }.to_days()?;
    let local = days * DAY + i64::from(hour * 3600 + minute * 60 + second);
    rest.is_empty().then_some(WallClock { local, nanos, offset })
}

fn hours_and_minutes(rest: &mut &[u8]) -> Option<(u32, u32)> {
    let hour = number(rest, 2).filter(|&hour| hour <= 23)?;
    literal(rest, b':')?;
    let minute = number(rest, 2).filter(|&minute| minute <= 59)?;
    Some((hour, minute))
}

/// Parses one to nine digits as nanoseconds.
fn fraction(rest: &mut &[u8]) -> Option<u32> {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&digits) {
        return None;
    }
    Some(number(rest, digits)? * 10_u32.pow(9 - digits as u32))
}

/// Parses an offset: `Z` or `±HH:MM`.
fn offset(rest: &mut &[u8]) -> Option<i32> {
    if literal(rest, b'Z').is_some() {
        return Some(0);
    }
    let sign = match literal(rest, b'+') {
        Some(()) => 1,
        None => literal(rest, b'-').map(|()| -1)?,
    };
    let (hours, minutes) = hours_and_minutes(rest)?;
    Some(sign * (hours * 3600 + minutes * 60) as i32)
}

fn literal(rest: &mut &[u8], wanted: u8) -> Option<()> {
    let (&first, more) = rest.split_first()?;
    (first == wanted).then(|| *rest = more)
}

fn number(rest: &mut &[u8], digits: usize) -> Option<u32> {
    let (number, more) = rest.split_at_checked(digits)?;
    let mut value = 0;
    for byte in number {
        value = value * 10 + u32::from(byte.is_ascii_digit().then(|| byte - b'0')?);
    }
    *rest = more;
    Some(value)
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
            "2025-03-21 01:09:00 Z",
            "2025-03-21 01:09:00+24:00",
            "2025-03-21 01:09:00+01",
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
    fn skipped_local_times_need_an_offset() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let mut reader = TimestampReader::new(&berlin, LATEST, &TimestampFormat::Iso);
        assert_eq!(reader.read(b"2025-03-30 02:30"), Err(Reason::DstGap));
        let play_time = reader.read(b"2025-03-30 02:30Z").unwrap();
        assert_eq!((play_time.instant(), play_time.offset), (1_743_301_800, 7200));
    }

    proptest! {
        #[test]
        fn the_cache_does_not_change_results(
            seconds in proptest::collection::vec((0_i64..300_000, 0_u8..12), 1..50),
            zone in prop_oneof![Just("UTC"), Just("Europe/Berlin"), Just("America/New_York")],
        ) {
            let zone = Zone::named(zone).unwrap();
            let mut reader = TimestampReader::new(&zone, LATEST, &TimestampFormat::Iso);
            for (second, form) in seconds {
                // The times lie around the last Sunday of October 2025, or of March 2025 if `form` is
                // odd.
                let local = 1_761_350_400 + second - if form % 2 == 0 { 0 } else { 18_403_200 };
                let time = chrono::DateTime::from_timestamp(local, 0).unwrap();
                let form = ["%F %T", "%FT%T", "%F %H:%M", "%F %T.5", "%F %H:%M:7%S", "%F %T+01:00"][form as usize / 2];
                let cell = time.format(form).to_string();
                let alone = TimestampReader::new(&zone, LATEST, &TimestampFormat::Iso).read(cell.as_bytes());
                prop_assert_eq!(reader.read(cell.as_bytes()), alone, "{}", cell);
            }
        }

        #[test]
        fn the_fast_path_agrees_with_the_slow_path(
            year in 1968_u32..2203, month in 0_u32..14, day in 0_u32..33,
            hour in 0_u32..25, minute in 0_u32..61, second in 0_u32..61,
        ) {
            let cell = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
            let slow = parse_slow(cell.as_bytes()).map(|clock| clock.local);
            if let Some(plain) = parse_plain(cell.as_bytes().try_into().unwrap()) {
                prop_assert_eq!(Some(plain), slow);
            } else {
                prop_assert!(slow.is_none() || !(1970..2200).contains(&year));
            }
        }
    }
}
