//! Checks the page of `report`. The numbers on the page equal the numbers that the tests compute from the
//! tables. For any content of the tables, the page is well-formed and contacts no host.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::{CATALOG_HEADER, LOG_HEADER, Place, SONGS, stderr, stdout};
use roxmltree::{Document, Node};

/// Converts a page to XML. This only adds the end tags of `meta` elements, because all other elements are
/// closed.
fn as_xml(page: &str) -> String {
    let page = page.strip_prefix("<!DOCTYPE html>").expect("the page starts with the HTML doctype");
    let mut text = String::new();
    let mut rest = page;
    while let Some(start) = rest.find("<meta ") {
        let end = start + rest[start..].find('>').unwrap();
        text.push_str(&rest[..end]);
        text.push_str("/>");
        rest = &rest[end + 1..];
    }
    text + rest
}

/// The content of a page.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    /// The numbers at the top of the page, as text.
    facts: BTreeMap<String, String>,
    /// The numbers of each chart.
    numbers: BTreeMap<String, BTreeMap<String, u64>>,
    /// The description of each chart, or the reason why the chart is missing.
    words: BTreeMap<String, String>,
    /// The labels of the shapes of each chart.
    marks: BTreeMap<String, Vec<String>>,
    text: String,
}

fn text_of(node: Node<'_, '_>) -> String {
    node.descendants().filter(Node::is_text).filter_map(|text| text.text()).collect()
}

fn parse(page: &str) -> Content {
    let xml = as_xml(page);
    let document = Document::parse(&xml).unwrap_or_else(|cause| panic!("{cause}\n{xml}"));
    let tag = |name: &'static str| move |node: &Node<'_, '_>| node.has_tag_name(name);
    let facts = document.descendants().filter(tag("dt")).map(|name| {
        let value = name.next_sibling_element().unwrap().first_child().unwrap();
        (text_of(name), value.text().unwrap().trim().to_owned())
    });
    let (mut numbers, mut words, mut marks) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for section in document.descendants().filter(|node| node.has_tag_name("section")) {
        let Some(name) = section.attribute("id").map(str::to_owned) else { continue };
        let rows = section.descendants().filter(tag("details")).flat_map(|node| node.descendants());
        let numbers_of = rows.filter(tag("tr")).map(|row| {
            let [name, number] = [0, 1].map(|at| text_of(row.children().nth(at).unwrap()));
            (name, number.replace(',', "").parse().unwrap())
        });
        numbers.insert(name.clone(), numbers_of.collect());
        let speaks = |node: &Node<'_, '_>| {
            node.has_tag_name(("http://www.w3.org/2000/svg", "desc"))
                || node.has_tag_name("desc")
                || node.attribute("class") == Some("absent")
        };
        words.insert(name.clone(), text_of(section.descendants().find(speaks).unwrap()));
        let titles =
            section.descendants().filter(tag("g")).filter_map(|position| position.first_element_child());
        marks.insert(name, titles.map(text_of).collect());
    }
    let text = text_of(document.descendants().find(tag("body")).unwrap());
    Content { facts: facts.collect(), numbers, words, marks, text }
}

/// The rows of a table, from all its parts.
fn rows(place: &Place, output: &str, name: &str) -> Vec<Vec<String>> {
    let folder = place.path(output).join(name);
    let mut parts: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    parts.sort();
    let cells = |line: &str| {
        let (mut cells, mut quoted) = (vec![String::new()], false);
        let mut chars = line.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    cells.last_mut().unwrap().push(chars.next().unwrap());
                }
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(String::new()),
                char => cells.last_mut().unwrap().push(char),
            }
        }
        cells
    };
    let texts: Vec<String> = parts.iter().map(|part| fs::read_to_string(part).unwrap()).collect();
    texts.iter().flat_map(|text| text.split_terminator('\n').skip(1)).map(cells).collect()
}

fn with_commas(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    String::from_utf8(groups.join(&b","[..])).unwrap()
}

/// Pairs each label of a bucket with its count.
fn counted<'a>(names: impl Iterator<Item = (String, usize)> + 'a) -> BTreeMap<String, u64> {
    names.map(|(name, count)| (name, count as u64)).collect()
}

/// Compares the numbers on a page with the tables of the same output.
fn assert_numbers(place: &Place, output: &str, content: &Content) {
    let plays = rows(place, output, "enriched_logs");
    let mut genres = BTreeMap::<&str, usize>::new();
    let mut hours = [0; 168];
    let mut tastes = BTreeMap::<&str, BTreeMap<&str, usize>>::new();
    let mut artists = BTreeMap::<&str, &str>::new();
    for play in &plays {
        let [song, user, time, _, _, artist, genre, _] =
            play.iter().map(String::as_str).collect::<Vec<_>>()[..]
        else {
            panic!("{play:?}")
        };
        *genres.entry(if genre.is_empty() { "no genre" } else { genre }).or_default() += 1;
        let number = |range: std::ops::Range<usize>| time[range].parse::<i64>().unwrap();
        // Zeller's congruence gives the day of the week, independently of the program. 0 is Saturday.
        let (year, month) = if number(5..7) < 3 {
            (number(0..4) - 1, number(5..7) + 12)
        } else {
            (number(0..4), number(5..7))
        };
        let day = (number(8..10) + 13 * (month + 1) / 5 + year + year / 4 - year / 100 + year / 400) % 7;
        hours[((day + 5) % 7 * 24 + number(11..13)) as usize] += 1;
        if !genre.is_empty() {
            *tastes.entry(user).or_default().entry(genre).or_default() += 1;
        }
        artists.insert(song, artist);
    }
    assert_eq!(
        content.numbers["genres"],
        counted(genres.into_iter().map(|(name, plays)| (name.to_owned(), plays)))
    );

    let days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let of_day = |day: usize| (days[day].to_owned(), hours[day * 24..][..24].iter().sum());
    let of_hour =
        |hour: usize| (format!("{hour:02}:00–{:02}:00", hour + 1), hours.iter().skip(hour).step_by(24).sum());
    assert_eq!(content.numbers["hours"], counted((0..7).map(of_day).chain((0..24).map(of_hour))));

    let mut loyalty = [0; 20];
    for taste in tastes.values() {
        let (most, all) = (taste.values().max().unwrap(), taste.values().sum::<usize>());
        loyalty[(most * 20 / all).min(19)] += 1;
    }
    let bucket = |place: usize| (format!("{}–{} %", place * 5, place * 5 + 5), loyalty[place]);
    assert_eq!(content.numbers["loyalty"], counted((0..20).map(bucket)));

    assert_songs(place, output, content, &artists);
    assert_facts(place, output, content, &plays, tastes.len());
}

/// Checks the charts about songs.
fn assert_songs(place: &Place, output: &str, content: &Content, artists: &BTreeMap<&str, &str>) {
    let mut times = [0; 25];
    let means = rows(place, output, "avg_listen_time_per_song");
    for row in &means {
        times[((row[1].parse::<f64>().unwrap() / 15.0) as usize).min(24)] += 1;
    }
    let time = |place: usize| format!("{}:{:02}", place / 4, place % 4 * 15);
    let name = |place: usize| {
        if place == 24 { "6:00 or more".to_owned() } else { format!("{}–{}", time(place), time(place + 1)) }
    };
    assert_eq!(content.numbers["listen_times"], counted((0..25).map(|place| (name(place), times[place]))));

    let mut recommended = BTreeMap::<(String, String), usize>::new();
    for row in rows(place, output, "happy_recommendations") {
        *recommended.entry((row[1].clone(), row[3].clone())).or_default() += 1;
    }
    let mut recommended: Vec<_> = recommended.into_iter().collect();
    recommended.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    assert_eq!(content.marks["recommended"].len(), recommended.len().min(10));
    for (words, ((_, title), count)) in content.marks["recommended"].iter().zip(&recommended) {
        let number = with_commas(*count);
        assert!(
            words.starts_with(title.as_str()) && words.contains(&format!(": {number} listener")),
            "{words}"
        );
    }

    let top = rows(place, output, "top_songs_this_week");
    assert_eq!(content.marks["top_songs"].len(), top.len().min(10));
    for (words, row) in content.marks["top_songs"].iter().zip(&top) {
        assert!(words.ends_with(&format!(": {} plays", with_commas(row[1].parse().unwrap()))), "{words}");
        if let Some(artist) = artists.get(row[0].as_str()) {
            assert!(words.contains(artist), "{artist} is missing in {words}");
        }
    }
}

/// Checks the numbers at the top of the page, and the remaining tables.
fn assert_facts(place: &Place, output: &str, content: &Content, plays: &[Vec<String>], listeners: usize) {
    let users = |name| {
        rows(place, output, name).into_iter().map(|mut row| row.swap_remove(0)).collect::<BTreeSet<_>>()
    };
    // If no listener is loyal, the table contains a message.
    let message =
        users("genre_loyalty_scores").into_iter().filter(|user| user.starts_with("No users found")).collect();
    let manifest = place.manifest(output).unwrap();
    let total = |name: &str| manifest["totals"][name].as_u64().unwrap() as usize;
    let rejected: u64 =
        manifest["totals"]["rejected"].as_object().unwrap().values().map(|rows| rows.as_u64().unwrap()).sum();
    for (fact, number) in [
        ("Listeners", listeners),
        ("Night owls", users("night_owl_users").len()),
        ("Loyal listeners", users("genre_loyalty_scores").difference(&message).count()),
        ("Rows read", total("rows")),
        ("Plays", total("rows") - rejected as usize),
        ("Unmatched plays", total("unmatched")),
        ("Rejected rows", rejected as usize),
    ] {
        assert_eq!(content.facts[fact], with_commas(number), "{fact}");
    }
    let first_and_last = plays.iter().map(|row| row[2][..16].replace('T', " "));
    if let (Some(first), Some(last)) = (first_and_last.clone().min(), first_and_last.max()) {
        assert!(content.text.contains(&format!("from {first} to {last}")), "{first} to {last}");
    }
    for name in ["enriched_logs", "user_favorite_genres", "avg_listen_time_per_song"] {
        let more = rows(place, output, name).len().saturating_sub(8);
        let says = content.text.contains(&format!("{} more in output/{name}/", with_commas(more)));
        assert_eq!(says, more > 0, "{name}");
    }
}

fn sample() -> Place {
    let place = Place::new("");
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["data/songs_metadata.csv", "data/incoming/plays-00000.csv"] {
        fs::copy(project.join(file), place.path(file)).unwrap();
    }
    place
}

#[test]
fn the_report_of_the_sample_matches_the_tables() {
    let place = sample();
    place.done(&["replay"]);
    assert_eq!(stdout(&place.done(&["report"])), "written   report.html\n");
    let page = place.read("report.html");
    assert_numbers(&place, "output", &parse(&page));
    assert_eq!(
        stdout(&place.done(&["report", "--html", "-"])),
        page,
        "the page on stdout differs from the file"
    );
    assert!(page.contains("Top songs of 2025-W13"), "the page does not show the latest week");
    assert!(!place.path(".report.html.tmp").exists());
}

#[test]
fn the_report_of_a_period_equals_the_report_of_its_plays_alone() {
    let place = sample();
    let text = place.read("data/incoming/plays-00000.csv");
    // Some plays are unmatched.
    let text = text.replace("song_7,", "missing,");
    place.write("data/incoming/plays-00000.csv", &text);
    // The first four days of the sample belong to 2025-W12, and the others to 2025-W13.
    let (header, rows) = text.split_once('\n').unwrap();
    let is_first = |row: &&str| ["03-20", "03-21", "03-22", "03-23"].iter().any(|day| row.contains(day));
    let first: String = rows.split_inclusive('\n').filter(is_first).collect();
    place.write("first.csv", &format!("{header}\n{first}"));
    place.done(&["replay", "first.csv", "--output", "alone"]);
    place.done(&["replay", "--set", "periods.week=all", "--set", "periods.month=1"]);
    let alone = parse(&stdout(&place.done(&["report", "--output", "alone", "--html", "-"])));
    let page = stdout(&place.done(&["report", "--period", "2025-W12", "--html", "-"]));
    let of_week = parse(&page);
    assert_eq!((&of_week.numbers, &of_week.words), (&alone.numbers, &alone.words));
    assert_eq!(of_week.marks, alone.marks);
    for fact in ["Plays", "Listeners", "Night owls", "Loyal listeners", "Unmatched plays"] {
        assert_eq!(of_week.facts[fact], alone.facts[fact], "{fact}");
    }
    assert_eq!(of_week.facts.get("Rows read"), None);
    assert!(page.contains("Top songs of 2025-W12"), "the chart of top songs does not name the period");
    let more = "more in output/periods/week/2025-W12/user_favorite_genres/";
    assert!(of_week.text.contains(more), "{}", of_week.text);
    assert!(of_week.text.contains("Top songs top_songs"), "{}", of_week.text);
    assert!(!page.contains("_rejects"));

    let fails = |period: &str, code: i32, message: &str| {
        let output = place.run(&["report", "--period", period]);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
        assert!(!place.path("report.html").exists(), "the command wrote a report");
    };
    fails("2025-3", 64, "expected a period such as");
    fails("2025-W14", 66, "2025-W14 is not published; these periods are: 2025-W13, 2025-W12, 2025-03");
    let index = "output/periods/week/2025-W12/_index.json";
    place.write(index, &place.read(index).replacen("\"plays\": ", "\"plays\": 1", 1));
    fails("2025-W12", 65, "_index.json: missing, or differs from the manifest");
    place.done(&["replay"]);
    fails("2025-W12", 66, "no period is published; set periods.month=all");
}

#[test]
fn charts_are_also_written_as_separate_files() {
    let place = sample();
    place.done(&["replay", "--output", "march"]);
    let page = stdout(&place.done(&["report", "--output", "march", "--html", "-", "--svg", "a/b"]));
    assert!(parse(&page).text.contains("987 more in march/enriched_logs/"));
    let mut names: Vec<String> = fs::read_dir(place.path("a/b"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = ["genres", "hours", "listen_times", "loyalty", "recommended", "top_songs"];
    assert_eq!(names, expected.map(|name| format!("{name}.svg")));
    for name in names {
        let svg = place.read(&format!("a/b/{name}"));
        let document = Document::parse(&svg).unwrap();
        assert!(document.root_element().has_tag_name(("http://www.w3.org/2000/svg", "svg")));
        assert!(svg.contains("prefers-color-scheme: dark"));
    }
    assert!(!place.path("report.html").exists());
}

/// Covers tables with many parts, a zone with summer time, a night that includes midnight, and listeners
/// without a favourite genre.
#[test]
fn reports_of_generated_data_match_the_tables() {
    for (seed, more) in [
        ("1", &["--set", "insights.enriched_logs.roll_bytes=20KiB", "--timezone", "Europe/Berlin"][..]),
        (
            "2",
            &["--set", "insights.night_owl_users.from=22:30", "--set", "insights.night_owl_users.to=02:00"],
        ),
        (
            "3",
            &[
                "--set",
                "insights.genre_loyalty_scores.threshold=0.3",
                "--set",
                "insights.top_songs_this_week.limit=30",
                "--threads",
                "1",
            ],
        ),
    ] {
        let place = Place::new("");
        place.done(&[
            "generate", "--out", "data", "--rows", "20000", "--users", "500", "--songs", "300", "--seed",
            seed,
        ]);
        place.done(&[&["replay"], more].concat());
        place.done(&[&["report"], more].concat());
        let content = parse(&place.read("report.html"));
        assert_numbers(&place, "output", &content);
        assert!(!content.words["loyalty"].contains("sample"));
        if seed == "2" {
            assert!(
                content.words["hours"].contains("Night is from 22:30 to 02:00."),
                "{}",
                content.words["hours"]
            );
        }
    }
}

const HOSTILE: [&str; 8] = [
    "<script>alert(1)</script>",
    "\" onclick=\"alert(1)",
    "&amp;&#60;",
    "]]></style></title><h1>",
    "\u{202e}elgoog",
    "שלום עולם",
    "bell\u{7}escape\u{1b}[31m",
    "e\u{301}👩‍👩‍👧 and a very long name, longer than anything that fits: it is cut, but not lost",
];

#[test]
fn hostile_names_do_no_harm() {
    let place = Place::new("");
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let (mut catalog, mut log) = (CATALOG_HEADER.to_owned(), LOG_HEADER.to_owned());
    for (at, name) in HOSTILE.map(quoted).iter().enumerate() {
        let mood = if at % 2 == 0 { "Happy" } else { "Sad" };
        writeln!(catalog, "{name},{name},{name},{name},{mood}").unwrap();
        for play in 0..=at {
            writeln!(log, "{name},{name},2025-03-2{} 0{play}:00:00,150", at % 3).unwrap();
        }
        writeln!(log, "{name},{name},{name},{name}").unwrap();
    }
    place.write("data/songs_metadata.csv", &catalog);
    place.write("data/incoming/a.csv", &log);
    place.done(&["replay"]);
    place.done(&["report"]);
    let page = place.read("report.html");
    let content = parse(&page);
    for text in
        ["<script>alert(1)</script>", "\" onclick=\"alert(1)", "&amp;&#60;", "שלום עולם", "\u{fffd}elgoog"]
    {
        assert!(content.text.contains(text), "the page does not show {text} literally");
        assert!(
            content.marks["top_songs"].iter().any(|label| label.contains(text)),
            "{text}: {:?}",
            content.marks
        );
    }
    assert!(!page.contains(['\u{202e}', '\u{7}', '\u{1b}']));
    assert_contacts_no_host(&page);
}

/// Checks that a page fetches no files, runs no script and links to no other host.
fn assert_contacts_no_host(page: &str) {
    let xml = as_xml(page);
    let document = Document::parse(&xml).unwrap();
    for node in document.descendants().filter(Node::is_element) {
        let name = node.tag_name().name();
        assert!(
            !["script", "link", "img", "image", "iframe", "object", "base", "form", "use", "a"]
                .contains(&name),
            "{name}"
        );
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(
                !["src", "href", "style", "srcdoc", "action"].contains(&name) && !name.starts_with("on"),
                "{name}"
            );
            assert!(
                !value.contains("http:") && !value.contains("https:") && !value.contains("url("),
                "{value}"
            );
        }
    }
    let style = text_of(document.descendants().find(|node| node.has_tag_name("style")).unwrap());
    assert!(!style.contains("url(") && !style.contains("@import"));
}

#[test]
fn the_report_of_the_sample_contacts_no_host() {
    let place = sample();
    place.done(&["replay"]);
    place.done(&["report"]);
    assert_contacts_no_host(&place.read("report.html"));
}

/// The hash of the style is correct, so a browser accepts the style and logs no error.
#[test]
fn a_browser_shows_the_report_without_errors() {
    let place = sample();
    place.done(&["replay"]);
    place.done(&["report"]);
    let look = |page: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mut browser = Command::new("chromium");
        browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]);
        browser.args([
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            "--dump-dom",
        ]);
        browser.arg(format!("--user-data-dir={}", folder.path().display()));
        browser.arg(format!("file://{}", place.path(page).display())).output()
    };
    let Ok(shown) = look("report.html") else {
        println!("skipped: chromium is missing");
        return;
    };
    let complaints = |text: &str| text.lines().filter(|line| line.contains("CONSOLE")).count();
    assert!(stdout(&shown).contains("Top songs of 2025-W13"), "{}", stderr(&shown));
    assert_eq!(complaints(&stderr(&shown)), 0, "{}", stderr(&shown));
    // A style with a different hash must cause an error.
    let page = place.read("report.html").replace("</style>", " </style>");
    place.write("changed.html", &page);
    let shown = look("changed.html").unwrap();
    assert_eq!(complaints(&stderr(&shown)), 1, "{}", stderr(&shown));
}

#[test]
fn small_outputs_have_reports() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", LOG_HEADER);
    place.done(&["replay"]);
    place.done(&["report"]);
    let page = parse(&place.read("report.html"));
    for (chart, words) in &page.words {
        let expected = if chart == "recommended" { "no recommendations yet" } else { "no plays yet" };
        assert_eq!(words, expected, "{chart}");
    }
    assert_eq!(page.facts["Plays"], "0");
    assert!(page.text.contains("No users found with genre loyalty score above 0.8."));
    assert!(page.text.contains("Time range unavailable"));
    assert_numbers_are_none(&page);

    // All plays are unmatched.
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}u,x,2025-03-21 01:00:00,60\nu,x,bad,60\n"));
    place.done(&["replay"]);
    place.done(&["report"]);
    let page = parse(&place.read("report.html"));
    assert_eq!(page.marks["top_songs"], ["x: 1 play"]);
    assert_eq!(page.words["genres"], "no plays yet");
    assert_eq!((page.facts["Unmatched plays"].as_str(), page.facts["Rejected rows"].as_str()), ("1", "1"));
    assert!(page.text.contains("bad_timestamp"));
}

fn assert_numbers_are_none(page: &Content) {
    assert!(
        page.numbers.values().flat_map(BTreeMap::values).all(|&number| number == 0),
        "{:?}",
        page.numbers
    );
}

#[test]
fn the_page_says_why_charts_of_disabled_insights_are_missing() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}u,s2,2025-03-21 01:00:00,60\n"));
    let all = music_insights::insights::NAMES;
    let off: Vec<String> = all.iter().map(|name| format!("insights.{name}.enabled=false")).collect();
    let mut args = vec!["replay"];
    args.extend(off.iter().flat_map(|set| ["--set", set]));
    place.done(&args);
    place.done(&["report"]);
    let page = parse(&place.read("report.html"));
    for (chart, insight) in [
        ("top_songs", "top_songs_this_week"),
        ("genres", "enriched_logs"),
        ("hours", "enriched_logs"),
        ("loyalty", "enriched_logs"),
        ("listen_times", "avg_listen_time_per_song"),
        ("recommended", "happy_recommendations"),
    ] {
        let why = format!("{insight} is not published because insights.{insight}.enabled was false");
        assert_eq!(page.words[chart], why, "{chart}");
    }
    assert_eq!(page.facts["Listeners"], "–");

    // Without `enriched_logs`, titles come from the catalog. Without a catalog, the page shows ids.
    place.done(&["replay", "--set", "insights.enriched_logs.enabled=false"]);
    let marks = || parse(&stdout(&place.done(&["report", "--html", "-"]))).marks["top_songs"].clone();
    assert_eq!(marks(), ["Two – B: 1 play"]);
    fs::remove_file(place.path("data/songs_metadata.csv")).unwrap();
    assert_eq!(marks(), ["s2: 1 play"]);
}

#[test]
fn missing_and_damaged_files_are_named_with_their_exit_code() {
    let place = sample();
    let fails = |code: i32, message: &str| {
        let output = place.run(&["report"]);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
        assert!(!place.path("report.html").exists(), "the command wrote a report");
    };
    fails(66, "output: there is no _manifest.json");
    place.done(&["replay"]);
    let snapshot = "output/top_songs_this_week/part-00000.csv";
    let text = place.read(snapshot);
    place.write(snapshot, &text.replace("song_", "gnos_"));
    fails(65, "output/top_songs_this_week/part-00000.csv: differs from the manifest");
    place.write(snapshot, &text[..text.len() - 1]);
    fails(65, "output/top_songs_this_week/part-00000.csv: differs from the manifest");
    fs::remove_dir_all(place.path("output/top_songs_this_week")).unwrap();
    fails(66, "cannot read output/top_songs_this_week/part-00000.csv");
    place.done(&["replay"]);
    let log = "output/enriched_logs/part-00000.csv";
    let text = place.read(log);
    place.write(log, &text.replace("2025-03-2", "2025-03-1"));
    fails(65, "output/enriched_logs/part-00000.csv: differs from the manifest");
    // The report ignores bytes after the committed length.
    place.write(log, &(text + "half of a ro"));
    place.done(&["report"]);
    place.write("output/_manifest.json", "{");
    assert_eq!(place.run(&["report"]).status.code(), Some(65));
    let output = place.run(&["report", "--html", "nowhere/report.html"]);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
}

#[test]
fn a_report_that_cannot_be_written_is_an_error() {
    let place = sample();
    place.done(&["replay"]);
    let output = place.run(&["report", "--html", "nowhere/report.html"]);
    assert_eq!(output.status.code(), Some(73), "{}", stderr(&output));
    assert!(stderr(&output).contains("nowhere"));
}

/// Stops the feeding thread when dropped, so that a failing test does not wait for it forever.
struct Feeding<'a>(&'a AtomicBool);

impl Drop for Feeding<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Each report shows exactly one epoch, even while the output changes.
#[test]
fn a_report_shows_one_cut_while_watch_publishes_new_cuts() {
    let place = Place::new("s1,One,A,Rock,Sad\ns2,Two,B,Rock,Happy\n");
    place.write("data/incoming/a.csv", LOG_HEADER);
    let daemon = place.watch(&[]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut play = 0;
            while !stop.load(Ordering::Relaxed) {
                let row = format!("u{play},s1,2025-03-21 0{}:00:00,60\n", play % 10);
                let rows = row.repeat(7);
                place.append("data/incoming/a.csv", &rows);
                play += 1;
                thread::sleep(Duration::from_millis(3));
            }
        });
        let feeding = Feeding(&stop);
        let mut epochs = BTreeSet::new();
        let (mut reports, began) = (0, Instant::now());
        // On a busy machine, several reports may show the same epoch.
        while reports < 25 || (epochs.len() <= 3 && began.elapsed() < Duration::from_mins(1)) {
            reports += 1;
            let output = place.run(&["report", "--html", "-"]);
            if output.status.code() == Some(66) && epochs.is_empty() {
                continue; // `watch` has not published yet.
            }
            assert!(output.status.success(), "{}", stderr(&output));
            let content = parse(&stdout(&output));
            let plays: u64 = content.facts["Plays"].replace(',', "").parse().unwrap();
            epochs.insert(plays);
            if plays > 0 {
                assert_eq!(content.numbers["genres"], BTreeMap::from([("Rock".to_owned(), plays)]));
                assert_eq!(
                    content.marks["top_songs"],
                    [format!("One – A: {} plays", with_commas(plays as usize))]
                );
                assert_eq!(content.marks["recommended"].len(), 1);
            }
        }
        drop(feeding);
        assert!(epochs.len() > 3, "{epochs:?}");
    });
    drop(daemon);
}
