//! Reads a file as a table. The result is its columns and data lines, or the reason to reject the whole file.

use super::line::parse_line;
use super::lines::{Line, lines};
use super::rejects::Reject;

const SNIFFED: usize = 64 * 1024;

/// The first bytes of files that are not CSV: PNG, ELF, zip, gzip, zstd, PDF.
const BINARY: [&[u8]; 6] =
    [b"\x89PNG", b"\x7fELF", b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"%PDF-"];

/// A readable file.
#[derive(Debug)]
pub struct Table<'a> {
    /// The header line. `None` if every line is blank.
    pub header: Option<Line<'a>>,
    /// The names of all columns, including unknown columns.
    pub columns: Vec<String>,
    /// The lines after the header, without blank lines.
    pub rows: Vec<Line<'a>>,
}

impl Table<'_> {
    /// The position of a required column.
    pub fn column(&self, name: &str) -> usize {
        self.columns.iter().position(|column| column == name).unwrap_or(0)
    }

    /// Whether a line repeats the header. Concatenated files contain such lines.
    pub fn repeats_header(&self, line: &Line<'_>) -> bool {
        self.header.is_some_and(|header| header.content == line.content)
    }
}

/// Finds the header, and checks the file as a whole. If several checks fail, the first one gives the reason.
pub fn open<'a>(path: &str, bytes: &'a [u8], required: &[&str]) -> Result<Table<'a>, Reject> {
    let filled: Vec<Line<'a>> = lines(bytes).into_iter().filter(|line| !line.is_blank()).collect();
    let header = filled.first().copied();

    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err(Reject::of_bytes(path, bytes, "encoding_utf16"));
    }
    let nul_in_header = header.is_some_and(|header| header.content.contains(&0));
    if nul_in_header || BINARY.iter().any(|magic| bytes.starts_with(magic)) {
        return Err(Reject::of_bytes(path, bytes, "not_csv"));
    }
    if lacks_newlines(bytes) {
        return Err(Reject::of_bytes(path, bytes, "no_newline"));
    }
    let Some(header) = header else {
        return Ok(Table { header: None, columns: Vec::new(), rows: Vec::new() });
    };
    let columns =
        parse_line(header.content, header.ended).map_err(|reason| Reject::of_line(path, &header, reason))?;
    if let Some(reason) = header_fault(&columns, required) {
        return Err(Reject::of_line(path, &header, reason));
    }
    Ok(Table { header: Some(header), columns, rows: filled[1..].to_vec() })
}

/// Whether the reason `no_newline` applies. It applies to a file longer than 64 KiB if the first 64 KiB
/// contain no LF. It also applies to a shorter file that contains no LF, but a CR before its last byte.
fn lacks_newlines(bytes: &[u8]) -> bool {
    if bytes.len() > SNIFFED {
        return !bytes[..SNIFFED].contains(&b'\n');
    }
    let before_last = &bytes[..bytes.len().saturating_sub(1)];
    before_last.contains(&b'\r') && !bytes.contains(&b'\n')
}

/// Checks the column names, and returns the reason for the first fault.
fn header_fault(columns: &[String], required: &[&str]) -> Option<&'static str> {
    let twice = |name: &String| columns.iter().filter(|other| *other == name).count() > 1;
    if columns.iter().any(twice) {
        return Some("duplicate_column");
    }
    if columns.len() == 1 && columns[0].contains([';', '\t']) {
        return Some("wrong_delimiter");
    }
    let missing = required.iter().filter(|name| !columns.iter().any(|column| column == *name)).count();
    if missing == required.len() {
        return Some("missing_header");
    }
    if missing > 0 {
        return Some("missing_column");
    }
    None
}
