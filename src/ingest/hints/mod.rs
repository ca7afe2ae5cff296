//! Hints: for each reject reason, the setting that may make the row or file readable.
//!
//! A hint is text for a person. It may guess from the content of one rejected line. The program itself never
//! reads a file differently because of a guess.

pub mod cells;
pub mod columns;
mod subject;
pub mod timestamp;

pub use crate::ingest::hints::subject::Subject;

use crate::ingest::decode::header::HeaderFault;
use crate::ingest::hints::cells::{is_json, split};
use crate::ingest::hints::columns::header_hint;
use crate::ingest::hints::subject::json_hint;
use crate::model::delimiter::Delimiter;
use crate::model::{Reason, Reject};

/// The hint for a reject; `None` if no setting can help.
pub fn hint(subject: Subject, reject: &Reject) -> Option<String> {
    hint_for(subject, reject.reason, &reject.raw)
}

/// The hint for a line that was rejected for a reason. `raw` is the line, or the start of the file.
pub fn hint_for(subject: Subject, reason: Reason, raw: &[u8]) -> Option<String> {
    let table = subject.table();
    let text = match reason {
        _ if is_header_fault(reason) => return Some(header_hint(subject, raw, None)),
        Reason::DuplicateColumn => {
            format!("choose the column by its number, such as {table}.columns.song_id = \"#2\"")
        }
        Reason::BadTimestamp => return timestamp_hint(raw),
        Reason::TimestampRange => {
            "check the clock of this machine; if the rows really lie ahead, raise input.max_future; if the \
             timestamps are Unix times, set input.timestamp to their unit: \"unix_s\", \"unix_ms\" or \
             \"unix_us\""
                .to_owned()
        }
        Reason::DstGap => "set timezone to the zone in which the logs were written".to_owned(),
        Reason::BadNumber if has_decimal_comma(raw) => "set input.decimal = \",\"".to_owned(),
        Reason::BadNumber => {
            "duration_sec is a number of seconds such as 180 or 180.5; for a decimal comma set \
             input.decimal = \",\", for milliseconds set input.duration = \"ms\""
                .to_owned()
        }
        Reason::DurationRange | Reason::Overflow => {
            "if the durations are milliseconds, set input.duration = \"ms\"".to_owned()
        }
        Reason::InvalidUtf8 => {
            format!(
                "save the file as UTF-8, or set {table}.encoding, such as {table}.encoding = \"windows-1252\""
            )
        }
        Reason::EncodingUtf16 => "save the file as UTF-8, or as UTF-16 with a byte order mark".to_owned(),
        Reason::BadQuote | Reason::UnclosedQuote => quote_hint(subject, raw),
        Reason::FieldCount => field_count_hint(subject, raw),
        Reason::NoNewline | Reason::BareCr => "save the file with line feeds as line ends".to_owned(),
        Reason::NotCsv if is_json(raw) => json_hint(),
        Reason::TooManyBadLines => "raise input.max_bad_lines, or set it to 0".to_owned(),
        Reason::ContinuedAfterEof => {
            "if the writer pauses within a line, raise input.last_line_wait".to_owned()
        }
        _ => return None,
    };
    Some(text)
}

/// A text about a whole file that was rejected: the fault, and the hint. `line` is the rejected line, and
/// `delimiter` is the one that the settings declare.
pub fn with_hint(subject: Subject, fault: &HeaderFault, line: &[u8], delimiter: Delimiter) -> String {
    let hint = if is_header_fault(fault.reason) {
        Some(header_hint(subject, line, Some(delimiter)))
    } else {
        hint_for(subject, fault.reason, line)
    };
    hint.map_or_else(|| fault.detail.clone(), |hint| format!("{}; {hint}", fault.detail))
}

/// Whether the header does not have the expected columns.
fn is_header_fault(reason: Reason) -> bool {
    matches!(reason, Reason::MissingHeader | Reason::MissingColumn | Reason::WrongDelimiter)
}

/// The hint for a timestamp; `None` if it has the default form, so that its date or time does not exist.
fn timestamp_hint(raw: &[u8]) -> Option<String> {
    let cells = split(raw);
    if cells.iter().any(|cell| timestamp::has_default_form(cell)) {
        return None;
    }
    Some(cells.iter().find_map(|cell| timestamp::guess(cell)).map_or_else(
        || {
            "timestamps look like 2025-03-21 01:09:00; for other forms set input.timestamp, such as \
             input.timestamp = \"unix_s\" or \"%m/%d/%Y %H:%M\""
                .to_owned()
        },
        |format| format!("set input.timestamp = \"{format}\""),
    ))
}

/// Whether a cell is a number with a comma, or the line ends in two numbers that a comma as the delimiter has
/// separated.
fn has_decimal_comma(raw: &[u8]) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    split(raw)
        .iter()
        .any(|cell| cell.split_once(',').is_some_and(|(whole, part)| is_number(whole) && is_number(part)))
}

fn quote_hint(subject: Subject, raw: &[u8]) -> String {
    let table = subject.table();
    let ways = format!("set {table}.quoting = false if quotes have no meaning in this file");
    if memchr::memmem::find(raw, b"\\\"").is_some() {
        format!("write a quote inside quotes as \"\" instead of \\\", or {ways}")
    } else if subject == Subject::Log {
        format!("a quoted field must close on its line, and a quote inside it is written twice; {ways}")
    } else {
        format!("a quote inside a quoted field is written twice; {ways}")
    }
}

fn field_count_hint(subject: Subject, raw: &[u8]) -> String {
    let table = subject.table();
    let ends_with_numbers = {
        let mut last = raw.rsplit(|&byte| byte == b',');
        let is_number = |cell: &[u8]| !cell.is_empty() && cell.iter().all(u8::is_ascii_digit);
        last.next().is_some_and(is_number) && last.next().is_some_and(is_number)
    };
    if subject == Subject::Log && ends_with_numbers {
        return "a number with a decimal comma must be in quotes if the delimiter is a comma, too; then set \
                input.decimal = \",\""
            .to_owned();
    }
    format!(
        "a field that contains the delimiter must be in quotes; the delimiter is the setting {table}.delimiter"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(reason: Reason, raw: &str) -> String {
        hint_for(Subject::Log, reason, raw.as_bytes()).unwrap_or_default()
    }

    #[test]
    fn the_raw_line_determines_the_setting() {
        for (reason, raw, setting) in [
            (Reason::BadTimestamp, "ann,t1,1742519340,12", "input.timestamp = \"unix_s\""),
            (Reason::BadTimestamp, "ann,t1,1742519340000,12", "input.timestamp = \"unix_ms\""),
            (Reason::BadTimestamp, "ann;t1;21.03.2025 01:09;12", "input.timestamp = \"%d.%m.%Y %H:%M\""),
            (Reason::BadTimestamp, "ann,t1,yesterday,12", "for other forms set input.timestamp"),
            (Reason::BadNumber, "ann;t1;2025-03-21 01:09;12,5", "input.decimal = \",\""),
            (Reason::BadNumber, "ann,t1,2025-03-21 01:09,long", "input.duration = \"ms\""),
            (Reason::DurationRange, "ann,t1,2025-03-21 01:09,215000", "input.duration = \"ms\""),
            (Reason::FieldCount, "ann,t1,2025-03-21 01:09,12,5", "input.decimal = \",\""),
            (Reason::FieldCount, "ann,t1", "input.delimiter"),
            (Reason::BadQuote, "ann,\"say \\\"hi\\\"\",2025-03-21 01:09,5", "instead of \\\""),
            (Reason::InvalidUtf8, "ann", "input.encoding = \"windows-1252\""),
            (Reason::NotCsv, "{\"a\":1}", "input.format = \"jsonl\""),
        ] {
            assert!(log(reason, raw).contains(setting), "{reason:?} {raw}: {}", log(reason, raw));
        }
        assert_eq!(hint_for(Subject::Log, Reason::NulByte, b"x"), None);
        // The form is right, but there is no such day.
        assert_eq!(log(Reason::BadTimestamp, "ann,t1,2025-02-30 01:09:00,12"), "");
    }

    #[test]
    fn hints_for_the_catalog_name_its_own_settings() {
        for reason in [Reason::InvalidUtf8, Reason::BadQuote, Reason::WrongDelimiter, Reason::MissingColumn] {
            let hint = hint_for(Subject::Catalog, reason, b"song_id;title;artist;genre;mood").unwrap();
            assert!(hint.contains("catalog.") && !hint.contains("input."), "{reason:?}: {hint}");
        }
    }
}
