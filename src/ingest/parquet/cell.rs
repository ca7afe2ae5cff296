//! Formats Parquet values as the text of CSV cells.

use std::io::Write;

use ::parquet::basic::{ConvertedType, LogicalType, TimeUnit};
use ::parquet::schema::types::ColumnDescriptor;

use crate::time::civil::{CivilDate, DAY};

/// The logical type of a column. It determines the meaning of the stored values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The stored values have no special meaning.
    Plain,
    /// Unsigned integers.
    Unsigned,
    /// Decimal numbers, stored as integers. The value in this variant is the number of decimals.
    Decimal(usize),
    /// Times in units of `1 / per_second` seconds, in UTC or as local time.
    Time { per_second: i64, utc: bool },
    /// Days since 1970-01-01.
    Date,
    /// The 16 bytes of a UUID.
    Uuid,
}

const MILLIS: i64 = 1_000;
const MICROS: i64 = 1_000_000;
/// Nanoseconds per second.
pub(super) const NANOS: i64 = 1_000_000_000;

impl Meaning {
    /// Reads the logical type of a column.
    pub(super) fn of(column: &ColumnDescriptor) -> Self {
        match (column.logical_type_ref(), column.converted_type()) {
            (Some(LogicalType::Timestamp(time)), _) => {
                let per_second = match time.unit {
                    TimeUnit::MILLIS => MILLIS,
                    TimeUnit::MICROS => MICROS,
                    TimeUnit::NANOS => NANOS,
                };
                Self::Time { per_second, utc: time.is_adjusted_to_u_t_c }
            }
            (Some(LogicalType::Uuid), _) => Self::Uuid,
            (_, ConvertedType::TIMESTAMP_MILLIS) => Self::Time { per_second: MILLIS, utc: true },
            (_, ConvertedType::TIMESTAMP_MICROS) => Self::Time { per_second: MICROS, utc: true },
            (Some(LogicalType::Decimal(_)), _) | (_, ConvertedType::DECIMAL) => {
                Self::Decimal(usize::try_from(column.type_scale()).unwrap_or_default())
            }
            (Some(LogicalType::Date), _) | (_, ConvertedType::DATE) => Self::Date,
            (
                _,
                ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64,
            ) => Self::Unsigned,
            _ => Self::Plain,
        }
    }

    /// Appends a value that is stored as an integer.
    pub(super) fn push_whole(self, out: &mut Vec<u8>, value: i128) {
        match self {
            Self::Decimal(scale) => push_decimal(out, value, scale),
            Self::Time { per_second, utc } => push_time(out, value as i64, per_second, utc),
            Self::Date => push_time(out, (value as i64).saturating_mul(DAY), 1, false),
            Self::Plain | Self::Unsigned | Self::Uuid => push(out, format_args!("{value}")),
        }
    }

    /// Appends a value that is stored as bytes.
    pub(super) fn push_bytes(self, out: &mut Vec<u8>, bytes: &[u8]) {
        match self {
            Self::Decimal(scale) => {
                if let Some(value) = big_endian(bytes) {
                    push_decimal(out, value, scale);
                }
            }
            Self::Uuid => {
                for (index, byte) in bytes.iter().enumerate() {
                    let hyphen = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
                    push(out, format_args!("{hyphen}{byte:02x}"));
                }
            }
            _ => out.extend_from_slice(bytes),
        }
    }
}

/// Appends formatted text.
pub(super) fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory does not fail");
}

/// Appends a number with `scale` decimals, but without trailing zeros.
fn push_decimal(out: &mut Vec<u8>, value: i128, scale: usize) {
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let fraction = fraction.trim_end_matches('0');
    let sign = if value < 0 { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    push(out, format_args!("{sign}{whole}{point}{fraction}"));
}

/// Decodes a big-endian number in two's complement. `None` if it has more than 128 bits.
fn big_endian(bytes: &[u8]) -> Option<i128> {
    let sign = if bytes.first()? & 0x80 == 0 { 0 } else { 0xff };
    let extra = bytes.len().saturating_sub(16);
    let low = &bytes[extra..];
    let mut all = [sign; 16];
    all[16 - low.len()..].copy_from_slice(low);
    let value = i128::from_be_bytes(all);
    let whole = bytes[..extra].iter().all(|&byte| byte == sign) && (value < 0) == (sign != 0);
    whole.then_some(value)
}

/// The range of dates in the years 0000 to 9999, in days since 1970-01-01.
const FOUR_DIGITS: std::ops::Range<i64> = -719_528..2_932_897;

/// Appends a time in the same form as in logs. A time outside of the years 0000 to 9999 is appended as a
/// number, and the decoder then rejects the row.
fn push_time(out: &mut Vec<u8>, value: i64, per_second: i64, utc: bool) {
    let (seconds, rest) = (value.div_euclid(per_second), value.rem_euclid(per_second));
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    if !FOUR_DIGITS.contains(&days) {
        return push(out, format_args!("{value}"));
    }
    let CivilDate { year, month, day } = CivilDate::from_days(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    push(out, format_args!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"));
    if rest > 0 {
        let nanos = format!("{:09}", rest * (NANOS / per_second));
        push(out, format_args!(".{}", nanos.trim_end_matches('0')));
    }
    if utc {
        out.push(b'Z');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(push: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_have_the_form_of_logs() {
        let time = |value, per_second, utc| text(|out| push_time(out, value, per_second, utc));
        assert_eq!(time(1_742_519_340_000, MILLIS, true), "2025-03-21 01:09:00Z");
        assert_eq!(time(1_742_519_340_250_000, MICROS, false), "2025-03-21 01:09:00.25");
        assert_eq!(time(-1, NANOS, true), "1969-12-31 23:59:59.999999999Z");
        assert_eq!(time(-62_167_219_200, 1, false), "0000-01-01 00:00:00");
        assert_eq!(time(253_402_300_799, 1, false), "9999-12-31 23:59:59");
        assert_eq!(time(-62_167_219_201, 1, false), "-62167219201");
        assert_eq!(time(253_402_300_800, 1, true), "253402300800");
        assert_eq!(time(i64::MAX, 1, true), i64::MAX.to_string());
    }

    #[test]
    fn decimals_are_exact_without_trailing_zeros() {
        let decimal = |value, scale| text(|out| push_decimal(out, value, scale));
        assert_eq!(decimal(180_500, 3), "180.5");
        assert_eq!(decimal(180_000, 3), "180");
        assert_eq!(decimal(-5, 2), "-0.05");
        assert_eq!(decimal(7, 0), "7");
        assert_eq!(decimal(i128::MIN, 38), "-1.70141183460469231731687303715884105728");
        let bytes = |bytes: &[u8]| text(|out| Meaning::Decimal(1).push_bytes(out, bytes));
        assert_eq!(bytes(&[0x07, 0x08]), "180");
        assert_eq!(bytes(&[0xff]), "-0.1");
        assert_eq!(bytes(&[&[0; 20][..], &[1]].concat()), "0.1");
        assert_eq!(bytes(&[&[1][..], &[0; 20]].concat()), "");
        assert_eq!(bytes(&[&[0], &[0x80][..], &[0; 15]].concat()), "");
        assert_eq!(bytes(&[]), "");
    }

    #[test]
    fn a_uuid_has_its_hyphens() {
        let bytes: Vec<u8> = (0..16).collect();
        assert_eq!(text(|out| Meaning::Uuid.push_bytes(out, &bytes)), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }
}
