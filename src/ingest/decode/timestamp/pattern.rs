//! Parses timestamps with a pattern.
//!
//! `chrono` reads the fields. It is more lenient than the default form: it skips spaces and accepts signs, a
//! 60th second and any number of decimals. These checks are done here.

use std::iter::once;

use chrono::Timelike;
use chrono::format::{Fixed, Item, Numeric, Pad, Parsed, parse_and_remainder};

use crate::ingest::decode::timestamp::iso;
use crate::ingest::decode::timestamp::unix::LAST_SECOND;
use crate::ingest::decode::timestamp::wall_clock::WallClock;
use crate::model::Reason;
use crate::model::dialect::timestamp_pattern::{Precision, TimestampPattern};
use crate::time::civil::DAY;

/// Parses a cell.
///
/// # Errors
/// `bad_timestamp`, or `timestamp_range` if the number of `%s` is too large for a date.
pub(super) fn parse(cell: &[u8], pattern: &TimestampPattern) -> Result<WallClock, Reason> {
    let mut fields = Fields { parsed: Parsed::new(), is_too_large: false };
    let rest = std::str::from_utf8(cell).ok().and_then(|cell| fields.read(cell, pattern.items()));
    if rest.is_none_or(|rest| !rest.is_empty()) {
        return Err(Reason::BadTimestamp);
    }
    if fields.is_too_large {
        return Err(Reason::TimestampRange);
    }
    clock(fields.parsed, pattern.precision()).ok_or(Reason::BadTimestamp)
}

fn clock(mut parsed: Parsed, precision: Precision) -> Option<WallClock> {
    if parsed.second() == Some(60) {
        return None;
    }
    if precision == Precision::Date {
        parsed.set_hour(0).ok()?;
    }
    if precision != Precision::Minute {
        parsed.set_minute(0).ok()?;
    }
    let offset = parsed.offset().or(parsed.timestamp().map(|_| 0));
    let time = parsed.to_naive_datetime_with_offset(offset.unwrap_or_default()).ok()?;
    Some(WallClock { local: time.and_utc().timestamp(), nanos: time.nanosecond(), offset })
}

/// The fields of a text.
struct Fields {
    parsed: Parsed,
    /// Whether the text has a Unix timestamp after the last date.
    is_too_large: bool,
}

impl Fields {
    /// Reads all parts of a pattern, and returns the rest of the text.
    fn read<'t>(&mut self, text: &'t str, items: &[Item<'_>]) -> Option<&'t str> {
        let mut rest = text;
        for item in items {
            rest = match item {
                Item::Space(_) | Item::OwnedSpace(_) => skip_spaces(rest)?,
                Item::Numeric(Numeric::Timestamp, _) => self.read_unix(rest)?,
                Item::Numeric(_, pad) => {
                    let number = if *pad == Pad::Space { rest.trim_start_matches(' ') } else { rest };
                    number.starts_with(|first: char| first.is_ascii_digit()).then_some(())?;
                    parse_and_remainder(&mut self.parsed, number, once(item)).ok()?
                }
                Item::Fixed(fixed) => self.read_fixed(rest, fixed, item)?,
                item => parse_and_remainder(&mut self.parsed, rest, once(item)).ok()?,
            };
        }
        Some(rest)
    }

    fn read_unix<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        let rest = text.trim_start_matches(|digit: char| digit.is_ascii_digit());
        let digits = text.strip_suffix(rest).filter(|digits| !digits.is_empty())?;
        match digits.parse::<u64>() {
            Ok(seconds) if seconds <= LAST_SECOND => {
                self.parsed.set_timestamp(seconds as i64).map(drop).ok()?;
            }
            _ => self.is_too_large = true,
        }
        Some(rest)
    }

    fn read_fixed<'t>(&mut self, text: &'t str, fixed: &Fixed, item: &Item<'_>) -> Option<&'t str> {
        let before = self.parsed.offset();
        let mut parsed = self.parsed.clone();
        // An offset that the text repeats must be the same.
        if *fixed == Fixed::TimezoneOffsetDoubleColon {
            parsed = Parsed::new();
        }
        let mut rest = parse_and_remainder(&mut parsed, text, once(item)).ok()?;
        let read = text.strip_suffix(rest)?;
        match fixed {
            Fixed::RFC3339 => {
                iso::parse(read.as_bytes())?.offset?;
            }
            _ if !read.bytes().all(|byte| byte.is_ascii_graphic()) => return None,
            // A point and at most nine digits.
            Fixed::Nanosecond if read.len() > 10 => return None,
            Fixed::TimezoneOffsetDoubleColon => {
                let seconds;
                (seconds, rest) = offset_seconds(rest)?;
                let offset = parsed.offset()?;
                let sign = if read.starts_with('-') { -1 } else { 1 };
                parsed = self.parsed.clone();
                parsed.set_offset(i64::from(offset + sign * seconds)).ok()?;
            }
            _ => {}
        }
        if parsed.offset() != before && *fixed != Fixed::RFC3339 {
            let is_split = read.contains("::") || read.ends_with(':');
            let is_in_range = parsed.offset().is_some_and(|offset| i64::from(offset).abs() < DAY);
            (!is_split && is_in_range).then_some(())?;
        }
        self.parsed = parsed;
        Some(rest)
    }
}

/// Skips at least one space or tab.
fn skip_spaces(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches([' ', '\t']);
    (rest.len() < text.len()).then_some(rest)
}

/// The seconds of an offset, which may be absent, and the rest of the text. `chrono` does not read them.
fn offset_seconds(text: &str) -> Option<(i32, &str)> {
    let Some(rest) = text.strip_prefix(':') else { return Some((0, text)) };
    let (digits, rest) = rest.split_at_checked(2)?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = digits.parse().ok().filter(|&seconds: &i32| is_number && seconds <= 59)?;
    Some((seconds, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::dialect::timestamp_format::TimestampFormat;
    use proptest::prelude::*;

    /// 2025-03-21 01:09:00
    const TIME: i64 = 1_742_519_340;

    fn read(pattern: &str, cell: &str) -> Result<(i64, u32, Option<i32>), Reason> {
        let pattern: TimestampPattern = pattern.parse().unwrap();
        parse(cell.as_bytes(), &pattern).map(|clock| (clock.local, clock.nanos, clock.offset))
    }

    #[test]
    fn the_whole_cell_is_read() {
        for (pattern, cell, expected) in [
            ("%m/%d/%Y %H:%M", "3/21/2025 1:09", (TIME, 0, None)),
            ("%m/%d/%Y %H:%M", "03/21/2025 01:09", (TIME, 0, None)),
            ("%d.%m.%Y", "21.03.2025", (TIME - 4140, 0, None)),
            ("%F %H", "2025-03-21 02", (TIME + 3060, 0, None)),
            ("%m/%d/%y %I:%M %p", "3/21/25 1:09 AM", (TIME, 0, None)),
            ("%m/%d/%y %I:%M%p", "3/21/25 1:09pm", (TIME + 43_200, 0, None)),
            ("%a %b %e %T %Y", "Fri Mar 21 01:09:00 2025", (TIME, 0, None)),
            ("%b %e %Y", "Mar  1 2025", (1_740_787_200, 0, None)),
            ("%d/%b/%Y:%T %z", "21/Mar/2025:01:09:00 +0100", (TIME, 0, Some(3600))),
            ("%F %T%.f", "2025-03-21 01:09:00.25", (TIME, 250_000_000, None)),
            ("%F %T%.f", "2025-03-21 01:09:00", (TIME, 0, None)),
            ("%F %T,%3f", "2025-03-21 01:09:00,007", (TIME, 7_000_000, None)),
            ("%FT%T%.3f%:z", "2025-03-21T01:09:00.000-05:30", (TIME, 0, Some(-19_800))),
            ("%F %T %::z", "2025-03-21 01:09:00 -01:00:30", (TIME, 0, Some(-3630))),
            ("%F %T %::z", "2025-03-21 01:09:00 +01:00", (TIME, 0, Some(3600))),
            ("%F %T %#z", "2025-03-21 01:09:00 +01", (TIME, 0, Some(3600))),
            ("%F %T%#z", "2025-03-21 01:09:00Z", (TIME, 0, Some(0))),
            ("%+", "2025-03-21T01:09:00.5+01:00", (TIME, 500_000_000, Some(3600))),
            ("%+", "2025-03-21 01:09:00 UTC", (TIME, 0, Some(0))),
            ("%s", "1742519340", (TIME, 0, Some(0))),
            ("@%s%.f", "@1742519340.5", (TIME, 500_000_000, Some(0))),
            ("%G-W%V-%u", "2025-W12-5", (TIME - 4140, 0, None)),
            ("%Y%m%dT%H%M%S", "20250321T010900", (TIME, 0, None)),
        ] {
            assert_eq!(read(pattern, cell), Ok(expected), "{pattern} {cell}");
        }
    }

    #[test]
    fn leniency_of_the_library_is_refused() {
        for (pattern, cell) in [
            ("%F %T", ""),
            ("%F %T", " 2025-03-21 01:09:00"),
            ("%F %T", "2025-03-21 01:09:00 "),
            ("%F %T", "2025-03-2101:09:00"),
            ("%F %T", "2025- 3-21 01:09:00"),
            ("%F %T", "+2025-03-21 01:09:00"),
            ("%F %T", "-2025-03-21 01:09:00"),
            ("%F %T", "２025-03-21 01:09:00"),
            ("%F %T", "2025-03-21\u{a0}01:09:00"),
            ("%F %T", "2025-03-21 01:09:60"),
            ("%F %T", "2025-03-21 24:09:00"),
            ("%F %T", "2025-02-29 01:09:00"),
            ("%F %T", "2025-13-21 01:09:00"),
            ("%F %T%.f", "2025-03-21 01:09:00.1234567890"),
            ("%F %T%.f", "2025-03-21 01:09:00."),
            ("%F %T%z", "2025-03-21 01:09:00 +0100"),
            ("%F %T %z", "2025-03-21 01:09:00 +01: 00"),
            ("%F %T %z", "2025-03-21 01:09:00 +01::00"),
            ("%F %T %z", "2025-03-21 01:09:00 \u{2212}01:00"),
            ("%F %T %z", "2025-03-21 01:09:00 +24:00"),
            ("%F %T %z", "2025-03-21 01:09:00"),
            ("%F %T %#z", "2025-03-21 01:09:00 +01:"),
            ("%F %T %::z", "2025-03-21 01:09:00 +01:00:60"),
            ("%F %T %::z", "2025-03-21 01:09:00 +23:59:60"),
            ("%F %T %::z", "2025-03-21 01:09:00 +01:00:+1"),
            ("%+", "2025-03-21T01:09:60Z"),
            ("%+", "2025-3-21T01:09:00Z"),
            ("%+", "2025-03-21T01:09:00"),
            ("%+", "2025-03-21T01:09:00.1234567890Z"),
            ("%s", "-5"),
            ("%s", " 5"),
            ("%s", "5.5"),
            ("%a %F", "Mon 2025-03-21"),
        ] {
            assert_eq!(read(pattern, cell), Err(Reason::BadTimestamp), "{pattern} {cell}");
        }
        for cell in ["253402300800", "99999999999999999999999999"] {
            assert_eq!(read("%s", cell), Err(Reason::TimestampRange), "{cell}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_with_a_pattern_is_read(
            seconds in 0_i64..4_000_000_000, nanos in 0_u32..1_000_000_000, pattern in 0_usize..6,
        ) {
            let pattern = ["%c%.9f", "%D %r%.f", "%s%.9f", "%G %V %u %R:%S%.9f", "%Y %j %T.%9f", "%+"][pattern];
            let time = chrono::DateTime::from_timestamp(seconds, nanos).unwrap();
            let format: TimestampFormat = pattern.parse().unwrap();
            let TimestampFormat::Pattern(parsed) = format else { panic!() };
            let clock = parse(time.format(pattern).to_string().as_bytes(), &parsed);
            let clock = clock.map(|clock| (clock.local, clock.nanos));
            // Two digits of a year end in 2069.
            prop_assume!(!pattern.starts_with("%D") || seconds < 3_155_760_000);
            prop_assert_eq!(clock, Ok((seconds, nanos)), "{}", pattern);
        }

        #[test]
        fn no_text_causes_a_panic(pattern in "(%[-_0]?[A-Za-z+.:#39]{1,4}|[ T/:]){0,6}", cell in "[ -~é]{0,30}") {
            if let Ok(pattern) = pattern.parse::<TimestampPattern>() {
                let _ = parse(cell.as_bytes(), &pattern);
            }
        }
    }
}
