//! Numbers as decimal text.

use crate::text::line_buffer::Line;

/// Appends an integer in decimal.
#[inline]
pub fn push_integer(out: &mut Vec<u8>, value: u64) {
    if value < 10 {
        out.push(b'0' + value as u8);
    } else {
        push_digits(out, value);
    }
}

fn push_digits(out: &mut Vec<u8>, value: u64) {
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

/// Appends `numerator / denominator`, rounded half away from zero to `decimals` places. Trailing zeros are
/// dropped, but at least one digit remains after the point.
///
/// The calculation is exact and uses no floats.
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

/// Appends `fraction` as `places` digits without trailing zeros, or nothing if it is zero.
pub(super) fn push_fraction(out: &mut Vec<u8>, fraction: u128, places: u32) {
    let mut digits = fraction;
    let mut unit = 10_u128.pow(places);
    while digits > 0 {
        unit /= 10;
        out.push(b'0' + (digits / unit) as u8);
        digits %= unit;
    }
}

/// The digits of each number below 1,000. The first digit is in the lowest byte, and the number of digits is
/// in the highest byte. This table replaces a loop of divisions, because the processor cannot predict the
/// length of the loop.
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

/// The text of milliseconds that are a whole number of seconds below 1,000, and its length. `None` for others.
#[inline]
pub fn whole_seconds(millis: u32) -> Option<([u8; 4], usize)> {
    let seconds = millis / 1000;
    let digits = DIGITS.get(seconds as usize).filter(|_| seconds * 1000 == millis)?;
    Some((digits.to_le_bytes(), (digits >> 24) as usize))
}

/// Appends milliseconds as seconds, without trailing zeros: `180`, `69.5`.
///
/// # Panics
/// If `line` has no room for 16 bytes.
pub fn push_seconds(line: &mut Line<'_>, millis: u32) {
    let fraction = millis % 1000;
    match whole_seconds(millis - fraction) {
        Some((digits, len)) => line.store(&digits, len),
        None => push_long_seconds(line, millis / 1000),
    }
    if fraction > 0 {
        push_decimals(line, fraction);
    }
}

fn push_decimals(line: &mut Line<'_>, mut fraction: u32) {
    line.store(b".", 1);
    while fraction > 0 {
        line.store(&[b'0' + (fraction / 100) as u8], 1);
        fraction = fraction % 100 * 10;
    }
}

fn push_long_seconds(line: &mut Line<'_>, seconds: u32) {
    let mut digits = Vec::new();
    push_integer(&mut digits, u64::from(seconds));
    line.push_slice(&digits);
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
