//! Runs `watch` as a real process while logs appear, grow and rotate, and the catalog changes.
//!
//! The tests wait for results. No test measures time.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::daemon::{CATALOG_HEADER, LOG_HEADER, Place, SONGS, play, stderr, stdout};
use crate::oracle::{SNAPSHOTS, assert_equals_replay};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

/// Reads a published cut as a reader does: every file in the manifest, up to the length in the manifest.
/// Returns `None` if a hash differs. The reader then has to try again.
pub(crate) fn read_cut(output: &Path) -> Option<(Value, BTreeMap<String, Vec<u8>>)> {
    let manifest: Value = serde_json::from_slice(&fs::read(output.join("_manifest.json")).ok()?)
        .expect("the manifest is complete");
    let mut files = BTreeMap::new();
    let insights = manifest["insights"].as_object().unwrap().iter();
    let rejects = ("_rejects".to_owned(), manifest["rejects"].clone());
    for (name, entry) in insights.map(|(name, entry)| (name.clone(), entry.clone())).chain([rejects]) {
        for part in entry["parts"].as_array().unwrap() {
            let path = output.join(&name).join(part["file"].as_str().unwrap());
            let mut bytes = fs::read(path).ok()?;
            bytes.truncate(part["bytes"].as_u64().unwrap() as usize);
            if part["hash"] != format!("xxh3-128:{:032x}", xxh3_128(&bytes)) {
                return None;
            }
            files.insert(format!("{name}/{}", part["file"].as_str().unwrap()), bytes);
        }
    }
    Some((manifest, files))
}

#[test]
fn rows_and_corrections_arrive_at_the_next_flush() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    place.wait_for_rows(0);
    place.wait_for_text("night_owl_users", "user_id\n");
    place.append("data/incoming/a.csv", &format!("{LOG_HEADER}u1,s1,2025-03-21 01:09:00,150\n"));
    place.wait_for_text("night_owl_users", "user_id\nu1\n");
    place.wait_for_text("user_favorite_genres", "user_id,genre,play_count\nu1,Rock,1\n");
    place.wait_for_text("happy_recommendations", "user_id,song_id,sad_count,title\nu1,s2,1,Two\n");

    // A corrected genre applies to earlier plays.
    place.write(
        "data/songs_metadata.csv",
        &format!("{CATALOG_HEADER}s1,One,A,Jazz,Chill\ns2,Two,B,Pop,Happy\n"),
    );
    place.wait_for_text("user_favorite_genres", "user_id,genre,play_count\nu1,Jazz,1\n");
    place.wait_for_text("happy_recommendations", "user_id,song_id,sad_count,title\n");

    // A broken catalog changes nothing.
    place.write("data/songs_metadata.csv", "song_id,title\ns1,One\n");
    // Wait until the daemon has loaded the catalog.
    thread::sleep(Duration::from_millis(600));
    place.append("data/incoming/a.csv", "u2,s3,2025-03-21 12:00:00,10\n");
    place.wait_for_rows(2);
    place.wait_for_text("user_favorite_genres", "user_id,genre,play_count\nu1,Jazz,1\n");

    // A new song counts at the next flush. The same flush enriches its earlier play.
    place.write(
        "data/songs_metadata.csv",
        &format!("{CATALOG_HEADER}s1,One,A,Jazz,Chill\ns3,Three,C,Folk,\n"),
    );
    place.wait_for_text("user_favorite_genres", "user_id,genre,play_count\nu1,Jazz,1\nu2,Folk,1\n");
    let enriched = "song_id,user_id,timestamp,duration_sec,title,artist,genre,mood\n\
        s1,u1,2025-03-21T01:09:00Z,150,One,A,Rock,Sad\ns3,u2,2025-03-21T12:00:00Z,10,Three,C,Folk,\n";
    place.wait_for_text("enriched_logs", enriched);
    let output = daemon.stop();
    assert!(output.status.success());
    assert!(
        stderr(&output).contains("songs_metadata.csv:1: the header lacks `artist`"),
        "{}",
        stderr(&output)
    );
    assert!(stdout(&output).contains("2 rows"));
    assert_equals_replay(&place);
}

#[test]
fn readers_always_see_complete_files_of_one_cut() {
    let place = Place::new(SONGS);
    // The interval is long enough for a slow machine to read a cut before the next cut replaces it.
    let rarely = ["--flush-interval", "80ms", "--set", "insights.enriched_logs.roll_bytes=20000"];
    let daemon = place.watch(&rarely);
    let over = AtomicBool::new(false);
    let mut rows = 0;
    let cuts = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut cuts, mut last_epoch) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                // Each snapshot file is complete at any time.
                for name in SNAPSHOTS {
                    let text = place.read(&format!("output/{name}/part-00000.csv"));
                    assert!(text.is_empty() || text.ends_with('\n'), "the snapshot {name} is incomplete");
                }
                let Some((manifest, files)) = read_cut(&place.path("output")) else { continue };
                let number = |value: &serde_json::Value| value.as_u64().unwrap();
                let rejected: u64 =
                    manifest["totals"]["rejected"].as_object().unwrap().values().map(number).sum();
                let plays = number(&manifest["totals"]["rows"]) - rejected;
                let enriched = number(&manifest["insights"]["enriched_logs"]["rows"]);
                assert_eq!(
                    plays,
                    enriched + number(&manifest["totals"]["unmatched"]),
                    "the files belong to different cuts"
                );
                let epoch = number(&manifest["epoch"]);
                assert!(epoch >= last_epoch, "the epoch decreased");
                let favourites = &files["user_favorite_genres/part-00000.csv"];
                assert!(favourites.starts_with(b"user_id,genre,play_count\n"));
                cuts += u64::from(epoch > last_epoch);
                last_epoch = epoch;
            }
            cuts
        });

        // One file grows by parts of lines, one by whole lines. More files appear, and some are renamed.
        for round in 0..40_u32 {
            let lines: String = (0..50).map(|n| play(n * 7 % 23, n % 5 + 1, round * 50 + n)).collect();
            let (before, behind) = lines.split_at(lines.len() * (round as usize % 7 + 1) / 8);
            let header = if round == 0 { LOG_HEADER } else { "" };
            place.append("data/incoming/grows.csv", &format!("{header}{before}"));
            place.write(&format!("data/incoming/drop-{round}.csv"), &format!("{LOG_HEADER}{lines}no,row\n"));
            place.append("data/incoming/grows.csv", behind);
            rows += 50 + 51;
            if round % 10 == 9 {
                let from = place.path(&format!("data/incoming/drop-{}.csv", round - 5));
                fs::rename(&from, from.with_file_name(format!("renamed-{round}.csv"))).unwrap();
                let known = [
                    "s1,A,A,Rock,Sad",
                    "s2,B,A,Pop,Happy",
                    "s3,C,A,Rock,Happy",
                    "s4,D,A,Rock,Sad",
                    "s5,E,A,Pop,Sad",
                ];
                let known = known[..2 + round as usize / 10].join("\n");
                place.write("data/songs_metadata.csv", &format!("{CATALOG_HEADER}{known}\n"));
            }
            thread::sleep(Duration::from_millis(30));
        }
        place.wait_for_rows(rows);
        place.wait_for("the last catalog", || {
            place.manifest("output").filter(|manifest| manifest["catalog"]["songs"] == 5)
        });
        over.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    assert!(cuts > 3, "only {cuts} cuts were read");
    assert!(daemon.stop().status.success());
    assert_equals_replay(&place);
}

/// The inode and the times of each file. A write changes them.
fn stamps(place: &Place) -> BTreeMap<String, (u64, i64, i64)> {
    let files = place.files("output");
    let stamp = |name: &String| {
        let metadata = place.path("output").join(name).metadata().unwrap();
        (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
    };
    files.keys().map(|name| (name.clone(), stamp(name))).collect()
}

#[test]
fn without_new_data_no_file_is_written() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{}", play(1, 1, 10)));
    place.wait_for_rows(1);
    let before = stamps(&place);
    // Wait for many flush intervals. None of these changes is new data: a blank line, an empty log, and a
    // catalog with the same content but a new modification time.
    place.append("data/incoming/a.csv", "\n");
    place.write("data/incoming/b.csv", LOG_HEADER);
    let catalog = place.read("data/songs_metadata.csv");
    place.write("data/songs_metadata.csv", &catalog);
    thread::sleep(Duration::from_millis(700));
    assert_eq!(stamps(&place), before);
    // A play that changes only the mean of a song leaves the other files untouched.
    place.append("data/incoming/a.csv", "u1,s1,2025-03-14 00:10:00,99\n");
    place.wait_for_rows(2);
    let after = stamps(&place);
    for (name, changed) in [
        ("avg_listen_time_per_song/part-00000.csv", true),
        ("_manifest.json", true),
        ("night_owl_users/part-00000.csv", false),
        ("top_songs_this_week/part-00000.csv", false),
        ("_rejects/part-00000.csv", false),
    ] {
        assert_eq!(before[name] != after[name], changed, "{name}");
    }
    assert!(daemon.stop().status.success());
}

#[test]
fn an_unfinished_last_line_counts_after_a_while_and_its_continuation_is_rejected() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&["--set", "input.last_line_wait=150ms"]);
    place.append("data/incoming/a.csv", &format!("{LOG_HEADER}u1,s1,2025-03-21 12:00:00,15"));
    place.wait_for_rows(1);
    place.append("data/incoming/a.csv", "0\nu2,s2,2025-03-21 12:00:00,7\nu3,s2,2025-03-21 12:00:00,8");
    place.wait_for_rows(4);
    place.append("data/incoming/a.csv", "\nu4,s2,2025-03-21 12:00:00,9\n");
    place.wait_for_rows(5);
    assert_eq!(
        place.read("output/_rejects/part-00000.csv"),
        "file,line,byte_offset,reason,raw\na.csv,2,67,continued_after_eof,0\n"
    );
    place.wait_for_text("avg_listen_time_per_song", "song_id,avg_duration\ns1,15.0\ns2,8.0\n");
    assert!(daemon.stop().status.success());
}

#[test]
fn an_overlong_line_that_arrives_in_pieces_is_one_reject() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    place.append("data/incoming/a.csv", LOG_HEADER);
    for _ in 0..6 {
        place.append("data/incoming/a.csv", &"x".repeat(700_000));
        thread::sleep(Duration::from_millis(60));
    }
    place.write("data/incoming/b.csv", &format!("{LOG_HEADER}{}", play(1, 1, 1)));
    let unfinished = place.wait_for("the unfinished line", || {
        place.manifest("output").filter(|manifest| manifest["unfinished"][0]["size"] == 39 + 6 * 700_000)
    });
    assert_eq!(unfinished["unfinished"][0]["bytes"], 39);
    place.append("data/incoming/a.csv", &format!("\n{}", play(2, 1, 2)));
    place.wait_for_text("avg_listen_time_per_song", "song_id,avg_duration\ns1,31.5\n");
    assert!(daemon.stop().status.success());
    assert!(place.read("output/_rejects/part-00000.csv").contains("\na.csv,2,39,line_too_long,xxx"));
}

#[test]
fn thousands_of_files_at_once_are_read_and_other_names_are_ignored() {
    let place = Place::new(SONGS);
    for number in 0..300 {
        place.write(
            &format!("data/incoming/early-{number}.csv"),
            &format!("{LOG_HEADER}{}", play(number, 1, number)),
        );
    }
    let temporary = format!("{LOG_HEADER}{}", play(1, 1, 1));
    for name in [".hidden.csv", "a.csv.tmp", "a.csv.part", "a.txt", "csv"] {
        fs::write(place.path("data/incoming").join(name), &temporary).unwrap();
    }
    fs::create_dir(place.path("data/incoming/folder.csv")).unwrap();
    std::os::unix::fs::symlink(place.path("data/incoming/a.txt"), place.path("data/incoming/link.csv"))
        .unwrap();
    let made =
        std::process::Command::new("mkfifo").arg(place.path("data/incoming/pipe.csv")).status().unwrap();
    assert!(made.success());
    let daemon = place.watch(&[]);
    for number in 0..2700 {
        place.write(
            &format!("data/incoming/late-{number}.csv"),
            &format!("{LOG_HEADER}{}", play(number, 2, number)),
        );
    }
    place.wait_for_rows(3000);
    fs::rename(place.path("data/incoming/a.csv.part"), place.path("data/incoming/a.csv")).unwrap();
    place.wait_for_rows(3001);
    let output = daemon.stop();
    for name in ["folder.csv", "link.csv", "pipe.csv"] {
        assert_eq!(stderr(&output).matches(&format!("{name}: skipped")).count(), 1, "{}", stderr(&output));
    }
    assert_equals_replay(&place);
}

#[test]
fn only_one_process_writes_and_replay_refuses_the_output_of_a_watch() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{}", play(1, 1, 1)));
    place.done(&["replay"]);
    let daemon = place.watch(&[]);
    place.wait_for("the daemon", || {
        place.manifest("output").filter(|manifest| manifest["producer"] == "watch")
    });
    for command in ["watch", "replay"] {
        let second = place.run(&[command]);
        assert_eq!(second.status.code(), Some(75));
        assert!(
            stderr(&second).contains(&format!("already in use by process {}", daemon.id())),
            "{}",
            stderr(&second)
        );
    }
    assert!(daemon.stop().status.success());
    let refused = place.run(&["replay"]);
    assert_eq!(refused.status.code(), Some(78));
    assert!(stderr(&refused).contains("--fresh"), "{}", stderr(&refused));
    place.done(&["replay", "--fresh"]);
    assert_eq!(place.manifest("output").unwrap()["producer"], "replay");
    place.done(&["replay"]);
}

#[test]
fn temporary_files_of_a_killed_run_are_removed() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{}", play(1, 1, 1)));
    let daemon = place.watch(&[]);
    place.wait_for_rows(1);
    daemon.kill();
    for folder in ["output", "output/enriched_logs", "output/_rejects", "output/night_owl_users"] {
        fs::write(place.path(folder).join(".part-00003.csv.tmp"), "left over").unwrap();
    }
    let daemon = place.watch(&[]);
    place.append("data/incoming/a.csv", &play(2, 2, 2));
    place.wait_for_rows(2);
    assert!(daemon.stop().status.success());
    assert!(
        place.files("output").keys().all(|name| !name.contains(".tmp")),
        "{:?}",
        place.files("output").keys()
    );
    assert_equals_replay(&place);
}

#[test]
fn a_second_signal_ends_at_once() {
    let place = Place::new(SONGS);
    // The log is a pipe, so `replay` waits for more rows and does not end.
    let made = std::process::Command::new("mkfifo").arg(place.path("pipe")).status().unwrap();
    assert!(made.success());
    let mut child = place.command(&["replay", "pipe"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    place.wait_for("the lock", || place.path("output/.lock").exists().then_some(()));
    let status = place.wait_for("the end", || {
        let _ = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        thread::sleep(Duration::from_millis(50));
        child.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(130));
}

#[test]
fn compressed_logs_are_read_when_they_are_complete() {
    use std::io::Write;
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    let text = format!("{LOG_HEADER}{}", (0..500).map(|n| play(n, 1, n)).collect::<String>());
    let packed = gzip(&text);
    // The file arrives in two pieces. No row counts before the file is complete, and no row counts twice.
    fs::write(place.path("data/incoming/a.csv.gz"), &packed[..packed.len() / 2]).unwrap();
    fs::write(place.path("data/incoming/b.csv.zst"), zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
    place.wait_for_rows(500);
    fs::write(place.path("data/incoming/a.csv.gz"), &packed).unwrap();
    place.wait_for_rows(1000);
    assert!(daemon.stop().status.success());
    assert_equals_replay(&place);
}

#[test]
fn a_replaced_or_truncated_file_is_read_from_the_beginning() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{}{}", play(1, 1, 1), play(2, 1, 2)));
    place.wait_for_rows(2);
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{}{}", play(3, 1, 3), play(4, 1, 4)));
    place.wait_for_rows(4);
    fs::write(place.path("data/incoming/a.csv"), format!("{LOG_HEADER}{}", play(5, 1, 5))).unwrap();
    place.wait_for_rows(5);
    let output = daemon.stop();
    for warning in [
        "a.csv: a different file has this path now; it is read from the beginning",
        "a.csv: the file was truncated; it is read again from the beginning",
    ] {
        assert_eq!(stderr(&output).matches(warning).count(), 1, "{}", stderr(&output));
    }
}

#[test]
fn a_folder_that_disappears_and_returns_is_followed_again() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{}", play(1, 1, 1)));
    place.wait_for_rows(1);
    // The rows of a deleted file remain in the output.
    fs::remove_dir_all(place.path("data/incoming")).unwrap();
    thread::sleep(Duration::from_millis(1200));
    fs::create_dir(place.path("data/incoming")).unwrap();
    place.write("data/incoming/b.csv", &format!("{LOG_HEADER}{}", play(2, 1, 2)));
    place.wait_for_rows(2);
    let output = daemon.stop();
    assert!(output.status.success());
    assert_eq!(stderr(&output).matches("cannot read data/incoming").count(), 1, "{}", stderr(&output));
}

#[test]
fn an_unwritable_output_ends_an_idle_daemon() {
    let place = Place::new(SONGS);
    let mut daemon = place.watch(&[]);
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{}", play(1, 1, 1)));
    place.wait_for_rows(1);
    fs::remove_dir_all(place.path("output/user_favorite_genres")).unwrap();
    fs::write(place.path("output/user_favorite_genres"), "in the way").unwrap();
    place.write("data/songs_metadata.csv", &format!("{CATALOG_HEADER}s1,One,A,Jazz,Sad\n"));
    let status = place.wait_for("the end", || daemon.has_ended());
    assert_eq!(status.code(), Some(73));
}

#[test]
fn a_rotated_log_is_followed_under_its_new_name() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    place.append("data/incoming/live.csv", &format!("{LOG_HEADER}{}", play(1, 1, 1)));
    place.wait_for_rows(1);
    for round in 2..6 {
        // After the rotation, `watch` reads the last rows of the renamed file under its new name.
        place.append("data/incoming/live.csv", &play(round, 1, round));
        fs::rename(
            place.path("data/incoming/live.csv"),
            place.path(&format!("data/incoming/live.{round}.csv")),
        )
        .unwrap();
        place.write("data/incoming/live.csv", &format!("{LOG_HEADER}{}", play(round, 2, round)));
        place.wait_for_rows(u64::from(round) * 2 - 1);
    }
    assert!(daemon.stop().status.success());
    assert_equals_replay(&place);
}

#[test]
fn a_rejected_compressed_log_is_read_again_after_a_change() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    let packed = zstd::encode_all(format!("{LOG_HEADER}{}", play(1, 1, 1)).as_bytes(), 1).unwrap();
    fs::write(place.path("data/incoming/a.csv.zst"), &packed[..packed.len() / 2]).unwrap();
    let rejected = place.wait_for_rows(1);
    assert_eq!(rejected["totals"]["rejected"]["zst_corrupt"], 1);
    fs::write(place.path("data/incoming/a.csv.zst"), &packed).unwrap();
    place.wait_for_text("night_owl_users", "user_id\nu1\n");
    assert!(daemon.stop().status.success());
}
