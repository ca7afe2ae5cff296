//! A run renders only the periods that have changed.

use std::fs;
use std::time::SystemTime;

use crate::processes::{TestCluster, assert_exit, run};
use crate::{arguments, assert_same, assert_success, write_difficult_inputs};

#[test]
fn only_changed_periods_are_rendered_again() {
    let Some(cluster) = TestCluster::start(2, &[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    write_difficult_inputs(folder.path());
    let settings = ["--set", "periods.month=all", "--format", "csv,parquet"];
    let replay = |more: &[&str], context: &str| {
        assert_exit(&run(folder.path(), &arguments("expected", &[&settings[..], more].concat())), 0);
        let flags = [&settings[..], more, &["--cluster", &cluster.address]].concat();
        assert_success(&run(folder.path(), &arguments("found", &flags)), &cluster, context);
        assert_same(folder.path(), "expected", "found", context);
    };
    let table = |month: &str| {
        folder.path().join("found/periods/month").join(month).join("genre_loyalty_scores/part-00000.csv")
    };
    let written =
        || ["2025-02", "2025-03"].map(|month| fs::metadata(table(month)).unwrap().modified().unwrap());
    let changed = |before: [SystemTime; 2]| {
        written().iter().zip(before).map(|(now, then)| *now != then).collect::<Vec<_>>()
    };
    replay(&[], "the first run");
    let before = written();
    let log = folder.path().join("logs/zz.csv");
    fs::write(&log, "user_id,song_id,timestamp,duration_sec\nu3,s7,2025-03-01 01:00:00,5\n").unwrap();
    replay(&[], "a new play in March");
    assert_eq!(changed(before), [false, true]);
    let before = written();
    fs::remove_file(table("2025-02")).unwrap();
    replay(&[], "a missing table");
    assert_eq!(changed(before), [true, false]);
    let before = written();
    replay(&["--set", "insights.genre_loyalty_scores.threshold=0.1"], "another setting");
    assert_eq!(changed(before), [true, true]);
    let before = written();
    let songs = fs::read_to_string(folder.path().join("songs.csv")).unwrap();
    fs::write(folder.path().join("songs.csv"), songs.replace("Rock", "Folk")).unwrap();
    replay(&["--set", "insights.genre_loyalty_scores.threshold=0.1"], "another catalog");
    assert_eq!(changed(before), [true, true]);
    fs::remove_file(&log).unwrap();
    replay(&["--set", "periods.month=2"], "fewer periods, and one play less");
    assert!(!table("2025-02").exists());
}
