//! How values become the text of a CSV cell: quoting, exact decimals, timestamps, escaped bytes.

pub mod line_buffer;

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::model::PlayTime;
use crate::text::line_buffer::Line;
use crate::time::civil::{CivilDate, DAY};

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

/// The digits of the numbers below 1,000, the first in the lowest byte, and their count in the highest.
/// One look here, where dividing would end in a loop whose length nobody can predict.
const DIGITS: [u32; 1000] = {
    let mut all = [0; 1000];
    let mut number = 0;
    while number < all.len() {
        let (mut text, mut count, mut rest) = (0, 0, number as u32);
        while rest > 0 || count == 0 {
            text = text << 8 | b'0' as u32 | (rest % 10);
            rest /= 10;
            count += 1;
        }
        all[number] = text | count << 24;
        number += 1;
    }
    all
};

/// Appends milliseconds as seconds without trailing zeros: `180`, `69.5`.
///
/// # Panics
/// If `line` has no room for 16 bytes.
#[inline]
pub fn push_seconds(line: &mut Line<'_>, millis: u32) {
    let seconds = millis / 1000;
    if let Some(digits) = DIGITS.get(seconds as usize) {
        line.store(&digits.to_le_bytes(), (digits >> 24) as usize);
    } else {
        push_long_seconds(line, seconds);
    }
    let mut fraction = millis % 1000;
    if fraction > 0 {
        line.store(b".", 1);
    }
    while fraction > 0 {
        line.store(&[b'0' + (fraction / 100) as u8], 1);
        fraction = fraction % 100 * 10;
    }
}

#[cold]
fn push_long_seconds(line: &mut Line<'_>, seconds: u32) {
    let mut digits = Vec::new();
    push_integer(&mut digits, u64::from(seconds));
    line.push_slice(&digits);
}

/// Writes moments as RFC 3339 text; remembers the last minute, because neighbours share it.
#[derive(Debug)]
pub struct TimestampWriter {
    minute: i64,
    /// The minute with the colon behind it, padded.
    text: [u8; 32],
}

/// Bytes of `2025-03-21T01:09:`.
const MINUTE: usize = 17;

impl Default for TimestampWriter {
    fn default() -> Self {
        let mut writer = Self { minute: 0, text: [0; 32] };
        writer.set_minute(0);
        writer
    }
}

impl TimestampWriter {
    /// Appends `2025-03-21T01:09:00.25+01:00`: offset zero is `Z`, and the fraction has no
    /// trailing zeros.
    ///
    /// # Panics
    /// If `line` has no room for 64 bytes.
    #[inline]
    pub fn push(&mut self, line: &mut Line<'_>, play_time: PlayTime) {
        let minute = play_time.local.div_euclid(60);
        if minute != self.minute {
            self.set_minute(minute);
        }
        line.store(&self.text, MINUTE);
        let [tens, ones] = two_digits((play_time.local - minute * 60) as u8);
        if play_time.nanos == 0 && play_time.offset == 0 {
            line.store(&[tens, ones, b'Z', 0], 3);
        } else {
            line.store(&[tens, ones], 2);
            push_fraction_and_offset(line, play_time);
        }
    }

    fn set_minute(&mut self, minute: i64) {
        self.minute = minute;
        let day = minute.div_euclid(DAY / 60);
        let minute = minute.rem_euclid(DAY / 60) as u32;
        let CivilDate { year, month, day } = CivilDate::from_days(day);
        self.text[..MINUTE].copy_from_slice(b"0000-00-00T00:00:");
        self.text[..4].copy_from_slice(&four_digits(year as u32));
        let pairs = [(5, month), (8, day), (11, minute / 60), (14, minute % 60)];
        for (at, number) in pairs {
            self.text[at..at + 2].copy_from_slice(&two_digits(number as u8));
        }
    }
}

fn push_fraction_and_offset(line: &mut Line<'_>, play_time: PlayTime) {
    let mut rest = Vec::with_capacity(16);
    if play_time.nanos != 0 {
        rest.push(b'.');
        push_fraction(&mut rest, u128::from(play_time.nanos), 9);
    }
    push_offset(&mut rest, play_time.offset);
    line.push_slice(&rest);
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

/// Text from anywhere as a terminal may see it, in one line: what would move the cursor, change
/// colours or turn the direction of writing around is escaped.
///
/// ```
/// assert_eq!(music_insights::text::harmless("a\u{1b}[31m\u{202e}b\n"), r"a\u{1b}[31m\u{202e}b\n");
/// ```
pub fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() || turns_around(char) {
            out.extend(char.escape_default());
        } else {
            out.push(char);
        }
    }
    out
}

/// Whether a character ends the line or changes the order in which others are shown.
fn turns_around(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::line_buffer::LineBuffer;

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
        let mut line = out.line(64);
        TimestampWriter::default().push(&mut line, PlayTime { local, offset, nanos });
        line.end();
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
            (999_999, "999.999"),
            (1_000_000, "1000"),
            (9_000, "9"),
        ] {
            let mut out = LineBuffer::default();
            let mut line = out.line(16);
            push_seconds(&mut line, millis);
            line.end();
            assert_eq!(std::str::from_utf8(out.as_bytes()).unwrap(), expected);
        }
    }
}
