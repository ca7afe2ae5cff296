//! Parses the header of a log or catalog, and detects files that are not CSV.

use crate::ingest::decode::line::{Ending, check};
use crate::ingest::decode::record::Record;
use crate::model::delimiter::Delimiter;
use crate::model::{Header, Reason};

/// The columns of a listening log.
pub const LOG_COLUMNS: [&str; 4] = ["user_id", "song_id", "timestamp", "duration_sec"];
/// The columns of a catalog.
pub const CATALOG_COLUMNS: [&str; 5] = ["song_id", "title", "artist", "genre", "mood"];

/// Why a whole file is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderFault {
    /// The reason in `_rejects`.
    pub reason: Reason,
    /// The text for a warning. It states the fault and the expected content.
    pub detail: String,
}

/// The positions of required columns in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns<const N: usize> {
    /// Number of fields in the header.
    pub fields: usize,
    /// Position of each required column.
    pub positions: [usize; N],
    /// Names of all other columns.
    pub ignored: Vec<String>,
}

/// The byte order mark of UTF-8.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The first bytes of files that users put into log folders by mistake, by format.
const OTHER_KINDS: [(&[u8], Reason, &str); 9] = [
    (b"\xff\xfe", Reason::EncodingUtf16, "the file is UTF-16, expected UTF-8"),
    (b"\xfe\xff", Reason::EncodingUtf16, "the file is UTF-16, expected UTF-8"),
    (b"\x89PNG", Reason::NotCsv, "the file is a PNG image, expected CSV"),
    (b"\x7fELF", Reason::NotCsv, "the file is a program, expected CSV"),
    (b"PK\x03\x04", Reason::NotCsv, "the file is a zip archive or spreadsheet, expected CSV"),
    (b"\x1f\x8b", Reason::NotCsv, "the file is gzip; rename it to end in .gz"),
    (b"\x28\xb5\x2f\xfd", Reason::NotCsv, "the file is zstd; rename it to end in .zst"),
    (b"%PDF-", Reason::NotCsv, "the file is a PDF document, expected CSV"),
    (b"PAR1", Reason::NotCsv, "the file is Parquet; rename it to end in .parquet"),
];

/// Likely delimiters. If the configured delimiter does not split the header, but one of these does, the
/// error suggests that delimiter.
const OTHER_DELIMITERS: [char; 3] = [',', ';', '\t'];

/// Checks the first bytes of a file for formats that are not CSV.
///
/// # Errors
/// `encoding_utf16` or `not_csv`, with the detected format.
pub fn sniff(start: &[u8]) -> Result<(), HeaderFault> {
    match OTHER_KINDS.iter().find(|(magic, ..)| start.starts_with(magic)) {
        Some(&(_, reason, detail)) => Err(fault(reason, detail)),
        None => Ok(()),
    }
}

/// Finds the required columns in a header line. The line must not include a byte order mark or a line
/// end.
///
/// # Errors
/// The first of these faults: an invalid line, a duplicate column, a wrong delimiter, no header, a
/// missing column.
pub fn find_columns<const N: usize>(
    line: &[u8],
    delimiter: Delimiter,
    required: [&str; N],
) -> Result<Columns<N>, HeaderFault> {
    check(line, Ending::LineFeed).map_err(|reason| match reason {
        Reason::NulByte => fault(Reason::NotCsv, "the header has NUL bytes"),
        other => fault(other, "the header is not valid UTF-8 text"),
    })?;
    let mut record = Record::new(delimiter);
    record.read(line).map_err(|reason| fault(reason, "the header is not a CSV record"))?;
    let names: Vec<&str> =
        record.fields().map(|name| std::str::from_utf8(name).unwrap_or_default()).collect();
    if let Some(duplicate) = (1..names.len()).find(|&index| names[..index].contains(&names[index])) {
        return Err(fault(
            Reason::DuplicateColumn,
            &format!("the header names `{}` twice", names[duplicate]),
        ));
    }
    let expected = required.join(&char::from(delimiter.byte()).to_string());
    if let [only] = names.as_slice()
        && let Some(other) = OTHER_DELIMITERS
            .iter()
            .find(|&&other| other != char::from(delimiter.byte()) && only.contains(other))
    {
        let given = if *other == '\t' { "tab".to_owned() } else { other.to_string() };
        let detail = format!(
            "the columns are separated by `{given}` instead of `{delimiter}`; use `{delimiter}` \
             as in {expected}, or set input.delimiter to `{given}`"
        );
        return Err(fault(Reason::WrongDelimiter, &detail));
    }
    let positions = required.map(|name| names.iter().position(|&other| other == name));
    if positions.iter().all(Option::is_none) {
        return Err(fault(Reason::MissingHeader, &format!("no header found: expected {expected}")));
    }
    if let Some(missing) = positions.iter().position(Option::is_none) {
        let detail = format!("the header lacks `{}`: expected {expected}", required[missing]);
        return Err(fault(Reason::MissingColumn, &detail));
    }
    let ignored = names.iter().filter(|name| !required.contains(name)).map(ToString::to_string).collect();
    Ok(Columns { fields: names.len(), positions: positions.map(Option::unwrap_or_default), ignored })
}

/// Parses the header of a log. Also returns the names of ignored columns.
///
/// # Errors
/// The same as for [`find_columns`].
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
    fn invalid_headers_have_a_reason() {
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
