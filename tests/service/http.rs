//! The HTTP API of a real daemon: its responses, and its behaviour with hostile requests.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::client::{Response, connect, get, get_with, read_response, send};
use crate::daemon::{LOG_HEADER, Place, SONGS, play, stderr, stdout};

/// A log with more rows than fit on a page. Some listeners have one play, some have many. Some plays are
/// unmatched, and some rows are bad.
fn crowd() -> String {
    let plays = (0..400).map(|n| play(n * 7919 % 90, n % 4, n * 37));
    format!("{LOG_HEADER}{}u1,s1,never,3\nu2,s2,2025-03-21 10:00:00,-3\n", plays.collect::<String>())
}

fn place_with(log: &str) -> Place {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", log);
    place
}

/// Waits until the API shows the given number of rows. The API shows rows shortly after the daemon publishes
/// them.
fn wait_for_shown(place: &Place, page: &str, rows: u64) {
    place.wait_for(&format!("{rows} rows to be shown"), || {
        let status = get(page, "/api/v1/status").json();
        (status["totals"]["rows"] == rows).then_some(())
    });
}

/// The rows of a published file, including its header.
fn csv_rows(text: &str) -> Vec<Vec<String>> {
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// Fetches all rows of an insight page by page, as text.
fn all_pages(page: &str, address: &str) -> Vec<Vec<String>> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = get(page, &format!("{address}&limit=7{cursor}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        let names: Vec<&str> = answer["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| column["name"].as_str().unwrap())
            .collect();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        rows.extend(
            answer["rows"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| names.iter().map(|name| text(&row[name])).collect()),
        );
        match answer["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

#[test]
fn a_loss_of_published_rows_shows_in_status_and_health() {
    let place = place_with(&crowd());
    let once = ["watch", "--once", "--http", "off"];
    place.done(&once);
    std::fs::remove_dir_all(place.path("output/enriched_logs")).unwrap();
    place.done(&[&once[..], &["--accept-missing-output"]].concat());
    let since = place.manifest("output").unwrap()["incomplete_since"].clone();
    let (_daemon, page) = place.watch_with_page("127.0.0.1:0", &[]);
    wait_for_shown(&place, &page, 402);
    let status = get(&page, "/api/v1/status").json();
    assert_eq!(status["incomplete_since"], since);
    for insight in status["insights"].as_array().unwrap() {
        let expected = if insight["name"] == "enriched_logs" { &since } else { &Value::Null };
        assert_eq!(&insight["incomplete_since"], expected, "{insight}");
    }
    let health = get(&page, "/health/readyz");
    assert_eq!(health.status, 200);
    assert!(health.text().contains(since.as_str().unwrap()), "{}", health.text());
}

#[test]
fn pages_contain_the_rows_of_the_published_files() {
    let place = place_with(&crowd());
    let (_daemon, page) = place.watch_with_page("127.0.0.1:0", &[]);
    wait_for_shown(&place, &page, 402);
    for name in music_insights::insights::NAMES {
        let file = place.read(&format!("output/{name}/part-00000.csv"));
        let mut expected = csv_rows(&file).split_off(1);
        if file.starts_with("message") {
            let answer = get(&page, &format!("/api/v1/insights/{name}")).json();
            assert_eq!((&answer["rows"], answer["message"].as_str()), (&json!([]), file.lines().nth(1)));
            continue;
        }
        if name == "enriched_logs" {
            expected.reverse();
        }
        assert!(!expected.is_empty(), "{name} has no rows");
        assert_eq!(all_pages(&page, &format!("/api/v1/insights/{name}?")), expected, "{name}");
        let answer = get(&page, &format!("/api/v1/insights/{name}.csv"));
        assert_eq!(answer.text(), file);
        assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
        assert_eq!(
            answer.header("content-disposition"),
            Some(format!("attachment; filename=\"{name}.csv\"").as_str())
        );
        let epoch = place.manifest("output").unwrap()["epoch"].to_string();
        assert_eq!(answer.header("x-music-insights-epoch"), Some(epoch.as_str()));
    }
    let mut rejects = csv_rows(&place.read("output/_rejects/part-00000.csv")).split_off(1);
    rejects.reverse();
    // The rejected lines contain commas, so the file quotes them.
    let shown = all_pages(&page, "/api/v1/rejects?");
    assert_eq!(
        shown.iter().map(|row| &row[..4]).collect::<Vec<_>>(),
        rejects.iter().map(|row| &row[..4]).collect::<Vec<_>>()
    );
}

#[test]
fn parquet_contains_the_rows_of_the_published_files() {
    if !music_insights::ingest::parquet::AVAILABLE {
        println!("skipped: built without the feature parquet");
        return;
    }
    let place = place_with(&crowd());
    let (_daemon, page) = place.watch_with_page("127.0.0.1:0", &[]);
    wait_for_shown(&place, &page, 402);
    for name in ["user_favorite_genres", "top_songs_this_week", "happy_recommendations", "night_owl_users"] {
        let answer = get(&page, &format!("/api/v1/insights/{name}.parquet"));
        assert_eq!(answer.header("content-type"), Some("application/vnd.apache.parquet"), "{}", answer.head);
        std::fs::write(place.path("a.parquet"), answer.body).unwrap();
        let file = std::fs::File::open(place.path("a.parquet")).unwrap();
        let mut text = String::new();
        music_insights::ingest::parquet::csv_of(file, Vec::new()).unwrap().read_to_string(&mut text).unwrap();
        // The Parquet reader of this program reads only the columns of logs and catalogs.
        let (read, written) =
            (csv_rows(&text), csv_rows(&place.read(&format!("output/{name}/part-00000.csv"))));
        let place_of = |name: &String| written[0].iter().position(|other| other == name).unwrap();
        let columns: Vec<usize> = read[0].iter().map(place_of).collect();
        let expected: Vec<Vec<String>> =
            written.iter().map(|row| columns.iter().map(|&column| row[column].clone()).collect()).collect();
        assert_eq!(read, expected, "{name}");
    }
}

#[test]
fn rows_can_be_sorted_searched_and_selected() {
    let place = place_with(&crowd());
    let (_daemon, page) = place.watch_with_page("127.0.0.1:0", &[]);
    wait_for_shown(&place, &page, 402);
    let file = csv_rows(&place.read("output/user_favorite_genres/part-00000.csv")).split_off(1);
    let count = |row: &[String]| row[2].parse::<u64>().unwrap();
    let mut ascending = file.clone();
    ascending.sort_by_key(|row| count(row));
    assert_eq!(all_pages(&page, "/api/v1/insights/user_favorite_genres?sort=play_count"), ascending);
    ascending.reverse();
    assert_eq!(all_pages(&page, "/api/v1/insights/user_favorite_genres?sort=-play_count"), ascending);
    let found = |text: &str| -> Vec<Vec<String>> {
        file.iter().filter(|row| row.join(",").to_lowercase().contains(text)).cloned().collect()
    };
    assert!(found("u1").len() > 7, "the rows fit on one page");
    assert_eq!(all_pages(&page, "/api/v1/insights/user_favorite_genres?search=U1"), found("u1"));
    assert_eq!(all_pages(&page, "/api/v1/insights/user_favorite_genres?search=rOCk"), found("rock"));
    let sorted = all_pages(&page, "/api/v1/insights/user_favorite_genres?search=u1&sort=-genre");
    assert_eq!(sorted.len(), found("u1").len());
    assert!(sorted.iter().map(|row| &row[1]).rev().is_sorted());
    let of_user: Vec<_> = file.iter().filter(|row| row[0] == "u7").cloned().collect();
    assert_eq!(all_pages(&page, "/api/v1/insights/user_favorite_genres?user_id=u7"), of_user);
    let enriched = csv_rows(&place.read("output/enriched_logs/part-00000.csv")).split_off(1);
    let of_user: Vec<_> =
        enriched.iter().rev().filter(|row| row[1] == "u7" && row[0] == "s1").cloned().collect();
    assert!(!of_user.is_empty());
    assert_eq!(all_pages(&page, "/api/v1/insights/enriched_logs?user_id=u7&song_id=s1"), of_user);
    assert_eq!(
        all_pages(&page, "/api/v1/insights/night_owl_users?user_id=missing"),
        Vec::<Vec<String>>::new()
    );
}

#[test]
fn a_cursor_continues_at_its_row_after_new_rows_arrive() {
    let place =
        place_with(&format!("{LOG_HEADER}{}", (10..60).map(|user| play(user, 1, 3)).collect::<String>()));
    let (_daemon, page) = place.watch_with_page("127.0.0.1:0", &[]);
    wait_for_shown(&place, &page, 50);
    let first = get(&page, "/api/v1/insights/night_owl_users?limit=20").json();
    let cursor = first["next_cursor"].as_str().unwrap();
    // Half of the new rows sort before the cursor.
    place.write(
        "data/incoming/b.csv",
        &format!("{LOG_HEADER}{}", (100..200).map(|user| play(user, 1, 3)).collect::<String>()),
    );
    wait_for_shown(&place, &page, 150);
    let answer = place.wait_for("the next epoch", || {
        let answer =
            get(&page, &format!("/api/v1/insights/night_owl_users?limit=1000&cursor={cursor}")).json();
        (answer["epoch"] != first["epoch"]).then_some(answer)
    });
    let users = |answer: &Value| -> Vec<String> {
        answer["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["user_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let (before, behind) = (users(&first), users(&answer));
    let all = csv_rows(&place.read("output/night_owl_users/part-00000.csv")).split_off(1).concat();
    let expected: Vec<String> = all.iter().filter(|user| *user > before.last().unwrap()).cloned().collect();
    assert_eq!(behind, expected);
    assert_eq!(answer["from"].as_u64().unwrap() + expected.len() as u64, all.len() as u64);
}

/// A cursor contains a key. Even a long key must not make the URL too long.
#[test]
fn a_cursor_works_for_ids_of_any_length() {
    let id = |n: usize| format!("{}{n:02}", "L".repeat(4000));
    let play = |n: usize| id(n) + ",s1,2025-03-21 01:00:00,60\n";
    let place = place_with(&format!("{LOG_HEADER}{}", (0..30).map(play).collect::<String>()));
    let (_daemon, page) = place.watch_with_page("127.0.0.1:0", &[]);
    wait_for_shown(&place, &page, 30);
    let expected: Vec<Vec<String>> = (0..30).map(|n| vec![id(n)]).collect();
    assert_eq!(all_pages(&page, "/api/v1/insights/night_owl_users?"), expected);
}

#[test]
fn details_of_listeners_and_songs_match_their_plays() {
    let place = place_with(&crowd());
    let (_daemon, page) = place.watch_with_page("127.0.0.1:0", &[]);
    wait_for_shown(&place, &page, 402);
    let plays = csv_rows(&crowd()).split_off(1);
    let of_user: Vec<_> = plays.iter().filter(|row| row[0] == "u7").collect();
    let user = get(&page, "/api/v1/users/u7").json();
    let known = |row: &&&Vec<String>| ["s1", "s2"].contains(&row[1].as_str());
    assert_eq!(user["plays"], of_user.len());
    assert_eq!(user["matched"], of_user.iter().filter(known).count());
    let at_night = |row: &&&Vec<String>| row[2][11..13].parse::<u32>().unwrap() < 5;
    assert_eq!(user["night_plays"], of_user.iter().filter(at_night).count());
    let mut songs: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &of_user {
        *songs.entry(&row[1]).or_default() += 1;
    }
    assert_eq!(user["songs"], songs.len());
    let shares: f64 =
        user["genres"].as_array().unwrap().iter().map(|genre| genre["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9);

    let song = get(&page, "/api/v1/songs/s1").json();
    let of_song: Vec<u64> =
        plays.iter().filter(|row| row[1] == "s1").filter_map(|row| row[3].parse().ok()).collect();
    // The rejected row with a bad timestamp also names this song.
    assert_eq!(song["plays"], of_song.len() - 1);
    assert_eq!(song["seconds"], (of_song.iter().sum::<u64>() - 3) as f64);
    assert_eq!((song["title"].as_str(), song["in_catalog"].as_bool()), (Some("One"), Some(true)));
    let unmatched = get(&page, "/api/v1/songs/s3").json();
    assert_eq!((unmatched["title"].as_str(), unmatched["in_catalog"].as_bool()), (Some(""), Some(false)));

    let status = get(&page, "/api/v1/status").json();
    assert_eq!(status["totals"]["rows"], 402);
    assert_eq!(status["totals"]["plays"], 400);
    assert_eq!(status["totals"]["rejected"], 2);
    assert_eq!(status["listeners"], 90);
    let reasons: Vec<&str> = status["rejects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reject| reject["reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons, ["bad_timestamp", "negative_duration"]);
    assert_eq!(status["rejects"][0]["examples"][0]["line"], 402);
    let overview = get(&page, "/api/v1/overview").json();
    assert_eq!(overview["listeners"], 90);
    let hours: u64 = overview["hours"].as_array().unwrap().iter().map(|plays| plays.as_u64().unwrap()).sum();
    assert_eq!(hours, 400);
    assert_eq!(
        overview["charts"].as_object().unwrap().len() + overview["absent"].as_object().unwrap().len(),
        6
    );
    let found = get(&page, "/api/v1/search?text=u7").json();
    assert_eq!(found["users"][0], "u7");
    let found = get(&page, "/api/v1/search?text=ONE").json();
    assert_eq!(found["songs"][0]["song_id"], "s1");
}

#[test]
fn hostile_requests_are_refused() {
    let place = place_with(&crowd());
    let (_daemon, page) = place.watch_with_page("127.0.0.1:0", &[]);
    wait_for_shown(&place, &page, 402);
    let long = "x".repeat(9 << 10);
    let huge = "x".repeat(20 << 10);
    let many = "x: 1\r\n".repeat(100);
    let request = |line: &str, lines: &str| format!("{line} HTTP/1.1\r\nconnection: close\r\n{lines}\r\n");
    let ours = "host: localhost\r\n";
    let cases = [
        (request("GET /", ours), 200),
        (request("HEAD /api/v1/status", ours), 200),
        (request("GET /../../etc/passwd", ours), 404),
        (request("GET /assets/..%2f..%2fetc%2fpasswd", ours), 404),
        (request("GET /assets/%2e%2e/app.js", ours), 404),
        (request("GET /api/v1/insights/..%2f_rejects", ours), 404),
        (request("GET /api/v1/insights/%00", ours), 404),
        (request("GET /api/v1/insights/..\\_rejects.csv", ours), 404),
        (request("GET /api/v1/insights/_rejects.csv", ours), 404),
        (request("GET /api/v1/users/%ff", ours), 400),
        (request("GET /api/v1/users/missing", ours), 404),
        (request("GET /api/v1/insights/night_owl_users?limit=1000000", ours), 400),
        (request("GET /api/v1/insights/night_owl_users?limit=-1", ours), 400),
        (request("GET /api/v1/insights/night_owl_users?cursor=b1-zz", ours), 400),
        (request("GET /api/v1/insights/night_owl_users?cursor=a99999999999999999999999", ours), 400),
        (request("GET /api/v1/insights/night_owl_users?cursor=a999999999999999999", ours), 200),
        (request("GET /api/v1/insights/night_owl_users?sort=nothing", ours), 400),
        (request("GET /api/v1/insights/enriched_logs?cursor=a200", ours), 400),
        (request("GET /api/v1/insights/night_owl_users?song_id=s1", ours), 400),
        (request("GET /api/v1/insights/night_owl_users?unknown=1", ours), 400),
        (request("GET /api/v1/insights/enriched_logs?sort=timestamp", ours), 400),
        (request(&format!("GET /api/v1/search?text={}", &long[..2000]), ours), 400),
        (request(&format!("GET /{long}"), ours), 414),
        (request(&format!("GET /{huge}"), ours), 431),
        (request("GET /", &format!("{ours}x: {huge}\r\n")), 431),
        (request("GET /", &format!("{ours}{many}")), 431),
        (request("GET /", &format!("{ours}content-length: 5\r\n")), 413),
        (request("GET /", &format!("{ours}content-length: 99999999999\r\n")), 413),
        (request("GET /", &format!("{ours}transfer-encoding: chunked\r\n")), 413),
        (request("POST /", &format!("{ours}content-length: 0\r\n")), 405),
        (request("DELETE /api/v1/status", ours), 405),
        (request("OPTIONS *", ours), 405),
        (request("TRACE /", ours), 405),
        (request("GET /", ""), 400),
        (request("GET /", "host: localhost\r\nhost: localhost\r\n"), 400),
        (request("GET /api/v1/status", "host: evil.example\r\n"), 421),
        (request("GET /", "host: 127.0.0.1.evil.example\r\n"), 421),
        (request("GET http://evil.example/", ours), 421),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}".to_owned() + &"\0".repeat(600), 400),
    ];
    for (request, status) in cases {
        let answer = send(&page, request.as_bytes());
        let shown: String = request.chars().take(100).collect();
        assert_eq!(answer.status, status, "{shown:?}: {}", answer.head);
        if answer.status == 405 && !shown.starts_with("OPTIONS") {
            assert_eq!(answer.header("allow"), Some("GET, HEAD"));
        }
        assert!(!answer.head.contains("passwd") && !answer.text().contains("root:"), "{shown:?}");
    }
    let answer = get(&page, "/");
    assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(get(&page, "/health/livez").status, 200);
}

#[test]
fn many_slow_connections_do_not_delay_plays() {
    let place = place_with(&crowd());
    let (daemon, page) = place.watch_with_page("127.0.0.1:0", &[]);
    wait_for_shown(&place, &page, 402);
    // Some connections send half a request. Others request a lot of data and never read the response.
    let mut slow: Vec<_> = (0..300)
        .filter_map(|n| {
            let mut stream = connect(&page);
            let text: &[u8] = if n % 10 == 0 {
                b"GET /api/v1/insights/enriched_logs.csv HTTP/1.1\r\nhost: localhost\r\n\r\n"
            } else {
                b"GET /api/v1/status HTTP/1.1\r\nhost: local"
            };
            stream.write_all(text).ok().map(|()| stream)
        })
        .collect();
    for round in 1..=20 {
        for stream in &mut slow {
            let _ = stream.write_all(b"h");
        }
        place.append("data/incoming/a.csv", &play(round, 1, round));
        place.wait_for_rows(402 + u64::from(round));
    }
    // After some time, the server closes these connections and accepts new connections.
    place.wait_for("an answer", || {
        let answer = get(&page, "/health/readyz");
        (answer.status == 200).then_some(())
    });
    for mut stream in slow {
        let mut piece = [0; 4096];
        while stream.read(&mut piece).is_ok_and(|read| read > 0) {}
    }
    daemon.stop();
    place.done(&["replay", "--output", "again"]);
    for name in music_insights::insights::NAMES {
        let file = format!("{name}/part-00000.csv");
        assert_eq!(place.read(&format!("output/{file}")), place.read(&format!("again/{file}")), "{name}");
    }
}

#[test]
fn a_token_is_required_on_public_addresses() {
    let place = place_with(&crowd());
    let refused = place.run(&["watch", "--http", "0.0.0.0:0"]);
    assert_eq!(refused.status.code(), Some(78));
    assert!(stderr(&refused).contains("--http-token-file"), "{}", stderr(&refused));
    place.write("token", "short\n");
    let refused = place.run(&["watch", "--http", "127.0.0.1:0", "--http-token-file", "token"]);
    assert_eq!(refused.status.code(), Some(78), "{}", stderr(&refused));
    place.write("token", "correct-horse-battery\n");
    let (_daemon, page) = place.watch_with_page("127.0.0.1:0", &["--http-token-file", "token"]);
    place.wait_for_rows(402);
    place.wait_for("readiness", || (get(&page, "/health/readyz").status == 200).then_some(()));
    for open in ["/", "/assets/app.js", "/health/livez", "/health/readyz"] {
        assert_eq!(get(&page, open).status, 200, "{open}");
    }
    for closed in
        ["/api/v1/status", "/api/v1/insights/night_owl_users.csv", "/metrics", "/api/v1/events", "/nothing"]
    {
        let answer = get(&page, closed);
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{closed}");
        let wrong = get_with(&page, closed, "authorization: Bearer correct-horse-batterz\r\n");
        assert_eq!(wrong.status, 401, "{closed}");
    }
    let answer = get_with(&page, "/api/v1/status", "authorization: Bearer correct-horse-battery\r\n");
    assert_eq!(answer.json()["totals"]["rows"], 402);
}

#[test]
fn the_health_command_asks_a_running_watch() {
    let place = place_with(&crowd());
    place.write("token", "correct-horse-battery\n");
    let (daemon, page) = place.watch_with_page("0.0.0.0:0", &["--http-token-file", "token"]);
    place.wait_for_rows(402);
    let address = page.trim_start_matches("http://").to_owned();
    let health = |more: &[&str]| place.run(&[&["health", "--http", &address], more].concat());
    let alive = health(&[]);
    assert_eq!((alive.status.code(), stdout(&alive).as_str()), (Some(0), "alive\n"), "{}", stderr(&alive));
    place.wait_for("readiness", || health(&["--ready"]).status.success().then_some(()));
    daemon.stop();
    let gone = health(&[]);
    assert_eq!(gone.status.code(), Some(74));
    assert!(stderr(&gone).contains("no answer from watch"), "{}", stderr(&gone));
    assert_eq!(place.run(&["health", "--http", "off"]).status.code(), Some(78));
}

#[test]
fn a_port_in_use_is_an_error_only_if_the_port_was_set() {
    let place = place_with(&crowd());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = place.run(&["watch", "--http", &address]);
    assert_eq!(refused.status.code(), Some(74));
    assert!(stderr(&refused).contains(&format!("cannot listen on {address}")), "{}", stderr(&refused));
}

#[test]
fn subscribers_receive_each_published_epoch() {
    let place = place_with(LOG_HEADER);
    let (_daemon, page) = place.watch_with_page("127.0.0.1:0", &[]);
    let mut stream = connect(&page);
    stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let (mut heard, mut piece) = (String::new(), [0; 4096]);
    let mut hear_until = |wanted: &str| {
        while !heard.contains(wanted) {
            let read = stream.read(&mut piece).unwrap();
            assert!(read > 0, "the server closed the connection before {wanted}: {heard}");
            heard.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
        std::mem::take(&mut heard)
    };
    assert!(hear_until("event: status").contains("text/event-stream"));
    place.append("data/incoming/a.csv", &play(1, 1, 1));
    let epoch = place.wait_for_rows(1)["epoch"].to_string();
    hear_until(&format!("event: epoch\nid: {epoch}\n"));
    hear_until(&format!("\"epoch\":{epoch},\"state\":\"ready\""));
}

#[test]
fn metrics_follow_the_conventions_and_the_plays() {
    let place = place_with(&crowd());
    let (_daemon, page) = place.watch_with_page("127.0.0.1:0", &[]);
    wait_for_shown(&place, &page, 402);
    place.write(
        "data/songs_metadata.csv",
        &format!("{}{SONGS}s3,Three,C,Jazz,Calm\n", crate::daemon::CATALOG_HEADER),
    );
    let metrics = |name: &str| -> Option<String> {
        let answer = get(&page, "/metrics");
        let line = answer.text().lines().find(|line| line.starts_with(&format!("{name} ")))?;
        Some(line.rsplit(' ').next()?.to_owned())
    };
    // The metrics of a flush describe the cut of that flush.
    place.wait_for("the catalog", || (metrics("music_insights_catalog_songs")? == "3").then_some(()));
    place.wait_for("its plays", || (metrics("music_insights_unmatched_plays")? == "100").then_some(()));
    let log = format!("{LOG_HEADER}{}", play(1, 1, 7));
    std::fs::write(place.path("data/incoming/b.csv.zst"), zstd::encode_all(log.as_bytes(), 1).unwrap())
        .unwrap();
    place.wait_for("the compressed log", || {
        (metrics("music_insights_files_completed_total")? == "1").then_some(())
    });
    for (name, value) in [
        ("events_total", "403"),
        ("events_rejected_total{reason=\"bad_timestamp\"}", "1"),
        ("files_discovered_total", "2"),
        ("files_outstanding", "0"),
        ("bytes_unread", "0"),
        ("unmatched_plays", "100"),
        ("catalog_reloads_total{result=\"new\"}", "1"),
        ("catalog_broken", "0"),
        ("files_rewritten_total", "0"),
        ("insight_rows{insight=\"avg_listen_time_per_song\"}", "4"),
    ] {
        assert_eq!(metrics(&format!("music_insights_{name}")).as_deref(), Some(value), "{name}");
    }
    place.write("data/songs_metadata.csv", "no catalog\n");
    place.wait_for("the broken catalog", || (metrics("music_insights_catalog_broken")? == "1").then_some(()));
    assert_eq!(get(&page, "/api/v1/status").json()["catalog"]["broken"], true);
    let Ok(mut promtool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        println!("skipped: promtool (Debian: prometheus) is missing");
        return;
    };
    promtool.stdin.take().unwrap().write_all(&get(&page, "/metrics").body).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty() && output.stdout.is_empty(), "{output:?}");
}

/// schemathesis calls every operation with valid and invalid parameters. If the program is not on the path,
/// set `SCHEMATHESIS` to its path.
#[test]
fn responses_match_the_openapi_document() {
    let place = place_with(&crowd());
    let kept = ["--set", "periods.month=all", "--set", "periods.day=3"];
    let (_daemon, page) = place.watch_with_page("127.0.0.1:0", &kept);
    wait_for_shown(&place, &page, 402);
    let document = get(&page, "/api/v1/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let program = std::env::var("SCHEMATHESIS").unwrap_or_else(|_| "schemathesis".to_owned());
    let long = crate::daemon::is_long();
    let run = Command::new(program)
        .args([
            "--config-file",
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/service/schemathesis.toml"),
            "run",
        ])
        .args([&format!("{page}/api/v1/openapi.json"), "--exclude-path", "/api/v1/events", "--no-color"])
        .args(["--phases", "examples,coverage,fuzzing", "--seed", "1"])
        .args(["--max-examples", if long { "1000" } else { "30" }])
        .current_dir(place.root())
        .output();
    let Ok(output) = run else {
        println!("skipped: schemathesis (PyPI) is missing");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// A client that never reads its response must not block other clients.
#[test]
fn a_client_that_stops_reading_delays_no_other_client() {
    let place = Place::new(SONGS);
    place.done(&["generate", "--rows", "200000", "--users", "2000", "--songs", "500", "--out", "world"]);
    let log = std::fs::read_dir(place.path("world/incoming")).unwrap().next().unwrap().unwrap().path();
    std::fs::rename(log, place.path("data/incoming/a.csv")).unwrap();
    std::fs::rename(place.path("world/songs_metadata.csv"), place.path("data/songs_metadata.csv")).unwrap();
    let (_daemon, page) = place.watch_with_page("127.0.0.1:0", &[]);
    wait_for_shown(&place, &page, 200_000);
    let mut stream = connect(&page);
    stream
        .write_all(b"GET /api/v1/insights/enriched_logs.csv HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    place.append("data/incoming/a.csv", &play(1, 1, 1));
    wait_for_shown(&place, &page, 200_001);
    let found: Response = get(&page, "/api/v1/insights/enriched_logs?limit=1&user_id=u1");
    assert_eq!(found.status, 200);
    // A response shows the same epoch from its beginning to its end.
    let whole = read_response(stream);
    let epoch = whole.header("x-music-insights-epoch").unwrap().parse::<u64>().unwrap();
    let now = place.manifest("output").unwrap()["epoch"].as_u64().unwrap();
    assert!(epoch <= now);
    let length = whole.header("content-length").unwrap().parse::<usize>().unwrap();
    assert_eq!(whole.body.len(), length);
    let file = place.read("output/enriched_logs/part-00000.csv");
    assert_eq!(whole.text(), &file[..length]);
}
