//! Checks the power-loss test itself: it must find every planted bug.
//!
//! A planted bug affects the whole process, so this file is a separate test binary with a single test.

#[expect(dead_code, reason = "tests/contract uses the rest")]
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

/// Runs all checks that can find a bug. Returns the number of checked images if no check fails.
fn find_bug() -> Result<usize, String> {
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
        match find_bug() {
            Ok(images) => missed.push((bug, images)),
            Err(what) => println!("{bug:?}: {what}"),
        }
    }
    plant(None);
    let images = find_bug().unwrap_or_else(|what| panic!("without a planted bug: {what}"));
    println!("none: {images} images");
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[cfg(not(debug_assertions))]
#[test]
fn a_release_build_has_no_planted_bugs() {
    let images = find_bug().unwrap_or_else(|what| panic!("{what}"));
    println!("skipped: a release build cannot plant bugs; {images} images pass without one");
}
