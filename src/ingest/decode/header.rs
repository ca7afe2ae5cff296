//! Finds the columns of a log or catalog in its header, and detects files that are not CSV.

use crate::ingest::decode::line::{Ending, check};
use crate::ingest::decode::record::Record;
use crate::model::delimiter::Delimiter;
use crate::model::dialect::columns::{ColumnName, LOG_FIELDS, NameMatch, compare_names};
use crate::model::dialect::encoding::TextEncoding;
use crate::model::dialect::{Dialect, RowFormat};
use crate::model::layout::TypedCells;
use crate::model::{FurtherFields, Header, Layout, Reason, RowLayout};

/// Why a whole file is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderFault {
    /// The reason in `_rejects`.
    pub reason: Reason,
    /// The text for a warning. It states the fault and the expected content.
    pub detail: String,
}

/// The columns to find in a header.
#[derive(Debug)]
pub struct ColumnSearch<'a, const N: usize> {
    /// The table of settings that describes the file: `input` or `catalog`.
    pub table: &'static str,
    /// The delimiter of the header.
    pub delimiter: Delimiter,
    /// Whether quotes enclose fields.
    pub quoting: bool,
    /// The names of the fields.
    pub fields: [&'static str; N],
    /// The column of each field. `None` if the file has no such column.
    pub columns: [Option<&'a ColumnName>; N],
}

/// The columns that were found in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns<const N: usize> {
    /// Number of fields in the header.
    pub fields: usize,
    /// Number of fields that every row has: the last columns of a header may have no names.
    pub min_fields: usize,
    /// Index of the column of each field. `None` if the file has no such column.
    pub positions: [Option<usize>; N],
    /// Names of all columns that are not used.
    pub ignored: Vec<String>,
}

/// The byte order mark of UTF-8.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The first bytes of files that users put into log folders by mistake, by format.
const OTHER_KINDS: [(&[u8], Reason, &str); 8] = [
    (b"\x89PNG", Reason::NotCsv, "the file is a PNG image, expected CSV"),
    (b"\x7fELF", Reason::NotCsv, "the file is a program, expected CSV"),
    (b"PK\x03\x04", Reason::NotCsv, "the file is a zip archive or spreadsheet, expected CSV"),
    (b"\x1f\x8b", Reason::NotCsv, "the file is gzip; rename it to end in .gz"),
    (b"\x28\xb5\x2f\xfd", Reason::NotCsv, "the file is zstd; rename it to end in .zst"),
    (b"\xfd7zXZ\0", Reason::NotCsv, "the file is xz; rename it to end in .xz"),
    (b"%PDF-", Reason::NotCsv, "the file is a PDF document, expected CSV"),
    (b"PAR1", Reason::NotCsv, "the file is Parquet; rename it to end in .parquet"),
];

/// Likely delimiters. If the configured delimiter does not split the header, but one of these does, the
/// error suggests that delimiter.
const OTHER_DELIMITERS: [u8; 4] = *b",;\t|";

/// Checks the first bytes of a file for formats that are not CSV.
///
/// # Errors
/// `not_csv`, with the detected format.
pub fn sniff(start: &[u8]) -> Result<(), HeaderFault> {
    match OTHER_KINDS.iter().find(|(magic, ..)| start.starts_with(magic)) {
        Some(&(_, reason, detail)) => Err(fault(reason, detail)),
        // The digit is the block size, and the rest marks a block.
        None if start.starts_with(b"BZh") && start.get(4..10) == Some(b"1AY&SY") => {
            Err(fault(Reason::NotCsv, "the file is bzip2; rename it to end in .bz2"))
        }
        None => Ok(()),
    }
}

impl<const N: usize> ColumnSearch<'_, N> {
    /// Finds the columns in a header line. The line must not include a byte order mark or a line end.
    ///
    /// # Errors
    /// The first of these faults: an invalid line, two columns for one field, a wrong delimiter, no header,
    /// a missing column.
    pub fn find(&self, line: &[u8]) -> Result<Columns<N>, HeaderFault> {
        check(line, Ending::LineFeed).map_err(|reason| match reason {
            Reason::NulByte => nul_bytes(line, "the header has NUL bytes"),
            other => fault(other, "the header is not valid UTF-8 text"),
        })?;
        let mut record = Record::new(self.delimiter, self.quoting);
        record.read(line).map_err(|reason| fault(reason, "the header is not a CSV record"))?;
        let names: Vec<&[u8]> = record.fields().collect();
        let mut positions = [None; N];
        for (position, column) in positions.iter_mut().zip(self.columns) {
            *position = column.map_or(Ok(None), |column| find_column(column, &names))?;
        }
        let is_missing = |index: &usize| self.columns[*index].is_some() && positions[*index].is_none();
        if let Some(missing) = (0..N).find(is_missing) {
            return Err(self.missing(missing, &names, &positions));
        }
        let is_named = |name: &&[u8]| !is_unnamed(name);
        let last_used = positions.iter().flatten().max().map_or(0, |last| last + 1);
        let last_named = names.iter().rposition(is_named).map_or(0, |last| last + 1);
        let is_ignored =
            |(index, name): &(usize, &&[u8])| is_named(name) && !positions.contains(&Some(*index));
        let ignored = names.iter().enumerate().filter(is_ignored);
        Ok(Columns {
            fields: names.len(),
            min_fields: last_named.max(last_used),
            ignored: ignored.map(|(_, name)| String::from_utf8_lossy(name).into_owned()).collect(),
            positions,
        })
    }

    /// The fault of a header without the column of a field.
    fn missing(&self, missing: usize, names: &[&[u8]], positions: &[Option<usize>; N]) -> HeaderFault {
        let wanted = self.columns.iter().flatten().map(ToString::to_string);
        let expected = wanted.collect::<Vec<_>>().join(&char::from(self.delimiter.byte()).to_string());
        if let [only] = names
            && let Some(other) = OTHER_DELIMITERS
                .iter()
                .find(|&&other| other != self.delimiter.byte() && memchr::memchr(other, only).is_some())
        {
            let given = if *other == b'\t' { "tab".to_owned() } else { char::from(*other).to_string() };
            let detail = format!("the columns are separated by `{given}` instead of `{}`", self.delimiter);
            return fault(Reason::WrongDelimiter, &detail);
        }
        let is_found = |index: usize| {
            matches!(self.columns[index], Some(ColumnName::Name(_))) && positions[index].is_some()
        };
        let is_wanted = |index: usize| matches!(self.columns[index], Some(ColumnName::Name(_)));
        if (0..N).any(is_wanted) && !(0..N).any(is_found) {
            return fault(Reason::MissingHeader, &format!("no header found: expected {expected}"));
        }
        let detail = match self.columns[missing] {
            Some(ColumnName::Index(index)) => format!(
                "{}.columns.{} is `#{}`, but the header has {} columns",
                self.table,
                self.fields[missing],
                index + 1,
                names.len()
            ),
            Some(ColumnName::Name(name)) => format!("the header lacks `{name}`: expected {expected}"),
            None => expected,
        };
        fault(Reason::MissingColumn, &detail)
    }
}

/// The fault of a first line with NUL bytes. Text in UTF-16 has many of them, all at even places or all at odd
/// places.
pub fn nul_bytes(line: &[u8], detail: &str) -> HeaderFault {
    let nuls = |parity: usize| line.iter().skip(parity).step_by(2).filter(|&&byte| byte == 0).count();
    let (even, odd, many) = (nuls(0), nuls(1), line.len() / 4);
    if line.len() >= 8 && (even == 0 && odd >= many || odd == 0 && even >= many) {
        let detail = "the file is UTF-16 without a byte order mark; save it as UTF-8, or with the mark";
        return fault(Reason::EncodingUtf16, detail);
    }
    fault(Reason::NotCsv, detail)
}

/// Finds a column: the one with exactly this name, or else the one whose name is equal but for ASCII case,
/// spaces, `_` and `-`.
///
/// # Errors
/// `duplicate_column` if two columns match equally well.
pub fn find_column(column: &ColumnName, names: &[&[u8]]) -> Result<Option<usize>, HeaderFault> {
    let name = match column {
        ColumnName::Index(index) => return Ok((*index < names.len()).then_some(*index)),
        ColumnName::Name(name) => name,
    };
    for wanted in [NameMatch::Exact, NameMatch::Relaxed] {
        let matches = |index: &usize| compare_names(names[*index], name.as_bytes()) == Some(wanted);
        let mut found = (0..names.len()).filter(matches);
        match (found.next(), found.next()) {
            (Some(first), Some(second)) => {
                let detail = format!(
                    "columns {} and {} of the header are both `{name}`; choose one by its place, such as `#{}`",
                    first + 1,
                    second + 1,
                    first + 1
                );
                return Err(fault(Reason::DuplicateColumn, &detail));
            }
            (Some(only), None) => return Ok(Some(only)),
            _ => {}
        }
    }
    Ok(None)
}

/// Whether a column has no name.
fn is_unnamed(name: &[u8]) -> bool {
    name.iter().all(|byte| matches!(byte, b' ' | b'\t'))
}

/// The columns of logs in a dialect.
fn log_columns(dialect: &Dialect, delimiter: Delimiter, quoting: bool) -> ColumnSearch<'_, 4> {
    ColumnSearch {
        table: "input",
        delimiter,
        quoting,
        fields: LOG_FIELDS,
        columns: dialect.columns.in_order().map(Some),
    }
}

/// Parses the header of a log. Also returns the names of ignored columns. JSON Lines have no header.
///
/// # Errors
/// The same as for [`ColumnSearch::find`].
pub fn parse(
    line: &[u8],
    dialect: &Dialect,
    format: RowFormat,
) -> Result<(Header, Vec<String>), HeaderFault> {
    let (delimiter, quoting, typed) = match format {
        RowFormat::Csv(delimiter) => (delimiter, dialect.quoting.0, TypedCells::default()),
        RowFormat::Parquet(typed) => (Delimiter::COMMA, true, typed),
        RowFormat::JsonLines => return Err(fault(Reason::MissingHeader, "JSON Lines have no header")),
    };
    let columns = log_columns(dialect, delimiter, quoting).find(line)?;
    let Columns { fields, min_fields, positions, ignored } = columns;
    let [user, song, timestamp, duration] = positions.map(Option::unwrap_or_default);
    let header = Header {
        fields,
        min_fields,
        further: FurtherFields::Empty,
        user,
        song,
        timestamp,
        duration,
        delimiter,
        quoting,
        typed,
        line: line.to_vec(),
    };
    Ok((header, ignored))
}

/// The layout of a CSV log in UTF-8 with this header and the default dialect.
///
/// # Errors
/// The same as for [`ColumnSearch::find`].
pub fn default_layout(line: &[u8]) -> Result<Layout, HeaderFault> {
    let (header, _) = parse(line, &Dialect::default(), RowFormat::Csv(Delimiter::COMMA))?;
    Ok(Layout { encoding: TextEncoding::UTF_8, rows: RowLayout::Csv(header) })
}

/// The columns of logs without a header. All columns of the dialect must be given by their places. `None` if
/// one is not.
pub fn without_header(dialect: &Dialect, delimiter: Delimiter) -> Option<Header> {
    let mut positions = [0; 4];
    for (position, column) in positions.iter_mut().zip(dialect.columns.in_order()) {
        let ColumnName::Index(index) = column else { return None };
        *position = *index;
    }
    let [user, song, timestamp, duration] = positions;
    let fields = positions.into_iter().max().map_or(0, |last| last + 1);
    Some(Header {
        fields,
        min_fields: fields,
        further: FurtherFields::Ignored,
        user,
        song,
        timestamp,
        duration,
        delimiter,
        quoting: dialect.quoting.0,
        typed: TypedCells::default(),
        line: Vec::new(),
    })
}

fn fault(reason: Reason, detail: &str) -> HeaderFault {
    HeaderFault { reason, detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_default(line: &[u8]) -> Result<(Header, Vec<String>), HeaderFault> {
        parse(line, &Dialect::default(), RowFormat::Csv(Delimiter::COMMA))
    }

    #[test]
    fn columns_are_found_in_any_order() {
        let (header, ignored) = parse_default(b"\"duration_sec\",device,song_id,user_id,timestamp").unwrap();
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
            assert_eq!(parse_default(line).unwrap_err().reason, reason);
        }
    }

    #[test]
    fn an_exact_name_wins_and_unused_columns_may_clash() {
        let (header, ignored) =
            parse_default(b"User ID,user_id,note,note,Song-Id,Timestamp, DURATION_SEC ,, ").unwrap();
        assert_eq!((header.user, header.song, header.timestamp, header.duration), (1, 4, 5, 6));
        assert_eq!((header.fields, header.min_fields), (9, 7));
        assert_eq!(ignored, ["User ID", "note", "note"]);
        let clash = parse_default(b"UserID,user id,song_id,timestamp,duration_sec").unwrap_err();
        assert_eq!(clash.reason, Reason::DuplicateColumn);
    }

    #[test]
    fn columns_are_found_by_place_whatever_their_name() {
        let columns =
            r##"{"columns":{"user_id":"#2","song_id":"#2","timestamp":"when","duration_sec":"#4"}}"##;
        let dialect: Dialect = serde_json::from_str(columns).unwrap();
        let parse = |line: &[u8]| parse(line, &dialect, RowFormat::Csv(Delimiter::COMMA));
        let (header, _) = parse(b"user_id,,when,song_id").unwrap();
        assert_eq!((header.user, header.song, header.timestamp, header.duration), (1, 1, 2, 3));
        for (line, reason) in [
            (&b"when,b,c"[..], Reason::MissingColumn),
            (b"a,b,c,d", Reason::MissingHeader),
            (b"user_id,song_id,timestamp,duration_sec", Reason::MissingHeader),
        ] {
            assert_eq!(parse(line).unwrap_err().reason, reason);
        }
        assert!(without_header(&dialect, Delimiter::COMMA).is_none());
    }
}
