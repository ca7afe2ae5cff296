//! The start of a log that cannot be read, as text and as cells.

use std::io::{self, Read};
use std::path::Path;

use encoding_rs::{Encoding, UTF_8};
use serde_json::Value;

use crate::ingest::decode::header::BYTE_ORDER_MARK;
use crate::ingest::hints::cells::{DELIMITERS, is_json, leaves, split_at};
use crate::ingest::source::compression::Compression;

/// Number of bytes that are read of a log.
const BYTES: u64 = 64 << 10;
/// Maximum number of lines that the guesses look at.
const LINES: usize = 200;

/// The start of a log.
#[derive(Debug)]
pub(super) struct Sample {
    /// The bytes up to the last complete line, after decompression.
    pub(super) bytes: Vec<u8>,
    /// Whether the text is not UTF-8.
    pub(super) is_foreign: bool,
    /// The lines that are not blank. Bytes that are not UTF-8 are read as windows-1252.
    pub(super) lines: Vec<String>,
}

/// The cells of a sample.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// The delimiter; `None` for JSON Lines.
    pub(super) delimiter: Option<char>,
    /// The first line, or the keys of JSON objects.
    pub(super) names: Vec<String>,
    /// The other lines. All rows have as many cells as there are names.
    pub(super) rows: Vec<Vec<String>>,
}

impl Sample {
    /// Reads the start of a log.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        // Reading from a pipe or a device might never end.
        let compression = Compression::of(path);
        if !path.metadata()?.is_file() || compression == Compression::Parquet {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut bytes = Vec::new();
        compression.open(path, Vec::new())?.take(BYTES).read_to_end(&mut bytes)?;
        Ok(Self::of(bytes))
    }

    fn of(mut bytes: Vec<u8>) -> Self {
        let is_cut = bytes.len() as u64 == BYTES;
        // The program reads UTF-16 with a byte order mark whatever the settings are.
        if let Some((encoding, mark)) = Encoding::for_bom(&bytes)
            && encoding != UTF_8
        {
            bytes = encoding.decode_without_bom_handling(&bytes[mark..]).0.into_owned().into_bytes();
        }
        if is_cut && let Some(end) = memchr::memrchr(b'\n', &bytes) {
            bytes.truncate(end + 1);
        }
        let is_foreign = std::str::from_utf8(&bytes).is_err();
        let start = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
        let text = if is_foreign {
            start.iter().map(|&byte| char::from(byte)).collect()
        } else {
            String::from_utf8_lossy(start).into_owned()
        };
        let lines = text.lines().filter(|line| !line.trim().is_empty()).take(LINES);
        let lines = lines.map(ToOwned::to_owned).collect();
        Self { bytes, is_foreign, lines }
    }

    /// The cells, if the lines are JSON objects, or split by a delimiter into at least three cells.
    pub(super) fn table(&self) -> Option<Table> {
        let first = self.lines.first()?;
        if is_json(first.as_bytes()) { self.json() } else { self.csv() }
    }

    fn json(&self) -> Option<Table> {
        let objects: Vec<Vec<(String, String)>> = self
            .lines
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .map(|value| leaves(&value, ""))
            .collect();
        let mut names: Vec<String> = Vec::new();
        for (name, _) in objects.iter().flatten() {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let cell = |object: &Vec<(String, String)>, name: &String| {
            object.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let rows = objects.iter().map(|object| names.iter().map(|name| cell(object, name)).collect());
        let rows = rows.collect();
        (!names.is_empty()).then_some(Table { delimiter: None, names, rows })
    }

    /// Takes the delimiter that splits most lines into as many cells as the first line.
    fn csv(&self) -> Option<Table> {
        let tables = DELIMITERS.map(|delimiter| {
            let mut lines = self.lines.iter().map(|line| split_at(line, delimiter));
            let names = lines.next().unwrap_or_default();
            let rows: Vec<_> = lines.filter(|cells| cells.len() == names.len()).collect();
            Table { delimiter: Some(delimiter), names, rows }
        });
        let fit = |table: &Table| (table.rows.len() + 1) * table.names.len().min(8);
        let best = tables.into_iter().filter(|table| table.names.len() >= 3).max_by_key(fit)?;
        let names = best.names.iter().map(|name| name.trim().to_owned()).collect();
        Some(Table { names, ..best })
    }
}

impl Table {
    /// The cells of a column that are not empty.
    pub(super) fn column(&self, index: usize) -> impl Iterator<Item = &str> {
        self.rows.iter().map(move |row| row[index].trim()).filter(|cell| !cell.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Option<Table> {
        Sample::of(text.as_bytes().to_vec()).table()
    }

    #[test]
    fn the_delimiter_with_the_most_regular_lines_wins() {
        let found = table("who;what;when, roughly\na;b;1,5\nc;d;2,5\n").unwrap();
        assert_eq!((found.delimiter, found.names.len(), found.rows.len()), (Some(';'), 3, 2));
        assert_eq!(found.column(2).collect::<Vec<_>>(), ["1,5", "2,5"]);
        assert!(table("a b c\n").is_none());
        assert!(table("").is_none());
    }

    #[test]
    fn json_objects_have_their_keys_as_names() {
        let found =
            table("{\"at\":1,\"track\":{\"id\":\"t\"}}\n{\"track\":{\"id\":\"u\"},\"n\":2}\n").unwrap();
        assert_eq!(found.names, ["at", "track.id", "n"]);
        assert_eq!(found.rows, [["1", "t", ""], ["", "u", "2"]]);
    }

    #[test]
    fn text_that_is_not_utf_8_is_shown_all_the_same() {
        let sample = Sample::of(b"caf\xe9\n\nx\n".to_vec());
        assert!(sample.is_foreign);
        assert_eq!(sample.lines, ["caf\u{e9}", "x"]);
    }
}
