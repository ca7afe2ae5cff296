//! Parquet: the program reads Parquet files of other programs, and other programs read its Parquet files.
//!
//! Some tests need Python with duckdb, pandas and pyarrow. They run `python3`, or the program in the variable
//! `PYTHON`. Without the packages, these tests print a message and pass.

#![cfg(feature = "parquet")]

use std::fs;
use std::io::Read;
use std::process::Command;

use crate::daemon::{CATALOG_HEADER, LOG_HEADER, Place, play, stderr};
use music_insights::ingest::parquet::csv_of;
use music_insights::insights::NAMES;

const SONGS: &str = "s1,One,A,Rock,Sad\ns2,\"Two, \"\"too\"\"\",B,Pop,Happy\ns3,,é,=Folk,happy\n";

fn log() -> String {
    let rows: String = (0..400).map(|minute| play(minute % 7, minute % 5, minute * 3)).collect();
    format!(
        "{LOG_HEADER}{rows}\"u,\"\"9\",s3,2025-03-21T12:00:00.25+01:00,0.5\n-sad,s1,2025-03-21 12:00:00,7\n"
    )
}

fn place() -> Place {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &log());
    place
}

/// The Python program. `None` if it does not have the packages.
fn python() -> Option<Command> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python).args(["-c", "import duckdb, pandas, pyarrow"]).output();
    if !found.is_ok_and(|found| found.status.success()) {
        println!("skipped: {python} lacks duckdb, pandas or pyarrow");
        return None;
    }
    Some(Command::new(python))
}

fn run_python(place: &Place, script: &str) -> bool {
    let Some(mut python) = python() else { return false };
    let output = python.current_dir(place.root()).args(["-c", script]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    true
}

fn published(place: &Place) -> Vec<(String, String)> {
    let csv = |name: &str| fs::read_to_string(place.path(&format!("output/{name}/part-00000.csv"))).unwrap();
    NAMES.iter().map(|name| ((*name).to_owned(), csv(name))).collect()
}

fn rows_of(place: &Place, name: &str, part: u32) -> usize {
    let path = place.path(&format!("output/parquet/{name}/part-{part:05}.parquet"));
    let mut text = String::new();
    csv_of(fs::File::open(path).unwrap(), Vec::new()).unwrap().read_to_string(&mut text).unwrap();
    text.lines().count() - 1
}

#[test]
fn parquet_files_are_written_on_request_and_otherwise_removed() {
    let place = place();
    place.done(&["replay", "--format", "csv,parquet", "--set", "insights.enriched_logs.roll_bytes=5000"]);
    let manifest = place.manifest("output").unwrap();
    for name in NAMES {
        let entry = &manifest["insights"][name];
        let parts = entry["parquet"].as_array().unwrap();
        assert_eq!(parts.len(), entry["parts"].as_array().unwrap().len(), "{name}");
        for (part, number) in parts.iter().zip(0..) {
            assert_eq!(rows_of(&place, name, number), part["rows"].as_u64().unwrap() as usize, "{name}");
        }
    }
    assert!(manifest["insights"]["enriched_logs"]["parquet"].as_array().unwrap().len() > 2);
    place.done(&["verify"]);
    let damaged = place.path("output/parquet/night_owl_users/part-00000.parquet");
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[9] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    assert_eq!(place.run(&["verify"]).status.code(), Some(65));
    place.done(&["replay"]);
    assert!(place.manifest("output").unwrap()["insights"]["night_owl_users"].get("parquet").is_none());
    for name in NAMES {
        assert!(!place.path(&format!("output/parquet/{name}")).exists(), "{name}");
    }
    let output = place.run(&["replay", "--format", "parquet"]);
    assert_eq!(output.status.code(), Some(78), "{}", stderr(&output));
}

#[test]
fn watch_publishes_parquet_together_with_csv() {
    let place = place();
    let roll = "insights.enriched_logs.roll_bytes=3000";
    let watch = |more: &[&str]| {
        place.done(&[&["watch", "--once", "--http", "off", "--set", roll], more].concat());
    };
    watch(&[]);
    assert!(!place.path("output/parquet").join("night_owl_users").join("part-00000.parquet").exists());
    // `watch` publishes a newly enabled format even without new rows.
    let parquet = ["--format", "csv,parquet"];
    let in_step = || {
        let manifest = place.manifest("output").unwrap();
        let none = serde_json::json!([]);
        for name in NAMES {
            let entry = &manifest["insights"][name];
            let csv = entry["parts"].as_array().unwrap();
            let full = if name == "enriched_logs" { csv.len() - 1 } else { 1 };
            let parts = entry.get("parquet").unwrap_or(&none).as_array().unwrap();
            assert_eq!(parts.len(), full, "{name}");
            for (number, (part, csv)) in parts.iter().zip(csv).enumerate() {
                assert_eq!(part["rows"], csv["rows"], "{name}");
                assert_eq!(rows_of(&place, name, number as u32), csv["rows"].as_u64().unwrap() as usize);
            }
            let folder = fs::read_dir(place.path(&format!("output/parquet/{name}")));
            assert_eq!(folder.map_or(0, Iterator::count), full, "{name}");
        }
        manifest
    };
    watch(&parquet);
    let before = in_step();
    assert!(before["insights"]["enriched_logs"]["parquet"].as_array().unwrap().len() > 2);
    // A missing file is published again, in a new epoch. All other files stay byte for byte the same.
    fs::remove_file(place.path("output/parquet/enriched_logs/part-00001.parquet")).unwrap();
    fs::remove_file(place.path("output/parquet/top_songs_this_week/part-00000.parquet")).unwrap();
    watch(&parquet);
    let again = in_step();
    assert_eq!(again["epoch"].as_u64(), before["epoch"].as_u64().map(|epoch| epoch + 1));
    assert_eq!(again["insights"], before["insights"]);
    let more: String = (0..200).map(|minute| play(3, 1, minute)).collect();
    place.append("data/incoming/a.csv", &more);
    watch(&parquet);
    let after = in_step();
    assert!(
        after["insights"]["enriched_logs"]["parquet"].as_array().unwrap().len()
            > before["insights"]["enriched_logs"]["parquet"].as_array().unwrap().len()
    );
    place.done(&["verify", "--set", roll]);
    // A fresh start with larger parts removes all smaller parts.
    place.done(&["watch", "--once", "--fresh", "--http", "off", "--format", "csv,parquet"]);
    in_step();
    watch(&[]);
    assert!(!place.path("output/parquet/night_owl_users/part-00000.parquet").exists());
}

/// A Python script. It reads every table with DuckDB and pandas, and compares the Parquet files with the CSV
/// files.
const THEY_READ: &str = r#"
import duckdb, pandas as pd, os
for name in sorted(os.listdir('output/parquet')):
    csv, parquet = f'output/{name}/part-*.csv', f'output/parquet/{name}/*.parquet'
    if open(f'output/{name}/part-00000.csv').readline() == 'message\n':
        assert duckdb.sql(f"from '{parquet}'").fetchall() == []
        continue
    kinds = {c: t for c, t, *_ in duckdb.sql(f"describe from '{parquet}'").fetchall()}
    for column, kind in kinds.items():
        expected = {'timestamp': 'TIMESTAMP WITH TIME ZONE', 'duration_sec': 'DOUBLE', 'avg_duration': 'DOUBLE',
                    'loyalty_score': 'DOUBLE', 'plays': 'BIGINT', 'play_count': 'BIGINT', 'sad_count': 'BIGINT',
                    'genre_plays': 'BIGINT', 'total_plays': 'BIGINT'}.get(column, 'VARCHAR')
        assert kind == expected, (name, column, kind)
    ours = duckdb.sql(f"select columns(*)::varchar from (from '{parquet}')").fetchall()
    types = str(kinds).replace('"', '')
    duckdb.sql(f"create or replace table csv as from read_csv('{csv}', columns = {types}, header = true, nullstr = 'NULL')")
    theirs = duckdb.sql("select columns(*)::varchar from csv").fetchall()
    assert ours == theirs and len(ours) > 0, (name, ours[:3], theirs[:3])
    frame = pd.read_parquet(f'output/parquet/{name}')
    text = pd.concat([pd.read_csv(f'output/{name}/{f}', keep_default_na=False) for f in sorted(os.listdir(f'output/{name}'))], ignore_index=True)
    assert list(frame.columns) == list(text.columns)
    if 'timestamp' in text:
        text['timestamp'] = pd.to_datetime(text['timestamp'], utc=True, format='ISO8601')
        assert str(frame['timestamp'].dtype) == 'datetime64[us, UTC]', frame['timestamp'].dtype
    for column in frame:
        assert list(frame[column]) == list(text[column]), (name, column)
"#;

#[test]
fn other_programs_read_the_same_rows_from_parquet_and_csv() {
    for catalog in [SONGS, ""] {
        let place = place();
        place.write("data/songs_metadata.csv", &format!("{CATALOG_HEADER}{catalog}"));
        place.done(&[
            "replay",
            "--format",
            "csv,parquet",
            "--set",
            "insights.enriched_logs.roll_bytes=9000",
            "--set",
            "insights.genre_loyalty_scores.threshold=0.3",
        ]);
        let script = if catalog.is_empty() {
            "import duckdb\nassert duckdb.sql(\"from 'output/parquet/genre_loyalty_scores/*.parquet'\").fetchall() == []"
        } else {
            THEY_READ
        };
        if !run_python(&place, script) {
            return;
        }
    }
}

/// A Python script. It writes the same log and catalog as Parquet in all supported types, with both DuckDB
/// and pyarrow.
const THEY_WRITE: &str = r#"
import duckdb, pandas as pd, os, pyarrow as pa, pyarrow.parquet as pq
log = pd.read_csv('data/incoming/a.csv', dtype=str, keep_default_na=False)
songs = pd.read_csv('data/songs_metadata.csv', dtype=str, keep_default_na=False)
for folder in ['text', 'typed', 'decimals', 'duck']:
    os.mkdir(folder)
log.to_parquet('text/a.parquet', row_group_size=100, compression='zstd')
songs.to_parquet('songs_text.parquet', compression=None)
typed = log.assign(timestamp=pd.to_datetime(log.timestamp, utc=True, format='ISO8601'), duration_sec=log.duration_sec.astype(float), other=1)
typed[['other', 'duration_sec', 'timestamp', 'song_id', 'user_id']].to_parquet('typed/a.parquet', row_group_size=64, compression='snappy')
duckdb.sql("set timezone = 'UTC'")
duckdb.sql("create table t as select user_id, song_id, timestamp, duration_sec from typed")
duckdb.sql("copy (select user_id, song_id, timestamp::timestamp_ms as timestamp, duration_sec::decimal(18,6) as duration_sec from t) to 'decimals/a.parquet' (row_group_size 2048)")
duckdb.sql("copy (select user_id, song_id, timestamp::timestamp_ns as timestamp, duration_sec::float as duration_sec from t) to 'duck/a.parquet' (compression zstd, parquet_version v2)")
duckdb.sql("copy (from songs) to 'songs_duck.parquet'")
"#;

#[test]
fn parquet_of_other_programs_is_read_like_csv() {
    let place = place();
    place.done(&["replay"]);
    let expected = published(&place);
    if !run_python(&place, THEY_WRITE) {
        return;
    }
    for folder in ["text", "typed", "decimals", "duck"] {
        for songs in ["data/songs_metadata.csv", "songs_text.parquet", "songs_duck.parquet"] {
            place.done(&["replay", folder, "--songs", songs]);
            assert_eq!(published(&place), expected, "{folder} {songs}");
            place.done(&[
                "replay",
                folder,
                "--songs",
                songs,
                "--delimiter",
                if songs.ends_with("csv") { "," } else { ";" },
            ]);
            assert_eq!(published(&place), expected, "{folder} {songs}");
        }
    }
    // `watch` reads each dropped Parquet file once.
    for once in 0..2 {
        fs::create_dir_all(place.path("drops")).unwrap();
        fs::copy(place.path("typed/a.parquet"), place.path("drops/.a")).unwrap();
        if once == 0 {
            fs::rename(place.path("drops/.a"), place.path("drops/a.parquet")).unwrap();
        }
        place.done(&[
            "watch",
            "--once",
            "--http",
            "off",
            "--incoming",
            "drops",
            "--output",
            "watched",
            "--state",
            "state",
        ]);
        let manifest = place.manifest("watched").unwrap();
        assert_eq!(manifest["totals"]["rows"], 402);
        assert_eq!(place.read("watched/enriched_logs/part-00000.csv"), expected.last().unwrap().1);
    }
    place.done(&["verify", "--incoming", "drops", "--output", "watched", "--state", "state"]);
}

#[test]
fn a_damaged_file_does_not_end_a_run() {
    let place = place();
    place.done(&["replay", "--format", "csv,parquet"]);
    let whole = fs::read(place.path("output/parquet/enriched_logs/part-00000.parquet")).unwrap();
    let mut dice = 88_172_645_463_325_252_u64;
    let mut corrupt = 0;
    for round in 0..60 {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        let mut bytes = whole.clone();
        let at = dice as usize % bytes.len();
        if round % 3 == 0 {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << (dice >> 60 & 7);
        }
        fs::write(place.path("a.parquet"), bytes).unwrap();
        // The run needs an accepted row, and the damaged file may have none.
        place.done(&["replay", "a.parquet", "data/incoming", "--output", "again"]);
        let rejects = place.read("again/_rejects/part-00000.csv");
        corrupt += usize::from(rejects.contains(",parquet_corrupt,"));
    }
    assert!(corrupt > 20, "only {corrupt} of 60 files were rejected as damaged");
}
