//! Checks that charts match the pictures in `tests/report/pictures`. Also checks their geometry, their
//! contrast and charts with hostile texts.
//!
//! `UPDATE_GOLDEN=1 cargo test --test report charts` draws the pictures again. Check the new pictures by eye.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use music_insights::serve::charts::{
    Bar, Bars, Bucket, ChartMode, Histogram, HourPlays, LISTENERS, Line, PLAYS, Rule, STYLE, Share, Shares,
    Tick, bars, histogram, hours, line, shares,
};
use music_insights::time::window::{NightWindow, TimeOfDay};
use proptest::prelude::*;
use roxmltree::{Document, Node};

const NIGHT: NightWindow = NightWindow { from: TimeOfDay(0), to: TimeOfDay(300) };

fn bar(label: &str, subtitle: &str, value: u64) -> Bar {
    Bar { label: label.to_owned(), subtitle: subtitle.to_owned(), value, link: None }
}

fn sample_bars() -> Bars {
    let bars = vec![
        bar("Kind Valley", "The Quiet Rivers", 1235),
        bar("A title that is much longer than any telephone is wide, and longer", "Composer", 617),
        bar("שיר ארוך", "זמרת", 412),
        bar("song_17", "", 12),
        bar("長い名前の歌はここで終わらない長い名前の歌", "歌手", 0),
    ];
    let empty = "no plays yet".to_owned();
    Bars { title: "Top songs of 2025-W13".to_owned(), noun: PLAYS, empty, bars }
}

fn sample_shares(count: u64) -> Shares {
    let share =
        |place: u64| Share { label: format!("Genre {place}"), value: (place * 7919) % 1000 + 10 * place };
    Shares { title: "Plays by genre".to_owned(), noun: PLAYS, shares: (0..count).map(share).collect() }
}

/// Plays by hour: few at night, many in the evening, and more at weekends.
fn sample_hours() -> HourPlays {
    let plays = std::array::from_fn(|hour| {
        let (day, hour) = (hour as u64 / 24, hour as u64 % 24);
        if hour == 3 { 0 } else { (24 - hour.abs_diff(20)).pow(2) * (4 + day) / 4 - 10 }
    });
    HourPlays { title: "Plays by weekday and hour".to_owned(), plays, night: NIGHT }
}

fn sample_histogram() -> Histogram {
    let bucket = |place: u64| Bucket {
        name: format!("{}–{} %", place * 5, place * 5 + 5),
        count: 900_u64.saturating_sub(place.abs_diff(6) * 70) + place * place / 4,
    };
    Histogram {
        title: "Loyalty to one genre".to_owned(),
        noun: LISTENERS,
        buckets: (0..20).map(bucket).collect(),
        ticks: [0, 50, 100]
            .map(|percent| Tick { at: f64::from(percent) / 5.0, name: format!("{percent} %") })
            .into(),
        rule: Some(Rule { at: 16.0, name: "loyal above 80 %".to_owned() }),
        note: "Based on a sample of 100,231 listeners".to_owned(),
    }
}

fn sample_line() -> Line {
    let value = |second: u32| {
        let gap = (200..260).contains(&second) || (300..330).contains(&second) && second != 315;
        (!gap).then(|| 800.0 + 300.0 * (f64::from(second) / 40.0).sin() + f64::from(second * 7919 % 97))
    };
    Line {
        title: "Rows per second".to_owned(),
        unit: "rows/s".to_owned(),
        values: (0..600).map(value).collect(),
    }
}

fn all(mode: ChartMode) -> [(&'static str, String); 5] {
    [
        ("bars", bars(&sample_bars(), mode)),
        ("shares", shares(&sample_shares(17), mode)),
        ("hours", hours(&sample_hours(), mode)),
        ("histogram", histogram(&sample_histogram(), mode)),
        ("line", line(&sample_line(), mode)),
    ]
}

#[test]
fn charts_match_their_pictures() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/pictures");
    for (name, svg) in all(ChartMode::Standalone) {
        let path = folder.join(format!("{name}.svg"));
        // The pictures have one element per line, so that differences are readable.
        let svg = svg.replace("><", ">\n<") + "\n";
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, svg).unwrap();
        } else {
            let expected = fs::read_to_string(&path).unwrap();
            assert!(
                svg == expected,
                "{name}: run this test with UPDATE_GOLDEN=1, then check tests/report/pictures/{name}.svg"
            );
        }
    }
}

#[test]
fn inline_charts_need_no_inline_styles() {
    for (name, svg) in all(ChartMode::Inline) {
        let document = Document::parse(&svg).unwrap();
        for node in document.descendants().filter(Node::is_element) {
            assert!(!["style", "script", "image", "use"].contains(&node.tag_name().name()), "{name}");
            for attribute in node.attributes() {
                let inert = attribute.name() != "style" && !attribute.name().starts_with("on");
                assert!(inert && !attribute.value().contains("url("), "{name}: {attribute:?}");
            }
        }
    }
}

/// Every chart has a title and a description for screen readers.
#[test]
fn charts_have_titles_and_descriptions() {
    for mode in [ChartMode::Inline, ChartMode::Standalone] {
        for (name, svg) in all(mode) {
            let document = Document::parse(&svg).unwrap();
            let root = document.root_element();
            assert_eq!(root.attribute("role"), Some("img"), "{name}");
            let first: Vec<_> = root.children().take(2).map(|node| node.tag_name().name()).collect();
            assert_eq!(first, ["title", "desc"], "{name}");
            let fact = root.children().nth(1).unwrap().text().unwrap();
            assert!(fact.contains(char::is_numeric), "{name}: {fact}");
        }
    }
    let fact = |svg: &str| {
        Document::parse(svg).unwrap().root_element().children().nth(1).unwrap().text().unwrap().to_owned()
    };
    assert_eq!(
        fact(&bars(&sample_bars(), ChartMode::Inline)),
        "Highest: Kind Valley – The Quiet Rivers with 1,235 plays."
    );
    let none = Bars { bars: vec![], ..sample_bars() };
    assert_eq!(fact(&bars(&none, ChartMode::Inline)), "no plays yet");
    assert_eq!(
        fact(&hours(&HourPlays { plays: [0; 168], ..sample_hours() }, ChartMode::Inline)),
        "no plays yet"
    );
    assert_eq!(fact(&shares(&sample_shares(0), ChartMode::Inline)), "no plays yet");
    let silent = Line { values: vec![None, Some(f64::NAN)], ..sample_line() };
    assert_eq!(fact(&line(&silent, ChartMode::Inline)), "no data yet");
    let empty = Histogram { buckets: vec![], ..sample_histogram() };
    assert_eq!(fact(&histogram(&empty, ChartMode::Inline)), "no plays yet");
}

fn number(node: &Node<'_, '_>, name: &str) -> f64 {
    let text = node.attribute(name).unwrap_or_else(|| panic!("{node:?} has no {name}"));
    text.parse().unwrap_or_else(|_| panic!("{name}={text}"))
}

fn classed<'a>(document: &'a Document<'_>, class: &'a str) -> impl Iterator<Item = Node<'a, 'a>> {
    document
        .descendants()
        .filter(move |node| node.attribute("class").is_some_and(|all| all.split(' ').any(|one| one == class)))
}

#[test]
fn bars_are_as_long_as_their_values() {
    let chart = sample_bars();
    let svg = bars(&chart, ChartMode::Inline);
    let document = Document::parse(&svg).unwrap();
    let widths: Vec<f64> = classed(&document, "mark").map(|mark| number(&mark, "width")).collect();
    let expected: Vec<f64> = chart.bars.iter().map(|bar| bar.value as f64 / 1235.0 * 400.0).collect();
    assert_eq!(widths.len(), expected.len());
    for (width, expected) in widths.iter().zip(expected) {
        assert!((width - expected).abs() <= 0.01, "the width is {width}, expected {expected}");
    }
}

#[test]
fn the_smallest_shares_are_combined() {
    let chart = sample_shares(17);
    let svg = shares(&chart, ChartMode::Inline);
    let document = Document::parse(&svg).unwrap();
    assert_eq!(classed(&document, "mark").count(), 11);
    assert_eq!(classed(&document, "rest").count(), 1);
    let mut values: Vec<u64> = chart.shares.iter().map(|share| share.value).collect();
    values.sort_unstable();
    let others: u64 = values[..6].iter().sum();
    let last = classed(&document, "row").last().unwrap();
    let words = last.first_element_child().unwrap().text().unwrap();
    let total: u64 = values.iter().sum();
    let expected = format!(
        "6 others: {} plays, {:.1} %",
        music_insights::serve::charts::count(others),
        others as f64 * 100.0 / total as f64
    );
    assert_eq!(words, expected);
    let svg = shares(&sample_shares(12), ChartMode::Inline);
    assert!(!svg.contains("others") && svg.matches("class=\"mark\"").count() == 12);
}

#[test]
fn a_week_has_168_cells_with_the_night_marked_above() {
    for (from, to, expected) in
        [(0, 300, vec![300.0]), (1320, 120, vec![120.0, 120.0]), (1410, 0, vec![30.0])]
    {
        let night = NightWindow { from: TimeOfDay(from), to: TimeOfDay(to) };
        let svg = hours(&HourPlays { night, ..sample_hours() }, ChartMode::Inline);
        let document = Document::parse(&svg).unwrap();
        let cells: Vec<_> = classed(&document, "cell").collect();
        assert_eq!(cells.len(), 168);
        let title = |cell: &Node<'_, '_>| cell.first_element_child().unwrap().text().unwrap().to_owned();
        assert!(title(&cells[0]).starts_with("Monday 00:00–01:00: "), "{}", title(&cells[0]));
        assert!(title(&cells[167]).starts_with("Sunday 23:00–24:00: "));
        assert_eq!(cells[3].attribute("class"), Some("cell level-0"), "the cell at 03:00 has plays");
        assert_eq!(
            cells[6 * 24 + 20].attribute("class"),
            Some("cell level-6"),
            "the cell on Sunday evening does not have the highest level"
        );
        let minutes: Vec<f64> = classed(&document, "accent")
            .map(|piece| ((number(&piece, "width") + 0.75) / 15.0 * 60.0).round())
            .collect();
        assert_eq!(minutes, expected);
    }
}

#[test]
fn buckets_beyond_the_threshold_are_coloured_and_heights_follow_counts() {
    let chart = sample_histogram();
    let svg = histogram(&chart, ChartMode::Inline);
    let document = Document::parse(&svg).unwrap();
    let buckets: Vec<_> = classed(&document, "bucket").collect();
    assert_eq!(buckets.len(), 20);
    let accents = buckets.iter().map(|bucket| bucket.attribute("class") == Some("bucket accent"));
    assert_eq!(accents.collect::<Vec<_>>(), (0..20).map(|place| place >= 16).collect::<Vec<_>>());
    let scale = number(&buckets[6], "height") / chart.buckets[6].count as f64;
    for (bucket, drawn) in chart.buckets.iter().zip(&buckets) {
        assert!((number(drawn, "height") - bucket.count as f64 * scale).abs() < 0.02, "{}", bucket.name);
    }
    assert!(svg.contains("Based on a sample of 100,231 listeners"));
}

#[test]
fn a_line_has_gaps_where_values_are_missing() {
    let svg = line(&sample_line(), ChartMode::Inline);
    let document = Document::parse(&svg).unwrap();
    let path = document.descendants().find(|node| node.tag_name().name() == "path").unwrap();
    let path = path.attribute("d").unwrap();
    assert_eq!(
        path.matches('M').count(),
        4,
        "the line must have three gaps, and one gap contains a single point"
    );
    assert_eq!(path.matches("h0").count(), 1);
    assert_eq!(path.matches(['M', 'L']).count(), 600 - 60 - 29);
    // The picture shows only the latest values.
    let mut long = sample_line();
    long.values.splice(0..0, [Some(1e9)]);
    assert_eq!(line(&long, ChartMode::Inline), svg);
}

/// Checks that every element lies inside the picture. Only the start of a text is checked, because its end
/// depends on the font.
fn assert_inside(svg: &str) {
    let document = Document::parse(svg).unwrap();
    let root = document.root_element();
    let frame: Vec<f64> =
        root.attribute("viewBox").unwrap().split(' ').map(|part| part.parse().unwrap()).collect();
    let inside = |x: f64, y: f64, node: &Node<'_, '_>| {
        let (right, bottom) = (frame[0] + frame[2] + 0.02, frame[1] + frame[3] + 0.02);
        let fits = (frame[0] - 0.02..=right).contains(&x) && (frame[1] - 0.02..=bottom).contains(&y);
        assert!(fits, "the point {x}, {y} of {node:?} lies outside {frame:?}");
    };
    for node in document.descendants() {
        match node.tag_name().name() {
            "rect" => {
                let (x, y) = (number(&node, "x"), number(&node, "y"));
                assert!(number(&node, "width") >= 0.0 && number(&node, "height") >= 0.0, "{node:?}");
                inside(x, y, &node);
                inside(x + number(&node, "width"), y + number(&node, "height"), &node);
            }
            "text" => inside(number(&node, "x"), number(&node, "y"), &node),
            "line" => {
                inside(number(&node, "x1"), number(&node, "y1"), &node);
                inside(number(&node, "x2"), number(&node, "y2"), &node);
            }
            "circle" => inside(number(&node, "cx") + number(&node, "r"), number(&node, "cy"), &node),
            "path" => {
                for point in node.attribute("d").unwrap().replace("h0", "").split(['M', 'L']).skip(1) {
                    let (x, y) = point.split_once(' ').unwrap();
                    inside(x.parse().unwrap(), y.parse().unwrap(), &node);
                }
            }
            _ => {}
        }
    }
}

#[test]
fn every_element_lies_inside_the_picture() {
    for mode in [ChartMode::Inline, ChartMode::Standalone] {
        for (_, svg) in all(mode) {
            assert_inside(&svg);
        }
    }
}

#[test]
fn all_links_stay_on_the_same_server() {
    let link = |link: &str| {
        let chart =
            Bars { bars: vec![Bar { link: Some(link.to_owned()), ..bar("a", "", 1) }], ..sample_bars() };
        bars(&chart, ChartMode::Inline)
    };
    for good in ["/songs/a?b=c&d=e", "#a", "?song=\"a\""] {
        let svg = link(good);
        let document = Document::parse(&svg).unwrap();
        let anchor = document.descendants().find(|node| node.tag_name().name() == "a").unwrap();
        assert_eq!(anchor.attribute("href"), Some(good));
        assert_eq!(
            document.root_element().attribute("role"),
            Some("group"),
            "the role `img` would hide links"
        );
    }
    for bad in ["javascript:alert(1)", "//elsewhere", "/\\elsewhere", "https://elsewhere", ""] {
        assert!(!link(bad).contains("<a"), "{bad}");
    }
}

/// The colours of a theme, keyed by name. They come from the first block of the style sheet after `start`.
fn colours(start: &str) -> BTreeMap<String, [f64; 3]> {
    let block = STYLE.split_once(start).unwrap().1.split_once('}').unwrap().0;
    let pairs = block.split(';').filter_map(|line| line.trim().strip_prefix("--chart-")?.split_once(": #"));
    let channel = |hex: &str, at: usize| {
        let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    pairs.map(|(name, hex)| (name.to_owned(), [0, 2, 4].map(|at| channel(hex, at)))).collect()
}

/// The contrast of two colours, as defined in WCAG 2.
fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
    let luminance = |[red, green, blue]: [f64; 3]| 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn texts_and_shapes_have_contrast_in_both_themes() {
    let (light, dark) = (colours(":root {"), colours(":root:not([data-theme=\"light\"]) {"));
    assert_eq!(dark, colours(":root[data-theme=\"dark\"] {"), "the two dark themes differ");
    for colours in [light, dark] {
        let against_ground = |name: &str| contrast(colours[name], colours["ground"]);
        for text in ["text", "second", "accent"] {
            assert!(against_ground(text) >= 4.5, "{text}: {}", against_ground(text));
        }
        for mark in ["mark", "second", "accent"] {
            let against_track = contrast(colours[mark], colours["track"]);
            assert!(against_ground(mark) >= 3.0 && against_track >= 3.0, "{mark}: {against_track}");
        }
        let levels: Vec<f64> = (1..=6).map(|level| against_ground(&format!("level-{level}"))).collect();
        assert!(levels[0] >= 3.0 && levels.windows(2).all(|pair| pair[1] > pair[0] * 1.15), "{levels:?}");
    }
}

/// Text with any characters. Harmful characters occur often.
fn any_text() -> impl Strategy<Value = String> {
    let harmful = prop::sample::select(vec![
        "<script>alert(1)</script>",
        "\" onload=\"x",
        "&amp;",
        "]]>",
        "<!--",
        "\0",
        "\u{1b}[31m",
        "\u{202e}",
        "\u{2067}",
        "\u{ffff}",
        "\u{85}",
        "\r\n",
        "שלום",
        "👩‍👩‍👧",
        "e\u{301}\u{302}",
    ]);
    prop::collection::vec(prop_oneof![harmful.prop_map(str::to_owned), "\\PC{0,12}", any::<String>()], 0..6)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn charts_accept_any_text_and_any_value(
        texts in prop::collection::vec((any_text(), any_text(), prop_oneof![0..1000_u64, 0..u64::MAX / 64]), 0..16),
        title in any_text(),
        at in prop_oneof![0.0..20.0, Just(f64::MAX)],
        values in prop::collection::vec(prop::option::of(any::<f64>()), 0..700),
        night in (0..1440_u16, 0..1440_u16),
    ) {
        let bar = |(label, subtitle, value): &(String, String, u64)|
            Bar { label: label.clone(), subtitle: subtitle.clone(), value: *value, link: Some(format!("/{label}")) };
        let share = |(label, _, value): &(String, String, u64)| Share { label: label.clone(), value: *value };
        let bucket = |(name, _, count): &(String, String, u64)| Bucket { name: name.clone(), count: *count };
        let plays = std::array::from_fn(|hour| texts.get(hour % 19).map_or(0, |text| text.2 / 256));
        let ticks = texts.iter().zip(0_u8..).map(|(text, at)| Tick { at: f64::from(at), name: text.1.chars().take(8).collect() });
        let charts = |mode| [
            bars(&Bars { title: title.clone(), noun: PLAYS, empty: title.clone(), bars: texts.iter().map(bar).collect() }, mode),
            shares(&Shares { title: title.clone(), noun: PLAYS, shares: texts.iter().map(share).collect() }, mode),
            histogram(&Histogram {
                title: title.clone(),
                noun: LISTENERS,
                buckets: texts.iter().map(bucket).collect(),
                ticks: ticks.clone().collect(),
                rule: Some(Rule { at, name: title.chars().take(8).collect() }),
                note: title.clone(),
            }, mode),
            hours(&HourPlays {
                title: title.clone(),
                plays,
                night: NightWindow { from: TimeOfDay(night.0), to: TimeOfDay(night.1) },
            }, mode),
            line(&Line { title: title.clone(), unit: title.chars().take(8).collect(), values: values.clone() }, mode),
        ];
        for svg in charts(ChartMode::Inline).iter().chain(&charts(ChartMode::Standalone)) {
            assert_inside(svg);
            let document = Document::parse(svg).unwrap();
            prop_assert!(!document.descendants().any(|node| node.has_tag_name("script")));
            let turns = |char: char| matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            prop_assert!(!svg.contains(turns));
        }
    }
}
