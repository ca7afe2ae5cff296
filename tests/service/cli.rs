//! The command line: help, error messages with exit codes, and settings from every source.

use std::fs;
use std::process::Stdio;

use crate::daemon::{CATALOG_HEADER, LOG_HEADER, Place, stderr, stdout};

const SONGS: &str = "s1,One,A,Rock,Sad\n";
const PLAY: &str = "u1,s1,2025-03-21 01:09:00,150\n";

fn place() -> Place {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{PLAY}"));
    place
}

#[test]
fn help_shows_examples_and_all_flags() {
    let place = place();
    for (command, flags) in [
        (
            "replay",
            &["--songs", "--output", "--timezone", "--config", "--set", "--now", "--fresh", "[LOGS]..."][..],
        ),
        ("watch", &["--incoming", "--state", "--flush-interval", "--http", "--once", "--songs", "--set"]),
        (
            "generate",
            &["--rows", "--users", "--songs", "--seed", "--start", "--days", "--files", "--out", "--rate"],
        ),
        ("check", &["--songs", "--now"]),
        ("report", &["--html", "--svg", "--output", "--songs", "--config"]),
    ] {
        let help = stdout(&place.done(&[command, "--help"]));
        for flag in flags.iter().chain(&["Examples:"]) {
            assert!(help.contains(flag), "{command} --help lacks {flag}");
        }
        assert!(stdout(&place.done(&["--help"])).contains(command));
    }
    let version = stdout(&place.done(&["--version"]));
    assert_eq!(version.trim(), format!("music-insights {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_error_has_its_exit_code_and_says_what_is_wrong() {
    let place = place();
    place.write("bad.toml", "[insights.top_songs_this_week]\nlimit = 3\nlimt = 4\n");
    place.write("worse.toml", "songs = \n");
    place.write("no_columns.csv", "song_id,title\ns1,One\n");
    place.write("empty.csv", "");
    place.write("file", "");
    for (args, code, message) in [
        (&["bogus"][..], 64, "unrecognized subcommand 'bogus'"),
        (&["replay", "--bogus"], 64, "--bogus"),
        (&["replay", "--now", "yesterday"], 64, "expected a time such as"),
        (&["replay", "--set", "limit"], 64, "expected KEY=VALUE"),
        (&["replay", "logs/[.csv"], 64, "not a valid pattern"),
        (&["replay", "nowhere.csv"], 66, "nowhere.csv does not exist"),
        (&["replay", "logs-*.csv"], 66, "logs-*.csv matches no file"),
        (&["replay", "--songs", "nowhere.csv"], 66, "cannot read nowhere.csv"),
        (&["replay", "--songs", "/dev/zero"], 66, "/dev/zero is not a regular file"),
        (&["replay", "--songs", "data"], 66, "data is not a regular file"),
        (&["replay", "--songs", "no_columns.csv"], 65, "no_columns.csv:1: the header lacks `artist`"),
        (&["replay", "--songs", "empty.csv"], 65, "empty.csv:1:"),
        (&["watch", "--incoming", "nowhere"], 66, "nowhere does not exist; create it, or pass --incoming"),
        (&["replay", "--output", "file"], 73, "cannot create file"),
        (&["replay", "--output", "file/below"], 73, "cannot create file/below"),
        (&["replay", "--config", "nowhere.toml"], 66, "cannot read nowhere.toml"),
        (
            &["replay", "--config", "bad.toml"],
            78,
            "bad.toml:3: unknown setting `insights.top_songs_this_week.limt`",
        ),
        (&["replay", "--config", "bad.toml"], 78, "did you mean `insights.top_songs_this_week.limit`?"),
        (&["replay", "--config", "worse.toml"], 78, "worse.toml:1:"),
        (&["replay", "--timezone", "Mars"], 78, "--timezone: `Mars`: expected an IANA time zone"),
        (&["replay", "--threads", "0"], 78, "threads must be at least 1"),
        (&["replay", "--threads", "18446744073709551615"], 78, "threads must be at least 1 and at most 1024"),
        (&["watch", "--output", "data/incoming/out"], 78, "output must not be inside incoming"),
        (&["watch", "--state", "output"], 78, "state must not be inside output"),
        (&["replay", "--set", "insights.top_songs_this_week.week=-001-W01"], 78, "ISO-8601 week"),
        (
            &["replay", "--set", "insights.genre_loyalty_scores.threshold=1.5"],
            78,
            "expected a decimal from 0 to 1",
        ),
        (&["replay", "--set", "insights.nonsense.limit=1"], 78, "unknown setting `insights.nonsense`"),
        (&["replay", "--set", "insights.happy_recommendations.min_sad_plays=0"], 78, "must be at least 1"),
        (&["replay", "--set", "insights.night_owl_users.to=00:00"], 78, "`from` and `to` must differ"),
        (
            &["watch", "--flush-interval", "soon"],
            78,
            "--flush-interval: `soon`: expected a number with a unit",
        ),
        (&["watch", "--http", "here"], 78, "--http: `here`: expected `off` or an address"),
        (&["generate", "--rows", "0"], 64, "--rows"),
    ] {
        let output = place.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{args:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{args:?}: stdout is not empty after an error");
    }
    assert!(!place.path("output/night_owl_users/part-00000.csv").exists());
}

#[test]
fn settings_come_from_flags_then_environment_then_file() {
    let place = place();
    let top = |args: &[&str], environment: Option<&str>| {
        let mut command = place.command(&[&["replay"], args].concat());
        command.envs(environment.map(|value| ("MUSIC_INSIGHTS_INSIGHTS__NIGHT_OWL_USERS__FROM", value)));
        assert!(command.output().unwrap().status.success());
        place.read("output/night_owl_users/part-00000.csv").lines().count() - 1
    };
    assert_eq!(top(&[], None), 1, "the default night is from 00:00 to 05:00");
    place.write("music-insights.toml", "[insights.night_owl_users]\nfrom = \"02:00\"\n");
    assert_eq!(top(&[], None), 0);
    assert_eq!(top(&[], Some("01:00")), 1);
    assert_eq!(top(&["--set", "insights.night_owl_users.from='02:00'"], Some("01:00")), 0);
}

#[test]
fn the_summary_counts_everything() {
    let place = place();
    place.write(
        "data/incoming/b.csv",
        &format!("{LOG_HEADER}{PLAY}u1,s9,2025-03-21 01:09:00,1\nx\ny\n,s1,,\n"),
    );
    // A log with only a header is valid.
    place.write("data/incoming/c.csv", LOG_HEADER);
    let output = stdout(&place.done(&["replay"]));
    for part in [
        "read      6 rows",
        "from 3 files",
        "rows/s",
        "plays     3\n",
        "unmatched 1 plays of songs that are not in the catalog",
        "rejected  3 rows: empty_field 1, field_count 2",
        "written   9 files",
        "to output",
        "enriched_logs              2 rows",
    ] {
        assert!(output.contains(part), "{part:?} is missing in\n{output}");
    }
    let manifest = place.manifest("output").unwrap();
    assert_eq!(manifest["totals"]["rows"], 6);
    assert_eq!(manifest["totals"]["unmatched"], 1);
    assert_eq!(manifest["unfinished"].as_array().unwrap().len(), 0);
}

#[test]
fn check_shows_what_would_be_rejected_and_writes_nothing() {
    let place = place();
    place.write("data/incoming/b.csv", &format!("{LOG_HEADER}u1,\u{1b}[31ms1,yesterday,1\n"));
    place.write("data/songs_metadata.csv", &format!("{CATALOG_HEADER}{SONGS},x,,,\n"));
    let before = place.files(".");
    let output = stdout(&place.done(&["check"]));
    assert!(output.contains("logs      2 files, 2 rows"), "{output}");
    assert!(
        output.contains("data/incoming/b.csv:2: bad_timestamp: u1,\\u{1b}[31ms1,yesterday,1"),
        "{output}"
    );
    assert!(output.contains("data/songs_metadata.csv:3: empty_field: ,x,,,"), "{output}");
    assert_eq!(place.files("."), before);
}

#[test]
fn replay_reads_each_log_once_in_the_order_of_paths() {
    let place = place();
    place.write("data/incoming/b.csv", &format!("{LOG_HEADER}u2,s1,2025-03-21 01:09:00,2\n"));
    place.done(&[
        "replay",
        "data/incoming/b.csv",
        "data/incoming",
        "data/incoming/*.csv",
        "./data/incoming/a.csv",
    ]);
    let enriched = place.read("output/enriched_logs/part-00000.csv");
    let users: Vec<&str> = enriched.lines().skip(1).filter_map(|row| row.split(',').nth(1)).collect();
    assert_eq!(users, ["u1", "u2"]);
}

#[test]
fn a_disabled_insight_is_removed() {
    let place = place();
    place.done(&["replay"]);
    assert!(place.path("output/enriched_logs/part-00000.csv").exists());
    place.done(&[
        "replay",
        "--set",
        "insights.enriched_logs.enabled=false",
        "--set",
        "insights.night_owl_users.enabled=false",
    ]);
    assert!(!place.path("output/enriched_logs").exists() && !place.path("output/night_owl_users").exists());
    assert!(place.manifest("output").unwrap()["insights"].get("enriched_logs").is_none());
}

#[test]
fn the_rest_of_a_file_with_too_many_bad_lines_is_rejected() {
    let place = place();
    let text = format!("{LOG_HEADER}{PLAY}x\n{PLAY}y\n{PLAY}z\n");
    place.write("data/incoming/a.csv", &text);
    place.done(&["replay", "--set", "input.max_bad_lines=2"]);
    assert_eq!(
        place.read("output/_rejects/part-00000.csv"),
        "file,line,byte_offset,reason,raw\n\
         data/incoming/a.csv,3,69,field_count,x\n\
         data/incoming/a.csv,5,101,field_count,y\n\
         data/incoming/a.csv,5,101,too_many_bad_lines,y\n"
    );
    assert_eq!(place.read("output/enriched_logs/part-00000.csv").lines().count(), 3);
}

#[test]
fn a_failed_replay_keeps_the_previous_output() {
    let place = place();
    place.done(&["replay"]);
    let before = place.files("output");
    // This file can be opened, but never read.
    let failed = place.run(&["replay", "data/incoming/a.csv", "/proc/self/mem"]);
    assert_eq!(failed.status.code(), Some(74), "{}", stderr(&failed));
    assert!(stderr(&failed).contains("cannot read /proc/self/mem"), "{}", stderr(&failed));
    assert_eq!(place.files("output"), before);
}

#[test]
fn a_broken_manifest_is_an_error_except_with_fresh() {
    let place = place();
    place.done(&["replay"]);
    place.write("output/_manifest.json", "{ \"version\": ");
    let failed = place.run(&["replay"]);
    assert_eq!(failed.status.code(), Some(65), "{}", stderr(&failed));
    assert!(stderr(&failed).contains("output/_manifest.json: not a valid manifest"), "{}", stderr(&failed));
    place.done(&["replay", "--fresh"]);
    assert_eq!(place.manifest("output").unwrap()["totals"]["rows"], 1);
}

#[test]
fn a_closed_pipe_for_the_summary_is_no_bug() {
    let place = place();
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    for args in [&["replay"][..], &["check"], &["generate", "--out", "made"]] {
        let status = place.command(args).stdout(full()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(74), "{args:?}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert!(place.command(args).stdout(writer).status().unwrap().success(), "{args:?}");
    }
}

#[test]
fn names_with_line_feeds_are_escaped_and_hidden_files_are_ignored() {
    let place = place();
    place.write("data/incoming/b\nc.csv", &format!("{LOG_HEADER}x\n"));
    place.write("data/incoming/.hidden.csv", &format!("{LOG_HEADER}x\n"));
    place.write("data/incoming/a.csv.part", &format!("{LOG_HEADER}x\n"));
    place.done(&["replay", "data/incoming/*"]);
    let rejects = place.read("output/_rejects/part-00000.csv");
    // Files that a pattern matches are always read, but a pattern matches hidden files only if it names the dot.
    let expected =
        ["data/incoming/a.csv.part,2,39,field_count,x", r"data/incoming/b\x0ac.csv,2,39,field_count,x"];
    assert_eq!(rejects.lines().skip(1).collect::<Vec<_>>(), expected);
    assert_eq!(place.manifest("output").unwrap()["rejects"]["rows"], 2);
}
