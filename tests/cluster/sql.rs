//! The SQL of an insight is its second definition.

use std::fs;
use std::path::Path;

use music_insights::catalog::load::parse;
use music_insights::cluster::inputs::url_of;
use music_insights::cluster::job::{Job, JobKind, JobReport, JobResult, LogRange, MapJob};
use music_insights::cluster::sums::{Directory, Listeners, TRAILER, each_song, each_week_song};
use music_insights::cluster::tasks::Tasks;
use music_insights::insights::enriched_logs;
use music_insights::insights::query::{Parameter, Weeks};
use music_insights::model::dialect::CatalogDialect;
use music_insights::settings::{Effective, Layers, Settings};
use music_insights::state::checkpoint::generation::StateConfig;
use music_insights::storage::real::RealDisk;
use music_insights::text::push_cell;
use music_insights::time::civil::{DAY, Week};
use music_insights::time::date_range::DateRange;
use music_insights_ballista::jobs::JobHandler;
use music_insights_ballista::shared_storage::child;
use music_insights_ballista::sql::{Column, Query, Table, Value, run_locally};

use crate::processes::{assert_exit, run};
use crate::{NOW, arguments};

/// This test runs the SQL in its own process, over the sums that a job writes.
#[test]
fn the_sql_of_each_insight_agrees_with_the_engine() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().thread_stack_size(32 << 20).enable_all().build().unwrap();
    let choices: [&[(&str, &str)]; 4] = [
        &[],
        &[
            ("user_favorite_genres.ties", "first"),
            ("happy_recommendations.dominant", "true"),
            ("night_owl_users.min_plays", "0"),
        ],
        &[
            ("genre_loyalty_scores.threshold", "0.25"),
            ("genre_loyalty_scores.decimals", "18"),
            ("top_songs_this_week.limit", "3"),
        ],
        &[
            ("avg_listen_time_per_song.decimals", "18"),
            ("happy_recommendations.per_user", "40"),
            ("happy_recommendations.min_sad_share", "0.111111111"),
            ("happy_recommendations.min_sad_plays", "2"),
        ],
    ];
    let rounds = if std::env::var_os("LONG_TESTS").is_some() { 200 } else { 12 };
    for round in 0..rounds {
        let folder = tempfile::tempdir().unwrap();
        let (seed, rows) = (round.to_string(), (round * 37 % 400 + 1).to_string());
        let generate = [
            "generate", "--out", ".", "--seed", &seed, "--rows", &rows, "--users", "9", "--songs", "40",
            "--files", "3",
        ];
        assert_exit(&run(folder.path(), &generate), 0);
        fs::rename(folder.path().join("incoming"), folder.path().join("logs")).unwrap();
        fs::rename(folder.path().join("songs_metadata.csv"), folder.path().join("songs.csv")).unwrap();
        let chosen = choices[round % choices.len()];
        let pairs: Vec<String> =
            chosen.iter().map(|(key, value)| format!("insights.{key}={value}")).collect();
        let flags: Vec<&str> = pairs.iter().flat_map(|pair| ["--set", pair.as_str()]).collect();
        assert_exit(&run(folder.path(), &arguments("expected", &flags)), 0);
        // With every song in the catalog, the enriched rows are all plays.
        write_full_catalog(folder.path());
        let full = ["replay", "logs", "--songs", "full.csv", "--now", NOW, "--output", "plays"];
        assert_exit(&run(folder.path(), &[&full, &flags[..]].concat()), 0);
        let found = runtime.block_on(rows_of_sql(folder.path(), chosen));
        for (name, lines) in found {
            let file =
                fs::read_to_string(folder.path().join("expected").join(name).join("part-00000.csv")).unwrap();
            let (header, expected) = file.split_once('\n').unwrap();
            let expected = if header == "message" { "" } else { expected };
            assert_eq!(expected, lines, "{name} of round {round} with {pairs:?}");
        }
    }
}

/// Writes a catalog with all songs of the logs.
fn write_full_catalog(folder: &Path) {
    let mut catalog = "song_id,title,artist,genre,mood\n".to_owned();
    for log in fs::read_dir(folder.join("logs")).unwrap() {
        for row in fs::read_to_string(log.unwrap().path()).unwrap().lines().skip(1) {
            if let Some(song) = row.split(',').nth(1).filter(|song| !song.is_empty()) {
                catalog.push_str(song);
                catalog.push_str(",,,,\n");
            }
        }
    }
    fs::write(folder.join("full.csv"), catalog).unwrap();
}

/// The rows that the SQL of each insight returns, as CSV lines.
async fn rows_of_sql(folder: &Path, chosen: &[(&str, &str)]) -> Vec<(&'static str, String)> {
    let flag =
        |(key, value): &(&str, &str)| ("--set".to_owned(), format!("insights.{key}"), (*value).to_owned());
    let layers = Layers { config: None, environment: Vec::new(), flags: chosen.iter().map(flag).collect() };
    let settings = Effective::of(&layers).unwrap().settings;
    let (mut tables, latest) = tables_of_logs(folder, &settings).await;
    let text = fs::read(folder.join("songs.csv")).unwrap();
    let rows = parse(&text, &CatalogDialect::default()).await.unwrap();
    let songs = rows.songs();
    let column = |field: fn(&music_insights::catalog::Song<'_>) -> String| {
        Column::Text(songs.iter().map(field).collect())
    };
    tables.push((
        "songs",
        vec![
            ("song_id", column(|song| String::from_utf8_lossy(song.song_id).into_owned())),
            ("title", column(|song| String::from_utf8_lossy(song.title).into_owned())),
            ("artist", column(|song| String::from_utf8_lossy(song.artist).into_owned())),
            ("genre", column(|song| String::from_utf8_lossy(song.genre).into_owned())),
            ("mood", column(|song| String::from_utf8_lossy(song.mood).into_owned())),
        ],
    ));
    tables.push(("plays", plays(folder)));
    let weeks = Weeks::new(latest.map(|(_, local): (i64, i64)| local), Week(0));
    let mut found = Vec::new();
    for query in queries(&settings, weeks) {
        let mut lines = Vec::new();
        for row in run_locally(&query, &tables).await.unwrap() {
            for (index, cell) in row.iter().enumerate() {
                lines.extend_from_slice(if index > 0 { b"," } else { b"" });
                push_cell(&mut lines, cell.as_bytes());
            }
            lines.push(b'\n');
        }
        found.push((query.name, String::from_utf8(lines).unwrap()));
    }
    found
}

/// The queries of the enabled insights.
fn queries(settings: &Settings, weeks: Weeks) -> Vec<Query> {
    let value = |parameter| match parameter {
        Parameter::Text(text) => Value::Text(text),
        Parameter::Number(number) => Value::Number(number),
        Parameter::Week(days) => Value::Week(days),
        Parameter::Flag(flag) => Value::Flag(flag),
    };
    let snapshots = settings.insights.queries(weeks).into_iter().map(|query| Query {
        name: query.name,
        sql: query.sql,
        parameters: query.parameters.into_iter().map(|(name, given)| (name, value(given))).collect(),
    });
    let enriched = Query { name: "enriched_logs", sql: enriched_logs::ABOUT.sql, parameters: Vec::new() };
    snapshots.chain([enriched]).collect()
}

/// The tables of sums, and the latest play.
async fn tables_of_logs(folder: &Path, settings: &Settings) -> (Vec<Table<'static>>, Option<(i64, i64)>) {
    let mut logs: Vec<_> =
        fs::read_dir(folder.join("logs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    logs.sort();
    let range = |(number, log): (u32, &std::path::PathBuf)| LogRange {
        number,
        url: url_of(log).unwrap().into(),
        version: String::new(),
        range: None,
    };
    let target = url_of(&folder.join("tables")).unwrap();
    let kind = JobKind::Map(Box::new(MapJob {
        logs: (0..).zip(&logs).map(range).collect(),
        config: StateConfig::of(settings),
        catalog: None,
        dates: DateRange::default(),
        now: 1_767_225_600,
        today: 0,
        folder: target.to_string(),
    }));
    let report = child(&target, "report.json").to_string();
    let job = Job { program: env!("CARGO_PKG_VERSION").to_owned(), report, kind };
    let job = serde_json::to_string(&job).unwrap();
    let tasks = Tasks::new(tokio::runtime::Handle::current(), RealDisk::without_fsync());
    let work = folder.to_owned();
    let report = tokio::task::spawn_blocking(move || tasks.execute(&job, &work)).await.unwrap().unwrap();
    let JobResult::Map(report) = serde_json::from_str::<JobReport>(&report).unwrap().result else { panic!() };
    let latest = report.logs.iter().filter_map(|log| log.counts.latest).max();
    (tables_of_sums(&fs::read(folder.join("tables/sums")).unwrap()), latest)
}

/// The tables in a file of sums.
fn tables_of_sums(file: &[u8]) -> Vec<Table<'static>> {
    let part = |range: std::ops::Range<u64>| &file[range.start as usize..range.end as usize];
    let place = Directory::place(&file[file.len() - TRAILER as usize..]).unwrap();
    let directory = Directory::parse(place.check(part(place.range())).unwrap()).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (mut ids, mut totals) = (Vec::new(), Vec::new());
    each_song(part(directory.songs.range()), |id, total| {
        ids.push(text(id));
        totals.push(total);
    })
    .unwrap();
    let (mut users, mut songs, mut plays) = (Vec::new(), Vec::new(), Vec::new());
    let (mut owls, mut nights) = (Vec::new(), Vec::new());
    for block in directory.blocks(b"", None) {
        let mut listeners = Listeners::of_blocks(block.check(part(block.range())).unwrap());
        while let Some(listener) = listeners.next_listener().unwrap() {
            listener
                .each_song(|song, count| {
                    users.push(text(listener.id));
                    songs.push(ids[song as usize].clone());
                    plays.push(count as i64);
                })
                .unwrap();
            if listener.nights > 0 {
                owls.push(text(listener.id));
                nights.push(i64::from(listener.nights));
            }
        }
    }
    let (mut week_songs, mut weeks, mut week_plays, mut millis) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut seen = vec![false; ids.len()];
    for week in directory.weeks() {
        each_week_song(part(directory.week(week).unwrap().range()), |song, count| {
            week_songs.push(ids[song as usize].clone());
            weeks.push((week.seconds().start / DAY) as i32);
            week_plays.push(count as i64);
            // The sums have the milliseconds of all weeks together.
            let is_first = !std::mem::replace(&mut seen[song as usize], true);
            millis.push(if is_first { totals[song as usize].millis as i64 } else { 0 });
        })
        .unwrap();
    }
    vec![
        (
            "listens",
            vec![
                ("user_id", Column::Text(users)),
                ("song_id", Column::Text(songs)),
                ("plays", Column::Number(plays)),
            ],
        ),
        ("nights", vec![("user_id", Column::Text(owls)), ("plays", Column::Number(nights))]),
        (
            "song_weeks",
            vec![
                ("song_id", Column::Text(week_songs)),
                ("week", Column::Week(weeks)),
                ("plays", Column::Number(week_plays)),
                ("millis", Column::Number(millis)),
            ],
        ),
    ]
}

/// All plays in order, from the enriched rows with a full catalog.
fn plays(folder: &Path) -> Vec<(&'static str, Column)> {
    let file = fs::read_to_string(folder.join("plays/enriched_logs/part-00000.csv")).unwrap();
    let rows: Vec<Vec<&str>> = file.lines().skip(1).map(|row| row.split(',').collect()).collect();
    let cell = |column: usize| Column::Text(rows.iter().map(|row| row[column].to_owned()).collect());
    vec![
        ("input", Column::Number(vec![0; rows.len()])),
        ("place", Column::Number((0..rows.len() as i64).collect())),
        ("song_id", cell(0)),
        ("user_id", cell(1)),
        ("timestamp", cell(2)),
        ("duration_sec", cell(3)),
    ]
}
