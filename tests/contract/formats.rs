//! Logs with other timestamps, durations and formats give the same output as plain CSV.

use std::fs;

use crate::daemon::{LOG_HEADER, Place, stderr};

const SONGS: &str = "s1,One,A,Rock,Sad\ns2,Two,B,Pop,Happy\n";
const ROWS: &str = "ann,s1,2025-03-21 01:09:00,150\n\"b,o\",s2,2025-07-21 12:00:00.25,7.5\nann,s2,2025-03-22 23:09:59,10.001\n";

/// The tables, without rejects and manifest.
fn published(place: &Place) -> Vec<(String, String)> {
    place.files("output").into_iter().filter(|(name, _)| !name.starts_with('_')).collect()
}

fn expected() -> Vec<(String, String)> {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{ROWS}"));
    place.done(&["replay", "--timezone", "Europe/Berlin"]);
    published(&place)
}

/// Runs `replay` on a log with settings, and `verify` after `watch`.
fn assert_same(expected: &[(String, String)], name: &str, log: &[u8], settings: &[&str]) {
    let place = Place::new(SONGS);
    let incoming = place.path("data/incoming");
    fs::create_dir_all(&incoming).unwrap();
    fs::write(incoming.join(name), log).unwrap();
    let mut flags = vec!["--timezone", "Europe/Berlin"];
    flags.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    place.done(&[&["replay"], flags.as_slice()].concat());
    assert_eq!(published(&place), expected, "{name} {settings:?}");
    let manifest = place.manifest("output").unwrap();
    assert!(manifest["unfinished"].as_array().unwrap().is_empty(), "{name} {settings:?}: {manifest}");
    fs::remove_dir_all(place.path("output")).unwrap();
    place.done(&[&["watch", "--once", "--http", "off"], flags.as_slice()].concat());
    assert_eq!(published(&place), expected, "watch: {name} {settings:?}");
    place.done(&[&["verify"], flags.as_slice()].concat());
}

#[test]
fn a_log_in_utf16_is_read_to_its_end() {
    let text = format!("\u{feff}{LOG_HEADER}{ROWS}");
    for bytes_of in [u16::to_le_bytes, u16::to_be_bytes] {
        let log: Vec<u8> = text.encode_utf16().flat_map(bytes_of).collect();
        assert_same(&expected(), "a.csv", &log, &[]);
    }
}

#[test]
fn timestamps_and_durations_are_read_in_the_declared_form() {
    let expected = expected();
    for (settings, rows) in [
        (
            &["input.timestamp=unix_ms", "input.duration=ms"][..],
            "ann,s1,1742515740000,150000\n\"b,o\",s2,1753092000250,7500\nann,s2,1742681399000,10000.5\n",
        ),
        (
            &["input.timestamp=%d.%m.%y %I:%M:%S%.f %p", "input.decimal=,"],
            "ann,s1,21.3.25 1:09:00 AM,\"150,0\"\n\"b,o\",s2,21.07.25 12:00:00.25 pm,\"7,5\"\nann,s2,22.03.25 11:09:59 PM,\"10,0009999\"\n",
        ),
        (
            &["input.timestamp=%s%.f"],
            "ann,s1,1742515740,150\n\"b,o\",s2,1753092000.25,7.5\nann,s2,1742681399,10.00149\n",
        ),
        (
            &[],
            "ann,s1,2025-03-21T00:09:00.000Z,150\n\"b,o\",s2,2025-07-21 10:00:00.25 UTC,7.5\nann,s2,2025-03-22 22:09:59 +00,10.001\n",
        ),
    ] {
        assert_same(&expected, "a.csv", format!("{LOG_HEADER}{rows}").as_bytes(), settings);
    }
}

#[test]
fn json_lines_are_read_like_csv() {
    let expected = expected();
    let log = r#"{"user_id":"ann","song_id":"s1","timestamp":"2025-03-21 01:09:00","duration_sec":150}
 { "duration_sec" : "7.5", "x" : [{}], "timestamp" : "2025-07-21T12:00:00.25", "User-Id" : "b\u002co", "song_id" : "s2" }

{"user_id":"x","user_id":"ann","song_id":"s2","timestamp":"2025-03-22 23:09:59","duration_sec":10.001}"#;
    assert_same(&expected, "a.jsonl", log.as_bytes(), &[]);
    assert_same(&expected, "a.csv", log.as_bytes(), &["input.format=jsonl", "input.decimal=,"]);
    let nested = r#"{"who":{"id":"ann"},"track.id":"s1","at":1742515740,"ms":150000}
{"who":{"id":"b,o"},"track":{"id":"s2"},"at":1753092000.25,"ms":7500}
{"who":{"ID":"ann"},"track":{"id":"s2"},"at":"1742681399","ms":10001}
"#;
    let settings = [
        "input.columns.user_id=who.id",
        "input.columns.song_id=track.id",
        "input.columns.timestamp=at",
        "input.columns.duration_sec=ms",
        "input.timestamp=unix_s",
        "input.duration=ms",
    ];
    assert_same(&expected, "a.ndjson", nested.as_bytes(), &settings);
}

#[test]
fn a_pattern_that_cannot_be_used_is_refused() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{ROWS}"));
    for (pattern, cause) in [
        ("%F %T %Z", "`%Z`"),
        ("%H:%M", "full date"),
        ("%F %I:%M", "`%p`"),
        ("%F %Q", "`%Q`"),
        ("rfc", "`iso`"),
    ] {
        let output = place.run(&["check", "--set", &format!("input.timestamp={pattern}")]);
        assert_eq!(output.status.code(), Some(78), "{pattern}: {}", stderr(&output));
        assert!(stderr(&output).contains(cause), "{pattern}: {}", stderr(&output));
        assert!(stderr(&output).contains("input.timestamp"), "{}", stderr(&output));
    }
}

#[cfg(feature = "parquet")]
mod parquet {
    use std::path::Path;
    use std::sync::Arc;

    use ::parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use ::parquet::file::properties::WriterProperties;
    use ::parquet::file::writer::SerializedFileWriter;
    use ::parquet::schema::parser::parse_message_type;

    use super::*;

    /// Writes a file with an id in a group, an integer or a `TIMESTAMP` for the time, and milliseconds.
    fn write(path: &Path, time: &str, per_second: i64) {
        let schema = format!(
            "message log {{ optional int64 unused; optional group Track {{ optional binary id (UTF8); }}
             required int64 at {time}; required int64 duration_sec; required binary UserID (UTF8); }}"
        );
        let schema = Arc::new(parse_message_type(&schema).unwrap());
        let file = fs::File::create(path).unwrap();
        let properties = Arc::new(WriterProperties::builder().build());
        let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let text = |values: [&str; 3]| values.map(ByteArray::from);
        let mut texts = [["s1", "s2", "s2"], ["ann", "b,o", "ann"]].map(text).into_iter();
        let seconds = [1_742_515_740_000, 1_753_092_000_250, 1_742_681_399_000];
        let times = seconds.map(|millis: i64| millis * per_second / 1000);
        let mut numbers = [vec![], times.to_vec(), vec![150_000, 7_500, 10_001]].into_iter();
        let mut index = 0;
        while let Some(mut column) = group.next_column().unwrap() {
            match index {
                0 => {
                    column
                        .typed::<Int64Type>()
                        .write_batch(&numbers.next().unwrap(), Some(&[0; 3]), None)
                        .unwrap();
                }
                1 => {
                    column
                        .typed::<ByteArrayType>()
                        .write_batch(&texts.next().unwrap(), Some(&[2; 3]), None)
                        .unwrap();
                }
                4 => {
                    column.typed::<ByteArrayType>().write_batch(&texts.next().unwrap(), None, None).unwrap();
                }
                _ => {
                    column.typed::<Int64Type>().write_batch(&numbers.next().unwrap(), None, None).unwrap();
                }
            }
            column.close().unwrap();
            index += 1;
        }
        group.close().unwrap();
        writer.close().unwrap();
    }

    #[test]
    fn typed_columns_do_not_follow_the_dialect_and_others_do() {
        let expected = expected();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let columns = ["input.columns.song_id=track.id", "input.columns.timestamp=at", "input.duration=ms"];
        for (time, per_second, settings) in [
            ("", 1_000, &["input.timestamp=unix_ms", "input.decimal=,"][..]),
            (
                "",
                1_000_000,
                &[
                    "input.timestamp=unix_us",
                    "input.columns.user_id=#5",
                    "input.delimiter=;",
                    "catalog.delimiter=,",
                ],
            ),
            ("(TIMESTAMP_MILLIS)", 1_000, &["input.timestamp=unix_s", "input.encoding=windows-1252"]),
            ("(TIMESTAMP_MICROS)", 1_000_000, &["input.timestamp=%d.%m.%Y", "input.quoting=false"]),
        ] {
            write(&path, time, per_second);
            let settings = [&columns[..], settings].concat();
            assert_same(&expected, "a.parquet", &fs::read(&path).unwrap(), &settings);
        }
    }
}
