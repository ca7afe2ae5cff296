//! Physical lines. A record is one physical line, ended by LF or CRLF.

/// The UTF-8 byte order mark.
pub const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One physical line of a file.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The physical line number, counted from 1.
    pub number: u64,
    /// Offset of the first byte in the file (0 for line 1, with or without a BOM).
    pub offset: u64,
    /// The bytes without the line's end (LF, CRLF, or the CR before the end of the file) and without a BOM.
    pub content: &'a [u8],
    /// Whether a LF ends it; only the last line of a file can lack one.
    pub ended: bool,
}

impl Line<'_> {
    /// Whether the line is blank: spaces and tabs, or nothing. Blank lines are skipped.
    pub fn is_blank(&self) -> bool {
        self.content.iter().all(|&byte| byte == b' ' || byte == b'\t')
    }
}

/// Splits at every LF. Nothing follows the last LF of a file that ends with one.
pub fn lines(file: &[u8]) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut offset = 0;
    while offset < file.len() {
        let rest = &file[offset..];
        let line_feed = rest.iter().position(|&byte| byte == b'\n');
        let physical = &rest[..line_feed.unwrap_or(rest.len())];
        let mut content = physical.strip_suffix(b"\r").unwrap_or(physical);
        if offset == 0 {
            content = content.strip_prefix(BOM).unwrap_or(content);
        }
        let number = lines.len() as u64 + 1;
        lines.push(Line { number, offset: offset as u64, content, ended: line_feed.is_some() });
        offset += physical.len() + 1;
    }
    lines
}
