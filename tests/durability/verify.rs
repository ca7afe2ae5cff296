//! `verify` and `state` accept correct data. They detect and report every kind of damage.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::daemon::{CATALOG_HEADER, LOG_HEADER, Place, stderr, stdout};

const SONGS: &str = "s1,One,A,Rock,Sad\ns2,Two,B,Pop,Happy\n\"s,3\",\"T\"\"3\"\"\",C,Folk,\n";

/// Runs `watch --once`.
fn watch_once(place: &Place) {
    place.done(&["watch", "--once", "--http", "off"]);
}

fn assert_verified(place: &Place, args: &[&str]) -> String {
    let output = place.run(&[&["verify"], args].concat());
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

fn assert_differs(place: &Place, what: &str) {
    let output = place.run(&["verify"]);
    assert_eq!(output.status.code(), Some(65), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains(what), "no `{what}` in\n{}", stdout(&output));
}

/// A place after a `watch` that has read all kinds of rows, files and catalogs.
fn watched() -> Place {
    let place = Place::new(SONGS);
    let rows = "u1,s1,2025-03-21 00:01:00,31\nbad\nu2,\"s,3\",2025-03-21 12:00:00,7.5\nu3,unknown,2025-03-21 12:00:00,7\n\
        u1,s2,2199-01-01 00:00:00,9\n";
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{rows}"));
    place.write("data/incoming/refused.csv", "user_id;song_id\n1;2\n");
    watch_once(&place);
    // `watch` counts a last line without a line feed. Later, the line continues.
    place.append("data/incoming/a.csv", "u4,s1,2025-03-22 00:01:00,3");
    watch_once(&place);
    place.append("data/incoming/a.csv", "1\nu5,s1,2025-03-22 00:01:00,3\n");
    // Rows of `enriched_logs` keep the metadata that was current when `watch` wrote the rows. When a song is
    // new in the catalog, `watch` adds the earlier plays of this song.
    let later = "s1,Uno,A,Jazz,Sad\ns2,Two,B,Pop,Happy\nunknown,Late,D,Rock,Happy\nbad\n";
    place.write("data/songs_metadata.csv", &format!("{CATALOG_HEADER}{later}"));
    watch_once(&place);
    place
}

#[test]
fn verify_uses_the_decisions_made_when_rows_were_read() {
    let place = watched();
    let rejects = place.read("output/_rejects/part-00000.csv");
    for reason in ["timestamp_range", "continued_after_eof", "field_count", "wrong_delimiter"] {
        assert!(rejects.contains(reason), "{reason} is missing in {rejects}");
    }
    let before = place.files("output");
    let output = assert_verified(&place, &[]);
    assert!(output.contains("enriched_logs: 5 rows") && !output.contains("unverifiable"), "{output}");
    assert_eq!(place.files("output"), before, "verify changed the output");
}

#[test]
fn verify_finds_every_change_of_a_published_file() {
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
        assert!(text.contains(right), "{right:?} is missing in {text}");
        fs::write(place.path(&file), text.replacen(right, wrong, 1)).unwrap();
        assert_differs(&place, what);
        fs::write(place.path(&file), text).unwrap();
    }
    assert_verified(&place, &[]);
}

#[test]
fn verify_without_inputs_compares_the_output_with_the_state() {
    let place = watched();
    place.write("data/incoming/b.csv", &format!("{LOG_HEADER}u9,s2,2025-03-21 12:00:00,7\n"));
    watch_once(&place);
    fs::remove_file(place.path("data/incoming/a.csv")).unwrap();
    let output = assert_verified(&place, &[]);
    assert!(
        output.contains("1 inputs are missing or have changed since they were read, for example a.csv"),
        "{output}"
    );
    assert!(output.contains("including all rows of the remaining inputs"), "{output}");
    let file = "output/enriched_logs/part-00000.csv";
    let text = place.read(file);
    fs::write(place.path(file), text.replace("s2,u9", "s2,u8")).unwrap();
    assert_differs(&place, "enriched_logs: missing: s2,u9");
}

#[test]
fn a_changed_catalog_is_reported_but_does_not_count_as_a_difference() {
    let place = watched();
    place.write("data/songs_metadata.csv", &format!("{CATALOG_HEADER}{SONGS}"));
    assert!(assert_verified(&place, &[]).contains("is not the catalog of epoch"));
}

#[test]
fn plays_of_a_removed_song_are_unmatched_and_verified() {
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
fn the_output_of_a_replay_is_verified_in_order() {
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
fn verify_does_not_disturb_a_running_watch() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    place.wait_for_rows(0);
    let output = place.run(&["verify"]);
    assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
    assert!(daemon.stop().status.success());
    assert_eq!(place.run(&["verify", "--output", "nowhere"]).status.code(), Some(66));
}

#[test]
fn the_state_command_shows_generations_files_inputs_and_damage() {
    let place = watched();
    let output = stdout(&place.done(&["state", "--inputs"]));
    for what in ["generation 5: epoch 4, 5 plays", "sound", "enriched_logs", "  a.csv: read to byte"] {
        assert!(output.contains(what), "no `{what}` in\n{output}");
    }
    let size = fs::metadata(place.path("data/incoming/a.csv")).unwrap().size();
    assert!(output.contains(&format!("read to byte {size} of {size}")), "{output}");
    let part = fs::read_dir(place.path("data/state")).unwrap().map(|entry| entry.unwrap().path());
    let part = part
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("segment-"))
        .max()
        .unwrap();
    let mut bytes = fs::read(&part).unwrap();
    bytes[20] ^= 1;
    fs::write(&part, bytes).unwrap();
    let output = place.run(&["state"]);
    assert_eq!(output.status.code(), Some(65));
    assert!(stdout(&output).contains("the checksum is wrong"), "{}", stdout(&output));
}

#[test]
fn escaped_formulas_are_verified_and_the_setting_cannot_change() {
    let place = Place::new("=s1,+One,@A,-Rock,Sad\n");
    let rows = "=u1,=s1,2025-03-21 00:01:00,31\n\"-u,2\",later,2025-03-21 12:00:00,7.5\n";
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{rows}"));
    let guarded = ["--set", "csv.escape_formulas=true"];
    place.done(&[&["watch", "--once", "--http", "off"], &guarded[..]].concat());
    // A song appears in the catalog, changes and disappears. Its rows have old and new metadata. Some of its
    // plays are unmatched.
    for songs in ["=s1,+One,@A,-Rock,Sad\nlater,=Two,B,Pop,Happy\n", "=s1,-1,A,Rock,Sad\n", ""] {
        place.write("data/songs_metadata.csv", &format!("{CATALOG_HEADER}{songs}"));
        place.append(
            "data/incoming/a.csv",
            "u3,=s1,2025-03-21 00:01:00,31\n\"-u,2\",later,2025-03-21 12:00:00,9\n",
        );
        place.done(&[&["watch", "--once", "--http", "off", "--allow-empty"], &guarded[..]].concat());
        assert_verified(&place, &guarded);
    }
    let published = place.read("output/enriched_logs/part-00000.csv");
    assert!(published.contains("\n'=s1,'=u1,2025-03-21T00:01:00Z,31,'+One,'@A,'-Rock,Sad\n"), "{published}");
    assert!(
        published.contains("\nlater,\"'-u,2\",2025-03-21T12:00:00Z,7.5,'=Two,B,Pop,Happy\n"),
        "{published}"
    );
    let output = place.run(&["watch", "--once", "--http", "off"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        stderr(&output).contains("csv.escape_formulas is true in the state and false now"),
        "{}",
        stderr(&output)
    );
}
