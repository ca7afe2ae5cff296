//! Runs `watch` on faulty files and odd file names. `watch` reads, rejects or skips each file, sometimes with
//! a warning.

use std::ffi::OsStr;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use crate::daemon::{LOG_HEADER, Place, SONGS, play, stderr};
use crate::oracle::assert_equals_replay;

const SOON: [&str; 2] = ["--set", "input.last_line_wait=100ms"];
const ROW: &str = "u1,s1,2025-03-21 12:00:00,150\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Drops a whole file atomically.
fn drop_bytes(place: &Place, name: impl AsRef<OsStr>, bytes: &[u8]) {
    let folder = place.path("data/incoming");
    fs::write(folder.join(".draft"), bytes).unwrap();
    fs::rename(folder.join(".draft"), folder.join(name.as_ref())).unwrap();
}

/// The sorted rejects, each as `file:line reason`.
fn rejects(place: &Place) -> Vec<String> {
    let text = place.read("output/_rejects/part-00000.csv");
    let rows = text.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.splitn(5, ',').collect();
        let file = cells[0].strip_prefix("data/incoming/").unwrap_or(cells[0]);
        format!("{file}:{} {}", cells[1], cells[3])
    });
    let mut rows: Vec<String> = rows.collect();
    rows.sort();
    rows
}

#[test]
fn faulty_bytes_and_lines_are_rejected_with_their_reason() {
    let below = |text: &[u8]| [LOG_HEADER.as_bytes(), ROW.as_bytes(), text].concat();
    let long = "x".repeat((1 << 20) + 1);
    let whole = gzip(&below(b""));
    // Each entry has the name of a file, its bytes, its number of plays, and its rejects.
    let cases: Vec<(&str, Vec<u8>, u64, &[&str])> = vec![
        ("empty.csv", vec![], 0, &[]),
        ("header.csv", LOG_HEADER.into(), 0, &[]),
        ("nul.csv", below(b"u1,s\0,2025-03-21 12:00:00,1\n"), 1, &["3 nul_byte"]),
        ("nul_tail.csv", below(&[0; 5000]), 1, &["3 nul_tail"]),
        ("utf8.csv", below(b"u\xff,s1,2025-03-21 12:00:00,1\n"), 1, &["3 invalid_utf8"]),
        ("overlong.csv", below(b"u\xc0\xaf,s1,2025-03-21 12:00:00,1\n"), 1, &["3 invalid_utf8"]),
        ("surrogate.csv", below(b"u\xed\xa0\x80,s1,2025-03-21 12:00:00,1\n"), 1, &["3 invalid_utf8"]),
        ("long.csv", below(format!("{long}\n{ROW}").as_bytes()), 2, &["3 line_too_long"]),
        ("endless.csv", below(long.as_bytes()), 1, &["3 line_too_long"]),
        (
            "quote.csv",
            below(format!("u1,\"s1,2025-03-21 12:00:00,1\n{ROW}").as_bytes()),
            2,
            &["3 unclosed_quote"],
        ),
        ("after_quote.csv", below(b"u1,\"s1\"x,2025-03-21 12:00:00,1\n"), 1, &["3 bad_quote"]),
        (
            "fields.csv",
            below(b"u1,s1\nu1,s1,2025-03-21 12:00:00,1,5\n"),
            1,
            &["3 field_count", "4 field_count"],
        ),
        ("again.csv", below([LOG_HEADER, ROW].concat().as_bytes()), 2, &[]),
        ("open.csv", below(ROW.trim_end().as_bytes()), 2, &[]),
        ("half.csv", below(b"u1,s1,2025-03"), 1, &["3 field_count"]),
        ("a.csv.gz", whole.clone(), 1, &[]),
        ("members.csv.gz", [whole.clone(), gzip(ROW.as_bytes())].concat(), 2, &[]),
        ("bomb.csv.gz", gzip(&[LOG_HEADER.as_bytes(), &vec![b'x'; 40 << 20]].concat()), 0, &["1 gz_ratio"]),
        ("cut.csv.gz", whole[..whole.len() - 4].to_vec(), 0, &["1 gz_corrupt"]),
        ("trailing.csv.gz", [&whole[..], b"more"].concat(), 0, &["1 gz_corrupt"]),
        ("elf.csv", b"\x7fELF\x02\x01\x01\0".repeat(20), 0, &["1 not_csv"]),
    ];
    let place = Place::new(SONGS);
    let daemon = place.watch(&SOON);
    let (mut rows, mut expected) = (0, Vec::new());
    for (name, bytes, plays, reasons) in &cases {
        drop_bytes(&place, name, bytes);
        rows += plays + reasons.len() as u64;
        expected.extend(reasons.iter().map(|reason| format!("{name}:{reason}")));
    }
    expected.sort();
    place.wait_for("all rejects", || (rejects(&place).len() >= expected.len()).then_some(()));
    assert_eq!(rejects(&place), expected);
    place.wait_for_rows(rows);
    assert!(daemon.stop().status.success());
    assert_equals_replay(&place);
}

#[test]
fn nul_bytes_of_reserved_space_are_read_after_they_are_overwritten() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    let start = format!("{LOG_HEADER}{ROW}");
    drop_bytes(&place, "a.csv", &[start.as_bytes(), &[0; 300]].concat());
    place.wait_for_rows(1);
    thread::sleep(Duration::from_millis(100));
    let mut file = fs::File::options().write(true).open(place.path("data/incoming/a.csv")).unwrap();
    file.seek(SeekFrom::Start(start.len() as u64)).unwrap();
    file.write_all(ROW.as_bytes()).unwrap();
    place.wait_for_rows(2);
    file.write_all(ROW.as_bytes()).unwrap();
    file.set_len((start.len() + 2 * ROW.len()) as u64).unwrap();
    place.wait_for_rows(3);
    assert!(daemon.stop().status.success());
    assert_equals_replay(&place);
}

#[test]
fn odd_names_are_read_and_other_files_are_ignored() {
    let place = Place::new(SONGS);
    let folder = place.path("data/incoming");
    let log = [LOG_HEADER, ROW].concat();
    let daemon = place.watch(&[]);
    let longest = format!("{}.csv", "n".repeat(251));
    let names: [&[u8]; 6] = [
        b"not-\xff-utf8.csv",
        b"line\nfeed.csv",
        b"quote\"%\x1b[31m.csv",
        "\u{fc}ml\u{e4}ut.csv".as_bytes(),
        longest.as_bytes(),
        b" .csv",
    ];
    for name in names {
        drop_bytes(&place, OsStr::from_bytes(name), format!("{log}no,row\n").as_bytes());
    }
    for name in [".a.csv", "a.csv.swp", "a.csv~", "a.csv.crdownload", "a.csv.part", "a.csv.tmp"] {
        fs::write(folder.join(name), &log).unwrap();
    }
    std::os::unix::fs::symlink("loop.csv", folder.join("loop.csv")).unwrap();
    std::os::unix::fs::symlink("/nowhere", folder.join("dangling.csv")).unwrap();
    let _socket = UnixListener::bind(folder.join("socket.csv")).unwrap();
    place.wait_for_rows(12);
    // A sparse file is one very long line. The program must not keep such a line in memory.
    fs::File::create(folder.join("sparse.csv")).unwrap().set_len(1 << 40).unwrap();
    place.wait_for_rows(13);
    // A file counts as soon as it gets a name without a temporary suffix.
    fs::rename(folder.join("a.csv.part"), folder.join("a.csv")).unwrap();
    place.wait_for_rows(14);
    // The rows of a file with two names count twice, including rows appended later.
    fs::hard_link(folder.join("a.csv"), folder.join("b.csv")).unwrap();
    place.append("data/incoming/a.csv", &play(2, 1, 2));
    place.wait_for_rows(17);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kibibytes: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kibibytes < 300 << 10, "{kibibytes} KiB");
    let output = daemon.stop();
    assert!(output.status.success());
    for name in ["loop.csv", "dangling.csv", "socket.csv"] {
        assert_eq!(stderr(&output).matches(&format!("{name}: skipped")).count(), 1, "{}", stderr(&output));
    }
    assert!(
        !stderr(&output).contains('\x1b'),
        "a message contains an escape character from a file name: {}",
        stderr(&output)
    );
    let found = rejects(&place);
    assert!(found.iter().any(|reject| reject == "sparse.csv:1 not_csv"), "{found:?}");
    fs::remove_file(folder.join("sparse.csv")).unwrap();
}

#[test]
fn a_file_with_rewritten_bytes_is_abandoned_and_all_others_are_read() {
    let place = Place::new(SONGS);
    let rows: String = (0..5).map(|minute| play(1, 1, minute)).collect();
    place.write("data/incoming/edited.csv", &format!("{LOG_HEADER}{rows}"));
    place.write("data/incoming/refilled.csv", &format!("{LOG_HEADER}{rows}"));
    let daemon = place.watch(&[]);
    place.wait_for_rows(10);
    let mut file = fs::File::options().write(true).open(place.path("data/incoming/edited.csv")).unwrap();
    file.seek(SeekFrom::Start(LOG_HEADER.len() as u64 + 1)).unwrap();
    file.write_all(b"9").unwrap();
    // While the daemon is stopped, truncate `refilled.csv` and fill it beyond its old length.
    let more: String = (0..20).map(|minute| play(2, 2, minute)).collect();
    daemon.signal("-STOP");
    fs::write(place.path("data/incoming/refilled.csv"), format!("{LOG_HEADER}{more}")).unwrap();
    daemon.signal("-CONT");
    place.write("data/incoming/other.csv", &format!("{LOG_HEADER}{rows}"));
    place.wait_for_rows(15);
    // The program reads a new file of the same name from the beginning.
    place.write("data/incoming/refilled.csv", &format!("{LOG_HEADER}{more}"));
    place.wait_for_rows(35);
    let output = daemon.stop();
    assert!(output.status.success());
    for name in ["edited", "refilled"] {
        let conflict =
            format!("{name}.csv: bytes before offset {} were overwritten", LOG_HEADER.len() + rows.len());
        assert_eq!(stderr(&output).matches(&conflict).count(), 1, "{}", stderr(&output));
    }
}

#[test]
fn a_deleted_log_counts_and_its_inode_may_be_reused() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    let path = place.path("data/incoming/a.csv");
    for round in 1..=5_u32 {
        fs::write(&path, format!("{LOG_HEADER}{}", play(round, 1, round))).unwrap();
        place.wait_for_rows(u64::from(round) * 2 - 1);
        // While the daemon is stopped, append to the log and delete it.
        daemon.signal("-STOP");
        place.append("data/incoming/a.csv", &play(round, 2, round));
        fs::remove_file(&path).unwrap();
        daemon.signal("-CONT");
        place.wait_for_rows(u64::from(round) * 2);
    }
    // A log that exists under two names counts twice and causes a warning.
    let log = format!("{LOG_HEADER}{}", play(9, 1, 9));
    place.write("data/incoming/b.csv", &log);
    place.wait_for_rows(11);
    place.write("data/incoming/c.csv", &log);
    place.wait_for_rows(12);
    let output = daemon.stop();
    assert!(output.status.success());
    assert!(stderr(&output).contains("c.csv: has the same content as b.csv"), "{}", stderr(&output));
}

#[test]
fn unusable_folders_prevent_a_start() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{ROW}"));
    place.write("in_the_way", "");
    fs::create_dir_all(place.path("taken/night_owl_users/part-00000.csv")).unwrap();
    for (more, code, words) in [
        (&["--incoming", "data/nowhere"], 66, "data/nowhere does not exist; create it, or pass --incoming"),
        (&["--incoming", "in_the_way"], 66, "in_the_way"),
        (&["--output", "in_the_way"], 73, "in_the_way"),
        (&["--output", "data/incoming/output"], 78, "incoming"),
        (&["--state", "data/incoming/state"], 78, "state must not be inside incoming"),
        (&["--output", "taken"], 73, "part-00000.csv"),
        (&["--set", "input.archive_dir=data/incoming"], 78, "input.archive_dir must not be incoming"),
    ] {
        let output = place.run(&[&["watch", "--http", "off", "--once"], &more[..]].concat());
        assert_eq!(output.status.code(), Some(code), "{more:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{more:?}: {}", stderr(&output));
    }
}

#[test]
fn a_symlink_in_place_of_an_output_is_replaced_and_not_followed() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{ROW}"));
    place.write("precious", "untouched");
    fs::create_dir_all(place.path("output/night_owl_users")).unwrap();
    let link = |name: &str| std::os::unix::fs::symlink(place.path("precious"), place.path(name)).unwrap();
    link("output/night_owl_users/part-00000.csv");
    link("output/night_owl_users/.part-00000.csv.tmp");
    link("output/._manifest.json.tmp");
    place.done(&["watch", "--http", "off", "--once"]);
    assert_eq!(place.read("precious"), "untouched");
    let written = place.path("output/night_owl_users/part-00000.csv").symlink_metadata().unwrap();
    assert!(written.is_file());
    assert_equals_replay(&place);
}
