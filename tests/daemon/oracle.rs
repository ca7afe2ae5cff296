//! What must hold when everything is read, whatever has happened before: the output is that of a
//! replay, nothing is left over, and a start without news changes nothing.

use std::collections::BTreeSet;
use std::fs;

use music_insights::state::checkpoint::generation::{Generation, generation_number};
use music_insights::state::checkpoint::store::KEPT;
use music_insights::storage::real::RealDisk;

use super::Place;

pub(crate) const SNAPSHOTS: [&str; 6] = [
    "avg_listen_time_per_song",
    "genre_loyalty_scores",
    "happy_recommendations",
    "night_owl_users",
    "top_songs_this_week",
    "user_favorite_genres",
];

/// The rows of `enriched_logs` without metadata (which depends on when they were written), sorted.
fn enriched_plays(place: &Place, output: &str) -> Vec<String> {
    let files = place.files(output);
    let parts = files.iter().filter(|(name, _)| name.starts_with("enriched_logs/"));
    let rows = parts.flat_map(|(_, text)| text.lines().skip(1));
    let mut plays: Vec<String> =
        rows.map(|row| row.splitn(5, ',').take(4).collect::<Vec<_>>().join(",")).collect();
    plays.sort();
    plays
}

/// The rejects, sorted, without the file: it keeps the name under which it was first seen.
fn rejects(place: &Place, output: &str) -> Vec<String> {
    let text = place.read(&format!("{output}/_rejects/part-00000.csv"));
    let mut lines: Vec<String> =
        text.lines().filter_map(|line| Some(line.split_once(',')?.1.to_owned())).collect();
    lines.sort();
    lines
}

/// Compares what a `watch` has published with a replay of `data/incoming`.
pub(crate) fn assert_equals_replay(place: &Place) {
    assert_equals_replay_of(place, &[]);
}

/// Compares what a `watch` has published with a replay of these inputs.
pub(crate) fn assert_equals_replay_of(place: &Place, inputs: &[&str]) {
    place.done(&[&["replay", "--output", "replayed"], inputs].concat());
    assert_same_rows(&enriched_plays(place, "output"), &enriched_plays(place, "replayed"), "enriched_logs");
    assert_same_rows(&rejects(place, "output"), &rejects(place, "replayed"), "_rejects");
    for name in SNAPSHOTS {
        let file = format!("{name}/part-00000.csv");
        assert_eq!(place.read(&format!("output/{file}")), place.read(&format!("replayed/{file}")), "{name}");
    }
}

/// Compares sorted rows and says which of them are too many or missing.
fn assert_same_rows(found: &[String], expected: &[String], what: &str) {
    if found == expected {
        return;
    }
    let more = |these: &[String], those: &[String]| {
        let times = |rows: &[String], row: &str| rows.iter().filter(|other| *other == row).count();
        let rows: BTreeSet<&String> = these.iter().collect();
        let more = rows.into_iter().filter(|row| times(these, row) > times(those, row));
        more.take(5).cloned().collect::<Vec<_>>()
    };
    panic!(
        "{what} has {} rows, expected {}; too many: {:?}, missing: {:?}",
        found.len(),
        expected.len(),
        more(found, expected),
        more(expected, found)
    );
}

/// Lets a `watch` read what is left, and holds the result against a replay of these inputs.
pub(crate) fn assert_exact(place: &Place, settings: &[&str], inputs: &[&str]) {
    let once = [&["watch", "--once", "--http", "off"], settings].concat();
    place.done(&once);
    assert_equals_replay_of(place, inputs);
    assert_no_leftovers(place);
    let before = place.files("output");
    place.done(&once);
    let after = place.files("output");
    let names = before.keys().chain(after.keys());
    for name in names {
        assert_eq!(before.get(name), after.get(name), "{name} has changed without news");
    }
    assert_no_leftovers(place);
}

/// Every file in the output stands in the manifest, every file in the state in a generation.
pub(crate) fn assert_no_leftovers(place: &Place) {
    let manifest = place.manifest("output").expect("a manifest");
    let insights = manifest["insights"].as_object().unwrap().iter();
    let logs =
        insights.map(|(name, entry)| (name.as_str(), entry)).chain([("_rejects", &manifest["rejects"])]);
    let declared = logs.flat_map(|(name, entry)| {
        let parts = entry["parts"].as_array().unwrap().iter();
        parts.map(move |part| format!("{name}/{}", part["file"].as_str().unwrap()))
    });
    let declared: BTreeSet<String> = declared.chain(["_manifest.json".to_owned()]).collect();
    let found: BTreeSet<String> = place.files("output").into_keys().collect();
    assert_eq!(found, declared, "files of the output");

    let state = place.path("data/state");
    let names = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeSet<String> = names.filter(|name| name != ".lock").collect();
    let generations: Vec<&String> = found.iter().filter(|name| generation_number(name).is_some()).collect();
    assert!((1..=KEPT).contains(&generations.len()), "{generations:?}");
    let disk = RealDisk::without_fsync();
    let needed = generations.iter().flat_map(|name| {
        let generation = Generation::read(&*disk, &state, name).expect("a sound generation");
        generation.files().into_iter().chain([(*name).clone()])
    });
    assert_eq!(found, needed.collect(), "files of the state");
}
