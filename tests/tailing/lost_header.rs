//! Rotated logs without a header: the writer wrote the header only to the first file.

use std::fs;

use crate::daemon::{LOG_HEADER, Place, SONGS, play, stderr};

const OTHER_HEADER: &str = "duration_sec,user_id,song_id,timestamp\n";

/// A row in the order of [`OTHER_HEADER`].
fn other_play(user: u32, minute: u32) -> String {
    let row = play(user, 1, minute);
    let fields: Vec<&str> = row.trim_end().split(',').collect();
    format!("{},{},{},{}\n", fields[3], fields[0], fields[1], fields[2])
}

fn rejected(place: &Place) -> serde_json::Value {
    place.manifest("output").unwrap()["totals"]["rejected"].clone()
}

fn rows(place: &Place) -> u64 {
    place.manifest("output").unwrap()["totals"]["rows"].as_u64().unwrap()
}

#[test]
fn a_truncated_log_without_a_header_uses_its_last_header() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    place.append("data/incoming/a.csv", &format!("{OTHER_HEADER}{}", other_play(1, 1)));
    place.wait_for_rows(1);
    fs::write(place.path("data/incoming/a.csv"), other_play(2, 2)).unwrap();
    place.wait_for_rows(2);
    for round in 3..6 {
        place.write("data/incoming/a.csv", &other_play(round, round));
        place.wait_for_rows(u64::from(round));
    }
    // The header still counts as a repeated header.
    place.append("data/incoming/a.csv", &format!("{OTHER_HEADER}{}", other_play(6, 6)));
    place.wait_for_rows(6);
    assert!(daemon.stop().status.success());
    assert_eq!(rejected(&place), serde_json::json!({}));
    place.done(&["verify"]);
}

#[test]
fn the_last_header_survives_restarts_deletion_and_archiving() {
    for how in ["keep", "delete", "archive"] {
        let place = Place::new(SONGS);
        let setting = format!("input.when_done={how}");
        let args = ["--set", &setting, "--set", "input.done_after=1ms"];
        place.append("data/incoming/a.csv", &format!("{OTHER_HEADER}{}", other_play(1, 1)));
        let daemon = place.watch(&args);
        place.wait_for_rows(1);
        if how != "keep" {
            let gone = || (!place.path("data/incoming/a.csv").exists()).then_some(());
            place.wait_for("the log to be retired", gone);
        }
        drop(daemon.kill());
        for round in 2..4 {
            let _ = fs::remove_file(place.path("data/incoming/a.csv"));
            place.write("data/incoming/a.csv", &other_play(round, round));
            place.done(&["watch", "--once", "--http", "off", "--set", &setting]);
            assert_eq!(rows(&place), u64::from(round), "{how}");
        }
        assert_eq!(rejected(&place), serde_json::json!({}), "{how}");
    }
}

#[test]
fn a_file_of_another_name_or_with_half_a_header_is_rejected() {
    let place = Place::new(SONGS);
    place.append("data/incoming/a.csv", &format!("{LOG_HEADER}{}", play(1, 1, 1)));
    place.done(&["watch", "--once", "--http", "off"]);
    place.write("data/incoming/b.csv", &play(2, 1, 2));
    fs::write(place.path("data/incoming/a.csv"), "user_id,song\n").unwrap();
    once(&place);
    assert_eq!(rejected(&place), serde_json::json!({"missing_column": 1, "missing_header": 1}));
    // A replay knows no earlier header.
    fs::write(place.path("data/incoming/a.csv"), play(3, 1, 3)).unwrap();
    let replay = place.run(&["replay", "--output", "replayed"]);
    assert!(stderr(&replay).contains("no header found"), "{}", stderr(&replay));
}

#[test]
fn a_log_without_a_header_can_be_rolled() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    place.append("data/incoming/a.csv", &format!("{LOG_HEADER}{}", play(1, 1, 1)));
    place.wait_for_rows(1);
    fs::write(place.path("data/incoming/a.csv"), play(2, 1, 2)).unwrap();
    place.wait_for_rows(2);
    assert!(daemon.stop().status.success());
    let text = format!("{}{}", play(2, 1, 2), play(3, 1, 3));
    let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
    fs::write(place.path("data/incoming/old.csv.zst"), packed).unwrap();
    fs::remove_file(place.path("data/incoming/a.csv")).unwrap();
    place.done(&["watch", "--once", "--http", "off"]);
    assert_eq!(rows(&place), 3);
    assert_eq!(rejected(&place), serde_json::json!({}));
}

/// Reads what is there now. Runs in which every row is rejected exit with 65.
fn once(place: &Place) {
    let output = place.run(&["watch", "--once", "--http", "off"]);
    assert!(matches!(output.status.code(), Some(0 | 65)), "{}", stderr(&output));
}
