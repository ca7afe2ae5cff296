//! `--from` and `--to`: only plays in the range count, for `replay`, `check` and `verify`.

use std::fs;
use std::io::Write;

use crate::daemon::{LOG_HEADER, Place, SONGS, stderr, stdout};

/// Rows with their local dates in `Europe/Berlin`. The clocks go forward on 2025-03-30 and back on 2025-10-26.
const ROWS: [(&str, &str); 11] = [
    ("2025-03-29", "u1,s1,2025-03-29 23:59:59.999,10\n"),
    ("2025-03-30", "u1,s1,2025-03-30 00:00,11\n"),
    ("2025-03-30", "u2,unknown,2025-03-29T23:30:00Z,12\n"),
    ("2025-03-31", "u2,s2,2025-03-30T22:00:00Z,13\n"),
    ("", "u2,s2,2025-03-30 02:30:00,14\n"),
    ("2025-10-25", "u3,s1,2025-10-25T21:59:59Z,15\n"),
    ("2025-10-26", "u3,s2,2025-10-25T22:00:00Z,16\n"),
    ("", "bad\n"),
    ("2025-10-26", "u4,s2,2025-10-26T22:59:59Z,17\n"),
    ("2025-10-27", "u4,unknown,2025-10-26T23:00:00Z,18\n"),
    ("2025-10-27", "u4,s1,2025-10-27 00:00:00,19\n"),
];
const BERLIN: [&str; 2] = ["--timezone", "Europe/Berlin"];

/// The rows for which `keep` holds. Rows without a date are rejected.
fn log(keep: impl Fn(&str) -> bool) -> String {
    let rows = ROWS.iter().filter(|(date, _)| date.is_empty() || keep(date));
    LOG_HEADER.to_owned() + &rows.map(|(_, row)| *row).collect::<String>()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// The tables of a folder. `_rejects` is left out, because it contains the numbers of lines.
fn tables(place: &Place, output: &str) -> Vec<(String, String)> {
    place.files(output).into_iter().filter(|(name, _)| !name.starts_with('_')).collect()
}

fn code(place: &Place, args: &[&str]) -> (Option<i32>, String) {
    let output = place.run(args);
    (output.status.code(), stderr(&output))
}

#[test]
fn a_range_gives_the_output_of_the_plays_in_it() {
    let place = Place::new(SONGS);
    fs::write(place.path("data/incoming/a.csv.gz"), gzip(&log(|_| true))).unwrap();
    let ranges = [
        (Some("2025-03-30"), Some("2025-03-30")),
        (Some("2025-03-30"), None),
        (None, Some("2025-10-26")),
        (Some("2025-10-26"), Some("2025-10-26")),
        (Some("2025-10-27"), Some("9999-12-31")),
        (Some("2025-01-01"), Some("2025-12-31")),
    ];
    for (from, to) in ranges {
        let is_inside = |date: &str| from.is_none_or(|from| from <= date) && to.is_none_or(|to| date <= to);
        let flags: Vec<&str> = [("--from", from), ("--to", to)]
            .into_iter()
            .filter_map(|(flag, date)| Some([flag, date?]))
            .flatten()
            .collect();
        let range = flags.join(" ");
        let replayed = place.done(&[&["replay"], &flags[..], &BERLIN].concat());
        place.write("filtered.csv", &log(is_inside));
        place.done(&[&["replay", "filtered.csv", "--output", "expected"], &BERLIN[..]].concat());
        assert_eq!(tables(&place, "output"), tables(&place, "expected"), "{range}");

        let dates = ROWS.iter().map(|(date, _)| *date).filter(|date| !date.is_empty());
        let outside = dates.filter(|date| !is_inside(date)).count();
        let (manifest, expected) = (place.manifest("output").unwrap(), place.manifest("expected").unwrap());
        assert_eq!((manifest["from"].as_str(), manifest["to"].as_str()), (from, to));
        assert_eq!(manifest["totals"]["outside"], outside, "{range}");
        assert_eq!(manifest["totals"]["rows"], ROWS.len(), "{range}");
        for field in ["rejected", "unmatched"] {
            assert_eq!(manifest["totals"][field], expected["totals"][field], "{range}");
        }
        let line = format!("outside   {outside} plays outside {range}\n");
        assert!(stdout(&replayed).contains(&line), "{}", stdout(&replayed));
        let checked = stdout(&place.done(&[&["check"], &flags[..], &BERLIN].concat()));
        assert!(checked.contains(&line) && checked.contains("1 files, 11 rows"), "{checked}");
        let verified = stdout(&place.done(&[&["verify"], &BERLIN[..]].concat()));
        assert!(verified.contains(&format!("{outside} plays are outside {range}\n")), "{verified}");
    }
}

#[test]
fn without_a_range_nothing_mentions_it() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &log(|_| true));
    for output in [place.done(&["replay"]), place.done(&["check"]), place.done(&["verify"])] {
        assert!(!stdout(&output).contains("outside"), "{}", stdout(&output));
    }
    place.done(&["report"]);
    assert!(!place.read("report.html").contains("outside the dates"));
    let manifest = place.read("output/_manifest.json");
    for field in ["outside", "\"from\"", "\"to\""] {
        assert!(!manifest.contains(field), "{manifest}");
    }
}

#[test]
fn if_all_plays_are_outside_the_output_stays() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &log(|_| true));
    place.done(&["replay"]);
    let before = place.files("output");
    let range = ["--from", "2025-04-01", "--to", "2025-04-30"];
    for command in ["replay", "check"] {
        let (exit, message) = code(&place, &[&[command], &range[..], &BERLIN].concat());
        assert_eq!(exit, Some(66), "{message}");
        let what = "the logs have 9 plays from 2025-03-29 to 2025-10-27; correct the dates";
        assert!(message.contains("all plays are outside --from 2025-04-01 --to 2025-04-30"), "{message}");
        assert!(message.contains(what), "{message}");
        assert_eq!(message.contains("nothing was published"), command == "replay", "{message}");
        let (exit, message) = code(&place, &[&[command, "--strict"], &range[..]].concat());
        assert_eq!(exit, Some(65), "{message}");
        assert_eq!(place.files("output"), before);
    }
    place.done(&[&["check", "--allow-empty"], &range[..]].concat());
    place.done(&[&["replay", "--allow-empty"], &range[..]].concat());
    assert_eq!(place.read("output/night_owl_users/part-00000.csv"), "user_id\n");
    assert_eq!(place.read("output/_rejects/part-00000.csv").lines().count(), 2);
    place.done(&["verify"]);
}

#[test]
fn a_file_whose_rows_are_all_outside_counts_as_read() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &log(|date| date < "2025-04-01"));
    place.write(
        "data/incoming/b.jsonl",
        "{\"user_id\":\"u1\",\"song_id\":\"s1\",\"timestamp\":\"2025-04-02 01:00\",\"duration_sec\":5}\n",
    );
    let checked = stdout(&place.done(&["check", "--from", "2025-04-02"]));
    assert!(
        !checked.contains("cannot be read"),
        "no settings are suggested for a log that was read: {checked}"
    );
    place.done(&["replay", "--from", "2025-04-02"]);
    let manifest = place.manifest("output").unwrap();
    assert_eq!(manifest["totals"]["inputs"], 2);
    assert_eq!(
        place.read("output/avg_listen_time_per_song/part-00000.csv"),
        "song_id,avg_duration\ns1,5.0\n"
    );
}

#[test]
fn a_limit_of_bad_lines_ends_the_count_too() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &log(|_| true));
    place.done(&["replay", "--from", "2025-03-30", "--to", "2025-10-25", "--set", "input.max_bad_lines=1"]);
    let totals = &place.manifest("output").unwrap()["totals"];
    // In UTC, two of the seven plays before `bad` are on 2025-03-29. The reject and its note are rows, too.
    assert_eq!((&totals["outside"], &totals["rows"]), (&2.into(), &9.into()));
}

#[test]
fn dates_that_make_no_sense_are_usage_errors() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &log(|_| true));
    for command in ["replay", "check"] {
        let (exit, message) = code(&place, &[command, "--from", "2025-04-01", "--to", "2025-03-31"]);
        assert_eq!(exit, Some(64), "{message}");
        assert!(message.contains("--from 2025-04-01 --to 2025-03-31: the first date is after"), "{message}");
        for date in ["2025-02-29", "2025-3-1", "yesterday", "2025-03-01T00:00:00Z", ""] {
            let (exit, message) = code(&place, &[command, "--to", date]);
            assert_eq!(exit, Some(64), "{date}: {message}");
            assert!(message.contains("expected a date such as 2025-03-21"), "{message}");
        }
    }
    let commands: [&[&str]; 3] = [&["watch", "--once", "--http", "off"], &["generate"], &["verify"]];
    for command in commands {
        let (exit, message) = code(&place, &[command, &["--from", "2025-03-01"]].concat());
        assert_eq!(exit, Some(64), "{command:?}: {message}");
        assert!(message.contains("--from"), "{message}");
    }
}

#[test]
fn verify_takes_the_range_from_the_manifest() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &log(|_| true));
    place.done(&["replay", "--from", "2025-03-30", "--to", "2025-10-26"]);
    place.done(&["verify"]);
    place.done(&["report"]);
    let page = place.read("report.html");
    assert!(page.contains("<dt>Plays</dt><dd>7</dd>"), "{page}");
    let figure =
        "<dt>Plays outside the dates</dt><dd>3 <small>--from 2025-03-30 --to 2025-10-26</small></dd>";
    assert!(page.contains(figure), "{page}");
    let manifest = place.read("output/_manifest.json");
    let changes = [
        (
            "\"to\": \"2025-10-26\"",
            "\"to\": \"2025-10-25\"",
            "enriched_logs: not in the inputs: s2,u4,2025-10-26T22:59:59Z,17,",
        ),
        ("\"outside\": 3", "\"outside\": 4", "totals.outside: expected 3, found 4"),
    ];
    for (right, wrong, what) in changes {
        assert!(manifest.contains(right), "{manifest}");
        fs::write(place.path("output/_manifest.json"), manifest.replace(right, wrong)).unwrap();
        let output = place.run(&["verify"]);
        assert_eq!(output.status.code(), Some(65), "{}", stdout(&output));
        assert!(stdout(&output).contains(what), "no `{what}` in\n{}", stdout(&output));
    }
    fs::write(place.path("output/_manifest.json"), manifest.replace("2025-10-26", "2025-10-32")).unwrap();
    let (exit, message) = code(&place, &["verify"]);
    assert_eq!(exit, Some(65), "{message}");
    assert!(message.contains("expected a date such as 2025-03-21"), "{message}");
}
