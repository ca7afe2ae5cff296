//! What is true of a physical line before it is a record: its end, blankness, and the line faults.

use crate::model::Reason;
use crate::model::delimiter::Delimiter;

/// The longest line that is read, in bytes without its end (spec.md section 2).
pub const LINE_LIMIT: usize = 1 << 20;

/// Whether a line has its line feed, or is the last of a file that ends without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A line feed follows.
    LineFeed,
    /// The file ends here.
    EndOfFile,
}

/// The line without the one carriage return that may stand directly before its end.
pub fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Whether a line holds nothing but spaces and tabs that part no fields, so that it is skipped.
pub fn is_blank(line: &[u8], delimiter: Delimiter) -> bool {
    line.iter().all(|&byte| matches!(byte, b' ' | b'\t') && byte != delimiter.byte())
}

/// Checks a line (without its end) as bytes.
///
/// # Errors
/// The first of: too long, NULs, not UTF-8.
pub fn check(line: &[u8], ending: Ending) -> Result<(), Reason> {
    if line.len() > LINE_LIMIT {
        return Err(Reason::LineTooLong);
    }
    if memchr::memchr(0, line).is_some() {
        let reserved_space = ending == Ending::EndOfFile && line.iter().all(|&byte| byte == 0);
        return Err(if reserved_space { Reason::NulTail } else { Reason::NulByte });
    }
    std::str::from_utf8(line).map(drop).map_err(|_| Reason::InvalidUtf8)
}

/// The lines of a text, without their ends, each with its offset in the text and how it ends.
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
