//! Tests of the tests: with a mistake planted in the engine, power cuts must bring it to light.
//!
//! A bug is planted for the whole process, so this file has one test and a process of its own.

#[path = "common/engine.rs"]
mod engine;
#[path = "common/files.rs"]
mod files;
#[path = "common/medium.rs"]
mod medium;
#[expect(dead_code, reason = "tests/durability uses the rest")]
#[path = "common/power_cuts.rs"]
mod power_cuts;
#[expect(dead_code, reason = "tests/durability uses the rest")]
#[path = "common/sim_disk.rs"]
mod sim_disk;
#[expect(dead_code, reason = "tests/durability uses the rest")]
#[path = "common/workload.rs"]
mod workload;

use power_cuts::Recording;
use workload::Step;

/// Tries all that should bring a bug to light, and says how many images have not.
fn hunt() -> Result<usize, String> {
    Recording::of(1, &Step::MANY)?.check_always()?;
    let recording = Recording::of(1, &Step::SMALL)?;
    recording.check_damage()?;
    Ok(recording.cut_after_every_kill(1)? + recording.cut_everywhere(1)?)
}

#[cfg(debug_assertions)]
#[test]
fn every_planted_bug_is_found() {
    use music_insights::storage::failpoint::{Bug, plant};

    let mut missed = Vec::new();
    for bug in Bug::ALL {
        plant(Some(bug));
        match hunt() {
            Ok(images) => missed.push((bug, images)),
            Err(what) => println!("{bug:?}: {what}"),
        }
    }
    plant(None);
    let images = hunt().unwrap_or_else(|what| panic!("without a bug: {what}"));
    println!("none: {images} images");
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[cfg(not(debug_assertions))]
#[test]
fn nothing_can_be_planted_in_a_release_build() {
    let images = hunt().unwrap_or_else(|what| panic!("{what}"));
    println!("skipped: a release build has no bugs to plant; {images} images without one");
}
