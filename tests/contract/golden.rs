//! Golden cases: small inputs with their exact expected output. A person can check each case by hand.
//!
//! A case is a folder in `tests/cases`:
//!
//! - the catalog `songs_metadata.csv`, and any files in `logs/`;
//! - optionally `music-insights.toml` with settings;
//! - optionally `args` with more arguments of `replay`, one per line (the test of `watch` skips cases with
//!   `--now`, because `watch` has no such flag);
//! - the expected output: `expected/<insight>/part-*.csv`, and `expected/_rejects/part-00000.csv` if the
//!   case has rejects.
//!
//! `UPDATE_GOLDEN=1 cargo test --test contract golden` writes `expected` from the output of `replay`. Another
//! test compares `expected` with the reference implementation. That test fails if the recorded output is
//! wrong.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use music_insights::cli::args::{self, Cli};
use music_insights::ingest::decode::record::Record;
use music_insights::ingest::source::compression::Compression;
use music_insights::ingest::source::log_names::LogNames;
use music_insights::insights::{ColumnType, MESSAGE, NAMES, columns};
use music_insights::model::Reason;
use music_insights::settings::{Layers, load};
use music_insights::text::push_cell;
use music_insights::time::clock::Clock;

use crate::files::{Files, files_under};
use crate::output_files::{difference, output_files};
use crate::reference;
use crate::reference_settings::reference_settings;
use clap::Parser;

const REJECTS: &str = "_rejects/part-00000.csv";
const NO_REJECTS: &[u8] = b"file,line,byte_offset,reason,raw\n";

/// A case, copied to a temporary folder.
struct Case {
    name: String,
    /// The folder of the case in the project.
    origin: PathBuf,
    /// The temporary copy. The program runs in this folder, so the paths of rejects look like `logs/a.csv`.
    work: tempfile::TempDir,
    /// The names of the logs.
    logs: Vec<String>,
    args: Vec<String>,
    expected: Files,
}

/// Reads all cases. One case has a different layout, because other projects use it too.
fn cases() -> Vec<Case> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> =
        fs::read_dir(project.join("tests/cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    let shared = std::env::var_os("SHARED_CASES").map(PathBuf::from);
    let seed = shared.unwrap_or_else(|| project.join("../shared")).join("cases/seed");
    folders.extend(seed.is_dir().then_some(seed));
    folders.into_iter().map(Case::open).collect()
}

impl Case {
    fn open(origin: PathBuf) -> Self {
        let work = tempfile::tempdir().unwrap();
        let mut files = files_under(&origin);
        if let Some(log) = files.remove("listening_logs.csv") {
            files.insert("logs/listening_logs.csv".to_owned(), log);
        }
        for (name, text) in files.iter().filter(|(name, _)| !name.starts_with("expected/")) {
            let path = work.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let within = |folder: &str| -> Files {
            let inside = files.iter().filter_map(|(name, text)| Some((name.strip_prefix(folder)?, text)));
            inside.map(|(name, text)| (name.to_owned(), text.clone())).collect()
        };
        let mut expected = within("expected/");
        expected.entry(REJECTS.to_owned()).or_insert_with(|| NO_REJECTS.to_vec());
        let args = files.get("args").map_or("", |text| std::str::from_utf8(text).unwrap());
        Self {
            name: origin.file_name().unwrap().to_str().unwrap().to_owned(),
            logs: within("logs/").into_keys().collect(),
            args: args.lines().map(str::to_owned).collect(),
            expected,
            work,
            origin,
        }
    }

    /// Runs the program with the arguments of the case and returns the output.
    fn run(&self, arguments: &[&str]) -> Result<Files, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_music-insights"));
        // Remove settings from the environment of the test.
        let settings = std::env::vars_os().map(|(name, _)| name);
        for name in settings.filter(|name| name.to_string_lossy().starts_with("MUSIC_INSIGHTS_")) {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .args(["--songs", "songs_metadata.csv", "--output", "output"])
            .args(&self.args);
        let output = self.work.path().join("output");
        let _ = fs::remove_dir_all(&output);
        let done = command.current_dir(self.work.path()).output().unwrap();
        if !done.status.success() {
            let (text, status) = (String::from_utf8_lossy(&done.stderr), done.status);
            return Err(format!("{status}: {text}"));
        }
        let mut files = output_files(&output);
        files.retain(|name, _| self.concerns(name.split('/').next().unwrap()));
        Ok(files)
    }

    /// Whether a case covers an insight: the case expects rows of the insight, or has settings for the
    /// insight. Older cases do not cover insights that were added later. A new case without expected files
    /// covers all insights.
    fn concerns(&self, folder: &str) -> bool {
        let inside = format!("{folder}/");
        let setting = format!("insights.{folder}.");
        !NAMES.contains(&folder)
            || self.expected.keys().all(|name| name == REJECTS)
            || self.expected.keys().any(|name| name.starts_with(&inside))
            || self.args.iter().any(|argument| argument.contains(&setting))
            || fs::read_to_string(self.origin.join("music-insights.toml"))
                .is_ok_and(|settings| settings.contains(&format!("[insights.{folder}]")))
    }

    fn replay(&self) -> Result<Files, String> {
        self.run(&["replay", "logs"])
    }

    /// The output of the reference. `None` if the case has compressed logs or JSON Lines, because the reference
    /// cannot read them.
    fn by_reference(&self) -> Option<Files> {
        let path = |name: &str| self.work.path().join(name);
        let plain = |name: &String| {
            Compression::of(Path::new(name)) == Compression::Plain
                && Path::new(name).extension() != Some(OsStr::new("jsonl"))
        };
        if !self.logs.iter().all(plain) {
            return None;
        }
        let line = ["music-insights", "replay"].into_iter().chain(self.args.iter().map(String::as_str));
        let args::Command::Replay(args) = Cli::try_parse_from(line).unwrap().command else { unreachable!() };
        let config = Some(path("music-insights.toml")).filter(|path| path.exists());
        let settings = load(&Layers { config, ..Layers::default() }).unwrap();
        let now = args.now.unwrap_or_else(|| Clock::System.now());
        let read = |name: &str| (name.to_owned(), fs::read(path(name)).unwrap());
        let is_log = |name: &&String| LogNames::default().is_log(OsStr::new(name));
        let logs: Vec<_> =
            self.logs.iter().filter(is_log).map(|name| read(&format!("logs/{name}"))).collect();
        let output =
            reference::replay(&logs, &read("songs_metadata.csv"), &reference_settings(&settings, now));
        let mut files = output.files;
        if settings.csv.escape_formulas {
            for (name, text) in &mut files {
                guard_cells(name, text);
            }
        }
        Some(files)
    }
}

/// Puts an apostrophe before the text of cells that look like a formula.
fn guard_cells(name: &str, text: &mut Vec<u8>) {
    let Some(columns) = columns(name.split('/').next().unwrap()) else { return };
    let mut record = Record::default();
    let mut guarded = Vec::new();
    for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        record.read(line).unwrap();
        for (index, cell) in record.fields().enumerate() {
            let is_text = columns[index].kind == ColumnType::Text;
            let formula = is_text && cell.first().is_some_and(|first| b"=+-@\t\r".contains(first));
            if index > 0 {
                guarded.push(b',');
            }
            push_cell(&mut guarded, &[if formula { &b"'"[..] } else { b"" }, cell].concat());
        }
        guarded.push(b'\n');
    }
    *text = guarded;
}

/// Compares the output of each case with its expected output. Fails with all differences.
fn compare_all(cases: &[Case], found: impl Fn(&Case) -> Result<Option<(Files, Files)>, String>) {
    let mut differences = String::new();
    for case in cases {
        let differs = match found(case) {
            Ok(Some((expected, found))) => difference(&expected, &found),
            Ok(None) => None,
            Err(message) => Some(message),
        };
        if let Some(differs) = differs {
            writeln!(differences, "case {}: {differs}", case.name).unwrap();
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

#[test]
fn replay_writes_the_expected_output() {
    let cases = cases();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        cases.iter().filter(|case| case.name != "seed").for_each(update);
        return;
    }
    assert!(!cases.is_empty());
    compare_all(&cases, |case| Ok(Some((case.expected.clone(), case.replay()?))));
}

fn update(case: &Case) {
    let folder = case.origin.join("expected");
    let _ = fs::remove_dir_all(&folder);
    for (name, text) in case.replay().unwrap_or_else(|message| panic!("case {}: {message}", case.name)) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Snapshots must be equal. Append-only tables must have the same rows, but the order of their rows does not
/// matter, because `watch` keeps the order only within each input.
#[test]
fn watch_once_writes_the_expected_output() {
    let cases = cases();
    compare_all(&cases, |case| {
        if case.args.iter().any(|argument| argument.starts_with("--now")) {
            return Ok(None);
        }
        let watch = ["watch", "--once", "--incoming", "logs", "--state", "state", "--http", "off"];
        let mut pair = (case.expected.clone(), case.run(&watch)?);
        name_logs_in_folder(&mut pair.0);
        if case.logs.len() > 1 {
            sort_appended(&mut pair.0);
            sort_appended(&mut pair.1);
        }
        Ok(Some(pair))
    });
}

/// Changes the names of logs in `_rejects` from those of `replay`, which are paths, to those of `watch`, which
/// are relative to the folder.
fn name_logs_in_folder(files: &mut Files) {
    for (_, text) in files.iter_mut().filter(|(name, _)| name.starts_with("_rejects/")) {
        let lines = text.split_inclusive(|&byte| byte == b'\n');
        *text = lines.flat_map(|line| line.strip_prefix(b"logs/").unwrap_or(line)).copied().collect();
    }
}

/// Joins the parts of each append-only table into one text, and sorts its lines.
fn sort_appended(files: &mut Files) {
    for folder in ["_rejects/", "enriched_logs/"] {
        let parts = files.extract_if(.., |name, _| name.starts_with(folder));
        let mut lines: Vec<Vec<u8>> = parts
            .flat_map(|(_, text)| {
                text.split(|&byte| byte == b'\n').skip(1).map(<[u8]>::to_vec).collect::<Vec<_>>()
            })
            .collect();
        lines.sort();
        files.insert(format!("{folder}sorted"), lines.join(&b'\n'));
    }
}

#[test]
fn the_reference_agrees_with_the_expected_output() {
    let cases = cases();
    compare_all(&cases, |case| {
        let Some(mut files) = case.by_reference() else { return Ok(None) };
        // The reference also computes disabled insights. The expected files show which insights are enabled.
        let folder = |name: &str| name.split('/').next().unwrap().to_owned();
        let enabled: BTreeSet<String> = case.expected.keys().map(|name| folder(name)).collect();
        files.retain(|name, _| enabled.contains(&folder(name)));
        Ok(Some((case.expected.clone(), files)))
    });
}

/// Every reject reason occurs in a case, except the reason that needs a growing file.
#[test]
fn every_reject_reason_has_a_case() {
    let mut missing: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    missing.remove(Reason::ContinuedAfterEof.code());
    for case in cases() {
        let rejects = String::from_utf8(case.expected[REJECTS].clone()).unwrap();
        missing.retain(|reason| !rejects.contains(&format!(",{reason},")));
    }
    assert!(missing.is_empty(), "no case has {missing:?}");
}

/// Checks that the expected cells of all cases match the declared type of their column.
#[test]
fn every_cell_has_the_type_of_its_column() {
    let mut seen = BTreeSet::new();
    for case in cases() {
        for (name, text) in &case.expected {
            let Some(columns) = columns(name.split('/').next().unwrap()) else {
                assert_eq!(name, REJECTS);
                continue;
            };
            let mut lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
            let header: Vec<&str> = columns.iter().map(|column| column.name).collect();
            if text.starts_with(format!("{MESSAGE}\n").as_bytes()) {
                continue;
            }
            assert_eq!(lines.next(), Some(header.join(",").as_bytes()), "{}: {name}", case.name);
            let mut record = Record::default();
            for line in lines {
                record.read(line).unwrap();
                assert_eq!(record.len(), columns.len(), "{}: {name}", case.name);
                for (cell, column) in record.fields().zip(columns) {
                    let cell = std::str::from_utf8(cell).unwrap();
                    let fits = match column.kind {
                        ColumnType::Text => true,
                        ColumnType::Integer => cell.parse::<i64>().is_ok(),
                        ColumnType::Number => cell.parse::<f64>().is_ok_and(f64::is_finite),
                        ColumnType::Time => chrono::DateTime::parse_from_rfc3339(cell).is_ok(),
                    };
                    assert!(fits, "{}: {name}: column {} contains {cell}", case.name, column.name);
                    seen.insert((name.split('/').next().unwrap().to_owned(), column.name));
                }
            }
        }
    }
    let all: usize = NAMES.iter().filter_map(|name| columns(name)).map(<[_]>::len).sum();
    assert_eq!(seen.len(), all, "some columns occur in no case");
}
