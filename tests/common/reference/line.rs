//! Splits a record into fields, or finds the first fault of the record.

use super::dialect::Dialect;

pub const LONGEST_LINE: usize = 1_048_576;

/// Parses one record by RFC 4180. `content` excludes the line end. `ended` tells whether the record ends with
/// LF. `decodable` tells whether all bytes have a character in the encoding of the file.
pub fn parse_line(
    content: &[u8],
    ended: bool,
    decodable: bool,
    dialect: &Dialect,
) -> Result<Vec<String>, &'static str> {
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
    if !decodable {
        return Err("invalid_utf8");
    }
    split(text, dialect)
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
fn split(text: &str, dialect: &Dialect) -> Result<Vec<String>, &'static str> {
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
            (_, delimiter) if delimiter == dialect.delimiter => {
                fields.push(std::mem::take(&mut field));
                place = Place::FieldStart;
            }
            (Place::QuoteInQuoted, _) => return Err("bad_quote"),
            (Place::FieldStart, '"') if dialect.quoting => place = Place::Quoted,
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

/// The length of the first record of a text in bytes, without its line end. Its quoted fields may hold line ends.
/// The reason is `field_count` if, before any other fault, there are more than `most` fields, and a further one is
/// not empty. All other faults are an `unclosed_quote`. A bare CR is not a fault here.
pub fn record_length(text: &[u8], delimiter: char, most: usize) -> Result<usize, &'static str> {
    let mut place = Place::FieldStart;
    let (mut fields, mut start) = (0, 0);
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let line_end = [&b"\r\n"[..], b"\n"].iter().any(|end| rest.starts_with(end));
        let at_end = line_end || rest.is_empty() || rest == b"\r";
        let next = rest.first().copied().unwrap_or(b'\n');
        let outside = !matches!(place, Place::Quoted);
        if outside && (at_end || char::from(next) == delimiter) {
            fields += 1;
            let field = &text[start..at];
            if fields > most && !field.is_empty() && field != b"\"\"" {
                return Err("field_count");
            }
            if at > LONGEST_LINE {
                return Err("unclosed_quote");
            }
            if at_end {
                return Ok(at);
            }
            (start, place) = (at + 1, Place::FieldStart);
        } else {
            place = match (place, next) {
                (Place::Quoted, _) if rest.is_empty() => return Err("unclosed_quote"),
                (Place::Quoted, b'"') => Place::QuoteInQuoted,
                (Place::QuoteInQuoted | Place::FieldStart, b'"') => Place::Quoted,
                (Place::Quoted, _) => Place::Quoted,
                (Place::QuoteInQuoted, _) => return Err("unclosed_quote"),
                (Place::FieldStart | Place::Unquoted, _) => Place::Unquoted,
            };
        }
        at += 1;
    }
}
