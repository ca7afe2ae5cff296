//! Checks the tables of periods: each has the content that a `replay` of the plays of the period would have.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use music_insights::insights::top_songs_this_week::WeekChoice;
use music_insights::model::period_rules::{Kept, PeriodRules};
use music_insights::model::value::TimeSpan;
use music_insights::settings::{Periods, Settings};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::Value;

use crate::engine::{HEADER, NOW, Piece, replay, watch};
use crate::files::{Files, files_under};
use crate::output_files::difference;
use crate::reference;
use crate::reference_settings::reference_settings;
use crate::size::cases;
use crate::world::{File, catalog, periods, rows, settings};

fn config(usual: u32) -> ProptestConfig {
    let kept = FileFailurePersistence::Direct("tests/regressions/periods.txt");
    ProptestConfig {
        cases: cases(usual),
        failure_persistence: Some(Box::new(kept)),
        ..ProptestConfig::default()
    }
}

/// The work of one process of `watch`.
#[derive(Clone, Debug)]
struct Process {
    /// The rows that come while the process runs, each with the number of their log.
    rows: Vec<(usize, File)>,
    /// A catalog that replaces the previous one before the process starts.
    catalog: Option<File>,
    /// Whether the process keeps fewer periods than the process before it.
    keeps_fewer: bool,
}

fn process() -> impl Strategy<Value = Process> {
    let rows = vec((0_usize..3, rows(0..12)), 0..5);
    (rows, proptest::option::weighted(0.4, catalog()), proptest::bool::weighted(0.2))
        .prop_map(|(rows, catalog, keeps_fewer)| Process { rows, catalog, keeps_fewer })
}

/// The tables of periods, without the indexes.
fn tables(output: &Path) -> Files {
    let mut files = files_under(output);
    files.retain(|name, _| name.starts_with("periods/") && !name.ends_with("/_index.json"));
    files
}

/// Checks that the manifest lists all indexes, and that the indexes list all tables.
fn check_indexes(output: &Path) -> Result<(), TestCaseError> {
    let read = |name: &str| fs::read(output.join(name)).unwrap();
    let manifest: Value = serde_json::from_slice(&read("_manifest.json")).unwrap();
    let mut listed = BTreeSet::new();
    for entry in manifest["periods"].as_array().into_iter().flatten() {
        let file = entry["file"].as_str().unwrap();
        let text = read(file);
        prop_assert_eq!(entry["bytes"].as_u64(), Some(text.len() as u64));
        let hash = format!("xxh3-128:{:032x}", xxhash_rust::xxh3::xxh3_128(&text));
        prop_assert_eq!(entry["hash"].as_str(), Some(hash.as_str()));
        let index: Value = serde_json::from_slice(&text).unwrap();
        let folder = file.strip_suffix("/_index.json").unwrap();
        prop_assert!(folder.ends_with(index["period"].as_str().unwrap()));
        listed.insert(file.to_owned());
        for (table, entry) in index["insights"].as_object().unwrap() {
            let path = format!("{folder}/{table}/part-00000.csv");
            let text = read(&path);
            let part = &entry["parts"][0];
            let hash = format!("xxh3-128:{:032x}", xxhash_rust::xxh3::xxh3_128(&text));
            prop_assert_eq!(part["hash"].as_str(), Some(hash.as_str()));
            prop_assert_eq!(part["bytes"].as_u64(), Some(text.len() as u64));
            listed.insert(path);
        }
    }
    let found: BTreeSet<String> =
        files_under(output).into_keys().filter(|name| name.contains("periods/")).collect();
    prop_assert_eq!(listed, found);
    Ok(())
}

/// Halves the numbers of kept periods.
fn fewer(periods: &Periods) -> Periods {
    let fewer = |kept| match kept {
        Kept::All => Kept::Latest(2),
        Kept::Latest(periods) => Kept::Latest(periods / 2),
    };
    let Periods { day, week, month, quarter, year, latest, .. } = *periods;
    let [day, week, month, quarter, year] = [day, week, month, quarter, year].map(fewer);
    Periods { day, week, month, quarter, year, latest, insights: periods.insights.clone() }
}

proptest! {
    #![proptest_config(config(60))]

    /// At the end of every process, the tables of periods are those of the reference, and those of a `replay`. The
    /// rows cover several years. They come in any order, in several logs, and between restarts. The catalog
    /// changes, and fewer periods may be kept.
    #[test]
    fn every_period_has_the_tables_of_its_plays(
        settings in settings(),
        periods in periods(),
        first in catalog(),
        processes in vec(process(), 1..4),
        threads in 1_usize..4,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut settings = Settings {
            songs: path("songs_metadata.csv"),
            incoming: path("incoming"),
            output: path("output"),
            state: path("state"),
            threads: Some(threads),
            flush_interval: TimeSpan(std::time::Duration::from_millis(1)),
            periods,
            ..settings
        };
        // The limit of bad lines depends on the order of rows.
        settings.input.max_bad_lines = 0;
        // `watch` reads rows at the real time. No row lies between the limits of the two times.
        settings.input.max_future = TimeSpan(std::time::Duration::from_hours(24 * 3650));
        settings.insights.top_songs_this_week.week = WeekChoice::Latest;
        fs::create_dir(&settings.incoming).unwrap();
        let mut catalog = first;
        let mut logs: Vec<Vec<u8>> = vec![Vec::new(); 3];
        for process in processes {
            catalog = process.catalog.unwrap_or(catalog);
            fs::write(&settings.songs, &catalog.0).unwrap();
            if process.keeps_fewer {
                settings.periods = fewer(&settings.periods);
            }
            let mut steps: Vec<Vec<Piece>> = Vec::new();
            for (log, rows) in process.rows {
                if logs[log].is_empty() {
                    logs[log] = format!("{HEADER}\n").into_bytes();
                }
                logs[log].extend_from_slice(&rows.0);
                let (path, text) = (settings.incoming.join(format!("{log}.csv")), logs[log].clone());
                steps.push(vec![Box::new(move || fs::write(path, text).unwrap())]);
            }
            watch(&settings, steps);

            let names: Vec<String> = (0..3).map(|log| format!("{log}.csv")).collect();
            let read = names.into_iter().zip(logs.iter().cloned()).filter(|(_, log)| !log.is_empty());
            let read: Vec<(String, Vec<u8>)> = read.collect();
            let songs = (settings.songs.to_str().unwrap().to_owned(), catalog.0.clone());
            let expected = reference::replay(&read, &songs, &reference_settings(&settings, NOW));
            let mut expected = expected.files;
            expected.retain(|name, _| name.starts_with("periods/"));
            if let Some(difference) = difference(&expected, &tables(&settings.output)) {
                return Err(TestCaseError::fail(format!("watch: {difference}")));
            }
            check_indexes(&settings.output)?;

            let again = Settings { output: path("replayed"), ..settings.clone() };
            let paths = read.iter().map(|(name, _)| settings.incoming.join(name)).collect();
            replay(&again, paths, NOW, 1 << 20);
            if let Some(difference) = difference(&expected, &tables(&again.output)) {
                return Err(TestCaseError::fail(format!("replay: {difference}")));
            }
            check_indexes(&again.output)?;
        }
    }
}

#[test]
fn fewer_periods_are_within_more() {
    let periods = Periods { day: Kept::All, month: Kept::Latest(5), ..Periods::default() };
    assert!(fewer(&periods).rules().is_within(&periods.rules()));
    assert_ne!(fewer(&periods).rules(), PeriodRules::default());
}
