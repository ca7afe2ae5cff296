//! Reads `duration_sec`: digits, then optionally a point and more digits. The maximum is 86400 seconds. The
//! reference stores milliseconds.

use super::dialect::Dialect;

const LONGEST_MS: u128 = 86_400_000;

/// Reads a duration in milliseconds, or returns the reason of the reject.
pub fn parse_duration(text: &str, dialect: &Dialect) -> Result<u64, &'static str> {
    let form = |text| form(text, dialect.decimal);
    if let Some(positive) = text.strip_prefix('-') {
        return Err(if form(positive).is_some() { "negative_duration" } else { "bad_number" });
    }
    let (whole, fraction) = form(text).ok_or("bad_number")?;
    let whole = u128::from(whole.parse::<u64>().map_err(|_| "overflow")?);
    // The digits of the fraction that count, and the first digit after them.
    let counting = if dialect.duration == "ms" { 0 } else { 3 };
    let padded = format!("{fraction:0<4}");
    let counted: u128 = padded[..counting].parse().unwrap_or(0);
    let rounded_up = u128::from(padded.as_bytes()[counting] >= b'5');
    let total = whole * 10_u128.pow(counting as u32) + counted + rounded_up;
    if total > LONGEST_MS {
        return Err("duration_range");
    }
    Ok(total as u64)
}

/// The digits before and after the decimal mark. `None` if the format is wrong.
fn form(text: &str, mark: char) -> Option<(&str, &str)> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once(mark) {
        None if digits(text) => Some((text, "")),
        Some((whole, fraction)) if digits(whole) && digits(fraction) => Some((whole, fraction)),
        _ => None,
    }
}

/// Prints seconds without trailing zeros: `150`, `0.25`.
pub fn format_duration(milliseconds: u64) -> String {
    let text = format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}
