//! Splits a line into fields, or finds the first fault of the line.

const LONGEST_LINE: usize = 1_048_576;

/// RFC 4180 on one line (its content without the end). `ended` tells whether a LF ended it.
pub fn parse_line(content: &[u8], ended: bool) -> Result<Vec<String>, &'static str> {
    if content.len() > LONGEST_LINE {
        return Err("line_too_long");
    }
    if !ended && !content.is_empty() && content.iter().all(|&byte| byte == 0) {
        return Err("nul_tail");
    }
    if content.contains(&0) {
        return Err("nul_byte");
    }
    let text = std::str::from_utf8(content).map_err(|_| "invalid_utf8")?;
    split(text)
}

/// State of the scan.
enum Place {
    /// At the first character of a field: a quote here opens a quoted field.
    FieldStart,
    /// A quote here is text.
    Unquoted,
    Quoted,
    /// After a quote inside a quoted field: a second one is a literal quote, anything else ends the field.
    QuoteInQuoted,
}

/// Scans from left to right. The first fault is the reason.
fn split(text: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut place = Place::FieldStart;
    for character in text.chars() {
        match (&place, character) {
            (Place::Quoted, '"') => place = Place::QuoteInQuoted,
            (Place::Quoted, _) => field.push(character),
            (Place::QuoteInQuoted, '"') => {
                field.push('"');
                place = Place::Quoted;
            }
            // Outside quotes from here on. The CR of the line end has been removed.
            (_, '\r') => return Err("bare_cr"),
            (_, ',') => {
                fields.push(std::mem::take(&mut field));
                place = Place::FieldStart;
            }
            (Place::QuoteInQuoted, _) => return Err("bad_quote"),
            (Place::FieldStart, '"') => place = Place::Quoted,
            (Place::FieldStart | Place::Unquoted, _) => {
                field.push(character);
                place = Place::Unquoted;
            }
        }
    }
    if let Place::Quoted = place {
        return Err("unclosed_quote");
    }
    fields.push(field);
    Ok(fields)
}
