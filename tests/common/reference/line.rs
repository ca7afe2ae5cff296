//! Splits a line into fields, or finds the first fault of the line.

const LONGEST_LINE: usize = 1_048_576;

/// Parses one line by RFC 4180. `content` excludes the line end. `ended` tells whether the line ends with LF.
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

/// The state of the scan.
enum Place {
    /// At the first character of a field. A quote opens a quoted field.
    FieldStart,
    /// In an unquoted field. A quote is text.
    Unquoted,
    Quoted,
    /// After a quote inside a quoted field. A second quote is a literal quote. Any other character ends the
    /// field.
    QuoteInQuoted,
}

/// Scans the line from left to right. Returns the reason for the first fault.
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
            // The remaining arms handle text outside quotes. The CR of the line end is already removed.
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
