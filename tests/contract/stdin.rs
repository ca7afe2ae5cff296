//! Logs from stdin give the same rows as logs from files. A damaged stream gives no output.

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

/// The published files without the manifest, because the manifest contains the time.
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
            // If the arguments name stdin twice, `replay` reads it once.
            let output = run(&place, &[&["replay", "-", "-"], others].concat(), &stored);
            assert!(output.status.success(), "{}", stderr(&output));
            assert_eq!(published(&place), expected);
            let output = run(&place, &[&["check", "-"], others].concat(), &stored);
            assert!(
                stdout(&output).contains("-:3: field_count: bad"),
                "{}{}",
                stdout(&output),
                stderr(&output)
            );
        }
    }
}

#[test]
fn a_damaged_stream_publishes_nothing() {
    let place = Place::new(SONGS);
    let whole = gzip(&format!("{LOG_HEADER}{}", MORE.repeat(1000)));
    let output = run(&place, &["replay", "-"], &whole[..whole.len() - 5]);
    assert_eq!(output.status.code(), Some(65));
    assert!(stderr(&output).contains("stdin cannot be read to its end"), "{}", stderr(&output));
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
        let output = run(&place, &["replay", named], b"");
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(place.read("output/_rejects/part-00000.csv").contains("\n./-,3,"), "{named}");
    }
    let output = run(&place, &["verify", "-"], b"");
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("cannot read stdin"), "{}", stderr(&output));
    place.done(&["verify", "./-"]);
}
