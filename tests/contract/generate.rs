//! `generate` writes the same bytes for the same seed. Every insight has results for the generated data. A
//! stopped live feed leaves complete files.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use music_insights::cli::args::generate::GenerateArgs;
use music_insights::cli::commands::generate::{Generated, run};
use music_insights::generate::{PlayLog, text};
use music_insights::telemetry::progress::Progress;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: GenerateArgs,
}

fn args(flags: &str) -> GenerateArgs {
    Cli::parse_from(["generate"].into_iter().chain(flags.split_whitespace())).args
}

/// The generated rows without the header.
fn rows(flags: &str) -> String {
    let args = args(flags);
    let mut out = Vec::new();
    PlayLog::new(&args.plan(0)).append(args.total().unwrap(), &mut out);
    String::from_utf8(out).unwrap()
}

fn catalog(flags: &str) -> String {
    let mut out = Vec::new();
    args(flags).plan(0).catalog().append(&mut out);
    String::from_utf8(out).unwrap()
}

fn generate(out: &Path, flags: &str) -> Generated {
    let mut args = args(flags);
    out.clone_into(&mut args.out);
    run(&args, &AtomicBool::new(false), &Progress::silent()).unwrap()
}

/// The files of a folder, keyed by name.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|file| (file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).unwrap()))
        .collect()
}

/// The rows of a complete log.
fn body(log: &str) -> &str {
    assert!(log.ends_with('\n'), "the last line is incomplete");
    log.strip_prefix(std::str::from_utf8(text::HEADER).unwrap()).expect("the header comes first")
}

/// The hash FNV-1a, which is simple to reimplement.
fn checksum(text: &str) -> u64 {
    text.bytes()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// Splits a record by RFC 4180. Fails if a field has unnecessary quotes.
fn fields(record: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut rest = record;
    loop {
        let field;
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut end = 0;
            while !quoted[end..].starts_with('"') || quoted[end..].starts_with("\"\"") {
                let double = quoted[end..].starts_with("\"\"");
                end += if double {
                    2
                } else {
                    quoted[end..].chars().next().expect("a closing quote").len_utf8()
                };
            }
            field = quoted[..end].replace("\"\"", "\"");
            assert!(field.contains([',', '"']), "unnecessary quotes in {record}");
            rest = &quoted[end + 1..];
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            field = rest[..end].to_owned();
            assert!(!field.contains('"'), "missing quotes in {record}");
            rest = &rest[end..];
        }
        fields.push(field);
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => break,
        }
    }
    assert!(rest.is_empty(), "text after a closing quote in {record}");
    fields
}

#[test]
fn the_bytes_of_seed_1_are_the_same_on_every_machine() {
    let checksums =
        |flags: &str| [checksum(&catalog(flags)), checksum(&rows(flags))].map(|sum| format!("{sum:016x}"));
    assert_eq!(checksums(""), ["adf4406d646ce7bd", "6745738a39c3ec0e"]);
    assert_eq!(
        checksums("--rows 50000 --users 3000 --songs 700 --days 30 --start 2024-02-20"),
        ["a95a0275573bd61d", "7a8c8802ec2c2ba2"]
    );
    assert_eq!(
        checksums("--rows 5000 --popularity uniform --ids uuid"),
        ["85e3302dd9504f79", "d12cb44a486c61bd"]
    );
    assert_ne!(rows("--seed 1"), rows("--seed 2"));
}

#[test]
fn the_bytes_of_a_long_period_are_the_same_on_every_machine() {
    let checksum = |flags: &str| format!("{:016x}", checksum(&rows(flags)));
    assert_eq!(
        checksum("--rows 50000 --users 3000 --songs 700 --days 3650 --start 2015-01-01"),
        "494c0f1cffdf20a7"
    );
    assert_eq!(checksum("--rows 5000 --days 800 --popularity uniform --ids uuid"), "6eae199e502d2427");
}

#[test]
fn batches_do_not_change_the_rows() {
    for days in [7, 3650] {
        let flags = format!("--rows 3000 --days {days}");
        let whole = rows(&flags);
        for batch in [1, 7, 256, 1000] {
            let mut log = PlayLog::new(&args(&flags).plan(0));
            let mut out = Vec::new();
            while out.len() < whole.len() {
                log.append(batch, &mut out);
            }
            assert_eq!(out[..whole.len()], *whole.as_bytes(), "{days} {batch}");
        }
    }
}

/// The plays of each id in each year.
fn by_year(log: &str, column: usize) -> HashMap<&str, BTreeMap<&str, u32>> {
    let mut plays: HashMap<&str, BTreeMap<&str, u32>> = HashMap::new();
    for row in log.lines() {
        let fields: Vec<&str> = row.split(',').collect();
        *plays.entry(fields[column]).or_default().entry(&fields[2][..4]).or_default() += 1;
    }
    plays
}

#[test]
fn over_years_songs_and_listeners_come_and_go() {
    for popularity in ["zipf", "uniform"] {
        let log = rows(&format!(
            "--rows 200000 --users 2000 --songs 1000 --days 3652 --start 2015-01-01 --popularity {popularity}"
        ));
        let [mut listeners, songs] = [0, 1].map(|column| by_year(&log, column));
        let plays = |year: &str| log.lines().filter(|row| row.contains(&format!(",{year}-"))).count();
        let (first, last) = (plays("2015"), plays("2024"));
        assert!((3 * first..4 * first).contains(&last), "{first} {last}");
        assert!(log.lines().all(|row| ("2015".."2025").contains(&row.split(',').nth(2).unwrap())));

        let is_there = |years: &BTreeMap<&str, u32>, year: &str| years.contains_key(year);
        let share = |all: &HashMap<&str, BTreeMap<&str, u32>>,
                     keep: &dyn Fn(&BTreeMap<&str, u32>) -> bool| {
            all.values().filter(|years| keep(years)).count() * 100 / all.len()
        };
        // Rare listeners may have no play in a year.
        listeners.retain(|_, years| years.values().sum::<u32>() >= 50);
        let joined = share(&listeners, &|years| !is_there(years, "2015") && is_there(years, "2024"));
        let left = share(&listeners, &|years| !is_there(years, "2024"));
        assert!((40..60).contains(&joined), "{joined}");
        assert!((10..25).contains(&left), "{left}");
        let released = share(&songs, &|years| years.keys().min() > Some(&"2016"));
        assert!((30..60).contains(&released), "{released}");

        let top = |year: &str| -> HashSet<&str> {
            let mut plays: Vec<(u32, &str)> =
                songs.iter().filter_map(|(song, years)| Some((*years.get(year)?, *song))).collect();
            plays.sort_unstable();
            plays.iter().rev().take(20).map(|(_, song)| *song).collect()
        };
        let in_both = top("2016").intersection(&top("2023")).count();
        assert!((1..12).contains(&in_both), "{in_both}");
    }
}

#[test]
fn over_years_no_play_is_before_its_song_or_after_its_listener() {
    let log = rows("--rows 200000 --users 40 --songs 30 --days 1000 --start 2020-01-01");
    let (mut first_play, mut last_play) = (HashMap::new(), HashMap::new());
    for row in log.lines() {
        let fields: Vec<&str> = row.split(',').collect();
        let date = &fields[2][..10];
        let first = first_play.entry(fields[1]).or_insert(date);
        *first = date.min(first);
        let last = last_play.entry(fields[0]).or_insert(date);
        *last = date.max(last);
    }
    // With so many plays, a song is played on its first days, and a listener plays on the last days.
    let later = first_play.values().filter(|date| **date > "2020-01-15").count();
    assert!((4..25).contains(&later), "{first_play:?}");
    let days: HashSet<&&str> = first_play.values().filter(|date| **date > "2020-01-15").collect();
    assert!(days.len() + 1 >= later, "releases are on different days, not on the first day of a season");
    let earlier = last_play.values().filter(|date| **date < "2022-09-10").count();
    assert!((5..30).contains(&earlier), "{last_play:?}");
}

#[test]
fn over_years_one_song_and_one_listener_are_enough() {
    let log = rows("--rows 2000 --users 1 --songs 1 --days 36500 --start 1990-01-01");
    assert!(log.lines().all(|row| row.starts_with("user_1,song_")));
    assert_eq!(log.lines().count(), 2000);
}

#[test]
fn files_do_not_change_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let whole = rows("--rows 20000");
    for count in [1, 3, 8] {
        let out = folder.path().join(count.to_string());
        let made = generate(&out, &format!("--rows 20000 --files {count}"));
        assert_eq!(fs::read_to_string(&made.catalog).unwrap(), catalog(""));
        let files = files(&made.incoming);
        let expected: Vec<String> = (0..count).map(|file| format!("plays-{file:05}.csv")).collect();
        assert!(files.keys().eq(&expected), "{:?}", files.keys());
        let sizes: Vec<usize> = files.values().map(|log| body(log).lines().count()).collect();
        assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
        assert_eq!(files.values().map(|log| body(log)).collect::<String>(), whole);
        let bytes: usize = files.values().map(String::len).sum();
        assert_eq!((made.rows, made.bytes, made.files), (20_000, bytes as u64, count));
        assert!(!made.stopped);
    }
}

#[test]
fn existing_files_are_replaced_and_errors_name_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let made = generate(folder.path(), "--rows 500");
    generate(folder.path(), "--rows 10");
    assert_eq!(files(&made.incoming)["plays-00000.csv"].lines().count(), 11);

    let blocked = made.incoming.join("plays-00000.csv");
    fs::remove_file(&blocked).unwrap();
    fs::create_dir(&blocked).unwrap();
    let mut args = args("--rows 10");
    folder.path().clone_into(&mut args.out);
    let error = run(&args, &AtomicBool::new(false), &Progress::silent()).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot replace {}: ", blocked.display())), "{error}");
    assert_eq!(fs::read_dir(&made.incoming).unwrap().count(), 1, "the temporary file was not removed");
}

#[test]
fn a_stopped_run_leaves_no_incomplete_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut args = args("--rows 1000");
    folder.path().clone_into(&mut args.out);
    let made = run(&args, &AtomicBool::new(true), &Progress::silent()).unwrap();
    assert!(made.stopped);
    assert_eq!((made.rows, made.files), (0, 0));
    assert_eq!(fs::read_dir(&made.incoming).unwrap().count(), 0);
}

#[test]
fn rows_are_valid_and_at_or_after_the_start() {
    for ids in ["short", "uuid"] {
        let log = rows(&format!("--rows 40000 --users 300 --ids {ids}"));
        let (mut out_of_order, mut late, mut decimals) = (0, 0, 0);
        let mut latest = String::new();
        for row in log.lines() {
            let fields: Vec<&str> = row.split(',').collect();
            let [user, song, timestamp, duration] = fields[..] else { panic!("{row}") };
            match ids {
                "short" => {
                    let number =
                        |id: &str, noun: &str| id.strip_prefix(noun).unwrap().parse::<u32>().unwrap();
                    assert!((1..=300).contains(&number(user, "user_")), "{row}");
                    assert!((1..=110).contains(&number(song, "song_")), "{row}");
                }
                _ => assert!(
                    [user, song].iter().all(|id| id.len() == 36 && id.split('-').count() == 5),
                    "{row}"
                ),
            }
            let shape: String = timestamp.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            assert_eq!(shape, "0000-00-00 00:00:00");
            assert!(("2025-03-20 00:00:00".."2025-03-27 00:00:00").contains(&timestamp), "{row}");
            if timestamp < latest.as_str() {
                out_of_order += 1;
                late += u32::from(timestamp[..10] < latest[..10] && latest[11..13] > *"01");
            } else {
                timestamp.clone_into(&mut latest);
            }
            let (whole, fraction) = duration.split_once('.').unwrap_or((duration, ""));
            assert!((3..=360).contains(&whole.parse::<u32>().unwrap()), "{row}");
            assert!(fraction.len() <= 3 && fraction.bytes().all(|digit| digit.is_ascii_digit()), "{row}");
            decimals += u32::from(!fraction.is_empty());
        }
        assert!((1000..1600).contains(&out_of_order), "{out_of_order}");
        assert!((20..200).contains(&late), "{late}");
        assert!((650..950).contains(&decimals), "{decimals}");
        assert_eq!(log.lines().count(), 40_000);
    }
}

#[test]
fn the_catalog_is_valid_and_has_empty_and_quoted_cells() {
    let text = catalog("--songs 2000");
    let (mut artists, mut no_genre, mut no_mood) = (HashSet::new(), 0, 0);
    for (line, number) in text.lines().skip(1).zip(1..) {
        let fields = fields(line);
        let [id, title, artist, genre, mood] = &fields[..] else { panic!("{line}") };
        assert_eq!(*id, format!("song_{number}"));
        assert!(!title.is_empty() && !artist.is_empty(), "{line}");
        artists.insert(artist.clone());
        no_genre += u32::from(genre.is_empty());
        no_mood += u32::from(mood.is_empty());
    }
    assert_eq!(text.lines().count(), 2001);
    assert!((300..1000).contains(&artists.len()), "{}", artists.len());
    assert!((10..100).contains(&no_genre) && (10..100).contains(&no_mood), "{no_genre} {no_mood}");
    assert!(text.contains(",\"") && text.contains("\"\"") && !text.is_ascii());
    let uuids = catalog("--songs 50 --ids uuid");
    let ids: HashSet<&str> = uuids.lines().skip(1).map(|line| &line[..36]).collect();
    assert_eq!(ids.len(), 50);
}

#[test]
fn the_plays_include_loyal_and_sad_listeners() {
    for popularity in ["zipf", "uniform"] {
        let flags = format!("--rows 60000 --users 1000 --songs 500 --popularity {popularity}");
        let catalog = catalog(&flags);
        let songs: HashMap<String, (String, String)> = catalog
            .lines()
            .skip(1)
            .map(fields)
            .map(|f| (f[0].clone(), (f[3].clone(), f[4].clone())))
            .collect();
        let log = rows(&flags);
        let mut unknown = 0;
        let mut by_song: HashMap<&str, u32> = HashMap::new();
        let mut by_user: HashMap<&str, (u32, HashMap<&str, u32>)> = HashMap::new();
        let mut sad: HashMap<&str, u32> = HashMap::new();
        for row in log.lines() {
            let (user, rest) = row.split_once(',').unwrap();
            let song = rest.split_once(',').unwrap().0;
            let Some((genre, mood)) = songs.get(song) else {
                unknown += 1;
                continue;
            };
            *by_song.entry(song).or_default() += 1;
            let (plays, genres) = by_user.entry(user).or_default();
            *plays += 1;
            *genres.entry(genre).or_default() += 1;
            *sad.entry(user).or_default() += u32::from(mood == "Sad");
        }
        assert!((500..700).contains(&unknown), "{unknown}");
        let loyal = by_user.values().filter(|(plays, genres)| {
            *plays >= 20 && genres.iter().any(|(genre, count)| !genre.is_empty() && count * 10 > plays * 8)
        });
        let loyal = loyal.count();
        assert!((25..90).contains(&loyal), "{loyal}");
        let sad = by_user.iter().filter(|(user, (plays, _))| *plays >= 20 && sad[*user] * 2 > *plays).count();
        assert!((50..160).contains(&sad), "{sad}");
        let top = by_song.values().max().unwrap();
        assert_eq!(*top > 600, popularity == "zipf", "{top}");
    }
}

#[test]
fn a_live_feed_ends_after_its_number_of_rows() {
    let folder = tempfile::tempdir().unwrap();
    let flags = "--rate 600 --rows 1300";
    let made = generate(folder.path(), flags);
    let files = files(&made.incoming);
    assert!(files.keys().any(|name| name.starts_with("live-")), "{:?}", files.keys());
    assert!(files.keys().any(|name| name.starts_with("drop-")), "{:?}", files.keys());
    let mut lines: Vec<&str> = files.values().flat_map(|log| body(log).lines()).collect();
    let expected = rows("--rows 1300");
    let mut expected: Vec<&str> = expected.lines().collect();
    lines.sort_unstable();
    expected.sort_unstable();
    assert_eq!(lines, expected);
    assert_eq!((made.rows, made.files, made.stopped), (1300, files.len() as u64, false));
    assert!(made.elapsed >= Duration::from_secs(2), "{:?}", made.elapsed);
}

#[test]
fn a_stopped_feed_leaves_whole_files_and_the_next_feed_continues() {
    let folder = tempfile::tempdir().unwrap();
    let incoming = folder.path().join("incoming");
    fs::create_dir_all(&incoming).unwrap();
    fs::write(incoming.join("live-00007.csv"), "mine").unwrap();
    let mut args = args("--rate 2000 --start now --seed 3");
    folder.path().clone_into(&mut args.out);
    let stop = AtomicBool::new(false);
    let mut partial = false;
    let (made, waited) = thread::scope(|scope| {
        let feed = scope.spawn(|| run(&args, &stop, &Progress::silent()).unwrap());
        let began = Instant::now();
        // A growing file may end with an unfinished line. Dropped files are always complete.
        while began.elapsed() < Duration::from_millis(900) {
            for (name, text) in files_if_there(&incoming) {
                if name.starts_with("drop-") {
                    body(&text);
                } else if name == "live-00008.csv" {
                    partial |= !text.ends_with('\n');
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
        let stopped = Instant::now();
        (feed.join().unwrap(), stopped.elapsed())
    });
    assert!(waited < Duration::from_secs(1), "{waited:?}");
    assert!(made.stopped && partial);
    let most = made.elapsed.as_millis() as u64 * 2 + 10;
    assert!((500..=most).contains(&made.rows), "{} rows, expected 500 to {most}", made.rows);
    let mut files = files(&incoming);
    assert_eq!(files.remove("live-00007.csv").unwrap(), "mine");
    let rows: usize = files.values().map(|log| body(log).lines().count()).sum();
    assert_eq!((made.rows, made.files), (rows as u64, files.len() as u64));
    assert!(files.contains_key("live-00008.csv") && files.keys().all(|name| !name.starts_with('.')));

    args.rows = Some(5);
    run(&args, &AtomicBool::new(false), &Progress::silent()).unwrap();
    assert_eq!(fs::read_to_string(incoming.join("live-00009.csv")).unwrap().lines().count(), 6);
}

/// Reads the files of a folder while files appear and disappear.
fn files_if_there(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).unwrap().filter_map(Result::ok);
    let text = |path: &Path| fs::read_to_string(path).ok();
    entries.filter_map(|file| Some((file.file_name().into_string().ok()?, text(&file.path())?))).collect()
}

#[test]
fn wrong_arguments_are_refused() {
    for wrong in [
        "--rows 0",
        "--users 0",
        "--songs 0",
        "--files 0",
        "--days 0",
        "--days 36501",
        "--rate 0",
        "--start 2025-02-30",
        "--start yesterday",
        "--popularity some",
        "--ids long",
        "--files 2 --rate 5",
        "--seed -1",
    ] {
        let flags = ["generate"].into_iter().chain(wrong.split(' '));
        assert!(Cli::try_parse_from(flags).is_err(), "{wrong}");
    }
    assert_eq!(args("").total(), Some(1000));
    assert_eq!(args("--rate 5").total(), None);
    assert_eq!(args("--rate 5 --rows 7").total(), Some(7));
}
