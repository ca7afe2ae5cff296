//! Splits a file into physical lines. A record is one physical line, ended by LF or CRLF.

/// The UTF-8 byte order mark.
pub const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One physical line of a file.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The physical line number, counted from 1.
    pub number: u64,
    /// The offset of the first byte in the file. For line 1 it is 0, even after a BOM.
    pub offset: u64,
    /// The bytes of the line without a BOM and without the line end. The line end is LF, CRLF, or a CR at the
    /// end of the file.
    pub content: &'a [u8],
    /// Whether the line ends with LF. Only the last line of a file can lack the LF.
    pub ended: bool,
}

impl Line<'_> {
    /// Whether the line is blank: empty, or only spaces and tabs. Blank lines are skipped.
    pub fn is_blank(&self) -> bool {
        self.content.iter().all(|&byte| byte == b' ' || byte == b'\t')
    }
}

/// Splits a file at every LF. An LF at the end of the file does not start another line.
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
