//! Parses `duration_sec`, a number of seconds with up to three decimals, into milliseconds.

use crate::model::Reason;
use crate::model::dialect::{DecimalMark, Dialect, DurationUnit};
use crate::model::layout::TypedCells;

/// The maximum duration in milliseconds: one day.
const LONGEST: u64 = 86_400_000;

/// Parses durations in the unit and with the decimal mark of a dialect.
#[derive(Clone, Copy, Debug)]
pub struct DurationReader {
    unit: DurationUnit,
    mark: DecimalMark,
}

impl DurationReader {
    /// A reader for the durations of a dialect. Typed cells always have a point.
    pub fn of(dialect: &Dialect, typed: TypedCells) -> Self {
        let mark = if typed.duration { DecimalMark::Point } else { dialect.decimal };
        Self { unit: dialect.duration, mark }
    }

    /// Parses a cell into milliseconds.
    ///
    /// # Errors
    /// The same as for [`parse`].
    #[inline]
    pub fn read(self, cell: &[u8]) -> Result<u32, Reason> {
        match (self.unit, parse_plain(cell)) {
            (DurationUnit::Seconds, Some(millis)) => Ok(millis),
            _ => parse(cell),
        }
    }
}

/// Parses a duration into milliseconds.
///
/// # Errors
/// `negative_duration`, `bad_number`, `overflow` or `duration_range`.
pub fn parse(cell: &[u8]) -> Result<u32, Reason> {
    if let [b'-', positive @ ..] = cell {
        let negative = !matches!(parse(positive), Err(Reason::BadNumber | Reason::NegativeDuration));
        return Err(if negative { Reason::NegativeDuration } else { Reason::BadNumber });
    }
    let point = cell.iter().position(|&byte| byte == b'.');
    let (whole, decimals) = match point {
        Some(point) => (&cell[..point], Some(&cell[point + 1..])),
        None => (cell, None),
    };
    let all_digits = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if !all_digits(whole) || decimals.is_some_and(|digits| !all_digits(digits) || digits.len() > 3) {
        return Err(Reason::BadNumber);
    }
    let mut seconds = 0_u64;
    for digit in whole {
        let shifted = seconds.checked_mul(10).and_then(|tens| tens.checked_add(u64::from(digit - b'0')));
        seconds = shifted.ok_or(Reason::Overflow)?;
    }
    let mut unit = 1000;
    let mut millis = seconds.saturating_mul(unit);
    for digit in decimals.unwrap_or_default() {
        unit /= 10;
        millis = millis.saturating_add(u64::from(digit - b'0') * unit);
    }
    if millis > LONGEST {
        return Err(Reason::DurationRange);
    }
    Ok(millis as u32)
}

/// Parses the common form of a duration: one to five digits. Returns `None` for any other cell, which
/// then needs [`parse`].
#[inline]
pub fn parse_plain(cell: &[u8]) -> Option<u32> {
    if cell.is_empty() || cell.len() > 5 {
        return None;
    }
    let mut seconds = 0;
    for byte in cell {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        seconds = seconds * 10 + u32::from(digit);
    }
    (u64::from(seconds) * 1000 <= LONGEST).then_some(seconds * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact_milliseconds() {
        for (cell, millis) in [
            ("0", 0),
            ("150", 150_000),
            ("69.5", 69_500),
            ("0.001", 1),
            ("86400", 86_400_000),
            ("00000000000000000000000007", 7_000),
            ("86400.000", 86_400_000),
        ] {
            assert_eq!(parse(cell.as_bytes()), Ok(millis), "{cell}");
        }
    }

    #[test]
    fn invalid_durations_have_a_reason() {
        for (cell, reason) in [
            ("", Reason::BadNumber),
            (".", Reason::BadNumber),
            ("1.", Reason::BadNumber),
            (".5", Reason::BadNumber),
            ("1.2345", Reason::BadNumber),
            ("NaN", Reason::BadNumber),
            ("1e3", Reason::BadNumber),
            ("+1", Reason::BadNumber),
            (" 1", Reason::BadNumber),
            ("0x10", Reason::BadNumber),
            ("-", Reason::BadNumber),
            ("--1", Reason::BadNumber),
            ("-x", Reason::BadNumber),
            ("-5", Reason::NegativeDuration),
            ("-0.5", Reason::NegativeDuration),
            ("86400.001", Reason::DurationRange),
            ("18446744073709551615", Reason::DurationRange),
            ("18446744073709551616", Reason::Overflow),
            ("-18446744073709551616", Reason::NegativeDuration),
        ] {
            assert_eq!(parse(cell.as_bytes()), Err(reason), "{cell}");
        }
    }

    #[test]
    fn the_fast_path_agrees() {
        for cell in ["0", "150", "86400", "86401", "99999", "", "1.5", "123456", "1x"] {
            if let Some(plain) = parse_plain(cell.as_bytes()) {
                assert_eq!(parse(cell.as_bytes()), Ok(plain), "{cell}");
            }
        }
        assert_eq!(parse_plain(b"86401"), None);
    }
}
