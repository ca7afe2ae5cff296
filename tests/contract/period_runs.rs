//! Runs of `watch` and `replay` with periods: other settings, a moving clock, a new catalog, and many plays.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use music_insights::model::period_rules::{Kept, LatestPeriod};
use music_insights::model::value::TimeSpan;
use music_insights::settings::{Periods, Settings};
use music_insights::time::clock::Clock;

use crate::daemon::{LOG_HEADER, Place, stderr, stdout};
use crate::engine::{NOW, Piece, watch_with_clock};
use crate::oracle::assert_equals_replay;

const SONGS: &str = "s0,Zero,A,Rock,Sad\ns1,One,A,Pop,Happy\ns2,Two,B,Jazz,\n";

/// A log with plays of each given day.
fn log(days: &[&str]) -> String {
    let rows =
        days.iter().enumerate().map(|(row, day)| format!("u{},s{},{day} 10:00,60\n", row % 3, row % 4));
    LOG_HEADER.to_owned() + &rows.collect::<String>()
}

/// The names of the published periods of a length.
fn published(output: &std::path::Path, length: &str) -> Vec<String> {
    let entries = fs::read_dir(output.join("periods").join(length)).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn months(place: &Place) -> Vec<String> {
    published(&place.path("output"), "month")
}

#[test]
fn fewer_periods_are_kept_at_once_and_more_are_refused() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &log(&["2025-01-31", "2025-02-01", "2025-03-01", "2025-05-01"]));
    let once = |month: &str| {
        let month = format!("periods.month={month}");
        place.run(&["watch", "--once", "--http", "off", "--set", &month])
    };
    assert!(once("all").status.success());
    assert_eq!(months(&place), ["2025-01", "2025-02", "2025-03", "2025-05"]);
    // April has no play, but it is one of the three latest months.
    assert!(once("3").status.success());
    assert_eq!(months(&place), ["2025-03", "2025-05"]);
    let more = once("4");
    assert_eq!(more.status.code(), Some(78));
    assert!(stderr(&more).contains("periods.month is 3 in the state and 4 now"), "{}", stderr(&more));
    assert_eq!(months(&place), ["2025-03", "2025-05"], "a refused start changes nothing");
    assert!(once("0").status.success());
    assert!(!place.path("output/periods").exists(), "no period is left");
}

#[test]
fn the_state_names_the_kept_periods() {
    let place = Place::new(SONGS);
    let once = |month: &str, week: &str, year: &str| {
        let settings = format!("[periods]\nmonth = {month}\nweek = {week}\nyear = {year}\n");
        place.write("music-insights.toml", &settings);
        place.done(&["watch", "--once", "--http", "off"]);
        let text = stdout(&place.done(&["state"]));
        let (_, periods) = text.split_once("\nperiods ").unwrap_or_default();
        periods.split_once("\ninputs ").unwrap_or_default().0.to_owned()
    };
    let days = ["2024-11-30", "2025-01-31", "2025-02-01", "2025-05-01", "2025-05-02"];
    place.write("data/incoming/a.csv", &log(&days));
    once("'all'", "2", "1");
    // A late play is in another segment of the state.
    place.write("data/incoming/b.csv", &log(&["2024-11-01"]));
    let expected = "   6
  week           1  2025-W18                              2 plays, still open: 2025-W18
  month          4  2024-11 to 2025-05                    6 plays, still open: 2025-05
  year           1  2025                                  4 plays, still open: 2025";
    assert_eq!(once("'all'", "2", "1"), expected);
    // The plays of the other months are still in a segment, but they are not kept.
    let expected = "   1
  month          1  2025-05                               2 plays, still open: 2025-05";
    assert_eq!(once("2", "0", "0"), expected);
    assert_eq!(once("0", "0", "0"), "");
}

#[test]
fn a_new_catalog_changes_closed_months_while_rows_come() {
    let place = Place::new(SONGS);
    place.write("music-insights.toml", "[periods]\nmonth = \"all\"\nyear = 1\n");
    place.write("data/incoming/a.csv", &log(&["2024-11-30", "2025-01-31", "2025-02-01", "2025-05-01"]));
    let daemon = place.watch(&["--flush-interval", "20ms"]);
    place.wait_for_rows(4);
    place.write(
        "data/songs_metadata.csv",
        &format!("song_id,title,artist,genre,mood\n{}", SONGS.replace("Rock", "Polka")),
    );
    place.append("data/incoming/a.csv", "u7,s0,2025-05-02 10:00,60\n");
    let closed = "output/periods/month/2024-11/user_favorite_genres/part-00000.csv";
    let expected = "user_id,genre,play_count\nu0,Polka,1\n";
    place.wait_for("the new genre in a closed month", || (place.read(closed) == expected).then_some(()));
    // A late play changes a month that is neither the current nor the previous one.
    place.append("data/incoming/a.csv", "u9,s1,2024-11-01 10:00,60\n");
    let expected = format!("{expected}u9,Pop,1\n");
    place.wait_for("the late play", || (place.read(closed) == expected).then_some(()));
    daemon.stop();
    assert_equals_replay(&place);
}

#[test]
fn the_clock_moves_the_latest_period_and_never_moves_it_back() {
    static CLOCK: AtomicI64 = AtomicI64::new(NOW);
    const DAY: i64 = 86_400;

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut settings = Settings {
        songs: path("songs.csv"),
        incoming: path("incoming"),
        output: path("output"),
        state: path("state"),
        flush_interval: TimeSpan(Duration::from_millis(1)),
        periods: Periods { day: Kept::Latest(2), latest: LatestPeriod::Now, ..Periods::default() },
        ..Settings::default()
    };
    settings.input.max_future = TimeSpan(Duration::from_hours(24 * 3650));
    fs::create_dir(&settings.incoming).unwrap();
    fs::write(&settings.songs, format!("song_id,title,artist,genre,mood\n{SONGS}")).unwrap();
    // The clock starts on Monday, 2026-11-23.
    let text = log(&["2026-11-20", "2026-11-22", "2026-11-23", "2026-11-24", "2026-11-25"]);
    let (output, log_path) = (settings.output.clone(), settings.incoming.join("a.csv"));
    let shows = |days: &'static [&'static str]| -> Piece {
        let output: PathBuf = output.clone();
        Box::new(move || {
            let began = Instant::now();
            while published(&output, "day") != days {
                assert!(began.elapsed() < Duration::from_secs(30), "{:?}", published(&output, "day"));
                std::thread::sleep(Duration::from_millis(2));
            }
        })
    };
    let set = |days: i64| -> Piece { Box::new(move || CLOCK.store(NOW + days * DAY, Ordering::SeqCst)) };
    let steps: Vec<Vec<Piece>> = vec![
        vec![Box::new(move || fs::write(log_path, text).unwrap())],
        vec![shows(&["2026-11-22", "2026-11-23"])],
        vec![set(1), shows(&["2026-11-23", "2026-11-24"])],
    ];
    watch_with_clock(&settings, Clock::Moved(&CLOCK), steps);
    // After a restart, the clock is earlier. The latest period stays.
    CLOCK.store(NOW - 2 * DAY, Ordering::SeqCst);
    watch_with_clock(&settings, Clock::Moved(&CLOCK), vec![vec![shows(&["2026-11-23", "2026-11-24"])]]);
    let steps = vec![vec![set(2), shows(&["2026-11-24", "2026-11-25"]), set(4), shows(&[])]];
    watch_with_clock(&settings, Clock::Moved(&CLOCK), steps);
}

#[test]
fn a_replay_uses_the_time_that_it_is_given() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &log(&["2025-03-20", "2025-03-21", "2025-03-22"]));
    let settings = ["--set", "periods.day=2", "--set", "periods.latest=now", "--now", "2025-03-21T12:00:00Z"];
    place.done(&[&["replay"], &settings[..]].concat());
    assert_eq!(published(&place.path("output"), "day"), ["2025-03-20", "2025-03-21"]);
    assert_eq!(place.manifest("output").unwrap()["now"], "2025-03-21T12:00:00Z");
    place.done(&[&["verify"], &settings[..4]].concat());
}

#[test]
fn a_play_in_the_future_is_warned_of() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &log(&["2025-03-20", "2025-03-22"]));
    let now = ["--now", "2025-03-21T12:00:00Z"];
    let output = place.done(&[&["replay", "--set", "periods.day=2"], &now[..]].concat());
    assert!(stderr(&output).contains("plays of 2025-03-22 are in the future"), "{}", stderr(&output));
    let output = place.done(&[&["replay", "--set", "periods.month=2"], &now[..]].concat());
    assert!(!stderr(&output).contains("future"), "{}", stderr(&output));
}

/// Three lengths make more than four million plays, so the `replay` moves plays to temporary files. `verify` keeps
/// all of them in memory.
#[test]
fn plays_that_do_not_fit_into_memory_come_back() {
    let place = Place::new(SONGS);
    place.done(&[
        "generate",
        "--rows",
        "1500000",
        "--users",
        "300",
        "--songs",
        "80",
        "--days",
        "900",
        "--start",
        "2020-01-01",
        "--out",
        "data",
    ]);
    place.write("music-insights.toml", "[periods]\nmonth = \"all\"\nquarter = 2\nyear = \"all\"\nweek = 9\n");
    place.done(&["replay"]);
    assert!(months(&place).len() > 24);
    let hidden = fs::read_dir(place.path("output"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with(".periods"));
    assert_eq!(hidden.count(), 0, "temporary files are left");
    place.done(&["verify"]);
}
