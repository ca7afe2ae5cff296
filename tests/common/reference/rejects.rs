//! The rows of `_rejects`.

use super::csv_out::record;
use super::lines::Line;

const LONGEST_RAW: usize = 4096;

/// One rejected line, or one rejected file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The path of the file as given to `replay`.
    pub file: String,
    /// The number of the physical line.
    pub line: u64,
    pub byte_offset: u64,
    pub reason: &'static str,
    /// The rejected text, truncated and escaped.
    pub raw: String,
}

impl Reject {
    /// The reject of one line.
    pub fn of_line(file: &str, line: &Line, reason: &'static str) -> Reject {
        let raw = escape_raw(&line.content);
        Reject { file: file.to_string(), line: line.number, byte_offset: line.offset, reason, raw }
    }

    /// The reject of a file that is not a CSV file. It shows the bytes of the file up to the first LF.
    pub fn of_bytes(file: &str, bytes: &[u8], reason: &'static str) -> Reject {
        let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
        Reject { file: file.to_string(), line: 1, byte_offset: 0, reason, raw: escape_raw(&bytes[..end]) }
    }
}

/// Escapes the first 4096 bytes. Bytes that are not UTF-8 become `\xNN`, and a backslash becomes `\\`.
pub fn escape_raw(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(LONGEST_RAW)];
    let mut raw = String::new();
    for chunk in cut.utf8_chunks() {
        raw.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            raw.push_str(&format!("\\x{byte:02x}"));
        }
    }
    raw
}

/// The text of the file `_rejects`. Without rejects, it contains only the header.
pub fn rejects_file(rejects: &[Reject]) -> String {
    let mut text = record(&["file", "line", "byte_offset", "reason", "raw"]);
    for reject in rejects {
        let (line, offset) = (reject.line.to_string(), reject.byte_offset.to_string());
        text += &record(&[&reject.file, &line, &offset, reject.reason, &reject.raw]);
    }
    text
}
