//! `replay` on a cluster of processes writes the same bytes as `replay` on one machine.

#[path = "cluster/bucket.rs"]
mod bucket;
#[path = "cluster/duckdb.rs"]
mod duckdb;
#[path = "cluster/failures.rs"]
mod failures;
#[path = "cluster/periods.rs"]
mod periods;
#[path = "cluster/processes.rs"]
mod processes;
#[path = "cluster/sql.rs"]
mod sql;
#[path = "cluster/verify.rs"]
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use processes::{Process, TestCluster, assert_exit, run, wait_until};

const NOW: &str = "2026-01-01T00:00:00Z";

/// Writes difficult inputs: quotes, bad rows, damaged files, clock changes, ties, unmatched plays.
fn write_difficult_inputs(folder: &Path) {
    let logs = folder.join("logs");
    fs::create_dir_all(&logs).unwrap();
    let header = "user_id,song_id,timestamp,duration_sec\n";
    let write = |name: &str, text: &str| fs::write(logs.join(name), text).unwrap();
    write(
        "a.csv",
        &format!(
            "{header}\"u,1\",s1,2025-03-30 01:30:00,180\nu\"2,\"s\"\"2\",2025-03-30T02:30:00,0.5\n\
             u3,s1,2025-03-30 03:00:00.25+02:00,86400\n\nu3,s1,2025-10-26 02:30:00,1.125\nu4,nosong,2025-03-30 00:00:00,3\n\
             u4,s1,2099-01-01,3\nu4,s1\n,s1,2025-03-30 00:00:00,3\nu5,s1,2025-03-30 00:00:00,-3\n\"u6,s1\n"
        ),
    );
    // Reordered columns, a byte order mark, CRLF, an extra column, no line feed at the end.
    write(
        "b.csv",
        "\u{feff}extra,duration_sec,song_id,user_id,timestamp\r\nx,10,s3,u1,2025-03-24 00:00:00Z\r\nx,10,s4,ü,2025-03-23 23:59:59Z\r\n\
         x,20,s4,ü,1969-12-31 23:59:59Z\r\nx,2.5,s3,ü,2025-03-29 23:59:59.123456789-05:30",
    );
    write("c.csv", "no,known,column,name\n1,2,3,4\n");
    write("d.csv", header);
    write("e.csv", "");
    fs::write(
        logs.join("f.csv"),
        [header.as_bytes(), b"u1,s\xff1,2025-03-30 00:00:00,3\nu1,s1,2025-03-30 00:00:00,3\n"].concat(),
    )
    .unwrap();
    let zipped =
        zstd::encode_all(format!("{header}u7,s5,2025-03-31 04:59:59,61.5\nbad\n").as_bytes(), 1).unwrap();
    fs::write(logs.join("g.csv.zst"), &zipped).unwrap();
    fs::write(logs.join("h.csv.zst"), &zipped[..zipped.len() - 5]).unwrap();
    // Other dialects: JSON Lines, tabs, and UTF-16.
    write(
        "i.jsonl",
        "{\"user_id\":\"u8\",\"song_id\":\"s6\",\"timestamp\":\"2025-03-31T04:59:59Z\",\"duration_sec\":61.5}\n{}\n",
    );
    write("j.tsv", "duration_sec\tuser_id\tsong_id\ttimestamp\n5\tu 9\ts7\t2025-03-31 23:00:00\n");
    let utf16: Vec<u8> = format!("\u{feff}{header}ü10,s8,2025-03-31 22:00:00,7\nbad\n")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(logs.join("k.csv"), utf16).unwrap();
    // Listeners with equal numbers of plays for several genres and moods.
    for file in 0..3 {
        let mut text = header.to_owned();
        for play in 0..400 {
            let (user, song) = (play * 7 % 23, play * 5 % 31 + file);
            let (day, hour) = (play % 28 + 1, play % 24);
            let (month, seconds) = (file + 2, play % 200);
            writeln!(text, "u{user},s{song},2025-0{month}-{day:02} {hour:02}:15:00,{seconds}.5").unwrap();
        }
        write(&format!("ties {file} ä.csv"), &text);
    }
    let mut songs = String::from("song_id,title,artist,genre,mood\n");
    for song in 0..30 {
        let mood = ["Sad", "HAPPY", "sAD", "Calm", "", "happy", "Énergie", "énergie"][song % 8];
        let genre = ["Pop", "Rock", "", "\"Jazz, \"\"cool\"\"\""][song % 4];
        writeln!(songs, "s{song},\"Title, {song}\",=artist{song},{genre},{mood}").unwrap();
    }
    songs += "\"s\"\"2\",quoted,,Rock,Sad\n,no id,,,\ns1,later,wins,Rock,Sad\nbad\n";
    fs::write(folder.join("songs.csv"), songs).unwrap();
}

/// The arguments of a `replay` into the folder `output`, followed by `more`.
fn arguments<'a>(output: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let common = ["replay", "logs", "--songs", "songs.csv", "--now", NOW, "--output", output];
    [&common, more].concat()
}

/// The contents of all published files, keyed by path. The time of publication is removed from the manifest.
fn files_of(output: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![output.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.path().strip_prefix(output).unwrap().to_str().unwrap().to_owned();
            if name == "_tables" || name == ".lock" {
                continue;
            }
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                files.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    let manifest = files.remove("_manifest.json").expect("the output has no manifest");
    let manifest = String::from_utf8(manifest).unwrap();
    let lines: Vec<&str> = manifest.lines().filter(|line| !line.contains("\"generated_at\"")).collect();
    files.insert("_manifest.json".to_owned(), lines.join("\n").into_bytes());
    files
}

#[track_caller]
fn assert_same(folder: &Path, expected: &str, found: &str, context: &str) {
    let (expected, found) = (files_of(&folder.join(expected)), files_of(&folder.join(found)));
    for name in expected.keys().chain(found.keys()) {
        let text = |files: &BTreeMap<String, Vec<u8>>| {
            files.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        assert!(
            expected.get(name) == found.get(name),
            "{context}: {name}\n--- expected\n{:?}\n--- found\n{:?}",
            text(&expected),
            text(&found)
        );
    }
}

/// Asserts that a command has succeeded. A failure shows the messages of all processes of the cluster.
#[track_caller]
fn assert_success(output: &Output, cluster: &TestCluster, context: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{context}: {stderr}\n{}", cluster.logs());
}

/// Runs `replay` twice with the same flags, without and with the cluster, and compares the outputs.
#[track_caller]
fn compare(cluster: &TestCluster, folder: &Path, more: &[&str]) {
    assert_exit(&run(folder, &arguments("expected", more)), 0);
    let flags = [more, &["--cluster", &cluster.address]].concat();
    let output = run(folder, &arguments("found", &flags));
    assert_success(&output, cluster, &format!("{more:?}"));
    assert_same(folder, "expected", "found", &format!("{more:?}"));
}

#[test]
fn the_commands_of_the_guide_start_a_cluster_and_compute_the_insights() {
    let Some(scheduler) = processes::scheduler_program() else { return };
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/how-to/run-on-a-cluster.md");
    let guide = fs::read_to_string(guide).unwrap();
    let block = guide.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    // A connection of another test may use a port of the guide for a moment.
    let is_free = |port: u16| TcpListener::bind(("0.0.0.0", port)).is_ok();
    wait_until("the ports of the guide are free", || {
        [50050, 50051, 50052, 50061, 50062].into_iter().all(is_free)
    });
    let mut running = Vec::new();
    let mut commands = 0;
    for line in block.lines() {
        // Fewer rows, because this build is slow.
        let line = line.replace("--rows 1000000", "--rows 20000");
        let words: Vec<&str> = line.split_whitespace().collect();
        let program = match words[0] {
            "ballista-scheduler" => scheduler.as_path(),
            "music-insights" => Path::new(processes::PROGRAM),
            _ => continue,
        };
        commands += 1;
        let mut command = Command::new(program);
        command
            .args(&words[1..])
            .current_dir(folder.path())
            .env("RUST_MIN_STACK", processes::STACK)
            .stdin(Stdio::null());
        if matches!(words[1], "generate" | "replay") {
            assert_exit(&command.output().unwrap(), 0);
        } else {
            let log = fs::File::create(folder.path().join(format!("{commands}.log"))).unwrap();
            running.push(Process(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()));
            std::thread::sleep(std::time::Duration::from_secs(2));
            assert!(running.last_mut().unwrap().0.try_wait().unwrap().is_none(), "`{line}` has ended early");
        }
    }
    assert_eq!(commands, 5);
    let output = folder.path().join("demo/output");
    for insight in music_insights::insights::NAMES {
        assert!(output.join(insight).join("part-00000.csv").exists(), "{insight}");
    }
}

#[test]
fn the_units_of_a_cluster_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd/cluster");
    let mut paths = Vec::new();
    for entry in fs::read_dir(units).unwrap().map(Result::unwrap) {
        // `systemd-analyze` requires that the programs exist.
        let unit = fs::read_to_string(entry.path()).unwrap();
        let unit = unit
            .replace("/usr/bin/music-insights", processes::PROGRAM)
            .replace("/usr/bin/ballista-scheduler", "/bin/sh");
        paths.push(folder.path().join(entry.file_name()));
        fs::write(paths.last().unwrap(), unit).unwrap();
    }
    assert_eq!(paths.len(), 4);
    let Ok(verified) = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&paths).output()
    else {
        eprintln!("skipped: systemd-analyze is missing");
        return;
    };
    assert!(
        verified.status.success() && verified.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
}

#[test]
fn a_cluster_equals_replay_for_difficult_inputs_and_all_settings() {
    let Some(cluster) = TestCluster::start(2, &[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    write_difficult_inputs(folder.path());
    let settings: [&[&str]; 9] = [
        &[],
        &[
            "--timezone",
            "Europe/Berlin",
            "--set",
            "insights.user_favorite_genres.ties=first",
            "--set",
            "insights.avg_listen_time_per_song.decimals=7",
            "--set",
            "insights.top_songs_this_week.week=2025-W13",
            "--set",
            "insights.happy_recommendations.per_user=7",
            "--set",
            "insights.happy_recommendations.dominant=true",
            "--set",
            "insights.genre_loyalty_scores.threshold=0.3",
            "--set",
            "insights.night_owl_users.from=22:00",
            "--set",
            "insights.night_owl_users.to=02:30",
            "--set",
            "insights.night_owl_users.min_plays=3",
        ],
        &[
            "--timezone",
            "America/St_Johns",
            "--format",
            "csv,parquet",
            "--set",
            "csv.escape_formulas=true",
            "--set",
            "insights.enriched_logs.roll_bytes=4KiB",
            "--set",
            "input.max_bad_lines=2",
            "--set",
            "insights.avg_listen_time_per_song.decimals=0",
            "--set",
            "insights.top_songs_this_week.limit=3",
            "--set",
            "insights.happy_recommendations.min_sad_plays=4",
            "--set",
            "insights.genre_loyalty_scores.decimals=9",
        ],
        // No score exceeds this threshold, so the table has a message instead of rows.
        &[
            "--set",
            "insights.genre_loyalty_scores.threshold=1",
            "--set",
            "insights.happy_recommendations.min_sad_share=0.25",
        ],
        &["--set", "insights.enriched_logs.enabled=false", "--set", "insights.night_owl_users.enabled=false"],
        &[
            "--set",
            "insights.top_songs_this_week.week=current",
            "--set",
            "insights.night_owl_users.min_plays=0",
        ],
        &["--set", "periods.month=all", "--set", "periods.day=3", "--format", "csv,parquet"],
        &[
            "--timezone",
            "Asia/Tokyo",
            "--set",
            "periods.week=40",
            "--set",
            "periods.year=all",
            "--set",
            "periods.latest=now",
            "--set",
            "periods.insights=top_songs_this_week,night_owl_users",
            "--from",
            "2025-02-03",
            "--to",
            "2025-10-26",
        ],
        &["--to", "2025-03-24"],
    ];
    for settings in settings {
        compare(&cluster, folder.path(), settings);
    }
    // A folder without logs.
    fs::remove_dir_all(folder.path().join("logs")).unwrap();
    fs::create_dir(folder.path().join("logs")).unwrap();
    compare(&cluster, folder.path(), &["--allow-empty"]);
}

#[test]
fn a_second_run_reads_only_new_logs() {
    let Some(cluster) = TestCluster::start(2, &[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    write_difficult_inputs(folder.path());
    let flags = ["--cluster", cluster.address.as_str(), "--set", "insights.enriched_logs.roll_bytes=8KiB"];
    // Asserts the number of rows that `replay` reads.
    let run_and_compare = |expected: &str| {
        assert_exit(&run(folder.path(), &arguments("expected", &flags[2..])), 0);
        let (out, _) = assert_exit(&run(folder.path(), &arguments("found", &flags)), 0);
        assert!(out.contains(&format!("read      {expected} rows ")), "not {expected} rows: {out}");
        assert_same(folder.path(), "expected", "found", expected);
    };
    let (summary, _) = assert_exit(&run(folder.path(), &arguments("expected", &flags[2..])), 0);
    let all = summary.split_whitespace().nth(1).unwrap();
    run_and_compare(all);
    // With nothing new, `replay` writes nothing.
    let written = || {
        let files = ["_manifest.json", "enriched_logs/part-00000.csv", "night_owl_users/part-00000.csv"];
        files.map(|file| fs::metadata(folder.path().join("found").join(file)).unwrap().modified().unwrap())
    };
    let before = written();
    run_and_compare("0");
    assert_eq!(written(), before);
    // A missing or shortened file is written again.
    fs::remove_file(folder.path().join("found/night_owl_users/part-00000.csv")).unwrap();
    run_and_compare("0");
    fs::write(folder.path().join("found/enriched_logs/part-00001.csv"), "short").unwrap();
    run_and_compare("0");
    let write_log = |name: &str, rows: &str| {
        let text = format!("user_id,song_id,timestamp,duration_sec\n{rows}");
        fs::write(folder.path().join("logs").join(name), text).unwrap();
    };
    // A log whose name sorts last keeps the full parts of `enriched_logs`.
    let before = written();
    write_log("zz.csv", "u3,s7,2025-04-01 01:00:00,5\n");
    run_and_compare("1");
    assert_eq!(written()[1], before[1]);
    // New logs sort before and between known ones.
    write_log("0.csv", "u1,s7,2025-04-01 01:00:00,5\nu1,nosong,2025-04-01 01:00:00,5\n");
    write_log("bb.csv", "u2,s7,2025-04-01 01:00:00,5\nbad\n");
    run_and_compare("4");
    // `replay` reads a changed log again, together with all logs that share its files.
    write_log("zz.csv", "u3,s8,2025-04-01 01:00:00,5\nu3,s9,2025-04-01 01:00:00,5\n");
    run_and_compare("2");
    // The sums do not depend on these settings. After their change, `replay` reads no log.
    let more = ["--set", "insights.top_songs_this_week.limit=2", "--format", "csv,parquet"];
    assert_exit(&run(folder.path(), &arguments("expected", &[&more, &flags[2..]].concat())), 0);
    let (out, _) = assert_exit(&run(folder.path(), &arguments("found", &[&more, &flags[..]].concat())), 0);
    assert!(out.contains("read      0 rows "), "{out}");
    assert_same(folder.path(), "expected", "found", "other settings");
    // The enriched rows depend on the catalog. After its change, `replay` reads all logs again.
    let songs = fs::read_to_string(folder.path().join("songs.csv")).unwrap();
    fs::write(folder.path().join("songs.csv"), songs.replace("Calm", "Sad") + "nosong,found,,Pop,Happy\n")
        .unwrap();
    compare(&cluster, folder.path(), &[]);
    compare(&cluster, folder.path(), &["--timezone", "Asia/Tokyo"]);
    // A removed log no longer counts.
    fs::remove_file(folder.path().join("logs/zz.csv")).unwrap();
    compare(&cluster, folder.path(), &["--timezone", "Asia/Tokyo"]);
}

#[test]
fn many_small_runs_add_up_their_sums() {
    let Some(cluster) = TestCluster::start(1, &[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    write_difficult_inputs(folder.path());
    let flags = ["--cluster", cluster.address.as_str()];
    for log in 0..17 {
        let rows =
            format!("u{log},s{log},2025-04-01 01:00:00,5\nu1,s1,2025-04-{:02} 23:00:00,5\nbad\n", log + 1);
        let text = format!("user_id,song_id,timestamp,duration_sec\n{rows}");
        fs::write(folder.path().join(format!("logs/new-{log}.csv")), text).unwrap();
        assert_success(&run(folder.path(), &arguments("found", &flags)), &cluster, "a small run");
    }
    assert_exit(&run(folder.path(), &arguments("expected", &[])), 0);
    assert_same(folder.path(), "expected", "found", "17 runs");
    let files = files_of_tables(&folder.path().join("found/_tables"));
    let sums = files.iter().filter(|file| file.ends_with("/sums")).count();
    assert_eq!(sums, 2, "{files:?}");
    compare(&cluster, folder.path(), &["--set", "insights.top_songs_this_week.week=2025-W14"]);
}

#[test]
fn ranges_of_a_large_log_make_the_same_output() {
    let Some(cluster) = TestCluster::start(2, &[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let generate =
        ["generate", "--out", ".", "--rows", "900000", "--users", "900", "--songs", "300", "--files", "1"];
    assert_exit(&run(folder.path(), &generate), 0);
    fs::rename(folder.path().join("incoming"), folder.path().join("logs")).unwrap();
    fs::rename(folder.path().join("songs_metadata.csv"), folder.path().join("songs.csv")).unwrap();
    // Bad rows in all ranges, and the last line has no line feed.
    let log = fs::read_dir(folder.path().join("logs")).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&log).unwrap();
    let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
    (1..rows.len()).step_by(90_001).for_each(|row| rows[row] += ",one field too many");
    let text = [&rows, &rows[1..]].concat().join("\r\n");
    assert!(text.len() > 64 << 20, "the log has only {} bytes", text.len());
    fs::write(&log, text).unwrap();
    compare(&cluster, folder.path(), &[]);
    let index = fs::read_to_string(folder.path().join("found/_tables/index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    assert!(index["sums"].as_array().unwrap().len() >= 2, "the log was not cut: {index}");
}

/// The paths of all files in the folder of the tables.
fn files_of_tables(tables: &Path) -> BTreeSet<String> {
    let (mut files, mut folders) = (BTreeSet::new(), vec![tables.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                files.insert(entry.path().to_str().unwrap().to_owned());
            }
        }
    }
    files
}
