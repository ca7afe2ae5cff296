//! Parses Unix timestamps: digits, optionally followed by a point and decimals down to the nanosecond.

use crate::ingest::decode::timestamp::wall_clock::WallClock;
use crate::model::Reason;
use crate::model::dialect::timestamp_format::UnixUnit;

/// 9999-12-31T23:59:59Z, the last second of a date with four digits.
pub(super) const LAST_SECOND: u64 = 253_402_300_799;

/// Parses a cell.
///
/// # Errors
/// `bad_timestamp`, or `timestamp_range` if the number is too large for a date.
#[inline]
pub(super) fn parse(cell: &[u8], unit: UnixUnit) -> Result<WallClock, Reason> {
    let (whole, fraction) = match parse_whole(cell) {
        Some(whole) => (whole, 0),
        None => parse_any(cell, unit)?,
    };
    let (seconds, nanos) = match unit {
        UnixUnit::Seconds => (whole, 0),
        UnixUnit::Millis => (whole / 1_000, whole % 1_000 * 1_000_000),
        UnixUnit::Micros => (whole / 1_000_000, whole % 1_000_000 * 1_000),
    };
    if seconds > LAST_SECOND {
        return Err(Reason::TimestampRange);
    }
    Ok(WallClock { local: seconds as i64, nanos: nanos as u32 + fraction, offset: Some(0) })
}

/// Parses up to 18 digits.
#[inline]
fn parse_whole(cell: &[u8]) -> Option<u64> {
    if cell.is_empty() || cell.len() > 18 {
        return None;
    }
    let (first, groups) = cell.as_rchunks();
    let mut number = 0;
    for byte in first {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    for group in groups {
        number = number * 100_000_000 + parse_eight(*group)?;
    }
    Some(number)
}

/// Parses eight digits at once.
#[inline]
fn parse_eight(digits: [u8; 8]) -> Option<u64> {
    let digits = u64::from_le_bytes(digits) ^ 0x3030_3030_3030_3030;
    if (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    // Joins neighbours: first to numbers of two digits in every second byte, then to the whole number.
    let pairs = digits * 10 + (digits >> 8);
    let even = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let odd = (pairs >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    Some(even.wrapping_add(odd) >> 32)
}

/// Parses any number of digits, and decimals as nanoseconds. A number beyond 64 bits becomes the largest
/// number.
#[cold]
fn parse_any(cell: &[u8], unit: UnixUnit) -> Result<(u64, u32), Reason> {
    let most_decimals = match unit {
        UnixUnit::Seconds => 9,
        UnixUnit::Millis => 6,
        UnixUnit::Micros => 3,
    };
    let (whole, decimals) = match memchr::memchr(b'.', cell) {
        Some(point) => (&cell[..point], Some(&cell[point + 1..])),
        None => (cell, None),
    };
    let is_number = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let number = |digits: &[u8]| {
        let digits = digits.iter().map(|byte| u64::from(byte - b'0'));
        digits.fold(0, |number: u64, digit| number.saturating_mul(10).saturating_add(digit))
    };
    if !is_number(whole) {
        return Err(Reason::BadTimestamp);
    }
    let Some(decimals) = decimals else { return Ok((number(whole), 0)) };
    if !is_number(decimals) || decimals.len() > most_decimals {
        return Err(Reason::BadTimestamp);
    }
    let missing = most_decimals - decimals.len();
    Ok((number(whole), number(decimals) as u32 * 10_u32.pow(missing as u32)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_reach_the_nanosecond_in_each_unit() {
        for (unit, cell, expected) in [
            (UnixUnit::Seconds, "1742519340", (1_742_519_340, 0)),
            (UnixUnit::Seconds, "01742519340.000000001", (1_742_519_340, 1)),
            (UnixUnit::Seconds, "0", (0, 0)),
            (UnixUnit::Millis, "1742519340250", (1_742_519_340, 250_000_000)),
            (UnixUnit::Millis, "999.000001", (0, 999_000_001)),
            (UnixUnit::Micros, "1742519340250001", (1_742_519_340, 250_001_000)),
            (UnixUnit::Micros, "1.5", (0, 1_500)),
            (UnixUnit::Micros, "000000000000000000000000001.999", (0, 1_999)),
        ] {
            let clock = parse(cell.as_bytes(), unit).unwrap();
            assert_eq!((clock.local, clock.nanos, clock.offset), (expected.0, expected.1, Some(0)), "{cell}");
        }
    }

    #[test]
    fn other_numbers_have_a_reason() {
        for (unit, cell, reason) in [
            (UnixUnit::Seconds, "", Reason::BadTimestamp),
            (UnixUnit::Seconds, "-1", Reason::BadTimestamp),
            (UnixUnit::Seconds, "+1", Reason::BadTimestamp),
            (UnixUnit::Seconds, " 1", Reason::BadTimestamp),
            (UnixUnit::Seconds, "1.", Reason::BadTimestamp),
            (UnixUnit::Seconds, ".5", Reason::BadTimestamp),
            (UnixUnit::Seconds, "1.0000000000", Reason::BadTimestamp),
            (UnixUnit::Seconds, "1e9", Reason::BadTimestamp),
            (UnixUnit::Millis, "1.0000000", Reason::BadTimestamp),
            (UnixUnit::Micros, "1.0000", Reason::BadTimestamp),
            (UnixUnit::Seconds, "12345678x", Reason::BadTimestamp),
            (UnixUnit::Seconds, "253402300800", Reason::TimestampRange),
            (UnixUnit::Millis, "99999999999999999999999.5", Reason::TimestampRange),
        ] {
            assert_eq!(parse(cell.as_bytes(), unit), Err(reason), "{cell}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_path_agrees_with_the_slow_path(
            cell in "[0-9]{0,20}|[0-9]{0,9}[ -~][0-9]{0,9}", unit in 0_usize..3,
        ) {
            let unit = [UnixUnit::Seconds, UnixUnit::Millis, UnixUnit::Micros][unit];
            if let Some(whole) = parse_whole(cell.as_bytes()) {
                prop_assert_eq!(parse_any(cell.as_bytes(), unit), Ok((whole, 0)));
            } else {
                prop_assert!(cell.len() > 18 || !cell.bytes().all(|byte| byte.is_ascii_digit()) || cell.is_empty());
            }
        }
    }
}
