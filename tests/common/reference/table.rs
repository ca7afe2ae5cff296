//! Reads a file as a table. The result is its columns and data lines, or the reason to reject the whole file.

use super::dialect::Dialect;
use super::line::{parse_line, record_length};
use super::lines::{Line, lines};
use super::rejects::Reject;

const SNIFFED: usize = 64 * 1024;

/// The first bytes of files that are not CSV: PNG, ELF, zip, gzip, zstd, PDF, Parquet.
const BINARY: [&[u8]; 7] =
    [b"\x89PNG", b"\x7fELF", b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"%PDF-", b"PAR1"];

/// A readable file.
#[derive(Debug)]
pub struct Table {
    /// The header line. `None` if every line is blank, or if files have no header.
    pub header: Option<Vec<u8>>,
    /// The place of each field. `None` if there is no such column.
    columns: Vec<(&'static str, Option<usize>)>,
    /// The number of fields that a row must have.
    fewest: usize,
    /// The number of fields after which fields must be empty.
    pub most: usize,
    /// The lines after the header.
    pub rows: Vec<Line>,
}

impl Table {
    /// The text of a field in a row.
    pub fn field(&self, fields: &[String], name: &str) -> String {
        let column = self.columns.iter().find(|(field, _)| *field == name).and_then(|(_, place)| *place);
        column.and_then(|place| fields.get(place)).cloned().unwrap_or_default()
    }

    /// Whether a line repeats the header. Concatenated files contain such lines.
    pub fn repeats_header(&self, content: &[u8]) -> bool {
        self.header.as_deref() == Some(content)
    }

    /// Whether a row has the right number of fields.
    pub fn fits(&self, fields: &[String]) -> bool {
        fields.len() >= self.fewest && fields.iter().skip(self.most).all(String::is_empty)
    }
}

/// Finds the header, and checks the file as a whole. If several checks fail, the first one gives the reason.
/// The header may have several lines if `several_lines` is set.
pub fn open(path: &str, bytes: &[u8], dialect: &Dialect, several_lines: bool) -> Result<Table, Reject> {
    let mut rows = lines(bytes, &dialect.encoding);
    let is_filled = |line: &Line| !line.is_blank(dialect.delimiter);
    let first = rows.iter().position(is_filled);

    let nul_in_header =
        dialect.header == "first_line" && first.is_some_and(|first| rows[first].content.contains(&0));
    if nul_in_header || BINARY.iter().any(|magic| bytes.starts_with(magic)) {
        return Err(Reject::of_bytes(path, bytes, "not_csv"));
    }
    if !several_lines && lacks_newlines(bytes) {
        return Err(Reject::of_bytes(path, bytes, "no_newline"));
    }
    if dialect.header == "none" {
        let place =
            |column: &String| column.strip_prefix('#').map(|number| number.parse::<usize>().unwrap() - 1);
        let columns: Vec<_> = dialect.columns.iter().map(|(field, column)| (*field, place(column))).collect();
        let fewest = columns.iter().filter_map(|(_, place)| *place).max().unwrap() + 1;
        return Ok(Table { header: None, columns, fewest, most: usize::MAX, rows });
    }
    if dialect.header != "first_line" {
        let header = dialect.header.clone().into_bytes();
        let names = parse_line(&header, true, true, dialect).expect("the settings have a valid header");
        return Ok(with_names(&names, header, rows, dialect).expect("the header has all columns"));
    }
    let Some(first) = first else {
        return Ok(Table { header: None, columns: Vec::new(), fewest: 0, most: 0, rows: Vec::new() });
    };
    let mut header = rows[first].clone();
    let mut rest = rows.split_off(first + 1);
    if several_lines
        && dialect.quoting
        && let Ok((content, count)) = join(&header, &rest, dialect.delimiter, usize::MAX)
    {
        header.content = content;
        rest.drain(..count);
    }
    parse_line(&header.content, header.ended(), header.decodable, dialect)
        .and_then(|names| with_names(&names, header.content.clone(), rest, dialect))
        .map_err(|reason| Reject::of_line(path, &header, reason))
}

/// Joins a line whose last field is open with the lines after it to one record. Returns the record without
/// its line end, and the number of lines after the first.
pub fn join(
    first: &Line,
    rest: &[Line],
    delimiter: char,
    most: usize,
) -> Result<(Vec<u8>, usize), &'static str> {
    let mut text = Vec::new();
    for line in std::iter::once(first).chain(rest) {
        text.extend_from_slice(&line.content);
        text.extend_from_slice(line.end.as_bytes());
    }
    let length = record_length(&text, delimiter, most)?;
    text.truncate(length);
    let count = text.iter().filter(|&&byte| byte == b'\n').count();
    Ok((text, count))
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

/// The name without the characters that a comparison ignores.
fn relaxed(name: &str) -> String {
    name.replace([' ', '_', '-'], "").to_ascii_lowercase()
}

/// Finds the column of each field in the names of a header, or returns the reason for the first fault.
fn with_names(
    names: &[String],
    header: Vec<u8>,
    rows: Vec<Line>,
    dialect: &Dialect,
) -> Result<Table, &'static str> {
    let mut columns = Vec::new();
    for (field, wanted) in &dialect.columns {
        columns.push((*field, find(names, wanted)?));
    }
    let wanted = dialect.columns.iter().zip(&columns).filter(|((_, wanted), _)| !wanted.is_empty());
    let missing = wanted.clone().filter(|(_, (_, place))| place.is_none()).count();
    let by_name = wanted.clone().filter(|((_, wanted), _)| !wanted.starts_with('#'));
    let found_by_name = by_name.clone().filter(|(_, (_, place))| place.is_some()).count();
    if missing > 0 {
        let others: Vec<char> =
            [',', ';', '\t', '|'].into_iter().filter(|&c| c != dialect.delimiter).collect();
        if names.len() == 1 && names[0].contains(&others[..]) {
            return Err("wrong_delimiter");
        }
        return Err(if found_by_name == 0 && by_name.count() > 0 {
            "missing_header"
        } else {
            "missing_column"
        });
    }
    let unnamed = |name: &&String| name.chars().all(|character| character == ' ' || character == '\t');
    let named = names.len() - names.iter().rev().take_while(unnamed).count();
    let used = columns.iter().filter_map(|(_, place)| *place).map(|place| place + 1).max().unwrap_or(0);
    Ok(Table { header: Some(header), columns, fewest: named.max(used), most: names.len(), rows })
}

/// The place of a wanted column. An exact match wins over a relaxed one.
fn find(names: &[String], wanted: &str) -> Result<Option<usize>, &'static str> {
    if wanted.is_empty() {
        return Ok(None);
    }
    if let Some(number) = wanted.strip_prefix('#') {
        return Ok(Some(number.parse::<usize>().unwrap() - 1).filter(|&place| place < names.len()));
    }
    let places = |matches: &dyn Fn(&String) -> bool| -> Vec<usize> {
        (0..names.len()).filter(|&place| matches(&names[place])).collect()
    };
    let exact = places(&|name| name == wanted);
    let found = if exact.is_empty() { places(&|name| relaxed(name) == relaxed(wanted)) } else { exact };
    if found.len() > 1 {
        return Err("duplicate_column");
    }
    Ok(found.first().copied())
}
