//! Logs that are rolled: compressed into another file, after which the plain file goes away. Each row counts
//! once.

use std::fs;
use std::io::Write;

use lzma_rust2::{XzOptions, XzWriter};

use crate::daemon::{LOG_HEADER, Place, SONGS, play, stderr};

/// Compresses a text. The ending of the name tells how.
fn pack(name: &str, text: &[u8]) -> Vec<u8> {
    match name.rsplit('.').next().unwrap() {
        "zst" => zstd::encode_all(text, 3).unwrap(),
        "bz2" => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "xz" => {
            let mut encoder = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).unwrap();
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        _ => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
    }
}

fn incoming(place: &Place, name: &str) -> std::path::PathBuf {
    place.path("data/incoming").join(name)
}

/// Compresses the current content of a log into a different file.
fn roll(place: &Place, log: &str, packed: &str) {
    let text = fs::read(incoming(place, log)).unwrap();
    fs::write(incoming(place, packed), pack(packed, &text)).unwrap();
}

fn rows(place: &Place) -> u64 {
    place.manifest("output").unwrap()["totals"]["rows"].as_u64().unwrap()
}

fn once(place: &Place) -> String {
    stderr(&place.done(&["watch", "--once", "--http", "off"]))
}

/// A log of more than two heads and tails, so that its middle belongs to neither.
fn long_log() -> String {
    format!("{LOG_HEADER}{}", (0..600).map(|n| play(n % 7, 1, n)).collect::<String>())
}

#[test]
fn a_log_that_is_rolled_beside_itself_counts_once() {
    for (packed, end) in [("a-1.csv.gz", ""), ("a-1.csv.zst", "\n"), ("b.csv.bz2", ""), ("a.csv.xz", "\n")] {
        let place = Place::new(SONGS);
        let daemon = place.watch(&[]);
        place.append("data/incoming/a.csv", &format!("{LOG_HEADER}{}{}", play(1, 1, 1), play(2, 1, 2)));
        place.wait_for_rows(2);
        // The last two rows come just before the rotation. The last line may have no line feed.
        let last = play(4, 2, 4);
        place.append("data/incoming/a.csv", &format!("{}{}{end}", play(3, 1, 3), last.trim_end()));
        roll(&place, "a.csv", packed);
        fs::remove_file(incoming(&place, "a.csv")).unwrap();
        place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{}", play(5, 1, 5)));
        place.wait_for_rows(5);
        let output = daemon.stop();
        let messages = stderr(&output);
        assert!(!messages.contains("counted again"), "{packed}: {messages}");
        // If all lines were complete, they may have been read before the rotation.
        let continues = messages.contains("compressed; reading continues at byte");
        assert!(continues || end == "\n", "{packed}: {messages}");
        place.done(&["verify"]);
        // A restart knows the compressed file.
        once(&place);
        assert_eq!(rows(&place), 5, "{packed}");
    }
}

#[test]
fn a_log_that_is_rolled_while_watch_is_down_continues_at_its_first_unread_row() {
    // logrotate appends the ending to a name that is not the name of a log.
    for packed in ["a.csv.1.gz", "2025-03-21.csv.xz"] {
        let place = Place::new(SONGS);
        place.append("data/incoming/a.csv", &long_log());
        once(&place);
        assert_eq!(rows(&place), 600);
        place.append("data/incoming/a.csv", &play(8, 1, 8));
        place.append("data/incoming/a.csv", play(9, 1, 9).trim_end());
        roll(&place, "a.csv", packed);
        fs::remove_file(incoming(&place, "a.csv")).unwrap();
        once(&place);
        assert_eq!(rows(&place), 602, "{packed}");
        place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{}", play(5, 1, 5)));
        once(&place);
        assert_eq!(rows(&place), 603, "{packed}");
        place.done(&["verify"]);
    }
}

#[test]
fn the_rows_of_a_compressed_file_wait_until_the_plain_file_is_gone() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    place.append("data/incoming/a.csv", &format!("{LOG_HEADER}{}", play(1, 1, 1)));
    place.wait_for_rows(1);
    // The compressed file has a row that was not read, as if it came just before.
    let text = format!("{LOG_HEADER}{}{}", play(1, 1, 1), play(2, 1, 2));
    fs::write(incoming(&place, "a-1.csv.gz"), pack("gz", text.as_bytes())).unwrap();
    // Other files are read in the meantime.
    place.write("data/incoming/b.csv", &format!("{LOG_HEADER}{}", play(3, 1, 3)));
    place.wait_for_rows(2);
    place.append("data/incoming/b.csv", &play(4, 1, 4));
    place.wait_for_rows(3);
    fs::write(incoming(&place, "a.csv"), "").unwrap();
    place.wait_for_rows(4);
    assert!(daemon.stop().status.success());
    place.done(&["verify"]);
}

#[test]
fn a_plain_file_that_grows_after_it_was_compressed_counts_once() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    place.append("data/incoming/a.csv", &format!("{LOG_HEADER}{}", play(1, 1, 1)));
    place.wait_for_rows(1);
    roll(&place, "a.csv", "a-1.csv.zst");
    // The compressed file is found before the plain file grows, because every change is reported in order.
    place.write("data/incoming/b.csv", &format!("{LOG_HEADER}{}", play(3, 1, 3)));
    place.wait_for_rows(2);
    place.append("data/incoming/a.csv", &play(2, 1, 2));
    place.wait_for_rows(3);
    fs::remove_file(incoming(&place, "a.csv")).unwrap();
    // The decision needs a scan. One more row shows that a scan has happened.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    place.append("data/incoming/b.csv", &play(4, 1, 4));
    place.wait_for_rows(4);
    assert!(daemon.stop().status.success());
    once(&place);
    assert_eq!(rows(&place), 4);
}

#[test]
fn copytruncate_with_compression_counts_once() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    let log = |from: u32, to: u32| (from..to).map(|n| play(n, 1, n)).collect::<String>();
    place.append("data/incoming/a.csv", &format!("{LOG_HEADER}{}", log(1, 6)));
    place.wait_for_rows(5);
    // The new log is shorter each time, so that the truncation can be seen.
    for (from, to) in [(6, 9), (9, 11), (11, 12)] {
        fs::copy(incoming(&place, "a.csv"), incoming(&place, "a.csv.1")).unwrap();
        fs::write(incoming(&place, "a.csv"), format!("{LOG_HEADER}{}", log(from, to))).unwrap();
        roll(&place, "a.csv.1", &format!("a-{from}.csv.gz"));
        fs::remove_file(incoming(&place, "a.csv.1")).unwrap();
        place.wait_for_rows(u64::from(to - 1));
    }
    place.append("data/incoming/a.csv", &play(12, 1, 12));
    place.wait_for_rows(12);
    assert!(daemon.stop().status.success());
    once(&place);
    assert_eq!(rows(&place), 12);
}

#[test]
fn a_copy_of_a_log_that_stays_counts_again_with_a_warning() {
    let place = Place::new(SONGS);
    place.append("data/incoming/a.csv", &long_log());
    once(&place);
    roll(&place, "a.csv", "copy.csv.gz");
    let messages = once(&place);
    assert_eq!(rows(&place), 1200);
    assert!(messages.contains("copy.csv.gz: has the same content as"), "{messages}");
    place.done(&["verify"]);
}

#[test]
fn other_compressed_files_are_new_inputs() {
    let text = long_log();
    // One digit in the middle differs.
    let mut other = text.clone().into_bytes();
    let middle = text.len() / 2 + text[text.len() / 2..].find(":0").unwrap() + 1;
    other[middle] = b'1';
    let shorter = &text.as_bytes()[..text.len() - play(1, 1, 1).len()];
    for (name, packed, more) in [
        ("changed.csv.bz2", other.as_slice(), 600),
        ("shorter.csv.gz", &shorter[..=shorter.iter().rposition(|&byte| byte == b'\n').unwrap()], 599),
    ] {
        let place = Place::new(SONGS);
        place.append("data/incoming/a.csv", &text);
        once(&place);
        fs::write(incoming(&place, name), pack(name, packed)).unwrap();
        fs::remove_file(incoming(&place, "a.csv")).unwrap();
        once(&place);
        assert_eq!(rows(&place), 600 + more, "{name}");
    }
}

#[test]
fn a_log_without_rows_is_never_rolled() {
    let place = Place::new(SONGS);
    place.append("data/incoming/a.csv", LOG_HEADER);
    once(&place);
    place.append("data/incoming/a.csv", &play(1, 1, 1));
    roll(&place, "a.csv", "a-1.csv.gz");
    // The plain file stays, and both files count.
    once(&place);
    assert_eq!(rows(&place), 2);
}

#[test]
fn the_longest_input_wins_and_each_is_matched_once() {
    let place = Place::new(SONGS);
    let rows_of = |range: std::ops::Range<u32>| range.map(|n| play(n, 1, n)).collect::<String>();
    for (name, end) in [("a.csv", 2), ("b.csv", 3), ("c.csv", 3)] {
        place.append(&format!("data/incoming/{name}"), &format!("{LOG_HEADER}{}", rows_of(0..end)));
    }
    once(&place);
    assert_eq!(rows(&place), 8);
    for name in ["a.csv", "b.csv", "c.csv"] {
        fs::remove_file(incoming(&place, name)).unwrap();
    }
    let text = format!("{LOG_HEADER}{}", rows_of(0..4));
    for (file, total) in [("1.csv.gz", 9), ("2.csv.zst", 10), ("3.csv.bz2", 12), ("4.csv.xz", 16)] {
        fs::write(incoming(&place, file), pack(file, text.as_bytes())).unwrap();
        once(&place);
        // First the two inputs of three rows, then that of two, and then none is left.
        assert_eq!(rows(&place), total, "{file}");
    }
    place.done(&["verify"]);
}

#[test]
fn an_unfinished_compressed_file_waits() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    place.append("data/incoming/a.csv", &long_log());
    place.wait_for_rows(600);
    let packed = pack("bz2", &[long_log().as_bytes(), play(9, 1, 9).as_bytes()].concat());
    fs::write(incoming(&place, "a-1.csv.bz2"), &packed[..packed.len() / 2]).unwrap();
    fs::remove_file(incoming(&place, "a.csv")).unwrap();
    place.write("data/incoming/b.csv", &format!("{LOG_HEADER}{}", play(3, 1, 3)));
    place.wait_for_rows(601);
    fs::write(incoming(&place, "a-1.csv.bz2"), &packed).unwrap();
    place.wait_for_rows(602);
    assert!(daemon.stop().status.success());
    place.done(&["verify"]);
}
