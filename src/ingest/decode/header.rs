//! The first line of a file: is this a log at all, and where do its columns stand?

use crate::ingest::decode::line::{Ending, check};
use crate::ingest::decode::record::Record;
use crate::model::delimiter::Delimiter;
use crate::model::{Header, Reason};

/// The columns of a listening log.
pub const LOG_COLUMNS: [&str; 4] = ["user_id", "song_id", "timestamp", "duration_sec"];
/// The columns of a catalog.
pub const CATALOG_COLUMNS: [&str; 5] = ["song_id", "title", "artist", "genre", "mood"];

/// Why a file cannot be read, in words for a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderFault {
    /// The code that stands in `_rejects`.
    pub reason: Reason,
    /// What is wrong and what was expected.
    pub detail: String,
}

/// Where the wanted columns of a header stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns<const N: usize> {
    /// Number of fields in the header.
    pub fields: usize,
    /// Position of each wanted column.
    pub positions: [usize; N],
    /// Names of the columns that are not wanted.
    pub ignored: Vec<String>,
}

/// UTF-8's byte order mark.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// First bytes of things that end up in log folders by mistake.
const OTHER_KINDS: [(&[u8], Reason, &str); 9] = [
    (b"\xff\xfe", Reason::EncodingUtf16, "the file is UTF-16, expected UTF-8"),
    (b"\xfe\xff", Reason::EncodingUtf16, "the file is UTF-16, expected UTF-8"),
    (b"\x89PNG", Reason::NotCsv, "the file is a PNG image, expected CSV"),
    (b"\x7fELF", Reason::NotCsv, "the file is a program, expected CSV"),
    (b"PK\x03\x04", Reason::NotCsv, "the file is a zip archive or spreadsheet, expected CSV"),
    (b"\x1f\x8b", Reason::NotCsv, "the file is gzip, whose name must end in .gz"),
    (b"\x28\xb5\x2f\xfd", Reason::NotCsv, "the file is zstd, whose name must end in .zst"),
    (b"%PDF-", Reason::NotCsv, "the file is a PDF document, expected CSV"),
    (b"PAR1", Reason::NotCsv, "the file is Parquet, whose name must end in .parquet"),
];

/// What parts the columns of files that were made with another delimiter in mind; a field that holds
/// the right one is quoted.
const OTHER_DELIMITERS: [char; 3] = [',', ';', '\t'];

/// Looks at the first bytes of a file for what is surely no CSV.
///
/// # Errors
/// `encoding_utf16` or `not_csv`, with the kind of file in words.
pub fn sniff(start: &[u8]) -> Result<(), HeaderFault> {
    match OTHER_KINDS.iter().find(|(magic, ..)| start.starts_with(magic)) {
        Some(&(_, reason, detail)) => Err(fault(reason, detail)),
        None => Ok(()),
    }
}

/// Finds the wanted columns in a header line (without byte order mark and line end).
///
/// # Errors
/// The first of: a line fault, a column named twice, a wrong delimiter, no header, a missing column.
pub fn find_columns<const N: usize>(
    line: &[u8],
    delimiter: Delimiter,
    wanted: [&str; N],
) -> Result<Columns<N>, HeaderFault> {
    check(line, Ending::LineFeed).map_err(|reason| match reason {
        Reason::NulByte => fault(Reason::NotCsv, "the header holds NUL bytes"),
        other => fault(other, "the header is not a line of UTF-8 text"),
    })?;
    let mut record = Record::new(delimiter);
    record.read(line).map_err(|reason| fault(reason, "the header is not a CSV record"))?;
    let names: Vec<&str> =
        record.fields().map(|name| std::str::from_utf8(name).unwrap_or_default()).collect();
    if let Some(twice) = (1..names.len()).find(|&index| names[..index].contains(&names[index])) {
        return Err(fault(Reason::DuplicateColumn, &format!("the header names `{}` twice", names[twice])));
    }
    let expected = wanted.join(&char::from(delimiter.byte()).to_string());
    if let [only] = names.as_slice()
        && let Some(other) = OTHER_DELIMITERS
            .iter()
            .find(|&&other| other != char::from(delimiter.byte()) && only.contains(other))
    {
        let given = if *other == '\t' { "tab".to_owned() } else { other.to_string() };
        let detail = format!(
            "the columns are parted by `{given}`, not by `{delimiter}`: expected {expected}, or input.delimiter `{given}`"
        );
        return Err(fault(Reason::WrongDelimiter, &detail));
    }
    let positions = wanted.map(|name| names.iter().position(|&other| other == name));
    if positions.iter().all(Option::is_none) {
        return Err(fault(Reason::MissingHeader, &format!("line 1 is no header: expected {expected}")));
    }
    if let Some(missing) = positions.iter().position(Option::is_none) {
        let detail = format!("the header lacks `{}`: expected {expected}", wanted[missing]);
        return Err(fault(Reason::MissingColumn, &detail));
    }
    let ignored = names.iter().filter(|name| !wanted.contains(name)).map(ToString::to_string).collect();
    Ok(Columns { fields: names.len(), positions: positions.map(Option::unwrap_or_default), ignored })
}

/// Reads the header of a listening log; also returns the names of the columns it ignores.
///
/// # Errors
/// As [`find_columns`].
pub fn parse(line: &[u8], delimiter: Delimiter) -> Result<(Header, Vec<String>), HeaderFault> {
    let Columns { fields, positions: [user, song, timestamp, duration], ignored } =
        find_columns(line, delimiter, LOG_COLUMNS)?;
    Ok((Header { fields, user, song, timestamp, duration, delimiter, line: line.to_vec() }, ignored))
}

fn fault(reason: Reason, detail: &str) -> HeaderFault {
    HeaderFault { reason, detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_in_any_order() {
        let (header, ignored) =
            parse(b"\"duration_sec\",device,song_id,user_id,timestamp", Delimiter::COMMA).unwrap();
        assert_eq!((header.user, header.song, header.timestamp, header.duration), (3, 2, 4, 0));
        assert_eq!((header.fields, ignored), (5, vec!["device".to_owned()]));
    }

    #[test]
    fn a_header_that_cannot_be_used_has_its_reason() {
        for (line, reason) in [
            (&b"user_id;song_id;timestamp;duration_sec"[..], Reason::WrongDelimiter),
            (b"user_id\tsong_id", Reason::WrongDelimiter),
            (b"user_1,song_2,2025-03-21 01:09:00,150", Reason::MissingHeader),
            (b"user_id,song_id,timestamp", Reason::MissingColumn),
            (b"user_id,song_id,timestamp,duration_sec,user_id", Reason::DuplicateColumn),
            (b"user_id,\"song_id", Reason::UnclosedQuote),
            (b"user_id,\"song\"_id", Reason::BadQuote),
            (b"user\0_id", Reason::NotCsv),
            (b"user_id,\xff", Reason::InvalidUtf8),
        ] {
            assert_eq!(parse(line, Delimiter::COMMA).unwrap_err().reason, reason);
        }
    }
}
