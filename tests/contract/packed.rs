//! Compressed logs are read once. No row of a damaged file counts, wherever the damage is, and all other files count
//! as if the damaged files were not there.

use std::fs;
use std::io::Write;

use music_insights::ingest::source::tail::MAX_HELD;
use music_insights::settings::Settings;

use crate::daemon::{LOG_HEADER, Place, SONGS, stderr, stdout};
use crate::engine;
use crate::oracle::assert_equals_replay;

/// Rows per file. A file has more text than a chunk, so its first rows are sent before the end of the file is read.
const ROWS: usize = 20_000;

/// A file of a test: its name, its bytes, and its rows. A damaged file has no rows, but a reason.
struct LogFile {
    name: &'static str,
    bytes: Vec<u8>,
    rows: std::ops::Range<usize>,
    reason: Option<&'static str>,
}

fn row(number: usize) -> String {
    let (user, minute, second) = (number * 7919 % 1000, number / 60 % 60, number % 60);
    format!("user-{user},s{},2025-03-21 12:{minute:02}:{second:02},{}\n", 1 + number % 2, 1 + number % 300)
}

/// The row of `enriched_logs`, from the specification.
fn enriched(number: usize) -> String {
    let row = row(number);
    let cells: Vec<&str> = row.trim_end().split(',').collect();
    let song = ["One,A,Rock,Sad", "Two,B,Pop,Happy"][number % 2];
    format!("{},{},{}Z,{},{song}", cells[1], cells[0], cells[2].replace(' ', "T"), cells[3])
}

fn log(rows: std::ops::Range<usize>) -> Vec<u8> {
    let rows: String = rows.map(row).collect();
    [LOG_HEADER, &rows].concat().into_bytes()
}

fn pack(extension: &str, bytes: &[u8]) -> Vec<u8> {
    match extension {
        "gz" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "bz2" => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "zst" => {
            let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        _ => bytes.to_vec(),
    }
}

/// The ways in which a file is damaged.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Truncated,
    FlippedBit,
    WrongChecksum,
    Trailing,
}

impl Damage {
    const ALL: [Self; 4] = [Self::Truncated, Self::FlippedBit, Self::WrongChecksum, Self::Trailing];

    fn of(self, extension: &str, text: &[u8]) -> Vec<u8> {
        let mut bytes = pack(extension, text);
        match self {
            Self::Truncated => bytes.truncate(bytes.len() - 20),
            Self::FlippedBit => {
                let middle = bytes.len() * 3 / 4;
                bytes[middle] ^= 0x10;
            }
            Self::WrongChecksum => {
                // The checksum of gzip comes before the length of the text, that of zstd is last.
                let at = bytes.len() - if extension == "gz" { 8 } else { 4 };
                bytes[at] ^= 1;
            }
            Self::Trailing => bytes.extend_from_slice(b"trailing"),
        }
        bytes
    }
}

/// Good files, and two damaged ones between them. An additional column makes the program warn.
fn files(damage: Damage) -> Vec<LogFile> {
    let good = |name: &'static str, rows: std::ops::Range<usize>| {
        let extension = name.rsplit('.').next().unwrap();
        LogFile { name, bytes: pack(extension, &log(rows.clone())), rows, reason: None }
    };
    let damaged = |name: &'static str, reason| {
        let extension = name.rsplit('.').next().unwrap();
        let text = log(0..3 * ROWS);
        LogFile { name, bytes: damage.of(extension, &text), rows: 0..0, reason: Some(reason) }
    };
    let wide = |name: &'static str, bytes: Vec<u8>, rows, reason| LogFile { name, bytes, rows, reason };
    let more_columns = |rows: std::ops::Range<usize>| {
        let text = String::from_utf8(log(rows)).unwrap();
        text.replace('\n', ",more\n")
    };
    vec![
        good("a.csv.gz", 0..ROWS),
        good("b.csv", ROWS..ROWS + 10),
        wide("c.csv.zst", pack("zst", more_columns(10..20).as_bytes()), 10..20, None),
        damaged("d.csv.gz", "gz_corrupt"),
        good("e.csv.zst", 5..ROWS + 5),
        wide("f.csv.zst", damage.of("zst", more_columns(0..3 * ROWS).as_bytes()), 0..0, Some("zst_corrupt")),
        good("g.csv.bz2", 1..5),
    ]
}

fn place_of(files: &[LogFile]) -> Place {
    let place = Place::new(SONGS);
    for LogFile { name, bytes, .. } in files {
        fs::write(place.path("data/incoming").join(name), bytes).unwrap();
    }
    place
}

fn expected_enriched(files: &[LogFile]) -> Vec<String> {
    files.iter().flat_map(|file| file.rows.clone().map(enriched)).collect()
}

fn lines(place: &Place, file: &str) -> Vec<String> {
    place.read(file).lines().skip(1).map(ToOwned::to_owned).collect()
}

/// The lines of `_rejects` for damaged files in a folder.
fn expected_rejects(files: &[LogFile], folder: &str) -> Vec<String> {
    let damaged = files.iter().filter_map(|file| Some((file.name, file.reason?)));
    damaged.map(|(name, reason)| format!("{folder}{name},1,0,{reason},")).collect()
}

fn temporary_files(place: &Place) -> Vec<String> {
    let files = place.files("output").into_keys();
    files.filter(|name| name.rsplit('/').next().is_some_and(|name| name.starts_with('.'))).collect()
}

#[test]
fn a_replay_counts_only_the_rows_of_sound_files() {
    for damage in Damage::ALL {
        let files = files(damage);
        let place = place_of(&files);
        let output = place.done(&["replay", "--set", "insights.enriched_logs.roll_bytes=500000"]);
        let parts = place.files("output/enriched_logs").into_values();
        let enriched: Vec<String> =
            parts.flat_map(|part| part.lines().skip(1).map(ToOwned::to_owned).collect::<Vec<_>>()).collect();
        assert!(enriched == expected_enriched(&files), "{damage:?}: {} rows", enriched.len());
        assert_eq!(
            lines(&place, "output/_rejects/part-00000.csv"),
            expected_rejects(&files, "data/incoming/"),
            "{damage:?}"
        );
        assert_eq!(temporary_files(&place), Vec::<String>::new(), "{damage:?}");
        // Every warning comes once, and none is about the rows of a damaged file.
        let warnings = stderr(&output);
        let warned: Vec<&str> = warnings.lines().filter(|line| line.contains("data/incoming/")).collect();
        assert_eq!(warned.len(), 3, "{damage:?}: {warnings}");
        assert!(warned[0].contains("c.csv.zst: unknown columns are ignored"), "{warnings}");
        assert!(warned[1].contains("d.csv.gz: the file is truncated or damaged"), "{warnings}");
        assert!(warned[2].contains("f.csv.zst: the file is truncated or damaged"), "{warnings}");
        place.done(&["verify"]);

        // The other tables and the totals are those of the sound files alone.
        let named = |file: &LogFile| format!("data/incoming/{}", file.name);
        let sound: Vec<String> = files.iter().filter(|file| file.reason.is_none()).map(named).collect();
        let sound: Vec<&str> = sound.iter().map(String::as_str).collect();
        place.done(&[&["replay", "--output", "sound"], &*sound].concat());
        for (name, text) in place.files("sound") {
            if !["_manifest.json", "enriched_logs", "_rejects"].iter().any(|other| name.starts_with(other)) {
                assert_eq!(place.read(&format!("output/{name}")), text, "{damage:?}: {name}");
            }
        }
        let (all, sound) = (place.manifest("output").unwrap(), place.manifest("sound").unwrap());
        assert_eq!(all["totals"]["bytes"], sound["totals"]["bytes"]);
        assert_eq!(all["totals"]["rows"], sound["totals"]["rows"].as_u64().unwrap() + 2);
        assert_eq!(all["totals"]["inputs"], files.len());
        assert_eq!(all["unfinished"], sound["unfinished"]);

        let checked = stdout(&place.done(&["check"]));
        assert_eq!(expected_enriched(&files).len(), 40_024);
        assert!(checked.contains("7 files, 40,026 rows, 0 plays unmatched"), "{checked}");
    }
}

#[test]
fn a_strict_replay_publishes_nothing_if_a_file_is_damaged() {
    let place = place_of(&files(Damage::WrongChecksum));
    let output = place.run(&["replay", "--strict"]);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    assert!(stderr(&output).contains("2 rows rejected"), "{}", stderr(&output));
    assert!(place.manifest("output").is_none());
    assert_eq!(temporary_files(&place), Vec::<String>::new());
}

#[test]
fn only_damaged_files_are_a_run_without_accepted_rows() {
    let files = vec![LogFile {
        name: "a.csv.gz",
        bytes: Damage::WrongChecksum.of("gz", &log(0..ROWS)),
        rows: 0..0,
        reason: Some("gz_corrupt"),
    }];
    let place = place_of(&files);
    let output = place.run(&["replay"]);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    assert!(stderr(&output).contains("no row was accepted"), "{}", stderr(&output));
}

#[test]
fn a_damaged_file_with_a_bad_header_is_damaged() {
    let text = String::from_utf8(log(0..ROWS)).unwrap().replacen("song_id", "title", 1);
    for (bytes, reason) in [
        (pack("gz", text.as_bytes()), "missing_column"),
        (Damage::WrongChecksum.of("gz", text.as_bytes()), "gz_corrupt"),
    ] {
        let mut files = files(Damage::Truncated);
        files[3] = LogFile { name: "d.csv.gz", bytes, rows: 0..0, reason: Some(reason) };
        let place = place_of(&files);
        place.done(&["replay"]);
        let rejects = lines(&place, "output/_rejects/part-00000.csv");
        assert!(rejects[0].contains(reason), "{rejects:?}");
        assert_eq!(rejects.len(), 2);
    }
}

#[test]
fn pipes_are_read_once_so_other_files_are_checked_first() {
    let files = files(Damage::WrongChecksum);
    let place = place_of(&files);
    fs::write(place.path("stdin"), log(0..3)).unwrap();
    let stdin = fs::File::open(place.path("stdin")).unwrap();
    let output = place.command(&["replay", "-", "data/incoming"]).stdin(stdin).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let expected = [(0..3).map(enriched).collect(), expected_enriched(&files)].concat();
    assert!(lines(&place, "output/enriched_logs/part-00000.csv") == expected);
}

#[test]
fn a_watch_counts_only_the_rows_of_sound_files() {
    for damage in Damage::ALL {
        let files = files(damage);
        let place = place_of(&files);
        let output = place.done(&["watch", "--once"]);
        let sorted = |mut rows: Vec<String>| {
            rows.sort();
            rows
        };
        let enriched = sorted(lines(&place, "output/enriched_logs/part-00000.csv"));
        assert!(enriched == sorted(expected_enriched(&files)), "{damage:?}: {} rows", enriched.len());
        assert_eq!(
            sorted(lines(&place, "output/_rejects/part-00000.csv")),
            expected_rejects(&files, ""),
            "{damage:?}"
        );
        let warnings = stderr(&output);
        assert_eq!(warnings.matches("unknown columns").count(), 1, "{damage:?}: {warnings}");
        assert_equals_replay(&place);
        place.done(&["verify"]);
    }
}

#[test]
fn a_watch_checks_a_large_file_before_it_sends_a_row() {
    let files = files(Damage::WrongChecksum);
    let place = place_of(&files);
    let mut outputs = Vec::new();
    for (number, max_held) in [MAX_HELD, 300_000, 0].into_iter().enumerate() {
        let settings = Settings {
            incoming: place.path("data/incoming"),
            songs: place.path("data/songs_metadata.csv"),
            output: place.path(&format!("output-{number}")),
            state: place.path(&format!("state-{number}")),
            ..Settings::default()
        };
        engine::watch_once(&settings, max_held);
        let tables = place.files(&format!("output-{number}")).into_iter();
        outputs.push(tables.filter(|(name, _)| name != "_manifest.json").collect::<Vec<_>>());
    }
    let enriched = &outputs[0].iter().find(|(name, _)| name.starts_with("enriched_logs")).unwrap().1;
    assert_eq!(enriched.lines().count(), 1 + expected_enriched(&files).len());
    assert_eq!(outputs[1], outputs[0]);
    assert_eq!(outputs[2], outputs[0]);
}
