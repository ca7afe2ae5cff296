//! The oracle: when `watch` has read all inputs, its output equals the output of `replay`.

use std::collections::{BTreeMap, BTreeSet};

use crate::daemon::Place;

pub(crate) const SNAPSHOTS: [&str; 6] = [
    "avg_listen_time_per_song",
    "genre_loyalty_scores",
    "happy_recommendations",
    "night_owl_users",
    "top_songs_this_week",
    "user_favorite_genres",
];

/// The sorted rows of `enriched_logs` without metadata, because metadata depends on the time of writing.
fn enriched_plays(place: &Place, output: &str) -> Vec<String> {
    let files = place.files(output);
    let parts = files.iter().filter(|(name, _)| name.starts_with("enriched_logs/"));
    let rows = parts.flat_map(|(_, text)| text.lines().skip(1));
    let mut plays: Vec<String> =
        rows.map(|row| row.splitn(5, ',').take(4).collect::<Vec<_>>().join(",")).collect();
    plays.sort();
    plays
}

/// The sorted rejects without file names, because `watch` keeps the first name of a renamed file.
fn rejects(place: &Place, output: &str) -> Vec<String> {
    let text = place.read(&format!("{output}/_rejects/part-00000.csv"));
    let mut lines: Vec<String> =
        text.lines().filter_map(|line| Some(line.split_once(',')?.1.to_owned())).collect();
    lines.sort();
    lines
}

/// Compares the published output of `watch` with a replay of `data/incoming`.
pub(crate) fn assert_equals_replay(place: &Place) {
    assert_equals_replay_of(place, &[]);
}

/// Compares the published output of `watch` with a replay of the given inputs.
pub(crate) fn assert_equals_replay_of(place: &Place, inputs: &[&str]) {
    // A folder of archived logs may be empty.
    place.done(&[&["replay", "--allow-empty", "--output", "replayed"], inputs].concat());
    assert_same_rows(&enriched_plays(place, "output"), &enriched_plays(place, "replayed"), "enriched_logs");
    assert_same_rows(&rejects(place, "output"), &rejects(place, "replayed"), "_rejects");
    for name in SNAPSHOTS {
        let file = format!("{name}/part-00000.csv");
        assert_eq!(place.read(&format!("output/{file}")), place.read(&format!("replayed/{file}")), "{name}");
    }
    let tables = |output: &str| {
        let folder = format!("{output}/periods");
        if place.path(&folder).exists() { place.files(&folder) } else { BTreeMap::new() }
    };
    let (found, expected) = (tables("output"), tables("replayed"));
    let names: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    for name in names {
        assert_eq!(found.get(name), expected.get(name), "periods/{name}");
    }
}

/// Compares sorted rows. The failure message lists surplus and missing rows.
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
        "{what} has {} rows, expected {}; surplus: {:?}, missing: {:?}",
        found.len(),
        expected.len(),
        more(found, expected),
        more(expected, found)
    );
}
