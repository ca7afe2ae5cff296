//! Parses `duration_sec`, a decimal number of seconds or milliseconds, into whole milliseconds.

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
    /// The maximum number of digits in the common form, and the milliseconds of a unit.
    plain_len: usize,
    millis: u32,
}

impl DurationReader {
    /// A reader for the durations of a dialect. Typed cells always have a point.
    pub fn of(dialect: &Dialect, typed: TypedCells) -> Self {
        let mark = if typed.duration { DecimalMark::Point } else { dialect.decimal };
        Self::new(dialect.duration, mark)
    }

    const fn new(unit: DurationUnit, mark: DecimalMark) -> Self {
        let (plain_len, millis) = match unit {
            DurationUnit::Seconds => (5, 1000),
            DurationUnit::Millis => (WORD, 1),
        };
        Self { unit, mark, plain_len, millis }
    }

    /// Parses a cell into milliseconds.
    ///
    /// # Errors
    /// `negative_duration`, `bad_number`, `overflow` or `duration_range`.
    pub fn read(self, cell: &[u8]) -> Result<u32, Reason> {
        let mut padded = [0; WORD];
        if let Some(room) = padded.get_mut(..cell.len()) {
            room.copy_from_slice(cell);
        }
        self.read_padded(&padded, cell.len()).map_or_else(|| self.parse(cell), Ok)
    }

    /// Parses the common form of a duration: up to five digits of seconds, or eight of milliseconds. The cell
    /// is the first `len` bytes of `padded`, which has at least eight bytes. `None` for any other cell.
    #[inline]
    pub fn read_padded(self, padded: &[u8], len: usize) -> Option<u32> {
        if len.wrapping_sub(1) >= self.plain_len {
            return None;
        }
        let millis = digits(u64::from_le_bytes(*padded.first_chunk()?), len)? * self.millis;
        (u64::from(millis) <= LONGEST).then_some(millis)
    }

    /// Parses any cell.
    fn parse(self, cell: &[u8]) -> Result<u32, Reason> {
        if let [b'-', positive @ ..] = cell {
            let negative = !matches!(self.parse(positive), Err(Reason::BadNumber | Reason::NegativeDuration));
            return Err(if negative { Reason::NegativeDuration } else { Reason::BadNumber });
        }
        let mark = self.mark.byte();
        let (whole, decimals) = match cell.iter().position(|&byte| byte == mark) {
            Some(at) => (&cell[..at], Some(&cell[at + 1..])),
            None => (cell, None),
        };
        let is_number = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        if !is_number(whole) || decimals.is_some_and(|digits| !is_number(digits)) {
            return Err(Reason::BadNumber);
        }
        let digit = |byte: &u8| u64::from(byte - b'0');
        let mut number = 0_u64;
        for next in whole.iter().map(digit) {
            number =
                number.checked_mul(10).and_then(|tens| tens.checked_add(next)).ok_or(Reason::Overflow)?;
        }
        let kept = match self.unit {
            DurationUnit::Seconds => 3,
            DurationUnit::Millis => 0,
        };
        let decimals = decimals.unwrap_or_default();
        let mut millis = number;
        for at in 0..kept {
            millis = millis.saturating_mul(10).saturating_add(decimals.get(at).map_or(0, digit));
        }
        // The next decimal alone decides how a number is rounded half up.
        let rounds_up = decimals.get(kept).is_some_and(|next| digit(next) >= 5);
        let millis = millis.saturating_add(u64::from(rounds_up));
        if millis > LONGEST {
            return Err(Reason::DurationRange);
        }
        Ok(millis as u32)
    }
}

/// The number of digits that are parsed at once.
const WORD: usize = size_of::<u64>();

/// The number in the first `len` bytes of a word, which are its lowest bytes. `len` is 1 to 8. `None` if a byte
/// is not a digit.
///
/// Neighbouring digits are added in three steps, which takes the same time for any number of digits.
#[inline]
fn digits(word: u64, len: usize) -> Option<u32> {
    // The other bytes become leading zeros.
    let digits = (word ^ 0x3030_3030_3030_3030) << (8 * (WORD - len));
    let wrong = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    if wrong != 0 {
        return None;
    }
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    Some((fours.wrapping_mul(10_000).wrapping_add(fours >> 32)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECONDS: DurationReader = DurationReader::new(DurationUnit::Seconds, DecimalMark::Point);
    const MILLIS: DurationReader = DurationReader::new(DurationUnit::Millis, DecimalMark::Point);
    const COMMA: DurationReader = DurationReader::new(DurationUnit::Seconds, DecimalMark::Comma);

    #[test]
    fn durations_are_exact_milliseconds() {
        for (reader, cell, millis) in [
            (SECONDS, "0", 0),
            (SECONDS, "150", 150_000),
            (SECONDS, "69.5", 69_500),
            (SECONDS, "0.001", 1),
            (SECONDS, "86400", 86_400_000),
            (SECONDS, "00000000000000000000000007", 7_000),
            (SECONDS, "86400.000", 86_400_000),
            (SECONDS, "1.2345", 1_235),
            (SECONDS, "1.23449999999999999999999999", 1_234),
            (SECONDS, "0.9995", 1_000),
            (SECONDS, "86400.00049999", 86_400_000),
            (MILLIS, "86400000", 86_400_000),
            (MILLIS, "69500", 69_500),
            (MILLIS, "0.5", 1),
            (MILLIS, "0.49", 0),
            (MILLIS, "086400000.4", 86_400_000),
            (COMMA, "69,5", 69_500),
            (COMMA, "70", 70_000),
        ] {
            assert_eq!(reader.read(cell.as_bytes()), Ok(millis), "{cell}");
        }
    }

    #[test]
    fn invalid_durations_have_a_reason() {
        for (cell, reason) in [
            ("", Reason::BadNumber),
            (".", Reason::BadNumber),
            ("1.", Reason::BadNumber),
            (".5", Reason::BadNumber),
            ("1.2.3", Reason::BadNumber),
            ("1,5", Reason::BadNumber),
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
            ("86400.0005", Reason::DurationRange),
            ("18446744073709551615", Reason::DurationRange),
            ("18446744073709551616", Reason::Overflow),
            ("-18446744073709551616", Reason::NegativeDuration),
        ] {
            assert_eq!(SECONDS.read(cell.as_bytes()), Err(reason), "{cell}");
        }
        for (reader, cell, reason) in [
            (COMMA, "1.5", Reason::BadNumber),
            (COMMA, "1,5,0", Reason::BadNumber),
            (MILLIS, "86400000.5", Reason::DurationRange),
            (MILLIS, "99999999", Reason::DurationRange),
            (MILLIS, "18446744073709551616", Reason::Overflow),
            (MILLIS, "-1", Reason::NegativeDuration),
        ] {
            assert_eq!(reader.read(cell.as_bytes()), Err(reason), "{cell}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_path_agrees_with_the_slow_path(cell in "[0-9]{0,10}([.,x/:][0-9]{0,5})?") {
            for reader in [SECONDS, MILLIS, COMMA] {
                prop_assert_eq!(reader.read(cell.as_bytes()), reader.parse(cell.as_bytes()));
            }
        }
    }
}
