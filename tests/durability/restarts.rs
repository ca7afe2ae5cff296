//! What must not be forgotten between two runs of `watch`, and what must not be done behind anybody's back.

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
fn a_cut_that_was_seen_is_remembered_though_it_brought_no_rows() {
    let place = Place::new(SONGS);
    place.append("data/incoming/b.csv", &format!("{LOG_HEADER}{}", rows(0, 9)));
    let daemon = place.watch(&[]);
    place.wait_for_rows(9);
    let epoch = place.manifest("output").unwrap()["epoch"].clone();
    fs::write(place.path("data/incoming/b.csv"), LOG_HEADER).unwrap();
    place.wait_for("the cut to be committed", || {
        let state = stdout(&place.run(&["state", "--inputs"]));
        (state.matches("b.csv").count() == 2).then_some(())
    });
    assert_eq!(place.manifest("output").unwrap()["epoch"], epoch, "that is no news");
    daemon.kill();
    // Longer than it ever was, so that nobody could see the cut any more.
    place.append("data/incoming/b.csv", &rows(100, 130));
    let said = place.done(&ONCE);
    assert_eq!(place.wait_for_rows(39)["totals"]["rows"], 39, "{}", stderr(&said));
    assert!(place.run(&["verify"]).status.code() == Some(0));
}

#[test]
fn a_state_that_is_older_than_the_output_takes_nothing_back_unasked() {
    let place = Place::new(SONGS);
    place.append("data/incoming/a.csv", &format!("{LOG_HEADER}{}", rows(0, 9)));
    place.done(&ONCE);
    copy(&place, "data/state", "backup");
    place.append("data/incoming/a.csv", &rows(9, 20));
    place.done(&ONCE);
    let published = place.files("output");
    fs::remove_dir_all(place.path("data/state")).unwrap();
    copy(&place, "backup", "data/state");
    let said = place.run(&ONCE);
    assert_eq!(said.status.code(), Some(65), "{}", stderr(&said));
    assert!(
        stderr(&said).contains("shows epoch") && stderr(&said).contains("--rollback"),
        "{}",
        stderr(&said)
    );
    assert_eq!(place.files("output"), published);
    place.done(&[&ONCE[..], &["--rollback"]].concat());
    assert_equals_replay(&place);
    place.done(&ONCE);
}

#[test]
fn once_does_not_pass_over_a_file_that_was_rewritten() {
    let place = Place::new(SONGS);
    place.append("data/incoming/a.csv", &format!("{LOG_HEADER}{}", rows(0, 9)));
    place.done(&ONCE);
    fs::write(place.path("data/incoming/a.csv"), format!("{LOG_HEADER}{}", rows(50, 90))).unwrap();
    let said = place.run(&ONCE);
    assert_eq!(said.status.code(), Some(66), "{}", stderr(&said));
    assert!(stderr(&said).contains("a.csv: bytes before"), "{}", stderr(&said));
}

#[test]
fn what_is_in_the_archive_stays_there_when_all_is_read_again() {
    let place = Place::new(SONGS);
    let archive = ["--set", "input.when_done=archive", "--set", "input.done_after=10ms"];
    place.append("data/incoming/a.csv", &format!("{LOG_HEADER}{}", rows(0, 9)));
    let moved = || place.path("data/archive/a.csv").exists().then_some(());
    for (fresh, name) in [(&[][..], "b.csv"), (&["--fresh"], "1-b.csv")] {
        let daemon = place.watch(&[&archive[..], fresh].concat());
        place.wait_for("the archive", moved);
        place.append("data/incoming/b.csv", &format!("{LOG_HEADER}{}", rows(20, 25)));
        place.wait_for("another one", || place.path("data/archive").join(name).exists().then_some(()));
        assert!(daemon.stop().status.success());
    }
    let mut names: Vec<_> =
        fs::read_dir(place.path("data/archive")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["1-b.csv", "a.csv", "b.csv"]);
}
