//! Nothing is dropped silently: runs without logs, runs without an accepted row, and the reports about them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Output, Stdio};

use crate::client::get;
use crate::daemon::{CATALOG_HEADER, LOG_HEADER, Place, SONGS, play, stderr, stdout};

const DATA: i32 = 65;
const NO_INPUT: i32 = 66;

/// A place whose output was published by a `replay` of one good log.
fn published() -> (Place, BTreeMap<String, String>) {
    let place = Place::new(SONGS);
    place.write("data/incoming/good.csv", &format!("{LOG_HEADER}{}{}", play(1, 1, 3), play(2, 2, 9)));
    place.done(&["replay"]);
    let files = place.files("output");
    assert!(files["night_owl_users/part-00000.csv"].contains("u1"));
    (place, files)
}

/// A log of which every row is rejected: the dates have slashes.
fn slashes() -> String {
    format!(
        "{LOG_HEADER}kim,s1,4/28/2025 07:15 PM,61\nlee,s2,4/29/2025 08:20 AM,62\nlee,,4/29/2025 08:20 AM,62\n"
    )
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn run_with_stdin(place: &Place, args: &[&str], bytes: &[u8]) -> Output {
    let mut child = place
        .command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A run that fails early closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(bytes);
    child.wait_with_output().unwrap()
}

#[test]
fn an_argument_that_names_no_log_leaves_the_output_as_it_is() {
    let (place, before) = published();
    std::fs::create_dir(place.path("others")).unwrap();
    place.write("others/notes.text", "not a log\n");
    for args in [&["others"][..], &["others/*.csv"], &["data/incoming", "others"], &["others", "nowhere.csv"]]
    {
        for command in ["replay", "check"] {
            let output = place.run(&[&[command], args].concat());
            assert_eq!(code(&output), Some(NO_INPUT), "{command} {args:?}: {}", stderr(&output));
            assert!(stderr(&output).contains("others"), "{}", stderr(&output));
            assert!(stderr(&output).contains("--allow-empty"), "{}", stderr(&output));
        }
    }
    assert_eq!(place.files("output"), before);

    // The files that are skipped because of their names are named.
    let output = place.run(&["check", "others"]);
    assert!(stderr(&output).contains("notes.text"), "{}", stderr(&output));

    // A file that does not exist is always an error.
    let output = place.run(&["replay", "nowhere.csv", "--allow-empty"]);
    assert_eq!(code(&output), Some(NO_INPUT));
    place.done(&["check", "others", "--allow-empty"]);
    assert_eq!(place.files("output"), before);
    place.done(&["replay", "others", "--allow-empty"]);
    assert_eq!(place.read("output/night_owl_users/part-00000.csv"), "user_id\n");
    place.done(&["verify", "others"]);
}

#[test]
fn an_empty_stdin_leaves_the_output_as_it_is() {
    let (place, before) = published();
    let nothing = zstd::encode_all(&b""[..], 1).unwrap();
    for bytes in [&b""[..], &nothing] {
        for args in [&["replay", "-"][..], &["check", "-"], &["replay", "data/incoming", "-"]] {
            let output = run_with_stdin(&place, args, bytes);
            assert_eq!(code(&output), Some(NO_INPUT), "{args:?}: {}", stderr(&output));
            assert!(stderr(&output).contains("stdin is empty"), "{}", stderr(&output));
        }
    }
    assert_eq!(place.files("output"), before);
    let output = run_with_stdin(&place, &["replay", "-", "--allow-empty"], b"");
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert_eq!(place.read("output/night_owl_users/part-00000.csv"), "user_id\n");
    // A header is a byte, and there is no row that could be rejected.
    let output = run_with_stdin(&place, &["replay", "-"], LOG_HEADER.as_bytes());
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
}

#[test]
fn a_replay_that_is_stopped_before_the_first_row_publishes_nothing() {
    let (place, before) = published();
    let mut child = place
        .command(&["replay", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    // The 15th bit of the mask stands for SIGTERM.
    let catches_sigterm = || {
        let status = std::fs::read_to_string(&status).ok()?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?.trim().to_owned();
        (u64::from_str_radix(&mask, 16).ok()? >> 14 & 1 == 1).then_some(())
    };
    place.wait_for("the signal handler", catches_sigterm);
    let killed = std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(killed.success());
    // The program writes this message after it has noted the signal.
    let mut messages = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("stopping") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut messages, &mut line).unwrap() > 0);
    }
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(74));
    assert_eq!(place.files("output"), before);
}

#[test]
fn a_run_without_an_accepted_row_fails_and_names_the_setting() {
    let (place, before) = published();
    std::fs::remove_file(place.path("data/incoming/good.csv")).unwrap();
    place.write("data/incoming/export.csv", &slashes());
    let expect = |output: &Output, label: &str| {
        assert_eq!(code(output), Some(DATA), "{}", stderr(output));
        let text = stderr(output);
        let example = format!(
            "most often (2 rows) as bad_timestamp, for example {label}:2: kim,s1,4/28/2025 07:15 PM,61"
        );
        assert!(text.contains("no row was accepted"), "{text}");
        assert!(text.contains(&example), "{text}");
        assert!(text.contains("input.timestamp = \"%m/%d/%Y %I:%M %p\""), "{text}");
    };
    let output = place.run(&["replay"]);
    expect(&output, "data/incoming/export.csv");
    assert_eq!(stdout(&output), "", "nothing was published, so there is no summary");
    assert_eq!(place.files("output"), before);
    expect(&place.run(&["replay", "--output", "new"]), "data/incoming/export.csv");
    assert!(place.files("new").is_empty(), "{:?}", place.files("new"));
    expect(&place.run(&["check"]), "data/incoming/export.csv");
    let output = run_with_stdin(&place, &["replay", "-"], slashes().as_bytes());
    expect(&output, "-");
    assert_eq!(place.files("output"), before);

    // `watch` has committed and published first.
    let output = place.run(&["watch", "--once", "--output", "live"]);
    assert_eq!(code(&output), Some(DATA), "{}", stderr(&output));
    assert!(stderr(&output).contains("as bad_timestamp, for example"), "{}", stderr(&output));
    assert!(stdout(&output).contains("rejected  3 rows"), "{}", stdout(&output));
    assert_eq!(place.read("live/_rejects/part-00000.csv").lines().count(), 4);
    // The next run reads no row.
    place.done(&["watch", "--once", "--output", "live"]);
    // With the setting from the message, the rows are read.
    place.done(&["replay", "--set", "input.timestamp=%m/%d/%Y %I:%M %p", "--output", "new"]);
    assert!(place.read("new/enriched_logs/part-00000.csv").contains("2025-04-28T19:15:00Z"));
}

#[test]
fn watch_once_without_logs_succeeds() {
    let place = Place::new(SONGS);
    place.done(&["watch", "--once"]);
    place.done(&["watch", "--once", "--strict"]);
}

#[test]
fn with_strict_each_reject_of_a_log_or_of_the_catalog_is_an_error() {
    let (place, _) = published();
    let strict: [&[&str]; 2] = [&["replay", "--strict"], &["check", "--strict"]];
    for args in strict {
        place.done(args);
    }
    let before = place.files("output");
    // A file that is no log does not matter among others, but it does with `--strict`.
    place.write("data/incoming/notes.csv", "{\"who\":\"kim\"}\n");
    place.done(&["replay", "--output", "lenient"]);
    place.done(&["check"]);
    for args in strict {
        let output = place.run(args);
        assert_eq!(code(&output), Some(DATA), "{args:?}");
        let text = stderr(&output);
        assert!(
            text.contains("--strict allows no rejects") && text.contains("data/incoming/notes.csv:1:"),
            "{text}"
        );
        assert!(text.contains("input.format = \"jsonl\""), "{text}");
    }
    assert_eq!(place.files("output"), before);
    let output = place.run(&["watch", "--once", "--strict", "--output", "live"]);
    assert_eq!(code(&output), Some(DATA));
    assert_eq!(place.manifest("live").unwrap()["totals"]["rows"], 3);
    std::fs::remove_file(place.path("data/incoming/notes.csv")).unwrap();

    place.write("data/songs_metadata.csv", &format!("{CATALOG_HEADER}{SONGS}s3,Three,C\n"));
    for args in strict {
        let output = place.run(args);
        assert_eq!(code(&output), Some(DATA), "{args:?}");
        assert!(stderr(&output).contains("songs_metadata.csv:4: s3,Three,C"), "{}", stderr(&output));
    }
    assert_eq!(place.files("output"), before);
    // Every run reads the catalog, so its rejects count even if no log is new.
    let output = place.run(&["watch", "--once", "--strict", "--output", "live"]);
    assert_eq!(code(&output), Some(DATA), "{}", stderr(&output));
    assert_eq!(code(&place.run(&["watch", "--strict"])), Some(64));
}

#[test]
fn watch_warns_of_rejected_rows_while_it_runs() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    place.write("data/incoming/export.csv", &format!("{}{}", slashes(), play(1, 1, 3)));
    place.wait_for_rows(4);
    let text = stderr(&daemon.stop());
    let warning = "warning: export.csv: 2 rows rejected as bad_timestamp, such as line 2: \
                   kim,s1,4/28/2025 07:15 PM,61; set input.timestamp = \"%m/%d/%Y %I:%M %p\"";
    assert!(text.contains(warning), "{text}");
    assert!(
        text.contains("warning: export.csv: 1 row rejected as empty_field, such as line 4: lee,,"),
        "{text}"
    );
}

#[test]
fn status_and_metrics_show_inputs_that_cannot_be_read_until_they_are_replaced() {
    let place = Place::new(SONGS);
    place.write("data/incoming/names.csv", "user_id,track_id,played_at\nkim,s1,2025-03-21 01:09:00\n");
    place.write("data/incoming/fine.csv", &format!("{LOG_HEADER}{}", play(1, 1, 3)));
    let refused = |page: &str| {
        let status = get(page, "/api/v1/status").json();
        let metrics = String::from_utf8(get(page, "/metrics").body).unwrap();
        let metric = metrics.lines().find_map(|line| line.strip_prefix("music_insights_inputs_refused "));
        assert_eq!(metric.unwrap(), status["inputs_refused"].to_string());
        status["refused"].as_array().cloned().unwrap_or_default()
    };
    for _ in 0..2 {
        let (daemon, page) = place.watch_with_page("127.0.0.1:0", &[]);
        place.wait_for("the epoch", || {
            (get(&page, "/api/v1/status").json()["totals"]["rows"] == 2).then_some(())
        });
        let found = refused(&page);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0]["path"], "names.csv");
        assert_eq!(found[0]["reason"], "missing_column");
        let detail = found[0]["detail"].as_str().unwrap();
        assert!(detail.contains("input.columns.song_id = \"track_id\""), "{detail}");
        daemon.stop();
    }
    place.write("data/incoming/names.csv", &format!("{LOG_HEADER}{}", play(2, 1, 4)));
    let (_daemon, page) = place.watch_with_page("127.0.0.1:0", &[]);
    place.wait_for("the repaired file", || {
        (get(&page, "/api/v1/status").json()["totals"]["rows"] == 3).then_some(())
    });
    assert!(refused(&page).is_empty());
}

#[test]
fn a_catalog_that_loses_all_its_songs_stays_in_force() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{}", play(1, 1, 3)));
    let (daemon, page) = place.watch_with_page("127.0.0.1:0", &[]);
    place.wait_for_text("user_favorite_genres", "user_id,genre,play_count\nu1,Rock,1\n");
    place.write("data/songs_metadata.csv", CATALOG_HEADER);
    place.wait_for("the empty catalog", || {
        (get(&page, "/api/v1/status").json()["catalog"]["broken"] == true).then_some(())
    });
    place.append("data/incoming/a.csv", &play(1, 1, 4));
    place.wait_for_text("user_favorite_genres", "user_id,genre,play_count\nu1,Rock,2\n");
    daemon.stop();

    // A start must not lose the songs either.
    let files = place.files("output");
    let output = place.run(&["watch", "--once"]);
    assert_eq!(code(&output), Some(DATA), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(text.contains("data/songs_metadata.csv: the catalog has lost all its songs"), "{text}");
    assert!(text.contains("--allow-empty"), "{text}");
    assert_eq!(place.files("output"), files);
    place.done(&["watch", "--once", "--allow-empty"]);
    assert_eq!(place.read("output/user_favorite_genres/part-00000.csv"), "user_id,genre,play_count\n");
    // The loss is accepted now.
    place.done(&["watch", "--once"]);

    // A running watch accepts it with the flag.
    place.write("data/songs_metadata.csv", &format!("{CATALOG_HEADER}{SONGS}"));
    let daemon = place.watch(&["--allow-empty"]);
    place.wait_for_text("user_favorite_genres", "user_id,genre,play_count\nu1,Rock,2\n");
    place.write("data/songs_metadata.csv", CATALOG_HEADER);
    place.wait_for_text("user_favorite_genres", "user_id,genre,play_count\n");
    daemon.stop();
}

#[test]
fn a_broken_catalog_is_damaged_data_and_a_missing_one_is_missing_input() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{}", play(1, 1, 3)));
    place.write("tabs.csv", "song_id\ttitle\tartist\tgenre\tmood\ns1\tOne\tA\tRock\tSad\n");
    for command in [&["replay"][..], &["check"], &["watch", "--once"]] {
        let run = |songs: &str| place.run(&[command, &["--songs", songs]].concat());
        let output = run("tabs.csv");
        assert_eq!(code(&output), Some(DATA), "{command:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("set catalog.delimiter = \"tab\""), "{}", stderr(&output));
        assert_eq!(code(&run("nowhere.csv")), Some(NO_INPUT), "{command:?}");
    }
    place.done(&["replay", "--songs", "tabs.csv", "--set", "catalog.delimiter=tab"]);
}

#[test]
fn a_delimiter_hint_does_not_break_the_catalog() {
    let place = Place::new(SONGS);
    let tabs = |text: String| text.replace(',', "\t");
    place.write("data/incoming/a.csv", &tabs(format!("{LOG_HEADER}{}", play(1, 1, 3))));
    let output = place.run(&["replay"]);
    assert_eq!(code(&output), Some(DATA));
    assert!(stderr(&output).contains("set input.delimiter = \"tab\""), "{}", stderr(&output));
    assert!(stderr(&output).contains("set catalog.delimiter, too"), "{}", stderr(&output));
    let output = place.run(&["replay", "--set", "input.delimiter=tab"]);
    assert!(stderr(&output).contains("set catalog.delimiter = \",\""), "{}", stderr(&output));
    assert!(!stderr(&output).contains("input.delimiter"), "{}", stderr(&output));
    place.done(&["replay", "--set", "input.delimiter=tab", "--set", "catalog.delimiter=,"]);
}

#[test]
fn one_warning_asks_about_the_clock_if_most_rows_are_in_the_future() {
    let place = Place::new(SONGS);
    let late = |user: &str| format!("{user},s1,2025-06-01 12:00:00,60\n");
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{}{}", late("kim"), late("lee")));
    place.write("data/incoming/b.csv", &format!("{LOG_HEADER}{}{}", play(1, 1, 3), play(1, 1, 4)));
    let question = "data/incoming/a.csv: most rows are in the future: is the clock right? the current time \
                    is 2025-03-30T00:00:00Z, and input.max_future is 48h";
    for command in ["replay", "check"] {
        let text = stderr(&place.done(&[command, "--now", "2025-03-30T00:00:00Z"]));
        assert_eq!(text.matches("is the clock right?").count(), 1, "{text}");
        assert!(text.contains(question), "{text}");
        let text = stderr(&place.done(&[command]));
        assert!(!text.contains("clock"), "{text}");
    }
    // The clock of `watch` cannot be set, so its rows are in the next century.
    let far = |text: String| text.replace("2025-", "2190-");
    place.write("data/incoming/c.csv", &far(format!("{LOG_HEADER}{}{}", late("kim"), late("lee"))));
    let text = stderr(&place.done(&["watch", "--once", "--output", "live"]));
    assert_eq!(text.matches("is the clock right?").count(), 1, "{text}");
    assert!(text.contains("c.csv: most rows are in the future"), "{text}");
}

#[test]
fn check_suggests_settings_that_it_has_tried() {
    let place = Place::new(SONGS);
    place.write(
        "export.csv",
        "Who|Track Id|Played At|Seconds\nkim|s1|2025-03-21 01:09:00|61\nlee|s2|2025-03-21 02:09:00|62\n",
    );
    let output = place.run(&["check", "export.csv"]);
    assert_eq!(code(&output), Some(DATA));
    let text = stdout(&output);
    assert!(
        text.contains("export.csv: cannot be read as a log; it begins with\n  | Who|Track Id|Played At"),
        "{text}"
    );
    assert!(text.contains("2 of its first 2 rows are accepted"), "{text}");
    let (_, block) = text.split_once("[input]\n").unwrap();
    // The block is pasted as it is.
    place.write("music-insights.toml", &format!("[input]\n{block}"));
    place.done(&["check", "export.csv", "--strict"]);
    place.done(&["replay", "export.csv"]);
    assert_eq!(
        place.read("output/user_favorite_genres/part-00000.csv"),
        "user_id,genre,play_count\nkim,Rock,1\nlee,Pop,1\n"
    );
}
