//! Runs `watch` with failing system calls. After a failed sync, `watch` ends. After a temporary failure,
//! `watch` waits and tries again. In the end, every row counts once.
//!
//! strace injects the faults. It counts calls per thread and path, so each fault names a path. Without
//! strace, these tests print a message and pass.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::daemon::{Daemon, Fault, LOG_HEADER, Place, SONGS, is_long, play, stderr};
use crate::oracle::assert_equals_replay;

const OFTEN: [&str; 2] = ["--flush-interval", "20ms"];
const GENERATION: &str = "data/state/.generation-00000000000000000002.bin.tmp";
const SEGMENT: &str = "data/state/segment-0000000002-0000000002.bin";

/// A log with plays and a bad row.
fn drop_log(place: &Place, name: &str, from: u32) {
    let rows: String = (from..from + 20).map(|n| play(n % 7, n % 3 + 1, n)).collect();
    place.write(&format!("data/incoming/{name}"), &format!("{LOG_HEADER}{rows}no,row\n"));
}

/// A place with one log. The first generation commits the rows of this log.
fn place_with_log() -> Place {
    let place = Place::new(SONGS);
    drop_log(&place, "a.csv", 0);
    place
}

/// Runs `watch --once` without faults, and compares its output with a replay.
fn assert_recovers(place: &Place) {
    place.done(&["watch", "--http", "off", "--once"]);
    assert_equals_replay(place);
}

#[test]
fn a_failed_sync_ends_the_daemon_and_the_next_daemon_continues() {
    for path in [
        GENERATION,
        SEGMENT,
        "output/enriched_logs/.part-00000.csv.tmp",
        "output/_rejects/.part-00000.csv.tmp",
        "output/night_owl_users/.part-00000.csv.tmp",
        "output/night_owl_users",
        "data/state",
    ] {
        let place = place_with_log();
        let Some(daemon) =
            place.watch_with_faults(&[Fault { path, calls: "fsync,fdatasync", how: "error=EIO" }], &OFTEN)
        else {
            return;
        };
        let output = place.wait_for_end(daemon);
        assert_eq!(output.status.code(), Some(74), "{path}: {}", stderr(&output));
        // A message may show the final name of a staged file.
        let name = path.rsplit('/').next().unwrap();
        let name = name.trim_start_matches('.').trim_end_matches(".tmp");
        assert!(stderr(&output).contains(name), "{path}: {}", stderr(&output));
        assert_recovers(&place);
    }
}

#[test]
fn a_full_disk_makes_the_daemon_wait_and_continue() {
    for path in [
        "output/enriched_logs/part-00000.csv",
        "output/_rejects/part-00000.csv",
        "output/night_owl_users/.part-00000.csv.tmp",
        SEGMENT,
        GENERATION,
        "output/._manifest.json.tmp",
    ] {
        let place = place_with_log();
        // The first four writes of each thread to this path fail.
        let full = Fault { path, calls: "write", how: "error=ENOSPC:when=1..4" };
        let Some(daemon) = place.watch_with_faults(&[full], &OFTEN) else { return };
        place.wait_for_rows(21);
        drop_log(&place, "b.csv", 50);
        place.wait_for_rows(42);
        let output = daemon.stop();
        assert!(output.status.success(), "{path}: {}", stderr(&output));
        let told = stderr(&output).matches("reading stops until writing works").count();
        assert!((1..=2).contains(&told), "{path}: {}", stderr(&output));
        assert_equals_replay(&place);
    }
}

#[test]
fn a_stop_while_the_disk_is_full_loses_nothing() {
    let place = place_with_log();
    let path = "output/enriched_logs/part-00000.csv";
    // The first generation has a different name, so its write succeeds.
    let full = Fault { path, calls: "write", how: "error=ENOSPC" };
    let Some(mut daemon) = place.watch_with_faults(&[full], &OFTEN) else { return };
    place.wait_for_rows(21);
    drop_log(&place, "b.csv", 50);
    drop_log(&place, "c.csv", 90);
    thread::sleep(Duration::from_millis(400));
    assert!(daemon.has_ended().is_none(), "the daemon ended instead of waiting");
    let output = daemon.stop();
    assert_eq!(output.status.code(), Some(74), "{}", stderr(&output));
    assert!(stderr(&output).contains(path), "{}", stderr(&output));
    assert_recovers(&place);
}

#[test]
fn watch_tries_an_unreadable_input_again_and_reads_all_others() {
    let path = "data/incoming/a.csv";
    for (calls, how) in [
        ("openat", "error=EMFILE:when=1..2"),
        ("openat", "error=EACCES:when=1..2"),
        ("read", "error=EIO:when=1..2"),
    ] {
        let place = place_with_log();
        drop_log(&place, "b.csv", 50);
        let fault = Fault { path, calls, how };
        let Some(daemon) = place.watch_with_faults(&[fault], &OFTEN) else { return };
        place.wait_for_rows(42);
        let output = daemon.stop();
        assert!(output.status.success(), "{}", stderr(&output));
        let warnings = stderr(&output).matches("cannot read a.csv").count();
        assert_eq!(warnings, 1, "{calls} {how}: {}", stderr(&output));
        assert_equals_replay(&place);
    }
}

#[test]
fn a_read_only_output_prevents_a_start_and_pauses_a_running_watch() {
    let place = place_with_log();
    // strace compares only the first path of a call with the filter.
    let path = "output/._manifest.json.tmp";
    let rename = "rename,renameat,renameat2";
    let fault = Fault { path, calls: rename, how: "error=EROFS:when=1..3" };
    let Some(daemon) = place.watch_with_faults(&[fault], &OFTEN) else { return };
    place.wait_for_rows(21);
    let output = daemon.stop();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        stderr(&output).matches("cannot write output/_manifest.json").count(),
        1,
        "{}",
        stderr(&output)
    );
    assert_equals_replay(&place);

    let place = place_with_log();
    let fault = Fault { path: "output", calls: "mkdir,mkdirat", how: "error=EROFS" };
    let output = place.wait_for_end(place.watch_with_faults(&[fault], &OFTEN).unwrap());
    assert_eq!(output.status.code(), Some(73), "{}", stderr(&output));
    assert!(stderr(&output).contains("output"), "{}", stderr(&output));
}

#[test]
fn without_notifications_the_folder_is_scanned_every_second() {
    for (calls, how) in [("inotify_init1", "error=EMFILE"), ("inotify_add_watch", "error=ENOSPC")] {
        let place = place_with_log();
        let Some(daemon) = place.watch_with_faults(&[Fault { path: "", calls, how }], &OFTEN) else { return };
        place.wait_for_rows(21);
        drop_log(&place, "b.csv", 50);
        place.wait_for_rows(42);
        place.append("data/incoming/b.csv", &play(1, 1, 1));
        place.wait_for_rows(43);
        let output = daemon.stop();
        assert!(output.status.success());
        let warnings = stderr(&output).matches("no change notifications").count();
        assert!(warnings >= 1, "{calls}: {}", stderr(&output));
        assert_equals_replay(&place);
    }
}

fn drop_many(place: &Place, from: u32, count: u32) {
    for number in from..from + count {
        let text = format!("{LOG_HEADER}{}", play(number % 997, number % 3 + 1, number));
        fs::write(place.path(&format!("data/incoming/{number}.csv")), text).unwrap();
    }
}

fn descriptors(daemon: &Daemon) -> usize {
    fs::read_dir(format!("/proc/{}/fd", daemon.id())).unwrap().count()
}

/// The kernel queues at most 16,384 notifications. Every file causes three notifications.
#[test]
fn an_overflow_of_notifications_loses_nothing() {
    let count = if is_long() { 20_000 } else { 6_000 };
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    place.wait_for_rows(0);
    daemon.signal("-STOP");
    drop_many(&place, 0, count);
    daemon.signal("-CONT");
    place.wait_for_rows(u64::from(count));
    assert!(daemon.stop().status.success());
    assert_equals_replay(&place);
}

#[test]
fn many_files_need_few_descriptors() {
    let count = if is_long() { 100_000 } else { 5_000 };
    let place = Place::new(SONGS);
    drop_many(&place, 0, count / 2);
    let daemon = place.watch(&[]);
    drop_many(&place, count / 2, count / 2);
    let mut most = 0;
    place.wait_for("all rows", || {
        most = most.max(descriptors(&daemon));
        place.manifest("output").filter(|manifest| manifest["totals"]["rows"] == count)
    });
    assert!(most < 320, "{most} descriptors");
    assert!(daemon.stop().status.success());
    assert_equals_replay(&place);
}

#[test]
fn a_folder_that_disappears_and_returns_loses_and_repeats_nothing() {
    let place = place_with_log();
    let daemon = place.watch(&[]);
    place.wait_for_rows(21);
    let (incoming, away) = (place.path("data/incoming"), place.path("data/away"));
    fs::rename(&incoming, &away).unwrap();
    place.append("data/away/a.csv", &play(1, 1, 1));
    thread::sleep(Duration::from_millis(1200));
    fs::rename(&away, &incoming).unwrap();
    place.wait_for_rows(22);
    // An empty folder takes the place of `incoming`, as after an unmount. Then the original folder returns.
    fs::rename(&incoming, &away).unwrap();
    fs::create_dir(&incoming).unwrap();
    thread::sleep(Duration::from_millis(1200));
    fs::remove_dir(&incoming).unwrap();
    fs::rename(&away, &incoming).unwrap();
    place.append("data/incoming/a.csv", &play(2, 1, 2));
    drop_log(&place, "b.csv", 50);
    place.wait_for_rows(44);
    assert!(daemon.stop().status.success());
    assert_equals_replay(&place);
}

/// Unmounts the file system at the end of the test.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_real_full_disk_makes_the_daemon_wait() {
    let place = place_with_log();
    fs::create_dir(place.path("output")).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(place.path("output"));
    if !mount.output().is_ok_and(|output| output.status.success()) {
        println!("skipped: no permission to mount a file system");
        return;
    }
    let _mounted = Mounted(place.path("output"));
    let daemon = place.watch(&[]);
    place.wait_for_rows(21);
    let filler = place.path("output/filler");
    let room = vec![0; 4096];
    {
        use std::io::Write;
        let mut file = fs::File::create(&filler).unwrap();
        while file.write_all(&room).is_ok() {}
    }
    drop_log(&place, "b.csv", 50);
    let rows: String = (0..3000).map(|n| play(n, n % 3 + 1, n)).collect();
    place.write("data/incoming/c.csv", &format!("{LOG_HEADER}{rows}"));
    thread::sleep(Duration::from_millis(700));
    fs::remove_file(&filler).unwrap();
    place.wait_for_rows(3042);
    let output = daemon.stop();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("reading stops until writing works"), "{}", stderr(&output));
    assert_equals_replay(&place);
}

#[test]
fn messages_without_a_reader_do_not_block_the_daemon() {
    let place = place_with_log();
    let mut daemon = place.watch(&[]);
    place.wait_for_rows(21);
    daemon.hang_up();
    place.write("data/incoming/b.csv", "no,header\n");
    place.wait_for_rows(22);
    drop_log(&place, "c.csv", 50);
    place.wait_for_rows(43);
    daemon.signal("-TERM");
    let output = place.wait_for_end(daemon);
    assert!(output.status.success(), "{:?}", output.status);
    assert_equals_replay(&place);
}
