//! Reads `duration_sec`: digits, then optionally a point and digits. The maximum is 86400 seconds after
//! rounding. The reference stores milliseconds.

const LONGEST_MS: u64 = 86_400_000;

/// Reads a duration in milliseconds, or returns the reason of the reject.
pub fn parse_duration(text: &str) -> Result<u64, &'static str> {
    if let Some(positive) = text.strip_prefix('-') {
        return Err(if form(positive).is_some() { "negative_duration" } else { "bad_number" });
    }
    let (whole, fraction) = form(text).ok_or("bad_number")?;
    let seconds: u64 = whole.parse().map_err(|_| "overflow")?;
    // The first four decimals are tenths of milliseconds. Further decimals do not change the rounding.
    let tenths: String = fraction.chars().chain("0000".chars()).take(4).collect();
    let tenths: u64 = tenths.parse().map_err(|_| "bad_number")?;
    let total = u128::from(seconds) * 1000 + u128::from((tenths + 5) / 10);
    if total > u128::from(LONGEST_MS) {
        return Err("duration_range");
    }
    Ok(total as u64)
}

/// The digits before and after the point. `None` if the format is wrong.
fn form(text: &str) -> Option<(&str, &str)> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
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
