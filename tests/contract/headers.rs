//! Headers as people have them: columns without names, repeated columns, other names, places, and no header.

use std::fs;

use crate::daemon::{Place, stderr};

const SONGS: &str = "s1,One,A,Rock,Sad\ns2,Two,B,Pop,Happy\n";
const ENRICHED: &str = "output/enriched_logs/part-00000.csv";
const ROW: &str = "s1,u1,2025-03-21T01:09:00Z,159,One,A,Rock,Sad";

/// The rows of `enriched_logs` after a strict replay of one log.
fn replayed(log: &str, settings: &[&str]) -> Vec<String> {
    let place = Place::new(SONGS);
    place.write("plays.csv", log);
    let flags = settings.iter().flat_map(|setting| ["--set", setting]);
    place.done(&["replay", "plays.csv"].into_iter().chain(flags).collect::<Vec<_>>());
    assert_eq!(place.read("output/_rejects/part-00000.csv").lines().count(), 1, "no row is rejected");
    place.read(ENRICHED).lines().skip(1).map(ToOwned::to_owned).collect()
}

#[test]
fn columns_that_are_not_wanted_cannot_clash() {
    for log in [
        "user_id,song_id,timestamp,duration_sec,,\nu1,s1,2025-03-21 01:09:00,159,,\n",
        "user_id,song_id,timestamp,duration_sec, ,\t\nu1,s1,2025-03-21 01:09:00,159\n",
        "user_id,song_id,timestamp,duration_sec\nu1,s1,2025-03-21 01:09:00,159,,,\n",
        ",user_id,song_id,timestamp,duration_sec\n0,u1,s1,2025-03-21 01:09:00,159\n",
        "user_id,note,song_id,note,timestamp,note,duration_sec\nu1,a,s1,b,2025-03-21 01:09:00,,159\n",
        "user_id,song_id,timestamp,duration_sec\n,,,\n ,\t,,\nu1,s1,2025-03-21 01:09:00,159\n",
    ] {
        assert_eq!(replayed(log, &[]), [ROW], "{log}");
    }
}

#[test]
fn names_are_compared_without_case_and_separators() {
    for header in ["USER_ID,Song ID,TimeStamp,durationSec", "user-id , songid,timestamp,Duration_Sec "] {
        assert_eq!(replayed(&format!("{header}\nu1,s1,2025-03-21 01:09:00,159\n"), &[]), [ROW], "{header}");
    }
    // A column with exactly the wanted name wins.
    let log = "User ID,user_id,song_id,timestamp,duration_sec\nno,u1,s1,2025-03-21 01:09:00,159\n";
    assert_eq!(replayed(log, &[]), [ROW]);
}

#[test]
fn columns_are_given_by_name_or_place() {
    let log = "listener;when;track;played;more\nu1;2025-03-21 01:09:00;s1;159;x\n";
    let settings = [
        "input.delimiter=;",
        "catalog.delimiter=,",
        "input.columns.user_id=Listener",
        "input.columns.song_id=#3",
        "input.columns.timestamp=when",
        "input.columns.duration_sec=#4",
    ];
    assert_eq!(replayed(log, &settings), [ROW]);
    // One column can be two fields.
    let log = "user_id,timestamp,duration_sec\ns1,2025-03-21 01:09:00,159\n";
    assert_eq!(replayed(log, &["input.columns.song_id=user_id"]), [ROW.replace("u1", "s1")]);
}

const PLACES: [&str; 4] = [
    "input.columns.user_id=#1",
    "input.columns.song_id=#2",
    "input.columns.timestamp=#3",
    "input.columns.duration_sec=#4",
];

#[test]
fn a_header_can_be_missing_or_given() {
    let row = "u1,s1,2025-03-21 01:09:00,159";
    let with = |more: &'static str| [&PLACES[..], &[more]].concat();
    assert_eq!(replayed(&format!("\u{feff}{row},x\n"), &with("input.header=none")), [ROW]);
    // The first line is a header, whatever it contains. Lines that are equal to it are skipped.
    assert_eq!(
        replayed(&format!("u9,s2,2025-03-20 01:09:00,1\n{row}\nu9,s2,2025-03-20 01:09:00,1\n"), &PLACES),
        [ROW]
    );
    let header = "input.header=user_id,song_id,timestamp,duration_sec";
    assert_eq!(replayed(&format!("{row}\n"), &[header]), [ROW]);
    let repeated = "user_id,song_id,timestamp,duration_sec";
    assert_eq!(replayed(&format!("\u{feff}{repeated}\r\n{row}\r\n{repeated}\n"), &[header]), [ROW]);
}

#[test]
fn headers_without_the_wanted_columns_are_rejected() {
    for (header, reason) in [
        ("user_id,song_id,timestamp,duration_sec,UserID", None),
        ("UserID,user id,song_id,timestamp,duration_sec", Some("duplicate_column")),
        ("user_id,song_id,timestamp,duration_sec,song_id", Some("duplicate_column")),
        ("user_id,song_id,timestamp", Some("missing_column")),
        ("u1,s1,2025-03-21 01:09:00,159", Some("missing_header")),
        ("user_id|song_id|timestamp|duration_sec", Some("wrong_delimiter")),
    ] {
        let place = Place::new(SONGS);
        place.write("data/incoming/plays.csv", &format!("{header}\n"));
        place.run(&["watch", "--once"]);
        let rejects = place.read("output/_rejects/part-00000.csv");
        let found = rejects.lines().nth(1).map(|line| line.split(',').nth(3).unwrap().to_owned());
        assert_eq!(found.as_deref(), reason, "{header}");
    }
}

#[test]
fn settings_without_all_columns_are_refused() {
    let place = Place::new(SONGS);
    place.write("plays.csv", "");
    for (settings, message) in [
        (&["input.columns.user_id=#0"][..], "counted from `#1`"),
        (&["input.columns.user_id="], "input.columns.user_id"),
        (&["input.header=none"], "input.columns"),
        (&["input.header=none", "input.columns.user_id=#1"], "input.columns"),
        (&["input.header=user_id,song_id,timestamp"], "input.header"),
        (&["catalog.header=none"], "catalog.columns"),
        (&["input.encoding=utf-16"], "windows-1252"),
        (&["input.timestamp=%H:%M"], "date"),
        (&["input.decimal=x"], "expected `.` or `,`"),
    ] {
        let flags = settings.iter().flat_map(|setting| ["--set", setting]);
        let output = place.run(&["check", "plays.csv"].into_iter().chain(flags).collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(78), "{settings:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{settings:?}: {}", stderr(&output));
    }
}

#[test]
fn encodings_are_declared_and_a_byte_order_mark_overrides_them() {
    let place = Place::new("s1,Caf\u{e9},A,Rock,Sad\n");
    let western = b"user_id,song_id,timestamp,duration_sec\nJ\xf6rg,s1,2025-03-21 01:09:00,159\n";
    fs::write(place.path("data/incoming/a.csv"), western).unwrap();
    place.write(
        "data/incoming/b.csv",
        "\u{feff}user_id,song_id,timestamp,duration_sec\nJ\u{f6}rg,s1,2025-03-21 01:10:00,159\n",
    );
    let settings = ["--set", "input.encoding=windows-1252", "--set", "catalog.encoding=utf-8"];
    place.done(&[&["watch", "--once"], &settings[..]].concat());
    let enriched = place.read(ENRICHED);
    assert_eq!(enriched.matches("s1,J\u{f6}rg,").count(), 2, "{enriched}");
    assert_eq!(enriched.matches(",Caf\u{e9},").count(), 2, "{enriched}");
    place.done(&[&["verify"], &settings[..]].concat());
}

#[test]
fn offsets_in_compressed_logs_are_those_of_the_converted_text() {
    let place = Place::new(SONGS);
    let mut log = b"user_id,song_id,timestamp,duration_sec,\xe9\n".to_vec();
    for _ in 0..3 {
        log.extend_from_slice(b"J\xf6rg,s1,2025-03-21 01:09:00,159,\nx\xe9,s1,bad,1,\n");
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &log).unwrap();
    fs::write(place.path("data/incoming/a.csv"), &log).unwrap();
    fs::write(place.path("data/incoming/b.csv.gz"), encoder.finish().unwrap()).unwrap();
    let settings = ["--set", "input.encoding=windows-1252", "--set", "catalog.encoding=utf-8"];
    place.done(&[&["watch", "--once"], &settings[..]].concat());
    let rejects = place.read("output/_rejects/part-00000.csv");
    let offsets: Vec<u64> =
        rejects.lines().skip(1).map(|line| line.split(',').nth(2).unwrap().parse().unwrap()).collect();
    let text =
        String::from_utf8(log.iter().flat_map(|&byte| char::from(byte).to_string().into_bytes()).collect());
    let (in_file, in_text) = (places(&log, b"x\xe9"), places(text.unwrap().as_bytes(), "x\u{e9}".as_bytes()));
    assert_eq!(offsets, [in_file, in_text].concat());
    place.done(&[&["verify"], &settings[..]].concat());
}

/// Where a part of a text begins.
fn places(text: &[u8], part: &[u8]) -> Vec<u64> {
    (0..text.len() as u64).filter(|&at| text[at as usize..].starts_with(part)).collect()
}
