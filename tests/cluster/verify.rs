//! `verify --cluster` finds each difference, and names its file and line.

use std::fs;
use std::path::Path;

use crate::processes::{TestCluster, assert_exit, run};
use crate::{NOW, arguments, assert_success, files_of_tables, write_difficult_inputs};

const SETTINGS: [&str; 6] = [
    "--set",
    "periods.month=all",
    "--set",
    "insights.enriched_logs.roll_bytes=16KiB",
    "--set",
    "format=csv,parquet",
];

/// Replaces a published file with what `change` makes of it.
fn change(path: &Path, change: impl Fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_cluster_verifies_the_output_of_a_replay() {
    let Some(cluster) = TestCluster::start(2, &[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    write_difficult_inputs(folder.path());
    let found = folder.path().join("found");
    let replay = |more: &[&str]| run(folder.path(), &arguments("found", &[&SETTINGS[..], more].concat()));
    let verify = |code: i32| {
        let flags = ["verify", "logs", "--songs", "songs.csv", "--now", NOW, "--output", "found"];
        let output = run(folder.path(), &[&flags[..], &SETTINGS, &["--cluster", &cluster.address]].concat());
        let (stdout, stderr) = assert_exit(&output, code);
        let left = files_of_tables(&found.join("_tables"));
        assert!(!left.iter().any(|file| file.contains("verify-")), "{left:?}");
        format!("{stdout}{stderr}")
    };
    // The outputs of one machine and of a cluster are equal, so both can be verified.
    assert_exit(&replay(&[]), 0);
    let report = verify(0);
    for table in music_insights::insights::NAMES.into_iter().chain(["_rejects", "periods", "_manifest.json"])
    {
        assert!(report.contains(&format!("verified      {table}: ")), "{table}: {report}");
    }
    assert_success(&replay(&["--cluster", &cluster.address]), &cluster, "replay");
    verify(0);

    // The folder of a killed verification is removed.
    fs::create_dir_all(found.join("_tables/verify-1/night_owl_users")).unwrap();
    change(&found.join("enriched_logs/part-00001.csv"), |bytes| {
        let second_row = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        bytes[second_row] = b'~';
    });
    change(&found.join("night_owl_users/part-00000.csv"), |bytes| bytes.extend_from_slice(b"no_one,7\n"));
    change(&found.join("parquet/top_songs_this_week/part-00000.parquet"), |bytes| bytes[9] ^= 1);
    fs::remove_file(found.join("periods/month/2025-03/genre_loyalty_scores/part-00000.csv")).unwrap();
    let lines = fs::read_to_string(found.join("night_owl_users/part-00000.csv")).unwrap().lines().count();
    let report = verify(65);
    for difference in [
        "found/enriched_logs/part-00001.csv:2: expected ",
        &format!("found/night_owl_users/part-00000.csv:{lines}: expected nothing, found no_one,7"),
        "found/parquet/top_songs_this_week/part-00000.parquet: the byte at 9 differs",
        "found/periods/month/2025-03/genre_loyalty_scores/part-00000.csv: the file is missing",
        ": 4 differences; run `music-insights replay --fresh`",
    ] {
        assert!(report.contains(difference), "{difference}: {report}");
    }
    // The files have the lengths in the manifest, so only `--fresh` writes all of them again.
    assert_success(&replay(&["--cluster", &cluster.address, "--fresh"]), &cluster, "--fresh");
    verify(0);

    // Another play in a log: totals, tables, and the period.
    let log = folder.path().join("logs/zz.csv");
    fs::write(&log, "user_id,song_id,timestamp,duration_sec\nu3,s7,2025-04-01 01:00:00,5\n").unwrap();
    let report = verify(65);
    for difference in
        ["_manifest.json: totals: expected {", "periods/month/2025-04", "found/enriched_logs/part-"]
    {
        assert!(report.contains(difference), "{difference}: {report}");
    }
    fs::remove_file(&log).unwrap();

    let songs = folder.path().join("songs.csv");
    change(&songs, |bytes| bytes.extend_from_slice(b"new,Title,Artist,Pop,Sad\n"));
    assert!(verify(0).contains("unverifiable  songs.csv is not the catalog of epoch"));
    fs::remove_dir_all(&found).unwrap();
    let flags =
        ["verify", "logs", "--songs", "songs.csv", "--output", "found", "--cluster", &cluster.address];
    let (_, error) = assert_exit(&run(folder.path(), &flags), 66);
    assert!(error.contains("no output is published here"), "{error}");
}
