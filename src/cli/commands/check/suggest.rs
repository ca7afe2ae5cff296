//! Suggests settings for a log that cannot be read.
//!
//! `check` may guess, because a person decides what to do with the guess. Every suggestion is tried first:
//! the start of the log is decoded with the suggested settings, and only settings that accept rows are
//! printed.

use std::fmt::Write as _;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use crate::cli::commands::check::sample::{Sample, Table};
use crate::ingest::decode::Decoder;
use crate::ingest::hints::cells::delimiter_name;
use crate::ingest::hints::columns::{look_alike, recognised};
use crate::ingest::hints::{Subject, timestamp};
use crate::ingest::source::framing::{Eof, Frame, LineFramer};
use crate::model::delimiter::Delimiter;
use crate::model::dialect::columns::{LOG_FIELDS, compare_names};
use crate::model::dialect::{Dialect, RowFormat};
use crate::model::{Input, InputId};
use crate::settings::Settings;
use crate::text::harmless;
use crate::time::date_range::DateRange;

/// Number of lines that are shown of a log.
const SHOWN_LINES: usize = 3;
/// Maximum number of characters that are shown of a line.
const SHOWN_CHARS: usize = 120;
/// Maximum number of formats of timestamps that are tried.
const FORMATS: usize = 6;
/// A duration above this number is probably in milliseconds: a song of almost three hours.
const LONG: f64 = 10_000.0;

/// One setting with its value as text.
type Setting = (String, String);

/// Describes a log that cannot be read: its first lines, and the settings that would read it. `now` is in
/// seconds since 1970-01-01T00:00:00Z.
pub(super) fn suggest(path: &Path, label: &str, settings: &Settings, now: i64) -> String {
    let mut text = format!("\n{}: cannot be read as a log", harmless(label));
    let Ok(sample) = Sample::read(path) else {
        text.push('\n');
        return text;
    };
    text.push_str("; it begins with\n");
    for line in sample.lines.iter().take(SHOWN_LINES) {
        let shown: String = line.chars().take(SHOWN_CHARS).collect();
        let dots = if shown.len() < line.len() { "…" } else { "" };
        let _ = writeln!(text, "  | {}{dots}", harmless(&shown));
    }
    let table = sample.table();
    let trial = Trial { path, sample: &sample, settings, now };
    let best = table.as_ref().and_then(|table| Some((trial.best(table)?, table)));
    let Some(((rows, accepted, dialect), table)) = best else {
        text.push_str("No settings were found that read it.");
        for field in table.as_ref().map_or_else(Vec::new, missing) {
            let _ = write!(text, " No column looks like {field}.");
        }
        text.push('\n');
        return text;
    };
    let _ = writeln!(
        text,
        "It looks like {}. With these lines in music-insights.toml, {accepted} of its first {rows} rows are \
         accepted; please check that each column is the right one:\n",
        looks(table, &dialect)
    );
    text.push_str(&block(&settings.dialect(), &dialect, settings));
    text
}

/// The fields that no column seems to hold.
fn missing(table: &Table) -> Vec<&'static str> {
    let places = columns(table, has_header(table));
    LOG_FIELDS.into_iter().zip(places).filter(|(_, place)| place.is_none()).map(|(field, _)| field).collect()
}

/// Whether the first line is a header.
fn has_header(table: &Table) -> bool {
    table.delimiter.is_none() || recognised(Subject::Log, &table.names) >= 2 || !is_row(&table.names)
}

/// What a log was taken for.
fn looks(table: &Table, dialect: &Dialect) -> String {
    let mut text = match table.delimiter {
        None => "JSON Lines".to_owned(),
        Some(delimiter) => format!("CSV with `{}` between the columns", delimiter_name(delimiter)),
    };
    if table.delimiter.is_some() && dialect.header.to_string() == "none" {
        text.push_str(" and no header");
    }
    if !dialect.encoding.is_utf8() {
        let _ = write!(text, ", in {}", dialect.encoding);
    }
    text
}

/// The settings that differ between two dialects, as TOML. The catalog keeps the values that it has now.
fn block(current: &Dialect, suggested: &Dialect, settings: &Settings) -> String {
    let mut text = String::from("[input]\n");
    let mut inherited = String::new();
    for ((name, value), (_, before)) in suggested.settings().into_iter().zip(current.settings()) {
        if value == before {
            continue;
        }
        let key = name.strip_prefix("input.").unwrap_or(name);
        let _ = writeln!(text, "{key} = {}", toml_value(key, &value));
        let of_catalog = match key {
            "delimiter" => settings.catalog_dialect().delimiter.to_string(),
            "encoding" => settings.catalog_dialect().encoding.to_string(),
            "quoting" => settings.catalog_dialect().quoting.to_string(),
            _ => continue,
        };
        let _ = writeln!(inherited, "{key} = {}", toml_value(key, &of_catalog));
    }
    if !inherited.is_empty() {
        let _ = write!(text, "\n# The catalog stays as it is.\n[catalog]\n{inherited}");
    }
    text
}

fn toml_value(key: &str, value: &str) -> String {
    if key == "quoting" { value.to_owned() } else { toml::Value::String(value.to_owned()).to_string() }
}

/// Tries dialects on the start of a log.
struct Trial<'a> {
    path: &'a Path,
    sample: &'a Sample,
    settings: &'a Settings,
    now: i64,
}

impl Trial<'_> {
    /// The dialect that accepts the most rows, with the number of rows and of accepted rows. `None` if no
    /// dialect accepts any row.
    fn best(&self, table: &Table) -> Option<(usize, usize, Dialect)> {
        let mut best: Option<(usize, usize, Dialect)> = None;
        for candidate in candidates(table, self.sample.is_foreign, self.path) {
            let Some(dialect) = parse(&candidate) else { continue };
            let (rows, accepted) = self.decode(&Arc::new(dialect.clone()));
            if accepted > best.as_ref().map_or(0, |(_, accepted, _)| *accepted) {
                best = Some((rows, accepted, dialect));
            }
        }
        best
    }

    /// The numbers of rows and of accepted rows.
    fn decode(&self, dialect: &Arc<Dialect>) -> (usize, usize) {
        let decoder = Decoder {
            dictionaries: Arc::default(),
            zone: self.settings.timezone.0.clone(),
            max_future: self.settings.input.max_future.0.as_secs() as i64,
            dialect: Arc::clone(dialect),
            dates: DateRange::default(),
        };
        let input = Arc::new(Input { id: InputId(0), label: String::new() });
        let mut framer = LineFramer::new(input).with_dialect(dialect, self.path);
        let mut reader = Cursor::new(&self.sample.bytes);
        let (mut rows, mut accepted) = (0, 0);
        while let Ok(frame) = framer.next(&mut reader, Eof::Final, self.now) {
            match frame {
                Frame::Chunk(chunk) => {
                    let batch = decoder.decode(chunk);
                    rows += batch.rows();
                    accepted += batch.plays();
                }
                Frame::Ignored(_) | Frame::EarlierHeader => {}
                Frame::Refused(..) | Frame::End => break,
            }
        }
        (rows, accepted)
    }
}

/// The dialect of some settings; `None` if they are invalid.
fn parse(settings: &[Setting]) -> Option<Dialect> {
    let mut text = String::from("[input]\n");
    for (key, value) in settings {
        let _ = writeln!(text, "{key} = {}", toml_value(key, value));
    }
    toml::from_str::<Settings>(&text).ok().map(|settings| (*settings.dialect()).clone())
}

/// The settings to try, the likeliest ones first.
fn candidates(table: &Table, is_foreign: bool, path: &Path) -> Vec<Vec<Setting>> {
    let mut common: Vec<Setting> = Vec::new();
    let mut set = |key: &str, value: String| common.push((key.to_owned(), value));
    let by_name = Dialect::default().row_format(path);
    match table.delimiter {
        None if by_name != RowFormat::JsonLines => set("format", "jsonl".to_owned()),
        None => {}
        Some('\t') if by_name == RowFormat::Csv(Delimiter::TAB) => {}
        Some(delimiter) => {
            if by_name != RowFormat::Csv(Delimiter::COMMA) {
                set("format", "csv".to_owned());
            }
            set("delimiter", delimiter_name(delimiter));
        }
    }
    if is_foreign {
        set("encoding", "windows-1252".to_owned());
    }
    let has_header = has_header(table);
    let mut table = table.clone();
    if !has_header {
        table.rows.insert(0, table.names.clone());
        set("header", "none".to_owned());
    }
    let places = columns(&table, has_header);
    for (field, place) in LOG_FIELDS.iter().zip(places) {
        let Some(place) = place else { continue };
        let name = &table.names[place];
        if has_header && compare_names(name.as_bytes(), field.as_bytes()).is_some() {
            continue;
        }
        let is_usable = has_header && !name.is_empty() && !name.starts_with('#');
        let value = if is_usable { name.clone() } else { format!("#{}", place + 1) };
        set(&format!("columns.{field}"), value);
    }
    let [_, _, time, duration] = places;
    let formats = time.map_or_else(Vec::new, |time| formats(&table, time));
    let (units, decimals) =
        duration.map_or((["s", "ms"], ["."].as_slice()), |duration| durations(&table, duration));
    let mut found = Vec::new();
    for quoting in ["true", "false"] {
        for format in std::iter::once("iso").chain(formats.iter().map(String::as_str)) {
            for unit in units {
                for decimal in decimals {
                    let more = [
                        ("quoting", quoting),
                        ("timestamp", format),
                        ("duration", unit),
                        ("decimal", decimal),
                    ];
                    let more = more.map(|(key, value)| (key.to_owned(), value.to_owned()));
                    found.push(common.iter().cloned().chain(more).collect());
                }
            }
        }
    }
    found
}

/// Whether cells are a row rather than a header.
fn is_row(cells: &[String]) -> bool {
    cells.iter().any(|cell| timestamp::guess(cell).is_some() || number(cell).is_some())
}

/// The columns of the fields, by their names, else by their content, else in the usual order.
fn columns(table: &Table, has_header: bool) -> [Option<usize>; 4] {
    let mut places = [None; 4];
    if has_header {
        for (place, field) in places.iter_mut().zip(LOG_FIELDS) {
            let name = look_alike(field, &table.names);
            *place = name.and_then(|name| table.names.iter().position(|other| other == name));
        }
    }
    let free = |places: &[Option<usize>; 4]| {
        (0..table.names.len()).filter(|index| !places.contains(&Some(*index))).collect::<Vec<_>>()
    };
    let mostly = |index: usize, test: &dyn Fn(&str) -> bool| {
        let (cells, fitting) = table
            .column(index)
            .fold((0, 0), |(all, fitting), cell| (all + 1, fitting + usize::from(test(cell))));
        cells > 0 && fitting * 10 >= cells * 8
    };
    if places[2].is_none() {
        places[2] =
            free(&places).into_iter().find(|&index| mostly(index, &|cell| timestamp::guess(cell).is_some()));
    }
    if places[3].is_none() {
        places[3] =
            free(&places).into_iter().rev().find(|&index| mostly(index, &|cell| number(cell).is_some()));
    }
    for field in [0, 1] {
        if places[field].is_none() {
            places[field] = free(&places).into_iter().find(|&index| table.column(index).next().is_some());
        }
    }
    places
}

/// A number with a point or a comma.
fn number(cell: &str) -> Option<f64> {
    let is_plain = cell.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b','));
    if is_plain { cell.replace(',', ".").parse().ok() } else { None }
}

/// The formats of the timestamps in a column, the most common ones first.
fn formats(table: &Table, column: usize) -> Vec<String> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for format in table.column(column).flat_map(timestamp::candidates) {
        match counts.iter_mut().find(|(known, _)| *known == format) {
            Some((_, count)) => *count += 1,
            None => counts.push((format, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.into_iter().take(FORMATS).map(|(format, _)| format).collect()
}

/// The units and decimal marks of the durations in a column, the likelier ones first.
fn durations(table: &Table, column: usize) -> ([&'static str; 2], &'static [&'static str]) {
    let mut numbers: Vec<f64> = table.column(column).filter_map(number).collect();
    numbers.sort_by(f64::total_cmp);
    let name = table.names[column].to_ascii_lowercase();
    let names_millis = name.ends_with("ms") || name.starts_with("ms") || name.contains("milli");
    let is_millis = names_millis || numbers.get(numbers.len() / 2).is_some_and(|&median| median > LONG);
    let units = if is_millis { ["ms", "s"] } else { ["s", "ms"] };
    let has_comma = table.column(column).any(|cell| cell.contains(','));
    (units, if has_comma { &[",", "."] } else { &["."] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggested(name: &str, bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        suggest(&path, name, &Settings::default(), 1_800_000_000)
    }

    #[test]
    fn a_german_spreadsheet_is_recognised() {
        let text = suggested(
            "export.csv",
            b"Benutzer;Track;Datum;Dauer\nJ\xf6rg;t1;2025-03-21 01:09;61,5\nAnn;t2;2025-03-22 02:10;200\n",
        );
        for line in [
            "export.csv: cannot be read as a log; it begins with\n  | Benutzer;Track;Datum;Dauer\n  | J\u{f6}rg;t1;",
            "CSV with `;` between the columns, in windows-1252",
            "2 of its first 2 rows are accepted",
            "\ncolumns.user_id = \"Benutzer\"\ncolumns.song_id = \"Track\"\ncolumns.timestamp = \"Datum\"\n",
            "\ndecimal = \",\"\ndelimiter = \";\"\nencoding = \"windows-1252\"\n",
            "\n[catalog]\ndelimiter = \",\"\nencoding = \"utf-8\"\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_file_without_a_header_gets_places() {
        let text =
            suggested("a.csv", b"ann\tt1\t2025-03-21 01:09:00\t61\nbob\tt2\t2025-03-21 01:10:00\t62\n");
        assert!(text.contains("CSV with `tab` between the columns and no header"), "{text}");
        for line in [
            "columns.user_id = \"#1\"",
            "columns.duration_sec = \"#4\"",
            "header = \"none\"",
            "delimiter = \"tab\"",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_name_that_promises_another_format_is_overruled() {
        let text =
            suggested("a.tsv", b"user_id,song_id,timestamp,duration_sec\nann,t1,2025-03-21 01:09:00,61\n");
        assert!(text.ends_with("\n[input]\nformat = \"csv\"\n"), "{text}");
        let text = suggested(
            "a.csv",
            b"{\"user_id\":\"ann\",\"track\":{\"id\":\"t1\"},\"uts\":1742519340,\"ms_played\":61000}\n",
        );
        for line in [
            "It looks like JSON Lines.",
            "\ncolumns.song_id = \"track.id\"\n",
            "\ntimestamp = \"unix_s\"\n",
            "\nduration = \"ms\"\n",
            "\nformat = \"jsonl\"\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn nothing_is_suggested_that_accepts_no_row() {
        for bytes in
            [&b"just some words\nin a text file\n"[..], b"", b"a,b,c,d\nx,y,later,much\n", b"\xff\xfea\0,\0"]
        {
            let text = suggested("a.csv", bytes);
            assert!(text.contains("No settings were found"), "{text}");
            assert!(!text.contains("[input]"), "{text}");
        }
        let text = suggested("a.csv", b"user_id,song_id,timestamp\nann,t1,2025-03-21 01:09:00\n");
        assert!(text.contains("No column looks like duration_sec."), "{text}");
        let text = suggested("a.csv", b"evil \x1b[31m\n");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
