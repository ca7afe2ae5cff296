//! The output folder, single published files or the state disappear, while `watch` runs and while it is down.
//! `watch` writes the snapshots again. It withdraws no row of the append-only tables without being told to.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::daemon::{Daemon, LOG_HEADER, Place, SONGS, play, stderr, stdout};
use crate::oracle::{SNAPSHOTS, assert_equals_replay};

const ONCE: [&str; 4] = ["watch", "--once", "--http", "off"];
const ACCEPT: &str = "--accept-missing-output";
const WITHOUT_ENRICHED: [&str; 2] = ["--set", "insights.enriched_logs.enabled=false"];
const OK: Option<i32> = Some(0);
const DAMAGED: Option<i32> = Some(65);
const IO: Option<i32> = Some(74);
const BUSY: Option<i32> = Some(75);
const CONFIG: Option<i32> = Some(78);

fn rows(from: u32, to: u32) -> String {
    (from..to).map(|minute| play(minute % 5, minute % 2 + 1, minute)).collect()
}

/// A place with a log of `count` plays.
fn place_with_log(count: u32) -> Place {
    let place = Place::new(SONGS);
    place.append("data/incoming/plays.csv", &format!("{LOG_HEADER}{}", rows(0, count)));
    place
}

fn once(place: &Place, more: &[&str]) -> Output {
    place.run(&[&ONCE[..], more].concat())
}

fn done_once(place: &Place, more: &[&str]) -> String {
    let output = once(place, more);
    assert_eq!(output.status.code(), OK, "{}", stderr(&output));
    stdout(&output)
}

fn assert_refused(output: &Output, code: Option<i32>, says: &[&str]) {
    assert_eq!(output.status.code(), code, "{}", stderr(output));
    for text in says {
        assert!(stderr(output).contains(text), "{text:?} is not in {}", stderr(output));
    }
    assert_eq!(stdout(output), "", "a failed run prints no summary");
}

fn remove(place: &Place, folder: &str) {
    fs::remove_dir_all(place.path(folder)).unwrap();
}

fn epoch(place: &Place) -> u64 {
    place.manifest("output").unwrap()["epoch"].as_u64().unwrap()
}

/// The number of rows in the files of a table, without headers.
fn rows_of(place: &Place, table: &str) -> usize {
    let files = place.files("output");
    let parts = files.iter().filter(|(name, _)| Path::new(name).parent() == Some(Path::new(table)));
    parts.map(|(_, text)| text.lines().count() - 1).sum()
}

/// Checks that the output has every file that its manifest lists, with its length.
fn assert_complete(place: &Place) {
    let manifest = place.manifest("output").unwrap();
    let tables = manifest["insights"].as_object().unwrap().iter();
    for (name, entry) in tables.chain([(&"_rejects".to_owned(), &manifest["rejects"])]) {
        for part in entry["parts"].as_array().unwrap() {
            let file = format!("output/{name}/{}", part["file"].as_str().unwrap());
            assert_eq!(place.read(&file).len() as u64, part["bytes"].as_u64().unwrap(), "{file}");
        }
    }
}

fn assert_verified(place: &Place) -> String {
    let verified = place.run(&["verify"]);
    assert_eq!(verified.status.code(), OK, "{}{}", stdout(&verified), stderr(&verified));
    stdout(&verified)
}

/// Waits until a table has been written after it was removed.
fn wait_for_file(place: &Place, file: &str) {
    place.wait_for(file, || place.path(file).exists().then_some(()));
}

fn incomplete_since(manifest: &Value) -> Option<&str> {
    manifest["incomplete_since"].as_str()
}

#[test]
fn a_removed_folder_is_written_again_if_no_row_is_lost() {
    let place = place_with_log(8);
    let daemon = place.watch(&WITHOUT_ENRICHED);
    place.wait_for_rows(8);
    let (before, tables) = (epoch(&place), place.files("output"));
    remove(&place, "output");
    place.append("data/incoming/plays.csv", &rows(8, 9));
    place.wait_for_rows(9);
    assert_eq!(epoch(&place), before + 1);
    assert_eq!(place.files("output").keys().collect::<Vec<_>>(), tables.keys().collect::<Vec<_>>());
    // At the end, too, the summary names only files that exist.
    remove(&place, "output");
    let output = daemon.stop();
    assert_eq!(output.status.code(), OK, "{}", stderr(&output));
    assert!(stderr(&output).contains("the folder was removed or replaced"), "{}", stderr(&output));
    assert_eq!(epoch(&place), before + 2);
    assert_complete(&place);
    // While `watch` is down.
    remove(&place, "output");
    done_once(&place, &WITHOUT_ENRICHED);
    assert_eq!(epoch(&place), before + 3);
    assert_complete(&place);
    // Without news, nothing changes.
    let tables = place.files("output");
    done_once(&place, &WITHOUT_ENRICHED);
    assert_eq!(place.files("output"), tables);
}

#[test]
fn a_quiet_daemon_notices_that_the_folder_is_gone() {
    let place = place_with_log(3);
    let daemon = place.watch(&WITHOUT_ENRICHED);
    place.wait_for_rows(3);
    fs::rename(place.path("output"), place.path("moved")).unwrap();
    fs::create_dir(place.path("output")).unwrap();
    place.wait_for_rows(3);
    assert_complete(&place);
    assert_eq!(place.read("output/.lock"), daemon.id().to_string());
    assert_eq!(daemon.stop().status.code(), OK);
}

#[test]
fn a_lost_folder_with_rows_ends_the_daemon_and_both_ways_out_are_named() {
    let place = place_with_log(8);
    let daemon = place.watch(&[]);
    place.wait_for_rows(8);
    remove(&place, "output");
    place.append("data/incoming/plays.csv", &rows(8, 12));
    let ended = place.wait_for_end(daemon);
    assert_refused(&ended, DAMAGED, &["enriched_logs", "--fresh", ACCEPT]);
    assert_refused(&once(&place, &[]), DAMAGED, &["enriched_logs", "--fresh", ACCEPT]);
    // The first way out: the sums stay, and the append-only tables begin again.
    let summary = done_once(&place, &[ACCEPT]);
    assert!(summary.contains("lost      rows of enriched_logs"), "{summary}");
    let manifest = place.wait_for_rows(12);
    let since = incomplete_since(&manifest).expect("the manifest states the loss").to_owned();
    assert_eq!(manifest["insights"]["enriched_logs"]["incomplete_since"], since.as_str());
    assert!(manifest["rejects"].get("incomplete_since").is_none(), "_rejects had no rows");
    assert_eq!(rows_of(&place, "enriched_logs"), 4);
    assert_complete(&place);
    let verified = assert_verified(&place);
    assert!(verified.contains(&format!("enriched_logs: rows from before {since} are lost")), "{verified}");
    assert!(verified.contains("night_owl_users: "), "{verified}");
    // Later epochs and restarts remember the loss, and need no flag.
    place.append("data/incoming/plays.csv", &rows(12, 13));
    done_once(&place, &[]);
    assert_eq!(incomplete_since(&place.wait_for_rows(13)), Some(since.as_str()));
    assert_eq!(rows_of(&place, "enriched_logs"), 5);
    let quiet = place.files("output");
    done_once(&place, &[ACCEPT]);
    assert_eq!(place.files("output"), quiet, "the flag alone is no news");
    // The second way out: everything is read again.
    done_once(&place, &["--fresh"]);
    assert_eq!(incomplete_since(&place.wait_for_rows(13)), None);
    assert_equals_replay(&place);
}

#[test]
fn fresh_names_both_ways_out_if_inputs_are_gone() {
    let place = place_with_log(8);
    place.append("data/incoming/other.csv", &format!("{LOG_HEADER}no,row\n"));
    done_once(&place, &[]);
    remove(&place, "output");
    fs::remove_file(place.path("data/incoming/plays.csv")).unwrap();
    assert_refused(
        &once(&place, &["--fresh"]),
        CONFIG,
        &["plays.csv", ACCEPT, "remove output and data/state"],
    );
    let before = fs::read_dir(place.path("data/state")).unwrap().count();
    assert!(before > 1, "the state stays");
    done_once(&place, &[ACCEPT]);
    let manifest = place.wait_for_rows(9);
    assert!(incomplete_since(&manifest).is_some());
    assert!(manifest["rejects"]["incomplete_since"].is_string(), "{manifest:#}");
    assert_complete(&place);
    let verified = assert_verified(&place);
    assert!(verified.contains("cannot be compared"), "{verified}");
    for folder in ["output", "data/state"] {
        remove(&place, folder);
    }
    // The remaining log has only a rejected row.
    let output = once(&place, &[]);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    assert_eq!(incomplete_since(&place.wait_for_rows(1)), None);
    assert_verified(&place);
}

#[test]
fn a_daemon_that_may_lose_rows_continues_at_once() {
    let place = place_with_log(8);
    let daemon = place.watch(&[ACCEPT]);
    place.wait_for_rows(8);
    assert!(incomplete_since(&place.manifest("output").unwrap()).is_none());
    remove(&place, "output");
    place.append("data/incoming/plays.csv", &format!("{}bad row\n", rows(8, 10)));
    let first = place.wait_for_rows(11);
    let since = incomplete_since(&first).expect("the manifest states the loss").to_owned();
    // The loss happened before these rows were published, and they are kept.
    assert_eq!((rows_of(&place, "enriched_logs"), rows_of(&place, "_rejects")), (2, 1));
    place.append("data/incoming/plays.csv", &rows(10, 11));
    assert_eq!(incomplete_since(&place.wait_for_rows(12)), Some(since.as_str()));
    // A second loss is stated, too.
    remove(&place, "output/_rejects");
    place.append("data/incoming/plays.csv", &rows(11, 12));
    let second = place.wait_for_rows(13);
    assert!(incomplete_since(&second).unwrap() > since.as_str(), "{second:#}");
    assert_eq!(second["insights"]["enriched_logs"]["incomplete_since"], since.as_str());
    assert_eq!((rows_of(&place, "enriched_logs"), rows_of(&place, "_rejects")), (4, 0));
    assert_eq!(daemon.stop().status.code(), OK);
    assert_verified(&place);
}

#[test]
fn single_published_files_are_written_again() {
    let place = place_with_log(30);
    let parquet = ["--format", "csv,parquet", "--set", "insights.enriched_logs.roll_bytes=500"];
    let daemon = place.watch(&parquet);
    place.wait_for_rows(30);
    let complete = place.path("output/parquet/enriched_logs/part-00001.parquet");
    place.wait_for("a second Parquet part", || complete.exists().then_some(()));
    place.wait_for("the manifest", || place.manifest("output"));
    let copies = |daemon_is_down: bool| {
        let mut minute = 30 + 40 * u32::from(daemon_is_down);
        let bytes = fs::read(&complete).unwrap();
        let files = [
            "top_songs_this_week/part-00000.csv",
            "_manifest.json",
            "parquet/night_owl_users/part-00000.parquet",
            "parquet/enriched_logs/part-00001.parquet",
        ];
        for file in files.map(|file| format!("output/{file}")) {
            let before = epoch(&place);
            fs::remove_file(place.path(&file)).unwrap();
            if daemon_is_down {
                done_once(&place, &parquet);
            } else {
                place.append("data/incoming/plays.csv", &rows(minute, minute + 1));
                minute += 1;
                place.wait_for("the next epoch", || {
                    let manifest = place.manifest("output")?;
                    (manifest["epoch"].as_u64()? > before).then_some(())
                });
            }
            wait_for_file(&place, &file);
            assert_eq!(epoch(&place), before + 1, "{file}");
        }
        assert_eq!(fs::read(&complete).unwrap(), bytes);
        assert_complete(&place);
        // A file of a wrong length.
        let before = epoch(&place);
        fs::write(place.path("output/night_owl_users/part-00000.csv"), "user_id\nmade-up\n").unwrap();
        if daemon_is_down {
            done_once(&place, &parquet);
        } else {
            place.append("data/incoming/plays.csv", &rows(minute, minute + 1));
        }
        place.wait_for("the next epoch", || (epoch(&place) > before).then_some(()));
        assert!(!place.read("output/night_owl_users/part-00000.csv").contains("made-up"));
    };
    copies(false);
    assert_eq!(daemon.stop().status.code(), OK);
    copies(true);
    assert_verified(&place);
}

#[test]
fn a_folder_that_was_moved_and_copied_back_continues() {
    let place = place_with_log(8);
    place.append("data/incoming/other.csv", &format!("{LOG_HEADER}no,row\n"));
    let daemon = place.watch(&[]);
    place.wait_for_rows(9);
    let before = epoch(&place);
    fs::rename(place.path("output"), place.path("moved")).unwrap();
    let copied = Command::new("cp").arg("-R").args([place.path("moved"), place.path("output")]).status();
    assert!(copied.unwrap().success());
    place.append("data/incoming/plays.csv", &rows(8, 20));
    place.append("data/incoming/other.csv", "no,other\n");
    let manifest = place.wait_for_rows(22);
    assert!(manifest["epoch"].as_u64().unwrap() > before);
    assert!(incomplete_since(&manifest).is_none(), "no row is lost");
    assert_eq!(daemon.stop().status.code(), OK);
    assert_verified(&place);
    assert_equals_replay(&place);
}

#[test]
fn a_shorter_append_only_table_is_a_loss() {
    let place = place_with_log(8);
    let daemon = place.watch(&[]);
    place.wait_for_rows(8);
    let table = place.path("output/enriched_logs/part-00000.csv");
    fs::File::options().write(true).open(&table).unwrap().set_len(100).unwrap();
    place.append("data/incoming/plays.csv", &rows(8, 9));
    assert_refused(&place.wait_for_end(daemon), DAMAGED, &["has 1", "were committed", ACCEPT]);
    done_once(&place, &[ACCEPT]);
    assert_eq!(rows_of(&place, "enriched_logs"), 1);
    assert_verified(&place);
}

#[test]
fn a_second_daemon_gets_a_new_folder_and_the_first_one_ends() {
    let place = place_with_log(3);
    let first = place.watch(&WITHOUT_ENRICHED);
    place.wait_for_rows(3);
    remove(&place, "output");
    fs::create_dir(place.path("others")).unwrap();
    place.append("others/plays.csv", &format!("{LOG_HEADER}{}", rows(50, 57)));
    let others = ["--incoming", "others", "--state", "data/other-state"];
    let second = place.watch(&[&WITHOUT_ENRICHED[..], &others].concat());
    place.wait_for_rows(7);
    let published = place.files("output");
    place.append("data/incoming/plays.csv", &rows(3, 4));
    let ended = place.wait_for_end(first);
    assert_refused(&ended, BUSY, &[&format!("already in use by process {}", second.id())]);
    assert_eq!(place.files("output"), published, "the first daemon wrote nothing");
    assert_eq!(second.stop().status.code(), OK);
}

#[test]
fn a_removed_lock_file_lets_no_second_daemon_in() {
    let place = place_with_log(3);
    let daemon = place.watch(&[]);
    place.wait_for_rows(3);
    fs::remove_file(place.path("output/.lock")).unwrap();
    let second = once(&place, &["--state", "data/other-state"]);
    assert_refused(&second, BUSY, &["output: already in use"]);
    place.append("data/incoming/plays.csv", &rows(3, 4));
    place.wait_for_rows(4);
    assert_eq!(place.read("output/.lock"), daemon.id().to_string());
    assert_eq!(daemon.stop().status.code(), OK);
}

#[test]
fn a_removed_or_replaced_state_ends_the_daemon_before_anything_is_published() {
    for replaced in [false, true] {
        let place = place_with_log(3);
        let daemon = place.watch(&[]);
        place.wait_for_rows(3);
        fs::rename(place.path("data/state"), place.path("data/moved")).unwrap();
        if replaced {
            fs::create_dir(place.path("data/state")).unwrap();
        }
        let published = place.manifest("output");
        place.append("data/incoming/plays.csv", &rows(3, 9));
        assert_refused(&place.wait_for_end(daemon), IO, &["data/state", "removed or replaced", "--fresh"]);
        assert_eq!(place.manifest("output"), published);
        assert!(replaced || !place.path("data/state").exists());
        // With the state back in its place, nothing is lost.
        let _ = fs::remove_dir_all(place.path("data/state"));
        fs::rename(place.path("data/moved"), place.path("data/state")).unwrap();
        done_once(&place, &[]);
        place.wait_for_rows(9);
        assert_verified(&place);
        assert_equals_replay(&place);
    }
}

#[test]
fn an_emptied_state_ends_the_daemon_too() {
    let place = place_with_log(3);
    let daemon = place.watch(&[]);
    place.wait_for_rows(3);
    let published = place.manifest("output");
    for entry in fs::read_dir(place.path("data/state")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    place.append("data/incoming/plays.csv", &rows(3, 9));
    assert_refused(&place.wait_for_end(daemon), IO, &["data/state", "removed or replaced"]);
    assert_eq!(place.manifest("output"), published);
}

#[test]
fn a_crash_while_the_loss_is_accepted_repeats_or_completes_the_decision() {
    const POINTS: [(&str, bool); 9] = [
        ("recover.done", false),
        ("flush.cut", false),
        ("flush.staged", false),
        ("commit.logs_synced", false),
        ("commit.generation_written", false),
        ("commit.generation_renamed", true),
        ("commit.done", true),
        ("publish.snapshot", true),
        ("publish.manifest", true),
    ];
    for (point, is_decided) in POINTS {
        let place = place_with_log(8);
        place.append("data/incoming/other.csv", &format!("{LOG_HEADER}no,row\n"));
        done_once(&place, &[]);
        remove(&place, "output");
        place.append("data/incoming/plays.csv", &rows(8, 10));
        let mut command = place.command(&[&ONCE[..], &[ACCEPT]].concat());
        let crashed = command.env("CRASH_AT", format!("{point}:1")).output().unwrap();
        assert_eq!(crashed.status.code(), None, "{point}: {}", stderr(&crashed));
        // Before the commit, the loss is not accepted yet. After the commit, it is, and no flag is needed.
        let next = once(&place, &[]);
        assert_eq!(next.status.code(), if is_decided { OK } else { DAMAGED }, "{point}: {}", stderr(&next));
        done_once(&place, &[ACCEPT]);
        let manifest = place.wait_for_rows(11);
        assert!(incomplete_since(&manifest).is_some(), "{point}");
        assert_eq!((rows_of(&place, "enriched_logs"), rows_of(&place, "_rejects")), (2, 0), "{point}");
        assert_complete(&place);
        assert_verified(&place);
    }
}

#[test]
fn a_crash_between_noticing_and_publishing_loses_nothing() {
    // A start flushes once, and so does the first new row. The third flush writes the missing files again.
    for point in ["output.damaged:1", "flush.cut:3", "flush.staged:3"] {
        let place = place_with_log(8);
        place.append("data/incoming/other.csv", &format!("{LOG_HEADER}no,row\n"));
        done_once(&place, &[]);
        let args = ["watch", "--http", "off", "--flush-interval", "20ms"];
        let daemon = Daemon::start(place.command(&args).env("CRASH_AT", point));
        place.append("data/incoming/plays.csv", &rows(8, 9));
        place.wait_for_rows(10);
        for name in SNAPSHOTS {
            fs::remove_file(place.path(&format!("output/{name}/part-00000.csv"))).unwrap();
        }
        place.append("data/incoming/plays.csv", &rows(9, 10));
        let ended = place.wait_for_end(daemon);
        assert_eq!(ended.status.code(), None, "{point}: {}", stderr(&ended));
        done_once(&place, &[]);
        place.wait_for_rows(11);
        assert_complete(&place);
        assert_verified(&place);
        assert_equals_replay(&place);
    }
}

#[test]
fn a_replay_whose_folder_was_replaced_publishes_nothing() {
    let place = place_with_log(3);
    let mut replay = place.command(&["replay", "-"]);
    let replay = replay.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut replay = replay.spawn().unwrap();
    let mut input = replay.stdin.take().unwrap();
    input.write_all(LOG_HEADER.as_bytes()).unwrap();
    wait_for_file(&place, "output/_rejects/.part-00000.csv.tmp");
    wait_for_file(&place, "output/enriched_logs/.part-00000.csv.tmp");
    remove(&place, "output");
    fs::create_dir(place.path("output")).unwrap();
    input.write_all(rows(0, 3).as_bytes()).unwrap();
    drop(input);
    assert_refused(&replay.wait_with_output().unwrap(), IO, &["output: the folder was removed or replaced"]);
    assert_eq!(place.files("output").len(), 0);
}

#[test]
fn verify_does_not_trust_snapshots_to_lost_rejects() {
    let place = Place::new(SONGS);
    let future = "u1,s1,2190-01-01 00:00:00,60\n";
    place.append("data/incoming/plays.csv", &format!("{LOG_HEADER}{future}{}", rows(0, 6)));
    done_once(&place, &[]);
    remove(&place, "output/_rejects");
    done_once(&place, &[ACCEPT]);
    let verified = assert_verified(&place);
    assert!(verified.contains("compared with the committed state"), "{verified}");
    // A row that no input has is still found.
    let table = "output/enriched_logs/part-00000.csv";
    let changed = place.read(table).replacen("u1", "u7", 1);
    fs::write(place.path(table), changed).unwrap();
    assert_eq!(place.run(&["verify"]).status.code(), DAMAGED);
}
