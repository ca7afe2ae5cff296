//! Physical lines: line ends, blank lines, and the faults that are found before a line is parsed.

use crate::model::Reason;
use crate::model::delimiter::Delimiter;

/// Maximum length of a line in bytes, without its end.
pub const LINE_LIMIT: usize = 1 << 20;

/// How a line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a line feed.
    LineFeed,
    /// At the end of the file, without a line feed.
    EndOfFile,
}

/// The line without its last byte if that byte is a carriage return.
pub fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Whether a line contains only spaces, tabs and delimiters. Blank lines are skipped.
pub fn is_blank(line: &[u8], delimiter: Delimiter) -> bool {
    line.iter().all(|&byte| matches!(byte, b' ' | b'\t') || byte == delimiter.byte())
}

/// Checks the bytes of a line. The line does not include its line end.
///
/// # Errors
/// The first of these faults: the line is too long, has NUL bytes, or is not valid UTF-8.
pub fn check(line: &[u8], ending: Ending) -> Result<(), Reason> {
    if line.len() > LINE_LIMIT {
        return Err(Reason::LineTooLong);
    }
    check_bytes(line, ending)
}

/// The same for a text of any length.
///
/// # Errors
/// The text has NUL bytes, or is not valid UTF-8.
pub fn check_bytes(line: &[u8], ending: Ending) -> Result<(), Reason> {
    if memchr::memchr(0, line).is_some() {
        let is_unwritten = ending == Ending::EndOfFile && line.iter().all(|&byte| byte == 0);
        return Err(if is_unwritten { Reason::NulTail } else { Reason::NulByte });
    }
    std::str::from_utf8(line).map(drop).map_err(|_| Reason::InvalidUtf8)
}

/// Splits a text into lines. For each line, yields its offset in the text, its bytes without the line
/// end, and how the line ends.
pub fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8], Ending)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        if start == text.len() {
            return None;
        }
        let at = start;
        let rest = &text[at..];
        let (line, ending) = match memchr::memchr(b'\n', rest) {
            Some(end) => (&rest[..end], Ending::LineFeed),
            None => (rest, Ending::EndOfFile),
        };
        start += line.len() + usize::from(ending == Ending::LineFeed);
        Some((at, without_return(line), ending))
    })
}
