//! How values become the text of a CSV cell: quoting, exact decimals, timestamps, escaped bytes.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::civil::{CivilDate, DAY};
use crate::line_buffer::{LineBuffer, STEP};
use crate::model::Moment;

/// Appends `cell`, in quotes only where RFC 4180 section 2 needs them.
///
/// ```
/// let mut out = Vec::new();
/// music_insights::text::push_cell(&mut out, b"Hello, \"World\"");
/// assert_eq!(out, b"\"Hello, \"\"World\"\"\"");
/// ```
pub fn push_cell(out: &mut Vec<u8>, cell: &[u8]) {
    if !needs_quotes(cell) {
        out.extend_from_slice(cell);
        return;
    }
    out.push(b'"');
    for &byte in cell {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Whether a cell must be quoted: it holds a comma, a quote, a CR or an LF.
pub fn needs_quotes(cell: &[u8]) -> bool {
    cell.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n'))
}

/// Appends a whole number.
pub fn push_integer(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends `numerator / denominator`, rounded half away from zero to `decimals` places, with at
/// least one digit after the point and no further trailing zeros.
///
/// The quotient of integers is rounded exactly; no float is involved.
///
/// # Panics
/// If `denominator` is zero, or `2 * numerator * 10^decimals` exceeds 128 bits.
///
/// ```
/// let mut out = Vec::new();
/// music_insights::text::push_ratio(&mut out, 625, 3, 2);
/// assert_eq!(out, b"208.33");
/// ```
pub fn push_ratio(out: &mut Vec<u8>, numerator: u128, denominator: u128, decimals: u32) {
    let unit = 10_u128.pow(decimals);
    let rounded = (2 * numerator * unit + denominator) / (2 * denominator);
    push_integer(out, (rounded / unit) as u64);
    out.push(b'.');
    let start = out.len();
    push_fraction(out, rounded % unit, decimals);
    if out.len() == start {
        out.push(b'0');
    }
}

/// Appends `fraction` as `places` digits without trailing zeros; nothing if it is zero.
fn push_fraction(out: &mut Vec<u8>, fraction: u128, places: u32) {
    let mut digits = fraction;
    let mut unit = 10_u128.pow(places);
    while digits > 0 {
        unit /= 10;
        out.push(b'0' + (digits / unit) as u8);
        digits %= unit;
    }
}

/// Appends milliseconds as seconds without trailing zeros: `180`, `69.5`.
///
/// # Panics
/// If `out` has no room for 16 bytes.
#[inline]
pub fn push_seconds(out: &mut LineBuffer, millis: u32) {
    // At most seven digits, so they fit a word; the first one must come to its lowest byte.
    let (mut word, mut len) = (0, 0);
    let mut rest = millis / 1000;
    loop {
        word = word << 8 | u64::from(b'0') | u64::from(rest % 10);
        len += 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.push_word(word, len);
    let mut fraction = millis % 1000;
    if fraction > 0 {
        out.push(b'.');
    }
    while fraction > 0 {
        out.push(b'0' + (fraction / 100) as u8);
        fraction = fraction % 100 * 10;
    }
}

/// Writes moments as RFC 3339 text; remembers the last day, because neighbours share it.
#[derive(Debug)]
pub struct TimestampWriter {
    day: i64,
    date: [u8; DATE + STEP],
}

/// Bytes of a date and the `T` behind it.
const DATE: usize = 11;

impl Default for TimestampWriter {
    fn default() -> Self {
        let mut writer = Self { day: 0, date: [0; DATE + STEP] };
        writer.date[..DATE].copy_from_slice(b"1970-01-01T");
        writer
    }
}

impl TimestampWriter {
    /// Appends `2025-03-21T01:09:00.25+01:00`: offset zero is `Z`, and the fraction has no
    /// trailing zeros.
    ///
    /// # Panics
    /// If `out` has no room for 64 bytes.
    #[inline]
    pub fn push(&mut self, out: &mut LineBuffer, moment: Moment) {
        let day = moment.local.div_euclid(DAY);
        if day != self.day {
            self.set_day(day);
        }
        out.push_padded(&self.date, DATE);
        out.push_word(time_word(moment.local.rem_euclid(DAY) as u32), 8);
        if moment.nanos == 0 && moment.offset == 0 {
            out.push(b'Z');
        } else {
            push_fraction_and_offset(out, moment);
        }
    }

    fn set_day(&mut self, day: i64) {
        self.day = day;
        let CivilDate { year, month, day } = CivilDate::from_days(day);
        self.date[..4].copy_from_slice(&four_digits(year as u32));
        self.date[5..7].copy_from_slice(&two_digits(month as u8));
        self.date[8..10].copy_from_slice(&two_digits(day as u8));
    }
}

/// A second of the day as the eight bytes `01:09:00`, the first in the lowest byte.
#[inline]
fn time_word(second: u32) -> u64 {
    let two = |value: u32| u64::from(value / 10) | u64::from(value % 10) << 8;
    let digits = two(second / 3600) | two(second / 60 % 60) << 24 | two(second % 60) << 48;
    digits | u64::from_le_bytes(*b"00:00:00")
}

fn push_fraction_and_offset(out: &mut LineBuffer, moment: Moment) {
    let mut rest = Vec::with_capacity(16);
    if moment.nanos != 0 {
        rest.push(b'.');
        push_fraction(&mut rest, u128::from(moment.nanos), 9);
    }
    push_offset(&mut rest, moment.offset);
    out.push_slice(&rest);
}

fn push_offset(out: &mut Vec<u8>, offset: i32) {
    if offset == 0 {
        out.push(b'Z');
        return;
    }
    let minutes = offset.unsigned_abs() / 60;
    let [h1, h2] = two_digits((minutes / 60) as u8);
    let [m1, m2] = two_digits((minutes % 60) as u8);
    out.extend_from_slice(&[if offset < 0 { b'-' } else { b'+' }, h1, h2, b':', m1, m2]);
}

fn two_digits(value: u8) -> [u8; 2] {
    [b'0' + value / 10, b'0' + value % 10]
}

fn four_digits(value: u32) -> [u8; 4] {
    let [a, b] = two_digits((value / 100) as u8);
    let [c, d] = two_digits((value % 100) as u8);
    [a, b, c, d]
}

/// A path as messages, rejects and the manifest show it: one line of text, whatever its bytes.
///
/// ```
/// assert_eq!(music_insights::text::path_text("a\nb.csv".as_ref()), r"a\x0ab.csv");
/// ```
pub fn path_text(path: &Path) -> String {
    let mut text = String::new();
    for char in escape_bytes(path.as_os_str().as_bytes()).chars() {
        if char.is_ascii_control() {
            push_hex(&mut text, char as u8);
        } else {
            text.push(char);
        }
    }
    text
}

/// The path that [`path_text`] has shown.
///
/// ```
/// use music_insights::text::{parse_path, path_text};
/// assert_eq!(parse_path(&path_text("a\n\\b.csv".as_ref())), std::path::Path::new("a\n\\b.csv"));
/// ```
pub fn parse_path(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = |at: usize| after.get(at).and_then(|&byte| char::from(byte).to_digit(16));
        let (byte, len) = match (first, after.first(), hex(1), hex(2)) {
            (b'\\', Some(b'x'), Some(high), Some(low)) => ((high << 4 | low) as u8, 4),
            (b'\\', Some(b'\\'), ..) => (b'\\', 2),
            _ => (*first, 1),
        };
        bytes.push(byte);
        rest = &rest[len..];
    }
    OsString::from_vec(bytes).into()
}

fn push_hex(out: &mut String, byte: u8) {
    out.push_str("\\x");
    for half in [byte >> 4, byte & 15] {
        out.push(char::from(b"0123456789abcdef"[usize::from(half)]));
    }
}

/// Any bytes as UTF-8 text that can be read back: bytes that are not UTF-8 as `\xNN`, a backslash
/// as `\\`.
///
/// ```
/// assert_eq!(music_insights::text::escape_bytes(b"a\\b\xff"), r"a\\b\xff");
/// ```
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for part in bytes.utf8_chunks() {
        for char in part.valid().chars() {
            if char == '\\' {
                out.push('\\');
            }
            out.push(char);
        }
        for byte in part.invalid() {
            push_hex(&mut out, *byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(numerator: u128, denominator: u128, decimals: u32) -> String {
        let mut out = Vec::new();
        push_ratio(&mut out, numerator, denominator, decimals);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn ratios_round_half_away_from_zero_and_drop_trailing_zeros() {
        assert_eq!(ratio(1_808, 10, 2), "180.8");
        assert_eq!(ratio(150, 1, 2), "150.0");
        assert_eq!(ratio(1, 200, 2), "0.01", "0.005 is rounded up");
        assert_eq!(ratio(49, 10_000, 2), "0.0");
        assert_eq!(ratio(1_999, 1_000, 2), "2.0");
        assert_eq!(ratio(5, 2, 0), "3.0");
        assert_eq!(ratio(101, 100, 2), "1.01");
    }

    fn timestamp(local: i64, offset: i32, nanos: u32) -> String {
        let mut out = LineBuffer::default();
        out.reserve(64);
        TimestampWriter::default().push(&mut out, Moment { local, offset, nanos });
        String::from_utf8(out.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn timestamps_are_rfc_3339() {
        assert_eq!(timestamp(1_742_519_340, 0, 0), "2025-03-21T01:09:00Z");
        assert_eq!(timestamp(1_742_519_340, 3600, 250_000_000), "2025-03-21T01:09:00.25+01:00");
        assert_eq!(timestamp(-1, -19_800, 1), "1969-12-31T23:59:59.000000001-05:30");
    }

    #[test]
    fn seconds_have_no_trailing_zeros() {
        for (millis, expected) in [
            (0, "0"),
            (69_050, "69.05"),
            (180_000, "180"),
            (86_400_000, "86400"),
            (1, "0.001"),
            (10_100, "10.1"),
        ] {
            let mut out = LineBuffer::default();
            out.reserve(16);
            push_seconds(&mut out, millis);
            assert_eq!(std::str::from_utf8(out.as_bytes()).unwrap(), expected);
        }
    }
}
