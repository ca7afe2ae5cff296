//! Logs from stdin: the same rows as from a file, and no output if the stream is damaged.

use std::fs;
use std::io::Write;
use std::process::Output;

use crate::daemon::{LOG_HEADER, Place, SONGS, stderr, stdout};

const ROWS: &str = "u1,s1,2025-03-21 01:09:00,150\nbad\nu2,\"s2\",2025-03-21 12:00:00,7.5\n";
const MORE: &str = "u3,s2,2025-03-22 01:09:00,10\n";

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn run(place: &Place, args: &[&str], stdin: &[u8]) -> Output {
    fs::write(place.path("stdin"), stdin).unwrap();
    place.command(args).stdin(fs::File::open(place.path("stdin")).unwrap()).output().unwrap()
}

/// The published files, except the manifest, which contains the time.
fn published(place: &Place) -> Vec<(String, String)> {
    place.files("output").into_iter().filter(|(name, _)| name != "_manifest.json").collect()
}

#[test]
fn stdin_is_read_like_a_file_plain_and_compressed() {
    let place = Place::new(SONGS);
    let log = format!("{LOG_HEADER}{ROWS}");
    place.write("a.csv", &log);
    place.write("more.csv", &format!("{LOG_HEADER}{MORE}"));
    for others in [&[][..], &["more.csv"]] {
        place.done(&[&["replay", "a.csv"], others].concat());
        let expected: Vec<_> = published(&place)
            .into_iter()
            .map(|(name, text)| (name, text.replace("a.csv,3,", "-,3,")))
            .collect();
        assert!(expected.iter().any(|(_, text)| text.contains("\n-,3,69,field_count,bad\n")), "{expected:?}");
        for stored in [log.clone().into_bytes(), gzip(&log), zstd::encode_all(log.as_bytes(), 3).unwrap()] {
            // Stdin that is named twice is read once.
            let said = run(&place, &[&["replay", "-", "-"], others].concat(), &stored);
            assert!(said.status.success(), "{}", stderr(&said));
            assert_eq!(published(&place), expected);
            let said = run(&place, &[&["check", "-"], others].concat(), &stored);
            assert!(stdout(&said).contains("-:3: field_count: bad"), "{}{}", stdout(&said), stderr(&said));
        }
    }
}

#[test]
fn a_damaged_stream_publishes_nothing() {
    let place = Place::new(SONGS);
    let whole = gzip(&format!("{LOG_HEADER}{}", MORE.repeat(1000)));
    let said = run(&place, &["replay", "-"], &whole[..whole.len() - 5]);
    assert_eq!(said.status.code(), Some(65));
    assert!(stderr(&said).contains("stdin cannot be read to its end"), "{}", stderr(&said));
    assert!(place.manifest("output").is_none());
    assert!(fs::read_dir(place.path("output")).unwrap().all(|entry| {
        let path = entry.unwrap().path();
        !path.is_dir()
            || fs::read_dir(path).unwrap().all(|file| file.unwrap().file_name().as_encoded_bytes()[0] == b'.')
    }));
}

#[test]
fn a_file_named_dash_is_read_by_its_path_and_verify_refuses_stdin() {
    let place = Place::new(SONGS);
    place.write("-", &format!("{LOG_HEADER}{ROWS}"));
    for named in ["./-", "[-]"] {
        let said = run(&place, &["replay", named], b"");
        assert!(said.status.success(), "{}", stderr(&said));
        assert!(place.read("output/_rejects/part-00000.csv").contains("\n./-,3,"), "{named}");
    }
    let said = run(&place, &["verify", "-"], b"");
    assert_eq!(said.status.code(), Some(64));
    assert!(stderr(&said).contains("cannot read stdin"), "{}", stderr(&said));
    place.done(&["verify", "./-"]);
}
