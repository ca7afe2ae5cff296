//! Property tests: the same plays and songs give the same tables in every dialect, in `replay` and in `watch`.
//!
//! `cargo test` runs about 150 cases in some seconds. `LONG_TESTS=1` runs fifty times as many cases.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use chrono_tz::Tz;
use music_insights::settings::Settings;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::daemon::is_long;
use crate::dialect_world::{CatalogForm, Choices, LogForm, plain_catalog, plain_log, plays, songs};
use crate::engine::{NOW, Piece, replay, watch};
use crate::files::Files;
use crate::output_files::{difference, output_files};
use crate::size::cases;

/// Settings from the text of a settings file.
fn settings_of(text: &str) -> Settings {
    let settings: Settings = toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    settings
}

fn line_of(table: &str, name: &str, value: &str) -> String {
    format!("{table}.{name} = {}\n", toml::Value::String(value.to_owned()))
}

/// The output without the rows of `enriched_logs` in order: `watch` may read files in any order.
fn sorted(mut files: Files) -> Files {
    for (_, text) in files.iter_mut().filter(|(name, _)| name.starts_with("enriched_logs/")) {
        let mut lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
        lines.sort_unstable();
        *text = lines.concat();
    }
    files
}

fn same(what: &str, expected: &Files, found: &Files, shown: &str) -> Result<(), TestCaseError> {
    match difference(expected, found) {
        Some(difference) => Err(TestCaseError::fail(format!("{what}: {difference}\n{shown}"))),
        None => Ok(()),
    }
}

/// Splits a file into at most three pieces. A file that is read whole is one piece.
fn pieces(choices: &mut Choices, path: &Path, bytes: &[u8], is_whole: bool) -> [Piece; 3] {
    let mut cuts =
        if is_whole { [0, 0] } else { [choices.below(bytes.len() + 1), choices.below(bytes.len() + 1)] };
    cuts.sort_unstable();
    [&bytes[..cuts[0]], &bytes[cuts[0]..cuts[1]], &bytes[cuts[1]..]].map(|bytes| {
        let (path, bytes) = (path.to_owned(), bytes.to_vec());
        Box::new(move || {
            if is_whole && !bytes.is_empty() {
                let hidden = path.with_file_name(".new");
                fs::write(&hidden, &bytes).unwrap();
                fs::rename(&hidden, &path).unwrap();
            } else if !bytes.is_empty() {
                let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
                file.write_all(&bytes).unwrap();
            }
        }) as Piece
    })
}

/// Writes plays and songs as plain CSV and in a random dialect, and compares the tables.
fn compare(numbers: Vec<u16>) -> Result<(), TestCaseError> {
    let choices = &mut Choices::new(numbers);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let zone = choices.one(&[Tz::UTC, Tz::Europe__Berlin]);
    // Where the logs are, and the setting that says so.
    let (place, rule) = choices.one(&[
        ("", ""),
        ("some/day=1/", "input.recursive = true\n"),
        ("Log-", "input.names = [\"log-[0-9].*\", \"*.none\"]\n"),
    ]);
    let (logs, catalog) = (LogForm::choose(choices, zone), CatalogForm::choose(choices));
    let (plays, songs) = (logs.writable(&plays(choices)), catalog.writable(&songs(choices)));

    let mut plain = Settings { songs: path("plain_songs.csv"), output: path("plain"), ..Settings::default() };
    plain.timezone = zone.name().parse().unwrap();
    fs::write(&plain.songs, plain_catalog(&songs)).unwrap();
    fs::write(path("plain.csv"), plain_log(&plays)).unwrap();
    replay(&plain, vec![path("plain.csv")], NOW, 1 << 20);
    let expected = output_files(&plain.output);

    let mut text = rule.to_owned();
    for (name, value) in &logs.table.settings {
        text += &line_of("input", name, value);
    }
    for (name, value) in &catalog.table.settings {
        text += &line_of("catalog", name, value);
    }
    // Without a value of its own, the catalog has these settings of the logs.
    for (name, default) in [("delimiter", ","), ("encoding", "utf-8"), ("quoting", "true")] {
        let is_set = |settings: &[(String, String)]| settings.iter().any(|(set, _)| set == name);
        if is_set(&logs.table.settings) && !is_set(&catalog.table.settings) {
            text += &line_of("catalog", name, default);
        }
    }
    let mut settings = settings_of(&text);
    settings.timezone = plain.timezone.clone();
    settings.songs = path(&format!("songs{}", catalog.table.ending));
    settings.output = path("output");
    settings.incoming = path("incoming");
    settings.state = path("state");
    let catalog_bytes = catalog.file(choices, &songs);
    fs::write(&settings.songs, &catalog_bytes).unwrap();
    for folder in [&settings.incoming, &path("finished")] {
        fs::create_dir_all(folder.join(format!("{place}0")).parent().unwrap()).unwrap();
    }

    let mut shown = format!("{text}songs{}: {}\n", catalog.table.ending, catalog_bytes.escape_ascii());
    let (mut files, mut steps) = (Vec::<PathBuf>::new(), [vec![], vec![], vec![]]);
    let mut rest = plays.as_slice();
    for number in 0.. {
        let (some, more) =
            rest.split_at(if number == 3 { rest.len() } else { choices.below(rest.len() + 1) });
        let some = if choices.below(2) == 0 { rest } else { some };
        rest = if some.len() == rest.len() { &[] } else { more };
        let name = format!("{place}{number}{}", logs.table.ending);
        let bytes = logs.file(choices, some);
        writeln!(shown, "{name}: {}", bytes.escape_ascii()).unwrap();
        fs::write(path("finished").join(&name), &bytes).unwrap();
        files.push(path("finished").join(&name));
        let pieces = pieces(choices, &settings.incoming.join(&name), &bytes, logs.is_read_whole());
        steps.iter_mut().zip(pieces).for_each(|(step, piece)| step.push(piece));
        if rest.is_empty() {
            break;
        }
    }
    let chunk = choices.one(&[1 << 20, 100, 7]);
    replay(&settings, files, NOW, chunk);
    same("replay", &expected, &output_files(&settings.output), &shown)?;
    fs::remove_dir_all(&settings.output).unwrap();
    watch(&settings, steps.into_iter().collect());
    same("watch", &sorted(expected), &sorted(output_files(&settings.output)), &shown)?;
    Ok(())
}

fn config() -> ProptestConfig {
    let kept = FileFailurePersistence::Direct("tests/regressions/dialects.txt");
    ProptestConfig {
        cases: cases(60),
        failure_persistence: Some(Box::new(kept)),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// The same plays and songs give the same tables in every dialect.
    #[test]
    fn all_dialects_give_the_same_tables(numbers in vec(any::<u16>(), 400)) {
        compare(numbers)?;
    }
}

/// Each choice of the plain case is changed alone.
#[test]
fn settings_that_are_changed_alone_give_the_same_tables() {
    compare(Vec::new()).unwrap();
    for at in 0..45 {
        let several = if is_long() { 1..12 } else { 1 + at * 7 % 11..2 + at * 7 % 11 };
        for number in several.chain([3]) {
            // The later numbers choose plays and songs.
            let mut numbers: Vec<u16> = (0..400).map(|later| if later < 100 { 0 } else { later }).collect();
            numbers[usize::from(at)] = number;
            compare(numbers).unwrap_or_else(|error| panic!("choice {at} is {number}: {error}"));
        }
    }
}
