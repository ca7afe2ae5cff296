//! `input.when_done`: `watch` archives or deletes an input only when no rollback can need the input.

use std::fs;
use std::io::Write;
use std::thread;
use std::time::Duration;

use crate::daemon::{LOG_HEADER, Place, SONGS, play, stderr};
use crate::oracle::assert_equals_replay;

const ARCHIVE: [&str; 4] = ["--set", "input.when_done=archive", "--set", "input.done_after=10ms"];
const DELETE: [&str; 4] = ["--set", "input.when_done=delete", "--set", "input.done_after=10ms"];

fn log(user: u32) -> String {
    format!("{LOG_HEADER}{}{}", play(user, 1, user), play(user, 2, user + 1))
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Drops one plain log and two compressed logs, with two rows each.
fn drop_three(place: &Place) {
    fs::write(place.path("data/incoming/b.csv.gz"), packed(&log(2))).unwrap();
    fs::write(place.path("data/incoming/c.csv.zst"), zstd::encode_all(log(3).as_bytes(), 1).unwrap())
        .unwrap();
    place.write("data/incoming/a.csv", &log(1));
}

fn names(place: &Place, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(place.path(folder)).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn wait_until_retired(place: &Place) {
    place.wait_for("all inputs to be retired", || names(place, "data/incoming").is_empty().then_some(()));
}

/// Moves archived logs back, and compares the output with a replay.
fn assert_equals_replay_of_archive(place: &Place) {
    for name in names(place, "data/archive") {
        fs::rename(place.path("data/archive").join(&name), place.path("data/incoming").join(&name)).unwrap();
    }
    assert_equals_replay(place);
}

#[test]
fn archived_logs_get_names_that_are_not_taken() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&ARCHIVE);
    drop_three(&place);
    place.wait_for_rows(6);
    wait_until_retired(&place);
    // Drop a different log with the same name.
    place.write("data/incoming/a.csv", &log(4));
    place.wait_for_rows(8);
    wait_until_retired(&place);
    assert_eq!(names(&place, "data/archive"), ["1-a.csv", "a.csv", "b.csv.gz", "c.csv.zst"]);
    assert_eq!(place.read("data/archive/1-a.csv"), log(4));
    let output = daemon.stop();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_equals_replay_of_archive(&place);
}

#[test]
fn every_remaining_generation_has_the_archived_inputs() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&ARCHIVE);
    drop_three(&place);
    wait_until_retired(&place);
    daemon.kill();
    for generations_back in 1..3 {
        let daemon = place.watch(&["--rollback"]);
        place.wait_for_rows(6);
        assert_eq!(place.manifest("output").unwrap()["unfinished"].as_array().unwrap().len(), 0);
        daemon.kill();
        assert!(generations_back < 3);
    }
    assert_equals_replay_of_archive(&place);
}

#[test]
fn deleted_logs_stay_in_the_output() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&DELETE);
    drop_three(&place);
    wait_until_retired(&place);
    place.write("data/incoming/d.csv", &log(5));
    place.wait_for_rows(8);
    wait_until_retired(&place);
    daemon.kill();
    // A new process still knows the fingerprints of deleted inputs.
    let daemon = place.watch(&DELETE);
    place.write("data/incoming/e.csv", &log(6));
    place.wait_for_rows(10);
    wait_until_retired(&place);
    assert!(daemon.stop().status.success());
    assert_eq!(place.manifest("output").unwrap()["inputs_deleted"], true);
    assert!(names(&place, "data/archive").is_empty());
    drop_three(&place);
    place.write("data/incoming/d.csv", &log(5));
    place.write("data/incoming/e.csv", &log(6));
    assert_equals_replay(&place);
}

#[test]
fn a_growing_log_is_not_archived() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&["--set", "input.when_done=archive", "--set", "input.done_after=500ms"]);
    place.write("data/incoming/a.csv", &log(1));
    for round in 0..20 {
        place.append("data/incoming/a.csv", &play(round, 1, round));
        thread::sleep(Duration::from_millis(60));
        assert!(place.path("data/incoming/a.csv").exists());
    }
    place.wait_for_rows(22);
    // The last line stays unfinished for longer than `input.done_after`.
    place.append("data/incoming/a.csv", "u9,s1,2025-03-21 12:00:00,");
    thread::sleep(Duration::from_millis(900));
    place.append("data/incoming/a.csv", "77\n");
    place.wait_for_rows(23);
    wait_until_retired(&place);
    assert!(daemon.stop().status.success());
    assert_equals_replay_of_archive(&place);
}

#[test]
fn inputs_of_an_earlier_process_are_archived() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&["--set", "input.when_done=archive", "--set", "input.done_after=1h"]);
    drop_three(&place);
    place.wait_for_rows(6);
    daemon.kill();
    assert_eq!(names(&place, "data/incoming").len(), 3);
    let daemon = place.watch(&ARCHIVE);
    wait_until_retired(&place);
    assert!(daemon.stop().status.success());
    assert_eq!(names(&place, "data/archive").len(), 3);
    assert_equals_replay_of_archive(&place);
}

#[test]
fn a_rejected_log_is_not_archived() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&ARCHIVE);
    place.write("data/incoming/bad.csv", "no,header\n");
    // No row of this log is valid.
    place.write("data/incoming/none.csv", &format!("{LOG_HEADER}x,y,z,1\n"));
    fs::write(place.path("data/incoming/none.csv.gz"), packed(&format!("{LOG_HEADER}x,y,z,2\n"))).unwrap();
    place.write("data/incoming/good.csv", &log(1));
    place.wait_for_rows(5);
    place.wait_for("the good log to be archived", || {
        (!place.path("data/incoming/good.csv").exists()).then_some(())
    });
    thread::sleep(Duration::from_millis(200));
    assert_eq!(names(&place, "data/incoming"), ["bad.csv", "none.csv", "none.csv.gz"]);
    assert!(daemon.stop().status.success());
    assert_equals_replay_of_archive(&place);
}
