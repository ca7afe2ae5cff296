//! Property tests: the engine writes the same output as the reference in `tests/common/reference`.
//!
//! `cargo test` runs a few hundred cases of each property in about half a minute.
//! `LONG_TESTS=1 cargo test --release --test contract laws` runs fifty times as many cases.
//! `PROPTEST_CASES=n` runs exactly n cases of each property. proptest stores each failing case in
//! `tests/regressions/`, and later runs start with the stored cases.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use chrono::NaiveDate;
use music_insights::engine::coordinator::RunSummary;
use music_insights::ingest::source::framing::CHUNK;
use music_insights::insights::enriched_logs;
use music_insights::settings::{Periods, Settings};
use music_insights::time::civil::CivilDate;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::engine::{HEADER, NOW, replay_dates};
use crate::files::Files;
use crate::live_engine::{Enriching, Live, lines_of};
use crate::output_files::{difference, output_files};
use crate::reference;
use crate::reference_settings::reference_settings;
use crate::size::cases;
use crate::world::{File, catalog, dates, log, periods, rows, settings};

fn config(usual: u32) -> ProptestConfig {
    let kept = FileFailurePersistence::Direct("tests/regressions/laws.txt");
    ProptestConfig {
        cases: cases(usual),
        failure_persistence: Some(Box::new(kept)),
        ..ProptestConfig::default()
    }
}

/// The number of bytes per chunk. Small chunks split lines and fields. Large chunks have the size used in
/// production.
fn chunk() -> impl Strategy<Value = usize> {
    prop_oneof![1 => 1_usize..8, 2 => 8_usize..200, 1 => Just(CHUNK)]
}

proptest! {
    #![proptest_config(config(800))]

    /// `replay` writes the same output as the reference, with any chunk size, number of threads, and range of
    /// dates.
    #[test]
    fn replay_writes_the_same_output_as_the_reference(
        settings in settings(),
        periods in prop_oneof![4 => Just(Periods::default()), 1 => periods()],
        dates in dates(),
        catalog in catalog(),
        logs in vec(log(), 1..5),
        chunk in chunk(),
        threads in 1_usize..5,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut settings = Settings { periods, ..settings };
        settings.songs = path("songs_metadata.csv");
        settings.output = path("output");
        settings.threads = Some(threads);
        fs::write(&settings.songs, &catalog.0).unwrap();
        let paths: Vec<PathBuf> = (0..logs.len()).map(|number| path(&format!("{number}.csv"))).collect();
        for (path, log) in paths.iter().zip(&logs) {
            fs::write(path, &log.0).unwrap();
        }

        let outcome = replay_dates(&settings, dates, paths.clone(), NOW, chunk);

        let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
        let logs: Vec<_> = paths.iter().map(text).zip(logs.into_iter().map(|log| log.0)).collect();
        let expected = reference::replay(
            &logs,
            &(text(&settings.songs), catalog.0),
            &reference::Settings {
                from: dates.from.map(naive),
                to: dates.to.map(naive),
                ..reference_settings(&settings, NOW)
            },
        );
        let found = output_files(&settings.output);
        if let Some(difference) = difference(&expected.files, &found) {
            return Err(TestCaseError::fail(difference));
        }
        prop_assert_eq!(outcome.plays, expected.plays);
        let totals = &outcome.manifest.totals;
        prop_assert_eq!(totals.unmatched, expected.unmatched);
        prop_assert_eq!((totals.plays(), outcome.manifest.dates()), (expected.plays, dates));
        let outside = (!dates.is_unlimited()).then_some(expected.outside);
        prop_assert_eq!(totals.outside, outside);
        check_manifest(&outcome, &found)?;
    }
}

fn naive(date: CivilDate) -> NaiveDate {
    NaiveDate::from_ymd_opt(date.year, date.month, date.day).unwrap()
}

/// Checks that the manifest lists every file with its rows and bytes, and counts the rejects.
fn check_manifest(outcome: &RunSummary, found: &Files) -> Result<(), TestCaseError> {
    let manifest = &outcome.manifest;
    let rejects = [("_rejects", &manifest.rejects)];
    let entries = manifest.insights.iter().map(|(name, entry)| (name.as_str(), entry)).chain(rejects);
    let mut files = 0;
    for (folder, entry) in entries {
        for part in &entry.parts {
            let text = &found[&format!("{folder}/{}", part.file)];
            prop_assert_eq!(part.bytes as usize, text.len());
            prop_assert_eq!(part.rows as usize, lines_of(text) - 1);
            files += 1;
        }
    }
    let of_periods = found.keys().filter(|name| name.starts_with("periods/"));
    prop_assert_eq!(files, found.len() - of_periods.count());
    let rejected: u64 = manifest.totals.rejected.values().chain(manifest.catalog.rejected.values()).sum();
    prop_assert_eq!(rejected, manifest.rejects.rows);
    Ok(())
}

/// An event in a `watch`.
#[derive(Clone, Debug)]
enum Step {
    Rows(File),
    /// A cut. The number is the time of the cut in weeks after the start.
    Cut(i64),
    /// A new catalog, followed by a cut.
    Catalog(File),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => rows(0..12).prop_map(Step::Rows),
        3 => prop_oneof![4 => Just(0), 1 => 0_i64..3].prop_map(Step::Cut),
        1 => catalog().prop_map(Step::Catalog),
    ]
}

/// The output of the reference for the given rows, at a time that is `weeks` weeks after the start.
fn reference_files(settings: &Settings, weeks: i64, catalog: &File, rows: &[u8]) -> Files {
    let log = [HEADER.as_bytes(), b"\n", rows].concat();
    let mut settings = reference_settings(settings, NOW);
    // The coordinator applies the limit of bad lines. These tests run without the coordinator.
    settings.max_bad_lines = None;
    // The clock moves on, but the latest valid timestamp still depends on the time of reading.
    settings.now += weeks * 7 * 86_400;
    settings.max_future_seconds -= weeks * 7 * 86_400;
    let logs = [("a.csv".to_owned(), log)];
    reference::replay(&logs, &("songs".to_owned(), catalog.0.clone()), &settings).files
}

/// The files of the reference, without `enriched_logs` and without the rejects.
fn expected(settings: &Settings, weeks: i64, catalog: &File, rows: &[u8]) -> Files {
    let mut files = reference_files(settings, weeks, catalog, rows);
    files.retain(|name, _| !name.starts_with("enriched_logs/") && !name.starts_with("_rejects/"));
    files
}

/// The rows of all parts of `enriched_logs`, without their headers.
fn enriched_rows(files: &Files) -> Vec<u8> {
    let parts = files.iter().filter(|(name, _)| !name.contains('/') || name.starts_with("enriched_logs/"));
    parts.flat_map(|(_, text)| text[enriched_logs::HEADER.len()..].to_vec()).collect()
}

fn sorted_lines(text: &[u8]) -> Vec<String> {
    let mut lines: Vec<String> =
        text.split(|&byte| byte == b'\n').map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    lines.sort();
    lines
}

/// The output of a new engine that reads all given rows at once.
fn afresh(settings: &Settings, weeks: i64, catalog: &File, rows: &[u8]) -> Files {
    let mut live = Live::new(settings, NOW, &catalog.0);
    live.take_rows(rows);
    live.cut(NOW + weeks * 7 * 86_400).0
}

fn same(wanted: &str, expected: &Files, found: &Files) -> Result<(), TestCaseError> {
    match difference(expected, found) {
        Some(difference) => Err(TestCaseError::fail(format!("{wanted}: {difference}"))),
        None => Ok(()),
    }
}

proptest! {
    #![proptest_config(config(800))]

    /// Every cut of `watch` has the same output as a new engine that reads all earlier rows at once. If
    /// `refresh` reports no change of a file, the file stays the same.
    #[test]
    fn every_cut_equals_a_replay(
        settings in settings(), first in catalog(), steps in vec(step(), 1..14),
    ) {
        let mut live = Live::new(&settings, NOW, &first.0);
        let (mut catalog, mut weeks, mut taken) = (first, 0, Vec::new());
        let (mut before, _) = live.cut(NOW);
        for step in steps {
            match step {
                Step::Rows(rows) => {
                    live.take_rows(&rows.0);
                    taken.extend_from_slice(&rows.0);
                    continue;
                }
                Step::Cut(later) => weeks = later,
                Step::Catalog(another) => {
                    live.take_catalog(&another.0);
                    catalog = another;
                }
            }
            let (found, changed) = live.cut(NOW + weeks * 7 * 86_400);
            same("the reference", &expected(&settings, weeks, &catalog, &taken), &found)?;
            same("a new engine", &afresh(&settings, weeks, &catalog, &taken), &found)?;
            for (name, text) in &found {
                prop_assert!(changed.contains(name) || before[name] == *text, "unreported change of {name}");
            }
            before = found;
        }
    }

    /// `enriched_logs` contains every play once. The play appears at the first cut with its song in the
    /// catalog, and has the metadata of that catalog.
    #[test]
    fn every_play_is_enriched_once(
        settings in settings(), first in catalog(), steps in vec(step(), 1..14), last in catalog(),
    ) {
        let mut enriching = Enriching::new(&settings, NOW, &first.0);
        let (mut catalog, mut unmatched, mut expected) = (first, Vec::new(), Vec::new());
        for step in steps.into_iter().chain([Step::Catalog(last)]) {
            match step {
                Step::Rows(rows) => {
                    enriching.take_rows(&rows.0);
                    unmatched.extend(rows.0.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec));
                }
                // A cut with an unchanged catalog changes nothing.
                Step::Cut(_) => continue,
                Step::Catalog(another) => {
                    enriching.cut(&another.0);
                    catalog = another;
                }
            }
            unmatched.retain(|row| {
                let enriched = enriched_rows(&reference_files(&settings, 0, &catalog, row));
                expected.extend_from_slice(&enriched);
                enriched.is_empty()
            });
        }
        let found = enriched_rows(&enriching.files(&settings));
        prop_assert_eq!(sorted_lines(&found), sorted_lines(&expected));
    }

    /// The order of batches and the position of cuts do not change the output.
    #[test]
    fn the_order_of_batches_changes_nothing(
        settings in settings(),
        catalog in catalog(),
        (batches, shuffled) in vec(rows(0..8), 1..8).prop_flat_map(|batches| {
            (Just(batches.clone()), Just(batches).prop_shuffle())
        }),
        cuts in vec(any::<bool>(), 8),
    ) {
        let run = |batches: &[File], cuts: &[bool]| {
            let mut live = Live::new(&settings, NOW, &catalog.0);
            for (batch, &cut) in batches.iter().zip(cuts) {
                live.take_rows(&batch.0);
                if cut {
                    live.cut(NOW);
                }
            }
            live.cut(NOW).0
        };
        same("in order", &run(&batches, &[false; 8]), &run(&shuffled, &cuts))?;
    }
}

/// A fast random number generator for large tests. It is `SplitMix64`, which works well with every seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// A catalog with most of 400 songs. The seed selects the songs, genres and moods.
fn large_catalog(seed: u64) -> File {
    let mut dice = Dice(seed);
    let mut text = "song_id,title,artist,genre,mood\n".to_owned();
    for song in (0..400).filter(|song| song % 17 != seed % 17) {
        let genre = ["Pop", "Rock", "Jazz", "Folk", ""][dice.below(5) as usize];
        let mood = ["Happy", "Sad", "Calm", ""][dice.below(4) as usize];
        writeln!(text, "song{song},Title {song},Artist,{genre},{mood}").unwrap();
    }
    File(text.into_bytes())
}

fn large_rows(dice: &mut Dice, rows: u64) -> String {
    let mut text = String::new();
    for _ in 0..rows {
        // Every tenth play belongs to one of a few pairs of listener and song. Each of these pairs gets more
        // plays than fit into a byte.
        let (users, songs) = if dice.below(10) == 0 { (2, 2) } else { (300, 400) };
        let (user, song) = (dice.below(users), dice.below(songs));
        let (day, hour, seconds) = (1 + dice.below(28), dice.below(24), dice.below(400));
        writeln!(text, "user{user},song{song},2025-03-{day:02} {hour:02}:10:00,{seconds}").unwrap();
    }
    text
}

/// A large test: hundreds of cuts of very different sizes. The ledger has several sealed runs at the same
/// time and merges them often. Insights rewrite and compact their rows. The catalog changes.
#[test]
fn many_cuts_of_many_sizes_equal_a_replay() {
    let mut settings = Settings::default();
    settings.insights.genre_loyalty_scores.threshold = "0.25".parse().unwrap();
    let mut dice = Dice(7);
    let mut catalog = large_catalog(0);
    let mut live = Live::new(&settings, NOW, &catalog.0);
    let mut taken = String::new();
    let mut before = Files::new();
    for cut in 1..=240 {
        let rows = large_rows(&mut dice, [1, 3, 10, 40, 200, 1000][cut % 6] / (1 + cut as u64 % 5));
        live.take_rows(rows.as_bytes());
        taken += &rows;
        if cut % 50 == 0 {
            catalog = large_catalog(cut as u64);
            live.take_catalog(&catalog.0);
        }
        let (found, changed) = live.cut(NOW);
        if cut % 8 == 0 {
            let difference = difference(&afresh(&settings, 0, &catalog, taken.as_bytes()), &found);
            assert!(difference.is_none(), "cut {cut}: {}", difference.unwrap());
        }
        for (name, text) in before.iter().filter(|(name, _)| !changed.contains(name)) {
            assert!(*text == found[name], "cut {cut}: {name} changed, but refresh did not report it");
        }
        before = found;
    }
    let expected = expected(&settings, 0, &catalog, taken.as_bytes());
    let difference = difference(&expected, &before);
    assert!(difference.is_none(), "{}", difference.unwrap());
}

/// There are so many listeners that the insights spread them over several threads.
#[test]
fn many_listeners_on_several_threads_equal_the_reference() {
    let mut settings = Settings::default();
    settings.insights.genre_loyalty_scores.threshold = "0.6".parse().unwrap();
    let mut dice = Dice(3);
    let mut live = Live::new(&settings, NOW, &large_catalog(0).0);
    let (mut taken, mut current) = (String::new(), 0);
    // The second cut refreshes only the last listeners. The third one refreshes all, with a new catalog.
    for (listeners, catalog) in [(0..20_000, 0), (19_990..20_010, 0), (19_000..20_020, 1)] {
        let mut rows = String::new();
        for user in listeners {
            for _ in 0..=dice.below(3) {
                let (song, hour) = (dice.below(400), dice.below(24));
                writeln!(rows, "user{user},song{song},2025-03-20 {hour:02}:10:00,100").unwrap();
            }
        }
        let is_same = std::mem::replace(&mut current, catalog) == catalog;
        let catalog = large_catalog(catalog);
        live.take_rows(rows.as_bytes());
        if !is_same {
            live.take_catalog(&catalog.0);
        }
        taken += &rows;
        let expected = expected(&settings, 0, &catalog, taken.as_bytes());
        let difference = difference(&expected, &live.cut(NOW).0);
        assert!(difference.is_none(), "{}", difference.unwrap());
    }
}

/// The ledger seals a full buffer even without a cut.
#[test]
fn all_plays_count_if_they_exceed_the_buffer() {
    let rows = large_rows(&mut Dice(1), 20_000);
    let catalog = large_catalog(0);
    let settings = Settings::default();
    let rounds = 110;
    let mut live = Live::new(&settings, NOW, &catalog.0);
    for _ in 0..rounds {
        live.take_rows(rows.as_bytes());
    }
    let (found, _) = live.cut(NOW);
    // All rounds have the same rows. Each count therefore equals the count of one round times the number of
    // rounds. Tables without counts stay the same.
    let once = expected(&settings, 0, &catalog, rows.as_bytes());
    for name in ["avg_listen_time_per_song", "night_owl_users"] {
        let name = format!("{name}/part-00000.csv");
        assert!(found[&name] == once[&name], "{name}");
    }
    let times = |name: &str, column: usize| {
        let sum = |files: &Files| -> u64 {
            let text = String::from_utf8(files[&format!("{name}/part-00000.csv")].clone()).unwrap();
            text.lines().skip(1).map(|row| row.split(',').nth(column).unwrap().parse::<u64>().unwrap()).sum()
        };
        (sum(&found), sum(&once) * rounds)
    };
    for (name, column) in
        [("user_favorite_genres", 2), ("top_songs_this_week", 1), ("happy_recommendations", 2)]
    {
        let (found, expected) = times(name, column);
        assert_eq!(found, expected, "{name}");
    }
}
