//! Logs in UTF-16. A byte order mark tells, whatever the settings say.

use std::fs;
use std::path::Path;

use crate::daemon::{LOG_HEADER, Place, SONGS, play, stderr};
use crate::oracle::assert_equals_replay;

fn encode(text: &str, little: bool) -> Vec<u8> {
    let units = text.encode_utf16();
    units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
}

/// A file with a byte order mark.
fn file(text: &str, little: bool) -> Vec<u8> {
    [encode("\u{feff}", little), encode(text, little)].concat()
}

fn append(path: &Path, bytes: &[u8]) {
    use std::io::Write;
    fs::File::options().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn replay_reads_utf16_like_utf8_in_plain_and_compressed_files() {
    let text = format!("{LOG_HEADER}{}h\u{e4}nsel \u{1f3b5},s1,2025-03-21 10:00,1.5\nbad\n", play(1, 1, 1));
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &text);
    place.done(&["replay", "--output", "utf8"]);
    for (name, little) in [("a.csv", true), ("a.csv", false), ("a.csv.zst", true), ("a.csv.zst", false)] {
        let _ = fs::remove_file(place.path("data/incoming/a.csv"));
        let bytes = file(&text, little);
        let bytes = if name == "a.csv" { bytes } else { zstd::encode_all(&bytes[..], 1).unwrap() };
        fs::write(place.path("data/incoming").join(name), bytes).unwrap();
        for encoding in ["utf-8", "windows-1252"] {
            place.done(&["replay", "--output", "output", "--set", &format!("input.encoding={encoding}")]);
            for table in ["enriched_logs", "avg_listen_time_per_song", "_rejects"] {
                let of = |output: &str| place.read(&format!("{output}/{table}/part-00000.csv"));
                assert_eq!(of("output").replace(".zst", ""), of("utf8"), "{name} {little} {encoding}");
            }
        }
        fs::remove_file(place.path("data/incoming").join(name)).unwrap();
    }
}

#[test]
fn half_a_character_spoils_only_its_line() {
    let place = Place::new(SONGS);
    let mut bytes = file(&format!("{LOG_HEADER}{}x", play(1, 1, 1)), true);
    bytes.extend(0xd83c_u16.to_le_bytes());
    bytes.extend(encode(&format!(",s1,2025-03-21 10:00,1\n{}", play(2, 1, 2)), true));
    fs::write(place.path("data/incoming/a.csv"), bytes).unwrap();
    place.done(&["replay"]);
    let rejects = place.read("output/_rejects/part-00000.csv");
    let offset = LOG_HEADER.len() + play(1, 1, 1).len();
    assert!(rejects.contains(&format!(",3,{offset},invalid_utf8,\"x\\xff,s1,")), "{rejects}");
    assert_eq!(place.manifest("output").unwrap()["totals"]["rows"], 3);
}

#[test]
fn watch_reads_utf16_when_it_stands_still_and_rejects_what_comes_later() {
    let place = Place::new(SONGS);
    let args = ["--set", "input.last_line_wait=300ms"];
    let daemon = place.watch(&args);
    let path = place.path("data/incoming/a.csv");
    fs::write(&path, file(&format!("{LOG_HEADER}{}", play(1, 1, 1)), false)).unwrap();
    append(&path, &encode(play(2, 1, 2).trim_end(), false));
    place.wait_for_rows(2);
    append(&path, &encode(&format!("\n{}", play(3, 1, 3)), false));
    let rejects = |of: u64| {
        let manifest = place.wait_for_rows(2 + of);
        assert_eq!(manifest["totals"]["rejected"]["continued_after_eof"], of);
    };
    rejects(1);
    append(&path, &encode(&play(4, 1, 4), false));
    rejects(2);
    assert!(daemon.stop().status.success());
    place.done(&[&["verify"], &args[..]].concat());
    // Also after a restart, and at once with `--once`.
    append(&path, &encode(&play(5, 1, 5), false));
    once(&place);
    rejects(3);
    let verify = place.done(&["verify"]);
    assert!(verify.status.success());
    once(&place);
    rejects(3);
}

#[test]
fn a_compressed_file_in_utf16_is_read_by_watch() {
    let place = Place::new(SONGS);
    let text = format!("{LOG_HEADER}{}{}", play(1, 1, 1), play(2, 2, 2));
    let packed = zstd::encode_all(&file(&text, true)[..], 1).unwrap();
    fs::write(place.path("data/incoming/a.csv.zst"), packed).unwrap();
    once(&place);
    assert_equals_replay(&place);
    place.done(&["verify"]);
}

#[test]
fn utf16_without_a_mark_is_rejected() {
    let place = Place::new(SONGS);
    let text = format!("{LOG_HEADER}{}", play(1, 1, 1));
    fs::write(place.path("data/incoming/a.csv"), encode(&text, true)).unwrap();
    fs::write(place.path("data/incoming/b.csv"), encode(&text, false)).unwrap();
    let check = place.run(&["check"]);
    let shown = format!("{}{}", String::from_utf8_lossy(&check.stdout), stderr(&check));
    assert!(shown.contains("encoding_utf16 2"), "{shown}");
}

/// Reads what is there now. Runs in which every row is rejected exit with 65.
fn once(place: &Place) {
    let output = place.run(&["watch", "--once", "--http", "off"]);
    assert!(matches!(output.status.code(), Some(0 | 65)), "{}", stderr(&output));
}
