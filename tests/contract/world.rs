//! Generates random settings, catalogs and logs. There are only a few listeners, songs and days, so ties,
//! loyal listeners, unmatched plays, clock changes and bad rows are common.

use std::fmt::{self, Debug};
use std::ops::Range;
use std::sync::LazyLock;
use std::time::Duration;

use music_insights::insights::SNAPSHOTS;
use music_insights::insights::top_songs_this_week::WeekChoice;
use music_insights::insights::user_favorite_genres::Ties;
use music_insights::model::period_rules::{Kept, LatestPeriod};
use music_insights::model::value::{ByteSize, Decimals, Fraction, TimeSpan};
use music_insights::settings::{PeriodInsights, Periods, Settings, Timezone};
use music_insights::time::civil::CivilDate;
use music_insights::time::date_range::DateRange;
use music_insights::time::window::TimeOfDay;
use music_insights::time::zone::Zone;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use crate::engine::HEADER;

/// The bytes of a file. A failing case prints them as text.
#[derive(Clone)]
pub(crate) struct File(pub(crate) Vec<u8>);

impl Debug for File {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "b\"{}\"", self.0.escape_ascii())
    }
}

/// Mostly picks one of `usual`, sometimes one of `odd`.
fn mostly(
    usual: &'static [&'static str],
    odd: &'static [&'static str],
) -> impl Strategy<Value = &'static str> {
    prop_oneof![12 => select(usual), 1 => select(odd)]
}

// Some ids differ only in case, or only after 16 bytes. Some have a different order in UTF-16 than in UTF-8.
const USERS: &[&str] = &["u1", "u2", "u3", "u10"];
const ODD_USERS: &[&str] = &[
    "U1",
    " u1",
    "ü",
    "\u{FF5E}",
    "\u{1F3B5}",
    "a,b",
    "say \"hi\"",
    "a-listener-of-16+1",
    "a-listener-of-16+2",
];
const SONGS: &[&str] = &["s1", "s2", "s3", "s4", "s5", "s6", "s10"];
const ODD_SONGS: &[&str] =
    &["s,9", "\"s\"", "ß", "S1", "a-song-of-16-and+1", "a-song-of-16-and+2", "=1+1", "s\\1"];
const BAD_IDS: &[&str] = &["", "\"\"", "\"s"];

fn id(usual: &'static [&'static str], odd: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![
        400 => mostly(usual, odd).prop_map(quoted_if_needed),
        8 => select(BAD_IDS).prop_map(str::to_owned),
        1 => (4095_usize..4099).prop_map(|length| "x".repeat(length)),
    ]
}

/// A cell. It is quoted only if it needs quotes.
fn quoted_if_needed(text: &str) -> String {
    if text.starts_with('"') || text.contains([',', '\r', '\n']) { quoted(text) } else { text.to_owned() }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

// Times around the start of weeks and years, the clock changes of the zones below, the start of 1970, and
// the latest valid timestamp.
const DAYS: &[&str] = &["2024-12-29", "2024-12-30", "2025-01-05", "2025-03-30", "2025-10-26", "2026-11-22"];
const ODD_DAYS: &[&str] = &[
    "2021-01-03",
    "2025-03-09",
    "2025-11-02",
    "2025-10-05",
    "2025-04-06",
    "2011-12-30",
    "2011-12-31",
    "2024-02-29",
    "2025-02-29",
    "2026-11-25",
    "9999-12-31",
    "1970-01-01",
    "1969-12-31",
    "0000-01-01",
];
const MINUTES: &[&str] = &["00", "15", "30", "59"];

fn timestamp() -> impl Strategy<Value = String> {
    let clock = (prop_oneof![2 => 0..6, 1 => 0..24], mostly(MINUTES, &["60", "7"]));
    let second = mostly(&["", ":00", ":00", ":59"], &[":60", ":", ":5", ":00.5", ":59.25", ":00.000000001"]);
    let fraction = mostly(&[""], &[".999999999", ".5000", ".1234567890", "."]);
    let offset = mostly(
        &["", "", "", "Z", "+02:00"],
        &[
            "+00:00", "-05:30", "+23:59", "-23:59", "+24:00", "z", " Z", " UTC", "+0100", "-07", "  Z",
            "+1:00",
        ],
    );
    let parts =
        (mostly(DAYS, ODD_DAYS), mostly(&[" ", "T"], &["  ", "t", ""]), clock, second, fraction, offset);
    parts.prop_map(|(day, gap, (hour, minute), second, fraction, offset)| {
        format!("{day}{gap}{hour:02}:{minute}{second}{fraction}{offset}")
    })
}

const BAD_DURATIONS: &[&str] = &[
    "",
    "-1",
    "-x",
    "1.",
    ".5",
    "1.2345",
    "59.9995",
    "86400.0004",
    "86400.001",
    "18446744073709551616",
    "1e3",
    "\u{0663}",
];

fn duration() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (0_u32..300).prop_map(|seconds| seconds.to_string()),
        2 => (0_u32..300, 0_u32..1000).prop_map(|(seconds, millis)| format!("{seconds}.{millis:03}")),
        1 => select(&["0", "0.001", "86400", "86400.000", "000000000000000000000007"][..]).prop_map(str::to_owned),
        1 => select(BAD_DURATIONS).prop_map(str::to_owned),
    ]
}

/// The cells of a row as written in the file, keyed by column name.
type Cells = Vec<(&'static str, String)>;

fn play() -> impl Strategy<Value = Cells> {
    let cells = (id(USERS, ODD_USERS), id(SONGS, ODD_SONGS), timestamp(), duration());
    cells.prop_map(|(user, song, time, duration)| {
        vec![("user_id", user), ("song_id", song), ("timestamp", time), ("duration_sec", duration)]
    })
}

fn song() -> impl Strategy<Value = Cells> {
    let genre = select(&["Pop", "Pop", "Rock", "pop", "", "R&B, Soul"][..]);
    let mood = select(
        &[
            "Happy", "HAPPY", "happy", "Sad", "sAD", "Sad", "Calm", "CALM", "", "É", "é", " Happy", "sad\t ",
            " \t", "Sad\n",
        ][..],
    );
    let text = select(
        &[
            "",
            "Plain",
            "With, comma",
            "With \"quotes\"",
            "\u{1F3B5}\u{301}",
            "Two\nlines",
            "\r\n",
            "a\n\n\"b\r",
        ][..],
    );
    (id(SONGS, ODD_SONGS), text.clone(), text, genre, mood).prop_map(
        |(song_id, title, artist, genre, mood)| {
            let [title, artist, genre, mood] = [title, artist, genre, mood].map(quoted_if_needed);
            vec![("song_id", song_id), ("title", title), ("artist", artist), ("genre", genre), ("mood", mood)]
        },
    )
}

/// A line after the header.
#[derive(Clone, Debug)]
enum Line {
    Row(Cells),
    /// A row with an extra byte at a random position.
    Spoiled(Cells, Index, u8),
    Other(&'static [u8]),
    HeaderAgain,
}

const OTHER_LINES: &[&[u8]] =
    &[b"", b" \t", b",", b",,,", b"\0\0", b"\"", b"\xff\xfe,\\", b"\r", b",,,\r", b"\"a\"b,\"c"];

fn line(row: impl Strategy<Value = Cells> + Clone) -> impl Strategy<Value = Line> {
    let byte = select(&b"\0\r\xff\",\\ \xc3"[..]);
    prop_oneof![
        30 => row.clone().prop_map(Line::Row),
        2 => (row, any::<Index>(), byte).prop_map(|(row, at, byte)| Line::Spoiled(row, at, byte)),
        2 => select(OTHER_LINES).prop_map(Line::Other),
        1 => Just(Line::HeaderAgain),
    ]
}

/// The layout of a log file.
#[allow(clippy::struct_excessive_bools, reason = "each field is an independent feature of a file")]
#[derive(Clone, Debug)]
struct Layout {
    position: bool,
    blank_start: bool,
    columns: Vec<&'static str>,
    quoted_header: bool,
    /// How the names of columns differ from the wanted names.
    names: usize,
    /// Number of columns without a name at the end.
    unnamed: usize,
    /// For each row, the number of its delimiters after the last named column.
    trailing: Vec<usize>,
    /// For each line, whether it ends with CRLF.
    returns: Vec<bool>,
    last_line_feed: bool,
}

const EXTRA_COLUMNS: &[&str] = &["device", "session id", "ü,x", "device", "User-Id"];

fn layout(columns: &'static [&'static str]) -> impl Strategy<Value = Layout> {
    let plain = Just(columns.to_vec());
    let shuffled = subsequence(EXTRA_COLUMNS, 0..=2)
        .prop_map(move |extra| [columns, extra.as_slice()].concat())
        .prop_shuffle();
    let columns = prop_oneof![2 => plain, 1 => shuffled];
    let returns = prop_oneof![2 => Just(vec![false]), 1 => Just(vec![true]), 1 => vec(any::<bool>(), 1..5)];
    let odd = || prop::bool::weighted(0.2);
    let names = prop_oneof![3 => Just(0), 1 => 1_usize..4];
    let ends = prop_oneof![4 => Just((0, vec![0])), 1 => (0_usize..3, vec(0_usize..4, 1..4))];
    (odd(), odd(), columns, odd(), (names, ends), returns, prop::bool::weighted(0.7)).prop_map(
        |(
            position,
            blank_start,
            columns,
            quoted_header,
            (names, (unnamed, trailing)),
            returns,
            last_line_feed,
        )| {
            Layout {
                position,
                blank_start,
                columns,
                quoted_header,
                names,
                unnamed,
                trailing,
                returns,
                last_line_feed,
            }
        },
    )
}

impl Layout {
    fn render(&self, lines: &[Line]) -> Vec<u8> {
        let quote = |name: &&str| {
            let name = self.name(name);
            if self.quoted_header { quoted(&name) } else { quoted_if_needed(&name) }
        };
        let unnamed = [",", ", "].into_iter().cycle().take(self.unnamed).collect::<String>();
        let header = (self.columns.iter().map(quote).collect::<Vec<_>>().join(",") + &unnamed).into_bytes();
        let mut file = if self.position { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
        let ends = self.returns.iter().map(|&with| if with { &b"\r\n"[..] } else { b"\n" }).cycle();
        let blank = self.blank_start.then(|| b" ".to_vec());
        let trailing = self.trailing.iter().cycle();
        let rows =
            lines.iter().zip(trailing).map(|(line, &trailing)| self.render_line(line, trailing, &header));
        let all: Vec<_> = blank.into_iter().chain([header.clone()]).chain(rows).zip(ends).collect();
        let last = all.len() - 1;
        for (number, (text, end)) in all.into_iter().enumerate() {
            file.extend_from_slice(&text);
            file.extend_from_slice(if number == last && !self.last_line_feed { b"" } else { end });
        }
        file
    }

    /// The name of a column, as it stands or as a similar name.
    fn name(&self, name: &str) -> String {
        match self.names {
            0 => name.to_owned(),
            1 => name.replace('_', "").to_ascii_uppercase(),
            2 => format!(" {name} "),
            _ => name.replace('_', "-"),
        }
    }

    fn render_line(&self, line: &Line, trailing: usize, header: &[u8]) -> Vec<u8> {
        match line {
            Line::Row(cells) => self.render_row(cells, trailing),
            Line::Spoiled(cells, at, byte) => {
                let mut row = self.render_row(cells, trailing);
                row.insert(at.index(row.len() + 1), *byte);
                row
            }
            Line::Other(text) => text.to_vec(),
            Line::HeaderAgain => header.to_vec(),
        }
    }

    fn render_row(&self, cells: &Cells, trailing: usize) -> Vec<u8> {
        let cell =
            |name| cells.iter().find(|(column, _)| column == name).map_or("", |(_, cell)| cell.as_str());
        (self.columns.iter().map(cell).collect::<Vec<_>>().join(",") + &",".repeat(trailing)).into_bytes()
    }
}

fn table(
    columns: &'static [&'static str],
    row: impl Strategy<Value = Cells> + Clone,
    lines: Range<usize>,
) -> impl Strategy<Value = File> {
    (layout(columns), vec(line(row), lines)).prop_map(|(layout, lines)| File(layout.render(&lines)))
}

/// A valid catalog with some of the songs.
pub(crate) fn catalog() -> impl Strategy<Value = File> {
    table(&["song_id", "title", "artist", "genre", "mood"], song().boxed(), 0..14)
}

/// Files that are empty or rejected as a whole.
const NO_LOGS: &[&[u8]] = &[
    b"",
    b"\n \n",
    b"\xef\xbb\xbf",
    b"user_id,song_id,timestamp\nu1,s1,2025-01-05 00:00\n",
    b"u1,s1,2025-01-05 00:00,1\n",
    b"\nuser_id;song_id;timestamp;duration_sec\n",
    b"user_id,song_id,timestamp,duration_sec,user_id\n",
    b"user_id,song_id,timestamp,duration_sec\ru1,s1,2025-01-05 00:00,1\r",
    b"user_id,\"song_id,timestamp,duration_sec\n",
    b"user_id,song_id,timestamp,duration\xff\n",
    b"user_id,so\0ng_id\nu1,s1\n",
    b"\xff\xfeu\0s\0\n\0",
    b"\x89PNG\r\n\x1a\n",
];

/// A log. Most logs are readable.
pub(crate) fn log() -> impl Strategy<Value = File> {
    let columns = &["user_id", "song_id", "timestamp", "duration_sec"];
    prop_oneof![
        24 => table(columns, play().boxed(), 0..40),
        1 => select(NO_LOGS).prop_map(|file| File(file.to_vec())),
    ]
}

/// Whole lines for a log with the header [`HEADER`].
pub(crate) fn rows(count: Range<usize>) -> impl Strategy<Value = File> {
    let layout = Layout {
        position: false,
        blank_start: false,
        columns: HEADER.split(',').collect(),
        quoted_header: false,
        names: 0,
        unnamed: 0,
        trailing: vec![0],
        returns: vec![false],
        last_line_feed: true,
    };
    vec(line(play().boxed()), count)
        .prop_map(move |lines| File(layout.render(&lines)[HEADER.len() + 1..].to_vec()))
}

/// Mostly no range of dates. Otherwise both ends are days with plays, or days beside them.
pub(crate) fn dates() -> impl Strategy<Value = DateRange> {
    let end = || {
        let day = prop_oneof![4 => select(DAYS), 1 => select(ODD_DAYS)];
        (day, -1_i64..2).prop_filter_map("a date that exists", |(day, beside)| {
            Some(CivilDate::from_days(CivilDate::parse(day)?.to_days()? + beside))
        })
    };
    let limited = (weighted(0.7, end()), weighted(0.7, end()));
    let limited = limited.prop_map(|(from, to)| DateRange { from, to });
    prop_oneof![1 => Just(DateRange::default()), 1 => limited]
}

/// How many periods to keep. Often none of a length.
pub(crate) fn periods() -> impl Strategy<Value = Periods> {
    let kept = || {
        prop_oneof![
            2 => Just(Kept::NONE),
            2 => (1_u32..4).prop_map(Kept::Latest),
            1 => select(&[Kept::Latest(60), Kept::Latest(u32::MAX)][..]),
            2 => Just(Kept::All),
        ]
    };
    let latest = prop_oneof![2 => Just(LatestPeriod::Data), 1 => Just(LatestPeriod::Now)];
    let names: Vec<&str> = SNAPSHOTS.iter().map(|about| about.name).collect();
    let some = subsequence(names, 1..4).prop_map(|names| names.join(",").parse().unwrap());
    let insights = prop_oneof![3 => Just(PeriodInsights::default()), 1 => some];
    (kept(), kept(), kept(), kept(), kept(), latest, insights).prop_map(
        |(day, week, month, quarter, year, latest, insights)| Periods {
            day,
            week,
            month,
            quarter,
            year,
            latest,
            insights,
        },
    )
}

// These zones have gaps of an hour, half an hour and a day, and offsets in minutes or (before 1972) in
// seconds.
const ZONES: &[&str] = &[
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Monrovia",
];
const WEEKS: &[&str] = &["latest", "latest", "latest", "current", "2025-W01", "2025-W13", "2020-W53"];
const WINDOWS: &[(u16, u16)] = &[(0, 300), (0, 300), (1380, 120), (1439, 0), (0, 1), (30, 31), (300, 0)];
const SHARES: &[u64] =
    &[0, 1, 250_000_000, 333_333_333, 333_333_334, 500_000_000, 666_666_667, 800_000_000, 1_000_000_000];

/// The zone with this name. Each zone is created once and reused, because creating its table of two centuries is slow.
fn zone_named(name: &str) -> Zone {
    static MADE: LazyLock<Vec<Zone>> =
        LazyLock::new(|| ZONES.iter().map(|name| Zone::named(name).unwrap()).collect());
    MADE.iter().find(|zone| zone.name() == name).unwrap().clone()
}

/// Random settings. Most settings have their default.
pub(crate) fn settings() -> impl Strategy<Value = Settings> {
    let share =
        || prop_oneof![Just(None), select(SHARES).prop_map(|share| Some(Fraction::from_billionths(share)))];
    let decimals = || weighted(0.5, select(&[0, 1, 2, 9, 18][..]).prop_map(Decimals));
    let rows = (
        any::<bool>(),
        decimals(),
        weighted(0.5, 0_usize..6),
        select(WEEKS),
        weighted(0.5, 0_usize..6),
        weighted(0.5, 1_u64..4),
        share(),
        any::<bool>(),
        share(),
        decimals(),
    );
    let nights = (weighted(0.5, 0_u32..4), select(WINDOWS));
    let input = (
        prop_oneof![1 => Just("UTC"), 2 => select(ZONES)],
        weighted(0.3, select(&[0, 1000][..])),
        weighted(0.3, 1_u64..6),
        weighted(0.5, select(&[1, 200, 700][..])),
    );
    (rows, nights, input).prop_map(|(rows, nights, input)| {
        let (first, mean, limit, week, per_user, sad_plays, sad_share, dominant, threshold, score) = rows;
        let (min_plays, (from, to)) = nights;
        let (zone, max_future_days, max_bad_lines, roll_bytes) = input;
        let mut settings = Settings { timezone: Timezone(zone_named(zone)), ..Settings::default() };
        let future = max_future_days.map(|days: u64| TimeSpan(Duration::from_hours(days * 24)));
        set(&mut settings.input.max_future, future);
        set(&mut settings.input.max_bad_lines, max_bad_lines);
        let insights = &mut settings.insights;
        insights.user_favorite_genres.ties = if first { Ties::First } else { Ties::All };
        set(&mut insights.avg_listen_time_per_song.decimals, mean);
        set(&mut insights.top_songs_this_week.limit, limit);
        insights.top_songs_this_week.week = week.parse::<WeekChoice>().unwrap();
        let happy = &mut insights.happy_recommendations;
        set(&mut happy.per_user, per_user);
        set(&mut happy.min_sad_plays, sad_plays);
        set(&mut happy.min_sad_share, sad_share);
        happy.dominant = dominant;
        set(&mut insights.genre_loyalty_scores.threshold, threshold);
        set(&mut insights.genre_loyalty_scores.decimals, score);
        let night = &mut insights.night_owl_users;
        set(&mut night.min_plays, min_plays);
        (night.from, night.to) = (TimeOfDay(from), TimeOfDay(to));
        set(&mut insights.enriched_logs.roll_bytes, roll_bytes.map(ByteSize));
        settings
    })
}

/// Sets a setting. Without a value, the setting keeps its default.
fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
