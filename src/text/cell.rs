//! Cells of CSV files.

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
    cell.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

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
