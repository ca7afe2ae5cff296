//! The HTTP API for periods: its responses equal those of a daemon that has only the plays of the period.

use std::io::Read;

use serde_json::{Value, json};

use crate::client::{Response, get};
use crate::daemon::{Daemon, LOG_HEADER, Place, SONGS};

/// The months of [`plays`].
const MONTHS: [&str; 5] = ["2024-11", "2024-12", "2025-01", "2025-03", "2025-04"];
/// The rules of the daemon: all months and years, and eight weeks.
const KEPT: [&str; 6] =
    ["--set", "periods.month=all", "--set", "periods.year=all", "--set", "periods.week=8"];

/// The plays of a month. Some listeners and songs come and go, and some plays are unmatched.
fn plays(month: &str) -> String {
    let seed: u32 = month.bytes().map(u32::from).sum();
    let play = |n: u32| {
        let (user, song) = ((n * 7919 + seed) % 90, (n * 31 + n / 7 + seed) % 4);
        let (day, hour, minute) = (1 + n % 28, n * 37 % 24, n % 60);
        format!("u{user},s{song},{month}-{day:02} {hour:02}:{minute:02}:00,{}\n", 30 + n % 200)
    };
    (0..150 + seed % 50).map(play).collect()
}

/// A daemon that keeps periods, and its address. Its logs contain the plays of all [`MONTHS`].
fn daemon_with_months() -> (Place, Daemon, String) {
    let place = Place::new(SONGS);
    let all: String = MONTHS.into_iter().map(plays).collect();
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{all}"));
    let (daemon, page) = place.watch_with_page("127.0.0.1:0", &KEPT);
    wait_for_plays(&place, &page, all.lines().count() as u64);
    (place, daemon, page)
}

fn wait_for_plays(place: &Place, page: &str, plays: u64) {
    place.wait_for(&format!("{plays} plays to be shown"), || {
        (get(page, "/api/v1/status").json()["totals"]["plays"] == plays).then_some(())
    });
}

fn ok(page: &str, address: &str) -> Response {
    let answer = get(page, address);
    assert_eq!(answer.status, 200, "{address}: {}", answer.text());
    answer
}

/// The response without the fields that name the epoch or the period.
fn without_names(mut json: Value) -> Value {
    let object = json.as_object_mut().unwrap();
    // The top songs of all time are those of a week.
    for name in ["epoch", "period", "before", "week", "top_songs", "next_cursor"] {
        object.remove(name);
    }
    if let Some(charts) = object.get_mut("charts") {
        // Its title names the week or the period.
        charts.as_object_mut().unwrap().remove("top_songs");
    }
    if let Some(tables) = object.get_mut("tables") {
        tables.as_object_mut().unwrap().remove("enriched_logs");
        tables.as_object_mut().unwrap().remove("top_songs_this_week");
    }
    json
}

#[test]
fn a_period_is_shown_as_if_there_were_no_other_plays() {
    let (_place, _daemon, page) = daemon_with_months();
    for (period, months) in [("2025-03", &MONTHS[3..4]), ("2024-11", &MONTHS[..1]), ("2025", &MONTHS[2..])] {
        let alone = Place::new(SONGS);
        let only: String = months.iter().map(|month| plays(month)).collect();
        alone.write("data/incoming/a.csv", &format!("{LOG_HEADER}{only}"));
        let (_daemon, other) = alone.watch_with_page("127.0.0.1:0", &[]);
        wait_for_plays(&alone, &other, only.lines().count() as u64);
        let mut addresses: Vec<String> = ["overview", "users/u7", "users/u42", "insights/night_owl_users"]
            .into_iter()
            .chain(["insights/user_favorite_genres", "insights/avg_listen_time_per_song"])
            .chain(["insights/happy_recommendations", "insights/genre_loyalty_scores"])
            .map(|path| format!("/api/v1/{path}?"))
            .collect();
        addresses
            .push("/api/v1/insights/user_favorite_genres?search=u1&sort=-play_count&limit=7&".to_owned());
        for address in addresses {
            let expected = without_names(ok(&other, &address).json());
            let mut shown = ok(&page, &format!("{address}period={period}")).json();
            if shown.get("insight").is_some() || address.contains("overview") {
                assert_eq!(shown["period"], period);
            }
            shown = without_names(shown);
            for (name, value) in expected.as_object().unwrap() {
                assert!(shown[name] == *value, "{address}period={period}: {name} is {:.200}", shown[name]);
            }
            assert_eq!(shown.as_object().unwrap().len(), expected.as_object().unwrap().len(), "{address}");
        }
        for song in ["s0", "s1", "s2", "s3"] {
            let [shown, expected] =
                [(&page, format!("?period={period}")), (&other, String::new())].map(|(page, query)| {
                    let mut song = ok(page, &format!("/api/v1/songs/{song}{query}")).json();
                    for name in ["plays_this_week", "rank_this_week"] {
                        song.as_object_mut().unwrap().remove(name);
                    }
                    song
                });
            assert_eq!(shown, expected, "{song} in {period}");
        }
    }
}

#[test]
fn tables_of_a_period_are_the_published_files() {
    let (place, _daemon, page) = daemon_with_months();
    for name in ["user_favorite_genres", "top_songs", "night_owl_users", "avg_listen_time_per_song"] {
        let file = place.read(&format!("output/periods/month/2024-12/{name}/part-00000.csv"));
        assert!(file.lines().count() > 1, "{name}: {file}");
        let answer = ok(&page, &format!("/api/v1/insights/{name}.csv?period=2024-12"));
        assert_eq!(answer.text(), file, "{name}");
        let saved = format!("attachment; filename=\"{name}-2024-12.csv\"");
        assert_eq!(answer.header("content-disposition"), Some(saved.as_str()));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        if music_insights::ingest::parquet::AVAILABLE {
            let answer = ok(&page, &format!("/api/v1/insights/{name}.parquet?period=2024-12"));
            std::fs::write(place.path("a.parquet"), answer.body).unwrap();
            let parquet = std::fs::File::open(place.path("a.parquet")).unwrap();
            let mut text = String::new();
            music_insights::ingest::parquet::csv_of(parquet, Vec::new())
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            assert_eq!(text.lines().count(), file.lines().count(), "{name}");
        }
    }
    // Both names of the most played songs lead to the same rows.
    let [one, other] = ["top_songs", "top_songs_this_week"]
        .map(|name| ok(&page, &format!("/api/v1/insights/{name}?period=2024-12")).json());
    assert_eq!(one, other);
    assert_eq!(one["insight"], "top_songs_this_week");
    let song = one["rows"][0]["song_id"].as_str().unwrap();
    let details = ok(&page, &format!("/api/v1/songs/{song}?period=2024-12")).json();
    assert_eq!(details["rank_this_week"], 1);
    assert_eq!(details["plays_this_week"], one["rows"][0]["plays"]);
}

#[test]
fn top_songs_have_their_places_in_the_period_before() {
    let place = Place::new("s1,One,A,Rock,Sad\ns2,Two,B,Pop,Happy\ns3,Three,C,Pop,Happy\n");
    let month = |month: &str, songs: &[(&str, u32)]| -> String {
        let plays = |&(song, plays): &(&str, u32)| -> String {
            let play = |n| format!("u1,{song},{month}-05 10:{n:02}:00,60\n");
            (0..plays).map(play).collect()
        };
        songs.iter().map(plays).collect()
    };
    let log = month("2025-01", &[("s1", 3), ("s2", 2)])
        + &month("2025-02", &[("s2", 5), ("s3", 4), ("s1", 1)])
        + &month("2025-04", &[("s1", 1)]);
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{log}"));
    let (_daemon, page) = place.watch_with_page("127.0.0.1:0", &KEPT);
    wait_for_plays(&place, &page, 16);
    let rows = ok(&page, "/api/v1/insights/top_songs?period=2025-02&sort=song_id").json();
    assert_eq!(rows["before"], "2025-01");
    let expected = json!({
        "s1": { "now": 3, "before": 1 },
        "s2": { "now": 1, "before": 2 },
        "s3": { "now": 2, "before": null },
    });
    assert_eq!(rows["places"], expected);
    let overview = ok(&page, "/api/v1/overview?period=2025-02").json();
    let places: Vec<&Value> =
        overview["top_songs"].as_array().unwrap().iter().map(|song| &song["place_before"]).collect();
    assert_eq!(places, [&json!(2), &Value::Null, &json!(1)]);
    // There is no play in March, so nothing can be compared.
    let rows = ok(&page, "/api/v1/insights/top_songs?period=2025-04").json();
    assert_eq!((rows.get("before"), rows.get("places")), (None, None));
}

#[test]
fn periods_are_listed_with_their_neighbours() {
    let (place, _daemon, page) = daemon_with_months();
    let periods = ok(&page, "/api/v1/periods").json();
    assert_eq!(periods["kept"], json!({ "day": 0, "week": 8, "month": "all", "quarter": 0, "year": "all" }));
    assert_eq!((&periods["latest"], &periods["latest_day"]), (&json!("data"), &json!("2025-04-28")));
    let months = periods["periods"]["month"].as_array().unwrap();
    let names: Vec<&str> = months.iter().map(|month| month["period"].as_str().unwrap()).collect();
    assert_eq!(names, MONTHS.iter().rev().copied().collect::<Vec<_>>());
    let march = json!({
        "period": "2025-03", "length": "month", "from": "2025-03-01", "to": "2025-03-31",
        "plays": plays("2025-03").lines().count(), "open": false, "previous": "2025-01", "next": "2025-04",
    });
    assert_eq!(months[1], march);
    assert_eq!(months[0]["open"], true);
    assert_eq!((&months[0]["next"], &months[4]["previous"]), (&Value::Null, &Value::Null));
    assert_eq!(periods["periods"]["day"], json!([]));
    assert_eq!(periods["periods"]["year"].as_array().unwrap().len(), 2);
    let weeks = periods["periods"]["week"].as_array().unwrap().len();
    assert_eq!(ok(&page, "/api/v1/status").json()["periods"], 7 + weeks);
    place.wait_for("the metrics", || {
        let metrics = get(&page, "/metrics");
        let has = |line: &str| metrics.text().lines().any(|other| other == line);
        let is_open = metrics.text().lines().any(|line| line.starts_with("music_insights_periods_open "));
        (is_open && has(&format!("music_insights_periods_published {}", 7 + weeks))).then_some(())
    });
}

#[test]
fn periods_that_are_not_published_are_refused_with_the_reason() {
    let (_place, _daemon, page) = daemon_with_months();
    for (query, status, reason) in [
        ("insights/night_owl_users?period=2025-13", 400, "period: expected a period such as"),
        ("insights/night_owl_users?period=", 400, "period: expected a period such as"),
        ("overview?period=march", 400, "period: expected a period such as"),
        ("users/u1?period=2025-3", 400, "period: expected a period such as"),
        ("songs/s1?period=%ff", 400, ""),
        ("overview?time=2025-03", 400, "unknown field"),
        ("rejects?period=2025-03", 400, "rejected rows belong to no period"),
        ("overview?period=2025-02", 404, "2025-02 is not published: it has no play"),
        ("overview?period=2025-05", 404, "2025-05 is not published: it has no play"),
        ("overview?period=2025-Q1", 404, "periods.quarter is 0"),
        ("overview?period=2024-W45", 404, "periods.week is 8, and the latest week is 2025-W18"),
        ("overview?period=2025-W30", 404, "2025-W30 is not published yet: the latest week is 2025-W18"),
        ("insights/enriched_logs?period=2025-03", 404, "enriched_logs is not kept for periods"),
        ("insights/enriched_logs.csv?period=2025-03", 404, "enriched_logs is not kept for periods"),
        ("insights/top_songs", 404, "no such insight"),
        ("insights/missing?period=2025-03", 404, "no such insight"),
        ("users/missing?period=2025-03", 404, "no play by a listener with this id in 2025-03"),
        ("songs/missing?period=2025-03", 404, "no song with this id"),
        ("insights/night_owl_users?period=2025-03&song_id=s1", 400, "no such column"),
    ] {
        let answer = get(&page, &format!("/api/v1/{query}"));
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
        assert!(answer.text().contains(reason), "{query}: {}", answer.text());
    }
}

#[test]
fn late_plays_change_an_old_period_and_every_response_shows_one_epoch() {
    let (place, _daemon, page) = daemon_with_months();
    let all: usize = MONTHS.iter().map(|month| plays(month).lines().count()).sum();
    let before = plays("2024-12").lines().count() as u64;
    for late in 1..=40 {
        let minute = late % 60;
        place.append("data/incoming/a.csv", &format!("u{late},s1,2024-12-31 23:{minute:02}:00,60\n"));
        for _ in 0..3 {
            // While files are replaced, a response belongs to the epoch before or to the epoch after.
            let overview = ok(&page, "/api/v1/overview?period=2024-12").json();
            let plays = overview["plays"].as_u64().unwrap();
            let sum = |name: &str, value: &dyn Fn(&Value) -> u64| -> u64 {
                overview[name].as_array().unwrap().iter().map(value).sum()
            };
            assert_eq!(sum("hours", &|hour| hour.as_u64().unwrap()), plays);
            let genres = sum("genres", &|genre| genre["plays"].as_u64().unwrap());
            assert_eq!(genres + overview["unmatched"].as_u64().unwrap(), plays);
            let rows = ok(&page, "/api/v1/insights/top_songs?period=2024-12").json();
            let top: u64 =
                rows["rows"].as_array().unwrap().iter().map(|row| row["plays"].as_u64().unwrap()).sum();
            assert!((before..=before + late).contains(&top), "{top}");
            ok(&page, "/api/v1/users/u7?period=2024-12");
        }
    }
    wait_for_plays(&place, &page, all as u64 + 40);
    let months = ok(&page, "/api/v1/periods").json()["periods"]["month"].clone();
    assert_eq!(months[3]["plays"], before + 40);
    assert_eq!(ok(&page, "/api/v1/overview?period=2024-12").json()["plays"], before + 40);
    // More periods than the server keeps in memory.
    for _ in 0..2 {
        for month in MONTHS.iter().chain(["2024", "2025"].iter()) {
            ok(&page, &format!("/api/v1/overview?period={month}"));
        }
    }
    let file = place.read("output/periods/month/2024-12/top_songs/part-00000.csv");
    assert_eq!(ok(&page, "/api/v1/insights/top_songs.csv?period=2024-12").text(), file);
}

/// A table that another program has changed is never shown.
#[test]
fn a_changed_table_of_a_period_is_refused() {
    let (place, _daemon, page) = daemon_with_months();
    let path = "output/periods/month/2024-11/night_owl_users/part-00000.csv";
    let changed = place.read(path).replacen("\nu", "\nv", 1);
    place.write(path, &changed);
    let answer = get(&page, "/api/v1/insights/night_owl_users?period=2024-11");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("changed by another program"), "{}", answer.text());
    ok(&page, "/api/v1/insights/night_owl_users?period=2024-12");
}
