//! The checks after a crash. The output equals the output of a replay. No unnecessary files remain. A start
//! without new data changes nothing.

use std::collections::BTreeSet;
use std::fs;

use music_insights::state::checkpoint::generation::{Generation, generation_number};
use music_insights::state::checkpoint::store::KEPT;
use music_insights::storage::real::RealDisk;
use serde_json::Value;

use crate::daemon::{Place, stderr};
use crate::oracle::assert_equals_replay_of;

/// Runs `watch --once`, and compares its output with a replay of the given inputs.
pub(crate) fn assert_exact(place: &Place, settings: &[&str], inputs: &[&str]) {
    let once = [&["watch", "--once", "--http", "off"], settings].concat();
    let first = place.run(&once);
    // All new rows can be rejects, because a kill leaves half a line. The rows are committed all the same.
    let only_rejects = first.status.code() == Some(65) && stderr(&first).contains("no row was accepted");
    assert!(first.status.success() || only_rejects, "{once:?}: {}", stderr(&first));
    assert_equals_replay_of(place, inputs);
    assert_no_leftovers(place);
    let before = place.files("output");
    place.done(&once);
    let after = place.files("output");
    let names = before.keys().chain(after.keys());
    for name in names {
        assert_eq!(before.get(name), after.get(name), "{name} changed without new rows");
    }
    assert_no_leftovers(place);
}

/// Checks that the manifest lists all files of the output, and that generations list all files of the state.
fn assert_no_leftovers(place: &Place) {
    let manifest = place.manifest("output").expect("a manifest");
    let insights = manifest["insights"].as_object().unwrap().iter();
    let logs =
        insights.map(|(name, entry)| (name.as_str(), entry)).chain([("_rejects", &manifest["rejects"])]);
    let declared = logs.flat_map(|(name, entry)| {
        let parts = entry["parts"].as_array().unwrap().iter();
        parts.map(move |part| format!("{name}/{}", part["file"].as_str().unwrap()))
    });
    let mut declared: BTreeSet<String> = declared.chain(["_manifest.json".to_owned()]).collect();
    for entry in manifest["periods"].as_array().into_iter().flatten() {
        let file = entry["file"].as_str().unwrap();
        let index: Value = serde_json::from_str(&place.read(&format!("output/{file}"))).unwrap();
        let folder = file.strip_suffix("/_index.json").unwrap();
        let tables = index["insights"].as_object().unwrap().keys();
        declared.extend(tables.map(|table| format!("{folder}/{table}/part-00000.csv")));
        declared.insert(file.to_owned());
    }
    let found: BTreeSet<String> = place.files("output").into_keys().collect();
    assert_eq!(found, declared, "files of the output");

    let state = place.path("data/state");
    let names = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeSet<String> = names.filter(|name| name != ".lock").collect();
    let generations: Vec<&String> = found.iter().filter(|name| generation_number(name).is_some()).collect();
    assert!((1..=KEPT).contains(&generations.len()), "{generations:?}");
    let disk = RealDisk::without_fsync();
    let needed = generations.iter().flat_map(|name| {
        let generation = Generation::read(&*disk, &state, name).expect("the generation is valid");
        generation.files().into_iter().chain([(*name).clone()])
    });
    assert_eq!(found, needed.collect(), "files of the state");
}
