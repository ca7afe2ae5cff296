//! Tests the periods of the reference implementation. A person derived all expected results by hand.

use std::collections::BTreeSet;

use chrono::NaiveDate;

use crate::reference::{Keep, LENGTHS, Latest, Length, Period, Periods, Settings, published_periods, replay};

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// Settings that keep the periods of one length.
fn keeping(length: Length, keep: Keep) -> Settings {
    let mut periods = Periods::default();
    let setting = match length {
        Length::Day => &mut periods.day,
        Length::Week => &mut periods.week,
        Length::Month => &mut periods.month,
        Length::Quarter => &mut periods.quarter,
        Length::Year => &mut periods.year,
    };
    *setting = keep;
    Settings { periods, ..Settings::default() }
}

/// The files of a run over plays of one listener and song, without those outside `periods/`.
fn files(times: &[&str], settings: &Settings) -> Vec<String> {
    let rows: Vec<String> = times.iter().map(|time| format!("u1,s1,{time},60\n")).collect();
    let log = format!("user_id,song_id,timestamp,duration_sec\n{}", rows.concat());
    let songs = ("songs.csv".to_owned(), b"song_id,title,artist,genre,mood\ns1,T,A,Pop,Sad\n".to_vec());
    let output = replay(&[("a.csv".to_owned(), log.into_bytes())], &songs, settings);
    assert!(output.rejected.is_empty(), "{:?}", output.rejected);
    output.files.into_keys().filter(|name| name.starts_with("periods/")).collect()
}

/// The names of the published periods.
fn published(times: &[&str], settings: &Settings) -> Vec<String> {
    let names = files(times, settings).into_iter().map(|file| file.split('/').nth(2).unwrap().to_owned());
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn names_at_the_edges_of_weeks_and_years() {
    let names = |day: &str| LENGTHS.map(|length| Period::of(length, date(day)).name());
    assert_eq!(names("2025-03-21"), ["2025-03-21", "2025-W12", "2025-03", "2025-Q1", "2025"]);
    assert_eq!(names("2024-12-30"), ["2024-12-30", "2025-W01", "2024-12", "2024-Q4", "2024"]);
    assert_eq!(names("2021-01-03"), ["2021-01-03", "2020-W53", "2021-01", "2021-Q1", "2021"]);
    assert_eq!(names("2021-01-04"), ["2021-01-04", "2021-W01", "2021-01", "2021-Q1", "2021"]);
    assert_eq!(names("2024-02-29"), ["2024-02-29", "2024-W09", "2024-02", "2024-Q1", "2024"]);
    assert_eq!(names("2025-06-30"), ["2025-06-30", "2025-W27", "2025-06", "2025-Q2", "2025"]);
    let before = |day: &str| LENGTHS.map(|length| Period::of(length, date(day)).before().name());
    assert_eq!(before("2025-01-01"), ["2024-12-31", "2024-W52", "2024-12", "2024-Q4", "2024"]);
    assert_eq!(before("2024-03-01"), ["2024-02-29", "2024-W08", "2024-02", "2023-Q4", "2023"]);
}

#[test]
fn the_latest_periods_include_those_without_plays() {
    let plays = ["2025-01-31 23:59:59", "2025-02-01 00:00:00", "2025-05-15 12:00", "2024-05-31 12:00"];
    let months = |keep| published(&plays, &keeping(Length::Month, keep));
    assert_eq!(months(Keep::Latest(0)), [""; 0]);
    assert_eq!(months(Keep::Latest(1)), ["2025-05"]);
    assert_eq!(months(Keep::Latest(3)), ["2025-05"], "March and April count");
    assert_eq!(months(Keep::Latest(4)), ["2025-02", "2025-05"]);
    assert_eq!(months(Keep::Latest(12)), ["2025-01", "2025-02", "2025-05"]);
    assert_eq!(months(Keep::Latest(13)), ["2024-05", "2025-01", "2025-02", "2025-05"]);
    assert_eq!(months(Keep::Latest(u64::MAX)), months(Keep::All));
    assert_eq!(months(Keep::All), ["2024-05", "2025-01", "2025-02", "2025-05"]);
    assert_eq!(published(&[], &keeping(Length::Day, Keep::All)), [""; 0]);
    assert_eq!(published(&[], &keeping(Length::Day, Keep::Latest(3))), [""; 0]);
}

#[test]
fn the_clock_decides_the_latest_period_if_the_setting_says_so() {
    // The current time is 2026-11-23T00:00:00Z, which is the day before in New York.
    let plays =
        ["2026-11-21T12:00:00Z", "2026-11-22T12:00:00Z", "2026-11-23T12:00:00Z", "2026-11-24T12:00:00Z"];
    let days = |keep, latest, zone: chrono_tz::Tz| {
        let mut settings = Settings { timezone: zone, ..keeping(Length::Day, keep) };
        settings.periods.latest = latest;
        published(&plays, &settings)
    };
    let (utc, york) = (chrono_tz::UTC, chrono_tz::America::New_York);
    assert_eq!(days(Keep::Latest(2), Latest::Data, utc), ["2026-11-23", "2026-11-24"]);
    assert_eq!(days(Keep::Latest(2), Latest::Now, utc), ["2026-11-22", "2026-11-23"]);
    assert_eq!(days(Keep::Latest(2), Latest::Now, york), ["2026-11-21", "2026-11-22"]);
    let all = ["2026-11-21", "2026-11-22", "2026-11-23", "2026-11-24"];
    assert_eq!(days(Keep::All, Latest::Now, york), all, "all periods with a play, also later ones");
    let empty = published(&["2026-01-01 00:00"], &{
        let mut settings = keeping(Length::Month, Keep::Latest(10));
        settings.periods.latest = Latest::Now;
        settings
    });
    assert_eq!(empty, [""; 0], "the plays are older than what is kept");
}

#[test]
fn the_latest_period_never_goes_back() {
    let mut settings = keeping(Length::Day, Keep::Latest(1));
    settings.periods.latest = Latest::Now;
    let at = |text: &str| crate::reference::parse_timestamp(text, chrono_tz::UTC).unwrap();
    let play = |text: &str| crate::reference::Play {
        user_id: "u".to_owned(),
        song_id: "s".to_owned(),
        at: at(text),
        duration: 1,
    };
    let plays = ["2026-11-22 01:00", "2026-11-23 01:00"].map(play);
    let days = |times: &[&str]| {
        let times: Vec<i64> = times.iter().map(|time| at(time).seconds).collect();
        published_periods(&plays, &settings, &times).into_iter().map(Period::name).collect::<Vec<_>>()
    };
    assert_eq!(days(&["2026-11-22 12:00"]), ["2026-11-22"]);
    assert_eq!(days(&["2026-11-22 12:00", "2026-11-23 00:00"]), ["2026-11-23"]);
    assert_eq!(days(&["2026-11-23 00:00", "2026-11-22 12:00"]), ["2026-11-23"]);
    assert_eq!(days(&["2026-11-24 00:00"]), [""; 0]);
}

#[test]
fn local_dates_decide_also_when_clocks_change() {
    let mut settings = keeping(Length::Day, Keep::All);
    settings.timezone = chrono_tz::Europe::Berlin;
    // Clocks go forward on 2025-03-30, and back on 2025-10-26.
    let plays = [
        "2025-03-29T22:59:59Z",
        "2025-03-29T23:00:00Z",
        "2025-03-30T21:59:59Z",
        "2025-03-30T22:00:00Z",
        "2025-10-26T22:59:59Z",
        "2025-10-26T23:00:00Z",
    ];
    let days = ["2025-03-29", "2025-03-30", "2025-03-31", "2025-10-26", "2025-10-27"];
    assert_eq!(published(&plays, &settings), days);
}

#[test]
fn a_period_has_six_tables_over_its_own_plays() {
    let mut settings = keeping(Length::Month, Keep::All);
    let log = "user_id,song_id,timestamp,duration_sec\n\
        u1,s1,2025-03-01 00:00,60\nu1,s2,2025-03-03 06:00,61\nu1,s2,2025-03-31 23:59,62\n\
        u1,s1,2025-04-01 00:00,10\nu2,s3,2025-03-15 04:59,5\n";
    let songs =
        "song_id,title,artist,genre,mood\ns1,One,A,Rock,Sad\ns2,Two,B,Pop,Happy\ns4,Four,B,Pop,Happy\n";
    let run = |settings: &Settings| {
        let (log, songs) = (log.as_bytes().to_vec(), songs.as_bytes().to_vec());
        let files = replay(&[("a.csv".to_owned(), log)], &("songs.csv".to_owned(), songs), settings).files;
        let of_periods = files.into_iter().filter(|(name, _)| name.starts_with("periods/"));
        of_periods
            .map(|(name, text)| (name, String::from_utf8(text).unwrap()))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let found = run(&settings);
    assert_eq!(found.len(), 12);
    let march = |table: &str| found[&format!("periods/month/2025-03/{table}/part-00000.csv")].clone();
    assert_eq!(march("top_songs"), "song_id,plays\ns2,2\ns1,1\ns3,1\n", "plays of all weeks");
    assert_eq!(march("avg_listen_time_per_song"), "song_id,avg_duration\ns1,60.0\ns2,61.5\ns3,5.0\n");
    assert_eq!(march("user_favorite_genres"), "user_id,genre,play_count\nu1,Pop,2\n");
    assert_eq!(march("happy_recommendations"), "user_id,song_id,sad_count,title\nu1,s4,1,Four\n");
    assert_eq!(march("night_owl_users"), "user_id\nu1\nu2\n");
    assert!(march("genre_loyalty_scores").starts_with("message\n"));
    let april = |table: &str| found[&format!("periods/month/2025-04/{table}/part-00000.csv")].clone();
    assert_eq!(
        april("happy_recommendations"),
        "user_id,song_id,sad_count,title\nu1,s2,1,Two\nu1,s4,1,Four\n"
    );
    assert!(april("genre_loyalty_scores").ends_with("u1,Rock,1,1,1.0\n"));

    settings.top_limit = 1;
    settings.periods.insights =
        Some(["night_owl_users", "top_songs_this_week"].map(str::to_owned).into_iter().collect());
    let found = run(&settings);
    let names: Vec<&str> = found.keys().map(|name| name.split('/').nth(3).unwrap()).collect();
    assert_eq!(names, ["night_owl_users", "top_songs", "night_owl_users", "top_songs"]);
    assert_eq!(found["periods/month/2025-03/top_songs/part-00000.csv"], "song_id,plays\ns2,2\n");
}
