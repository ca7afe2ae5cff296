//! `verify` and `state`: what is right passes, and every kind of wrong is found and named.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::daemon::{CATALOG_HEADER, LOG_HEADER, Place, stderr, stdout};

const SONGS: &str = "s1,One,A,Rock,Sad\ns2,Two,B,Pop,Happy\n\"s,3\",\"T\"\"3\"\"\",C,Folk,\n";

/// Reads what is there, as a daemon that is stopped at once.
fn watch_once(place: &Place) {
    place.done(&["watch", "--once", "--http", "off"]);
}

fn assert_verified(place: &Place, args: &[&str]) -> String {
    let said = place.run(&[&["verify"], args].concat());
    assert!(said.status.success(), "{}{}", stdout(&said), stderr(&said));
    stdout(&said)
}

fn assert_differs(place: &Place, what: &str) {
    let said = place.run(&["verify"]);
    assert_eq!(said.status.code(), Some(65), "{}{}", stdout(&said), stderr(&said));
    assert!(stdout(&said).contains(what), "no `{what}` in\n{}", stdout(&said));
}

/// A watch that has seen all kinds of rows, files and catalogs.
fn watched() -> Place {
    let place = Place::new(SONGS);
    let rows = "u1,s1,2025-03-21 00:01:00,31\nbad\nu2,\"s,3\",2025-03-21 12:00:00,7.5\nu3,unknown,2025-03-21 12:00:00,7\n\
        u1,s2,2199-01-01 00:00:00,9\n";
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{rows}"));
    place.write("data/incoming/refused.csv", "user_id;song_id\n1;2\n");
    watch_once(&place);
    // A last line that was taken as ended, and what follows it.
    place.append("data/incoming/a.csv", "u4,s1,2025-03-22 00:01:00,3");
    watch_once(&place);
    place.append("data/incoming/a.csv", "1\nu5,s1,2025-03-22 00:01:00,3\n");
    // Metadata of its time stays in `enriched_logs`; a late song brings its plays.
    let later = "s1,Uno,A,Jazz,Sad\ns2,Two,B,Pop,Happy\nunknown,Late,D,Rock,Happy\nbad\n";
    place.write("data/songs_metadata.csv", &format!("{CATALOG_HEADER}{later}"));
    watch_once(&place);
    place
}

#[test]
fn what_a_watch_has_published_is_verified_with_all_that_was_decided_when_rows_were_read() {
    let place = watched();
    let rejects = place.read("output/_rejects/part-00000.csv");
    for reason in ["timestamp_range", "continued_after_eof", "field_count", "wrong_delimiter"] {
        assert!(rejects.contains(reason), "{reason} in {rejects}");
    }
    let before = place.files("output");
    let said = assert_verified(&place, &[]);
    assert!(said.contains("enriched_logs: 5 rows") && !said.contains("unverifiable"), "{said}");
    assert_eq!(place.files("output"), before, "verifying writes nothing");
}

#[test]
fn every_change_of_a_published_file_is_found() {
    let place = watched();
    let changes = [
        ("user_favorite_genres", "u1,Jazz,1", "u1,Jazz,2", "expected u1,Jazz,1, found u1,Jazz,2"),
        ("avg_listen_time_per_song", "s1,", "s0,", "avg_listen_time_per_song/part-00000.csv:"),
        ("enriched_logs", "s1,u1,2025-03-21T00:01:00Z,31,One", "s1,u1,2025-03-21T00:01:00Z,32,One", "s1,u1,"),
        ("enriched_logs", "31,One,A", "31,Wan,A", "metadata that its song never had"),
        ("_rejects", ",bad\n", ",mad\n", "_rejects: "),
    ];
    for (name, right, wrong, what) in changes {
        let file = format!("output/{name}/part-00000.csv");
        let text = place.read(&file);
        assert!(text.contains(right), "{right} in {text}");
        fs::write(place.path(&file), text.replacen(right, wrong, 1)).unwrap();
        assert_differs(&place, what);
        fs::write(place.path(&file), text).unwrap();
    }
    assert_verified(&place, &[]);
}

#[test]
fn inputs_that_are_gone_leave_the_state_to_compare_with() {
    let place = watched();
    place.write("data/incoming/b.csv", &format!("{LOG_HEADER}u9,s2,2025-03-21 12:00:00,7\n"));
    watch_once(&place);
    fs::remove_file(place.path("data/incoming/a.csv")).unwrap();
    let said = assert_verified(&place, &[]);
    assert!(
        said.contains(
            "1 inputs are missing or have changed since they were read, for example data/incoming/a.csv"
        ),
        "{said}"
    );
    assert!(said.contains("including all rows of the remaining inputs"), "{said}");
    let file = "output/enriched_logs/part-00000.csv";
    let text = place.read(file);
    fs::write(place.path(file), text.replace("s2,u9", "s2,u8")).unwrap();
    assert_differs(&place, "enriched_logs: missing: s2,u9");
}

#[test]
fn a_changed_catalog_is_no_difference_but_says_so() {
    let place = watched();
    place.write("data/songs_metadata.csv", &format!("{CATALOG_HEADER}{SONGS}"));
    assert!(assert_verified(&place, &[]).contains("is not the catalog of epoch"));
}

#[test]
fn plays_of_a_song_that_has_vanished_wait_and_are_verified_too() {
    let place = watched();
    place.write("data/songs_metadata.csv", &format!("{CATALOG_HEADER}s2,Two,B,Pop,Happy\n"));
    watch_once(&place);
    place.append("data/incoming/a.csv", "u8,s1,2025-03-23 00:01:00,4\n");
    watch_once(&place);
    assert!(!place.read("output/enriched_logs/part-00000.csv").contains("u8"));
    assert!(assert_verified(&place, &[]).contains("enriched_logs: 5 rows"));
    place.write("data/songs_metadata.csv", &format!("{CATALOG_HEADER}{SONGS}"));
    watch_once(&place);
    assert!(assert_verified(&place, &[]).contains("enriched_logs: 6 rows"));
}

#[test]
fn what_a_replay_has_published_is_verified_in_its_order() {
    let place = Place::new(SONGS);
    for (name, rows) in [("a", "u1,s1,2025-03-21 00:01:00,31\nbad\n"), ("b", "u2,s2,2025-03-21 00:01:00,1\n")]
    {
        place.write(&format!("data/incoming/{name}.csv"), &format!("{LOG_HEADER}{rows}"));
    }
    place.done(&["replay", "--now", "2025-04-01T00:00:00Z"]);
    assert_verified(&place, &["--now", "2025-04-01T00:00:00Z"]);
    let file = "output/enriched_logs/part-00000.csv";
    let text = place.read(file);
    let mut lines: Vec<&str> = text.lines().collect();
    lines.swap(1, 2);
    fs::write(place.path(file), lines.join("\n") + "\n").unwrap();
    assert_differs(&place, "the rows are in a different order");
    fs::write(place.path(file), text).unwrap();
    place.write("data/incoming/c.csv", &format!("{LOG_HEADER}u7,s2,2025-03-21 00:01:00,1\n"));
    assert_differs(&place, "missing: s2,u7");
}

#[test]
fn a_running_watch_is_not_disturbed() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    place.wait_for_rows(0);
    let said = place.run(&["verify"]);
    assert_eq!(said.status.code(), Some(75), "{}", stderr(&said));
    assert!(daemon.stop().status.success());
    assert_eq!(place.run(&["verify", "--output", "nowhere"]).status.code(), Some(66));
}

#[test]
fn the_state_shows_generations_files_and_inputs_and_finds_damage() {
    let place = watched();
    let said = stdout(&place.done(&["state", "--inputs"]));
    for what in
        ["generation 5: epoch 4, 5 plays", "sound", "enriched_logs", "data/incoming/a.csv: read to byte"]
    {
        assert!(said.contains(what), "no `{what}` in\n{said}");
    }
    let size = fs::metadata(place.path("data/incoming/a.csv")).unwrap().size();
    assert!(said.contains(&format!("read to byte {size} of {size}")), "{said}");
    let part = fs::read_dir(place.path("data/state")).unwrap().map(|entry| entry.unwrap().path());
    let part = part
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("segment-"))
        .max()
        .unwrap();
    let mut bytes = fs::read(&part).unwrap();
    bytes[20] ^= 1;
    fs::write(&part, bytes).unwrap();
    let said = place.run(&["state"]);
    assert_eq!(said.status.code(), Some(65));
    assert!(stdout(&said).contains("the checksum is wrong"), "{}", stdout(&said));
}

#[test]
fn what_is_guarded_against_formulas_is_right_and_cannot_be_switched_within_a_log() {
    let place = Place::new("=s1,+One,@A,-Rock,Sad\n");
    let rows = "=u1,=s1,2025-03-21 00:01:00,31\n\"-u,2\",later,2025-03-21 12:00:00,7.5\n";
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{rows}"));
    let guarded = ["--set", "csv.escape_formulas=true"];
    place.done(&[&["watch", "--once", "--http", "off"], &guarded[..]].concat());
    // A song that comes later, changes and goes leaves rows of all its metadata, and plays that wait.
    for songs in ["=s1,+One,@A,-Rock,Sad\nlater,=Two,B,Pop,Happy\n", "=s1,-1,A,Rock,Sad\n", ""] {
        place.write("data/songs_metadata.csv", &format!("{CATALOG_HEADER}{songs}"));
        place.append(
            "data/incoming/a.csv",
            "u3,=s1,2025-03-21 00:01:00,31\n\"-u,2\",later,2025-03-21 12:00:00,9\n",
        );
        place.done(&[&["watch", "--once", "--http", "off"], &guarded[..]].concat());
        assert_verified(&place, &guarded);
    }
    let published = place.read("output/enriched_logs/part-00000.csv");
    assert!(published.contains("\n'=s1,'=u1,2025-03-21T00:01:00Z,31,'+One,'@A,'-Rock,Sad\n"), "{published}");
    assert!(
        published.contains("\nlater,\"'-u,2\",2025-03-21T12:00:00Z,7.5,'=Two,B,Pop,Happy\n"),
        "{published}"
    );
    let said = place.run(&["watch", "--once", "--http", "off"]);
    assert_eq!(said.status.code(), Some(78));
    assert!(
        stderr(&said).contains("csv.escape_formulas is true in the state and false now"),
        "{}",
        stderr(&said)
    );
}
