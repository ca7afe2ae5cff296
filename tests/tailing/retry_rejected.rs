//! `watch --retry-rejected` reads rejected inputs again after a setting was corrected.

use std::fs;

use crate::daemon::{LOG_HEADER, Place, SONGS, play, stderr};

const ONCE: [&str; 4] = ["watch", "--once", "--http", "off"];

fn totals(place: &Place) -> serde_json::Value {
    place.manifest("output").unwrap()["totals"].clone()
}

#[test]
fn rejected_inputs_are_read_again_with_corrected_settings() {
    let place = Place::new(SONGS);
    let semicolons = format!("{LOG_HEADER}{}{}", play(1, 1, 1), play(2, 1, 2)).replace(',', ";");
    place.write("data/incoming/wrong.csv", &semicolons);
    place.run(&ONCE);
    assert_eq!(totals(&place)["rejected"], serde_json::json!({"wrong_delimiter": 1}));
    let semicolon = ["--set", "input.delimiter=;", "--set", "catalog.delimiter=,"];
    // Other settings cannot be used with this state, and the message names the way out.
    let refused = place.run(&[&ONCE[..], &semicolon].concat());
    assert_eq!(refused.status.code(), Some(78));
    assert!(stderr(&refused).contains("--retry-rejected"), "{}", stderr(&refused));
    place.done(&[&ONCE[..], &semicolon, &["--retry-rejected"]].concat());
    let found = totals(&place);
    assert_eq!((found["rows"].as_u64(), found["inputs"].as_u64()), (Some(3), Some(1)), "{found}");
    assert_eq!(found["rejected"], serde_json::json!({"wrong_delimiter": 1}));
    assert_eq!(place.read("output/_rejects/part-00000.csv").lines().count(), 2);
    place.done(&[&["verify"], &semicolon[..]].concat());
    // The state has the new settings. Nothing is read twice.
    place.done(&[&ONCE[..], &semicolon].concat());
    assert_eq!(totals(&place)["rows"], 3);
}

#[test]
fn inputs_with_counted_rows_stay_as_they_are() {
    let place = Place::new(SONGS);
    let later = "u7,s1,1742551200,5\n";
    place.write("data/incoming/good.csv", &format!("{LOG_HEADER}{}", play(1, 1, 1)));
    place.write("data/incoming/mixed.csv", &format!("{LOG_HEADER}{}{later}", play(2, 1, 2)));
    place.write("data/incoming/unix.csv", &format!("{LOG_HEADER}{later}{later}"));
    place.run(&ONCE);
    assert_eq!(totals(&place)["rejected"], serde_json::json!({"bad_timestamp": 3}));
    let unix = ["--set", "input.timestamp=unix_s"];
    let output = place.done(&[&ONCE[..], &unix, &["--retry-rejected"]].concat());
    assert!(stderr(&output).contains("mixed.csv; read everything again with --fresh"), "{}", stderr(&output));
    let found = totals(&place);
    assert_eq!(found["rows"], 7, "{found}");
    assert_eq!(found["rejected"], serde_json::json!({"bad_timestamp": 3}));
    let verify = place.done(&[&["verify"], &unix[..]].concat());
    let report = String::from_utf8_lossy(&verify.stdout).into_owned();
    assert!(report.contains("2 inputs were read before the settings of the dialect changed"), "{report}");
    fs::remove_dir_all(place.path("output")).unwrap();
}
