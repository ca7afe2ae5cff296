//! Splits a file into physical lines, ended by LF or CRLF, and decodes them.

use encoding_rs::Encoding;

/// The UTF-8 byte order mark.
pub const BOM: &[u8] = b"\xEF\xBB\xBF";

const LONGEST_LINE: usize = 1_048_576;

/// One physical line of a file.
#[derive(Debug, Clone)]
pub struct Line {
    /// The physical line number, counted from 1.
    pub number: u64,
    /// The offset of the first byte in the file. For line 1 it is 0, even after a BOM.
    pub offset: u64,
    /// The decoded line without a BOM and without the line end. The line end is LF, CRLF, or a CR at the
    /// end of the file. Bytes that cannot be decoded are kept.
    pub content: Vec<u8>,
    /// The line end.
    pub end: &'static str,
    /// Whether all bytes have a character in the encoding.
    pub decodable: bool,
}

impl Line {
    /// Whether the line ends with LF. Only the last line of a file can lack the LF.
    pub fn ended(&self) -> bool {
        self.end.ends_with('\n')
    }

    /// Whether the line is blank: only spaces, tabs and delimiters. Blank lines are skipped.
    pub fn is_blank(&self, delimiter: char) -> bool {
        let blank = |&byte: &u8| byte == b' ' || byte == b'\t' || char::from(byte) == delimiter;
        self.content.len() <= LONGEST_LINE && self.content.iter().all(blank)
    }
}

/// Splits a file at every LF. An LF at the end of the file does not start another line. A byte order mark
/// overrides the encoding.
pub fn lines(file: &[u8], encoding: &str) -> Vec<Line> {
    let marked = Encoding::for_bom(file).filter(|(encoding, _)| encoding.name().starts_with("UTF-16"));
    if let Some((encoding, mark)) = marked {
        let (text, _) = encoding.decode_without_bom_handling(&file[mark..]);
        return lines(text.as_bytes(), "utf-8");
    }
    let encoding = if file.starts_with(BOM) { "utf-8" } else { encoding };
    let mut lines = Vec::new();
    let mut offset = 0;
    while offset < file.len() {
        let rest = &file[offset..];
        let line_feed = rest.iter().position(|&byte| byte == b'\n');
        let physical = &rest[..line_feed.unwrap_or(rest.len())];
        let mut content = physical.strip_suffix(b"\r").unwrap_or(physical);
        let end = match (content.len() < physical.len(), line_feed.is_some()) {
            (true, true) => "\r\n",
            (false, true) => "\n",
            (true, false) => "\r",
            (false, false) => "",
        };
        if offset == 0 {
            content = content.strip_prefix(BOM).unwrap_or(content);
        }
        let (content, decodable) = decode(content, encoding);
        let number = lines.len() as u64 + 1;
        lines.push(Line { number, offset: offset as u64, content, end, decodable });
        offset += physical.len() + 1;
    }
    lines
}

/// The text in UTF-8, and whether all bytes have a character. UTF-8 is checked later.
fn decode(content: &[u8], encoding: &str) -> (Vec<u8>, bool) {
    if encoding == "utf-8" {
        return (content.to_vec(), true);
    }
    let encoding = Encoding::for_label(encoding.as_bytes()).expect("the encoding exists");
    let mut decodable = true;
    let mut text = Vec::new();
    for byte in content.chunks(1) {
        match encoding.decode_without_bom_handling_and_without_replacement(byte) {
            Some(character) => text.extend_from_slice(character.as_bytes()),
            None => {
                text.extend_from_slice(byte);
                decodable = false;
            }
        }
    }
    (text, decodable)
}
