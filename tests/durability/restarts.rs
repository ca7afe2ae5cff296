//! Checks what `watch` remembers after a restart, and what it does only on request.

use std::fs;

use crate::daemon::{LOG_HEADER, Place, SONGS, play, stderr, stdout};
use crate::oracle::assert_equals_replay;

const ONCE: [&str; 4] = ["watch", "--once", "--http", "off"];

fn rows(from: u32, to: u32) -> String {
    (from..to).map(|n| play(n % 7, n % 3 + 1, n)).collect()
}

/// Copies the files of a folder.
fn copy(place: &Place, from: &str, to: &str) {
    fs::create_dir_all(place.path(to)).unwrap();
    for entry in fs::read_dir(place.path(from)).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), place.path(to).join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_truncation_without_new_rows_is_remembered() {
    let place = Place::new(SONGS);
    place.append("data/incoming/b.csv", &format!("{LOG_HEADER}{}", rows(0, 9)));
    let daemon = place.watch(&[]);
    place.wait_for_rows(9);
    let epoch = place.manifest("output").unwrap()["epoch"].clone();
    fs::write(place.path("data/incoming/b.csv"), LOG_HEADER).unwrap();
    place.wait_for("the truncation to be committed", || {
        let state = stdout(&place.run(&["state", "--inputs"]));
        (state.matches("b.csv").count() == 2).then_some(())
    });
    assert_eq!(place.manifest("output").unwrap()["epoch"], epoch, "a truncation alone publishes no epoch");
    daemon.kill();
    // The file is now longer than before the truncation, so its length no longer shows the truncation.
    place.append("data/incoming/b.csv", &rows(100, 130));
    let output = place.done(&ONCE);
    assert_eq!(place.wait_for_rows(39)["totals"]["rows"], 39, "{}", stderr(&output));
    assert!(place.run(&["verify"]).status.code() == Some(0));
}

#[test]
fn a_state_older_than_the_output_is_refused() {
    let place = Place::new(SONGS);
    place.append("data/incoming/a.csv", &format!("{LOG_HEADER}{}", rows(0, 9)));
    place.done(&ONCE);
    copy(&place, "data/state", "backup");
    place.append("data/incoming/a.csv", &rows(9, 20));
    place.done(&ONCE);
    let published = place.files("output");
    fs::remove_dir_all(place.path("data/state")).unwrap();
    copy(&place, "backup", "data/state");
    let output = place.run(&ONCE);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("shows epoch") && stderr(&output).contains("--rollback"),
        "{}",
        stderr(&output)
    );
    assert_eq!(place.files("output"), published);
    place.done(&[&ONCE[..], &["--rollback"]].concat());
    assert_equals_replay(&place);
    place.done(&ONCE);
}

#[test]
fn watch_once_fails_for_a_rewritten_file() {
    let place = Place::new(SONGS);
    place.append("data/incoming/a.csv", &format!("{LOG_HEADER}{}", rows(0, 9)));
    place.done(&ONCE);
    fs::write(place.path("data/incoming/a.csv"), format!("{LOG_HEADER}{}", rows(50, 90))).unwrap();
    let output = place.run(&ONCE);
    assert_eq!(output.status.code(), Some(66), "{}", stderr(&output));
    assert!(stderr(&output).contains("a.csv: bytes before"), "{}", stderr(&output));
}

#[test]
fn a_fresh_start_reads_and_keeps_the_archive() {
    let place = Place::new(SONGS);
    let archive = ["--set", "input.when_done=archive", "--set", "input.done_after=10ms"];
    place.append("data/incoming/a.csv", &format!("{LOG_HEADER}{}", rows(0, 9)));
    let moved = || place.path("data/archive/a.csv").exists().then_some(());
    for (fresh, name) in [(&[][..], "b.csv"), (&["--fresh"], "1-b.csv")] {
        let daemon = place.watch(&[&archive[..], fresh].concat());
        place.wait_for("the archive", moved);
        place.append("data/incoming/b.csv", &format!("{LOG_HEADER}{}", rows(20, 25)));
        place.wait_for("the second archived log", || {
            place.path("data/archive").join(name).exists().then_some(())
        });
        assert!(daemon.stop().status.success());
    }
    let mut names: Vec<_> =
        fs::read_dir(place.path("data/archive")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["1-b.csv", "a.csv", "b.csv"]);
}
