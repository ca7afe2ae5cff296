//! Cells of CSV files.

use std::borrow::Cow;

/// Appends `cell`, quoted only if RFC 4180 requires it.
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

/// Whether a cell must be quoted because it contains a comma, a quote, a CR or an LF.
pub fn needs_quotes(cell: &[u8]) -> bool {
    // A comma is the largest of these bytes, and most ids have only larger ones.
    let smallest = cell.iter().fold(u8::MAX, |smallest, &byte| smallest.min(byte));
    smallest <= b',' && cell.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n'))
}

/// The text with each line end (LF, CRLF or CR) replaced by a space.
pub fn on_one_line(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'\n', b'\r', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut line = Vec::with_capacity(text.len());
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'\r' if text.get(at + 1) == Some(&b'\n') => {}
            b'\n' | b'\r' => line.push(b' '),
            other => line.push(other),
        }
    }
    Cow::Owned(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_end_becomes_one_space() {
        for (text, expected) in
            [("plain", "plain"), ("a\nb\r\nc\rd", "a b c d"), ("\n\r\r\n\n", "    "), ("a\r", "a "), ("", "")]
        {
            assert_eq!(on_one_line(text.as_bytes()).as_ref(), expected.as_bytes());
        }
    }

    #[test]
    fn cells_are_quoted_only_if_needed() {
        for (cell, expected) in
            [("plain", "plain"), ("a, b", "\"a, b\""), ("\"x\"", "\"\"\"x\"\"\""), ("", "")]
        {
            let mut out = Vec::new();
            push_cell(&mut out, cell.as_bytes());
            assert_eq!(out, expected.as_bytes());
        }
    }
}
