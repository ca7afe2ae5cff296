//! Timestamps: their input format, their instant, and their format in `enriched_logs`.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Timelike};
use chrono_tz::Tz;

/// An instant: Unix seconds (rounded down) and the remaining nanoseconds. Instants are ordered by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// Parses a timestamp in the given format: `iso`, `unix_s`, `unix_ms`, `unix_us` or a pattern.
pub fn parse_timestamp_in(format: &str, text: &str, timezone: Tz) -> Result<Instant, &'static str> {
    match format {
        "iso" => parse_timestamp(text, timezone),
        "unix_s" => parse_unix(text, 9),
        "unix_ms" => parse_unix(text, 6),
        "unix_us" => parse_unix(text, 3),
        pattern => parse_pattern(pattern, text, timezone),
    }
}

/// Parses a Unix timestamp whose unit has the given number of decimals down to nanoseconds.
fn parse_unix(text: &str, decimals: usize) -> Result<Instant, &'static str> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > decimals {
        return Err("bad_timestamp");
    }
    let nanoseconds: i128 =
        format!("{whole}{fraction:0<decimals$}").parse().map_err(|_| "timestamp_range")?;
    let seconds = i64::try_from(nanoseconds / 1_000_000_000).map_err(|_| "timestamp_range")?;
    // The last second of the year 9999.
    if seconds > 253_402_300_799 {
        return Err("timestamp_range");
    }
    Ok(Instant { seconds, nanoseconds: (nanoseconds % 1_000_000_000) as u32 })
}

/// Parses a timestamp with a pattern of chrono.
fn parse_pattern(pattern: &str, text: &str, timezone: Tz) -> Result<Instant, &'static str> {
    if ["%z", "%:z", "%::z", "%#z", "%+"].iter().any(|offset| pattern.contains(offset)) {
        let at = DateTime::parse_from_str(text, pattern).map_err(|_| "bad_timestamp")?;
        return Ok(Instant { seconds: at.timestamp(), nanoseconds: at.timestamp_subsec_nanos() });
    }
    let midnight = |date: NaiveDate| date.and_time(NaiveTime::MIN);
    let local = NaiveDateTime::parse_from_str(text, pattern)
        .or_else(|_| NaiveDate::parse_from_str(text, pattern).map(midnight))
        .map_err(|_| "bad_timestamp")?;
    let seconds = local.and_utc().timestamp();
    let seconds =
        if pattern.contains("%s") { seconds } else { local_to_utc(seconds, timezone).ok_or("dst_gap")? };
    Ok(Instant { seconds, nanoseconds: local.nanosecond() })
}

/// Parses `YYYY-MM-DD HH:MM[:SS[.fraction]]`, optionally followed by `Z`, `UTC`, `±HH:MM`, `±HHMM` or `±HH`,
/// before which one space may stand. The separator between date and time is ` ` or `T`.
pub fn parse_timestamp(text: &str, timezone: Tz) -> Result<Instant, &'static str> {
    let (local, nanoseconds, offset) = parse_form(text).ok_or("bad_timestamp")?;
    let seconds = match offset {
        Some(offset) => local - offset,
        None => local_to_utc(local, timezone).ok_or("dst_gap")?,
    };
    Ok(Instant { seconds, nanoseconds })
}

/// Returns three values: the local time in the text, the nanoseconds, and the offset in the text. The local
/// time is in seconds since 1970-01-01 00:00 local time.
fn parse_form(text: &str) -> Option<(i64, u32, Option<i64>)> {
    let mut reader = Reader { rest: text.as_bytes() };
    let year = reader.number(4)?;
    reader.expect(b"-")?;
    let month = reader.number(2)?;
    reader.expect(b"-")?;
    let day = reader.number(2)?;
    reader.expect(b" T")?;
    let hour = reader.number(2)?;
    reader.expect(b":")?;
    let minute = reader.number(2)?;
    let mut second = 0;
    let mut nanoseconds = 0;
    if reader.expect(b":").is_some() {
        second = reader.number(2)?;
        if reader.expect(b".").is_some() {
            nanoseconds = reader.fraction()?;
        }
    }
    let offset = reader.offset()?;
    if !reader.rest.is_empty() {
        return None;
    }
    // chrono returns `None` for dates that do not exist, for hours above 23 and for seconds above 59.
    let date = NaiveDate::from_ymd_opt(year as i32, month, day)?;
    let time = NaiveTime::from_hms_opt(hour, minute, second)?;
    Some((date.and_time(time).and_utc().timestamp(), nanoseconds, offset))
}

/// Parses a text from left to right.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    /// Consumes the next byte if it is one of the given bytes.
    fn expect(&mut self, allowed: &[u8]) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        if !allowed.contains(&first) {
            return None;
        }
        self.rest = rest;
        Some(first)
    }

    /// Consumes exactly the given number of ASCII digits.
    fn number(&mut self, digits: u32) -> Option<u32> {
        let mut number = 0;
        for _ in 0..digits {
            number = number * 10 + u32::from(self.expect(b"0123456789")? - b'0');
        }
        Some(number)
    }

    /// Consumes one to nine digits of a fraction, and returns nanoseconds.
    fn fraction(&mut self) -> Option<u32> {
        let mut text = String::new();
        while let Some(digit) = self.expect(b"0123456789") {
            text.push(char::from(digit));
        }
        if text.is_empty() || text.len() > 9 {
            return None;
        }
        format!("{text:0<9}").parse().ok()
    }

    /// Consumes the offset: nothing, or after an optional space `Z`, `UTC`, or `±HH:MM`, `±HHMM` or `±HH` up to
    /// 23:59. The outer `None` means a wrong format. The inner `None` means that the text has no offset.
    fn offset(&mut self) -> Option<Option<i64>> {
        if self.rest.is_empty() {
            return Some(None);
        }
        let _ = self.expect(b" ");
        let sign = match self.expect(b"ZU+-")? {
            b'Z' => return Some(Some(0)),
            b'U' => {
                self.expect(b"T")?;
                self.expect(b"C")?;
                return Some(Some(0));
            }
            b'-' => -1,
            _ => 1,
        };
        let hours = self.number(2)?;
        let minutes = if self.rest.is_empty() {
            0
        } else {
            let _ = self.expect(b":");
            self.number(2)?
        };
        if hours > 23 || minutes > 59 {
            return None;
        }
        Some(Some(sign * i64::from(hours * 3600 + minutes * 60)))
    }
}

/// The earliest instant with the given local time in the timezone. `None` if clocks skip this local time.
/// Tries every offset that the timezone uses within a little more than a day around the local time.
fn local_to_utc(local: i64, timezone: Tz) -> Option<i64> {
    let mut candidates = Vec::new();
    for hours in -27..=27 {
        let offset = offset_at(local + hours * 3600, timezone);
        let candidate = local - offset;
        if offset_at(candidate, timezone) == offset {
            candidates.push(candidate);
        }
    }
    candidates.into_iter().min()
}

/// The timezone's offset from UTC in seconds at an instant.
fn offset_at(seconds: i64, timezone: Tz) -> i64 {
    let utc = naive(seconds);
    i64::from(timezone.offset_from_utc_datetime(&utc).fix().local_minus_utc())
}

fn naive(seconds: i64) -> NaiveDateTime {
    DateTime::from_timestamp(seconds, 0).expect("the year has four digits").naive_utc()
}

/// The local time at an instant, without the fraction of a second.
pub fn local_clock(at: Instant, timezone: Tz) -> NaiveDateTime {
    naive(at.seconds + offset_at(at.seconds, timezone))
}

/// The seconds since local midnight, without the fraction of a second.
pub fn second_of_day(at: Instant, timezone: Tz) -> u32 {
    local_clock(at, timezone).num_seconds_from_midnight()
}

/// The ISO year and ISO week of the local date. Weeks run from Monday to Sunday in the timezone.
pub fn iso_week(at: Instant, timezone: Tz) -> (i32, u32) {
    let week = local_clock(at, timezone).iso_week();
    (week.year(), week.week())
}

/// Prints RFC 3339 in the timezone. The offset zero is `Z`. The fraction has no trailing zeros, and is
/// omitted if it is zero.
pub fn format_timestamp(at: Instant, timezone: Tz) -> String {
    let clock = local_clock(at, timezone).format("%Y-%m-%dT%H:%M:%S");
    let fraction = match at.nanoseconds {
        0 => String::new(),
        nanoseconds => format!(".{nanoseconds:09}").trim_end_matches('0').to_string(),
    };
    format!("{clock}{fraction}{}", format_offset(offset_at(at.seconds, timezone)))
}

/// Prints `Z` or `±HH:MM`. Historical offsets lose their seconds.
fn format_offset(offset: i64) -> String {
    let minutes = offset.abs() / 60;
    if minutes == 0 {
        return "Z".to_string();
    }
    let sign = if offset < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}
