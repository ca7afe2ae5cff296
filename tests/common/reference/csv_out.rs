//! Writes records, and quotients with a maximum number of decimal places.

/// One CSV record, ended by LF.
pub fn record(fields: &[&str]) -> String {
    let quoted: Vec<String> = fields.iter().map(|text| field(text)).collect();
    quoted.join(",") + "\n"
}

/// A cell. It is quoted only if RFC 4180 requires quotes.
pub fn field(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_string()
}

/// `numerator / denominator`, rounded half away from zero. The result has at least one digit after the point.
/// It has no further trailing zeros: `180.8`, `208.57`, `150.0`.
pub fn decimal_ratio(numerator: u128, denominator: u128, decimals: u32) -> String {
    let scale = 10_u128.pow(decimals);
    let scaled = numerator * scale;
    let mut rounded = scaled / denominator;
    if (scaled % denominator) * 2 >= denominator {
        rounded += 1;
    }
    let whole = rounded / scale;
    let fraction = match decimals {
        0 => String::new(),
        _ => format!("{:0width$}", rounded % scale, width = decimals as usize),
    };
    let digits = fraction.trim_end_matches('0');
    let digits = if digits.is_empty() { "0" } else { digits };
    format!("{whole}.{digits}")
}
