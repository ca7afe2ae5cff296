//! The numbers of one epoch as plain data, and the charts of these numbers. The report fills an
//! [`Overview`] from the output folder, and the dashboard fills it from the tables in memory.

use crate::ledger::hours::HOURS;
use crate::model::value::Fraction;
use crate::serve::charts::{
    Bar, Bars, Bucket, ChartMode, FULL_DAYS, Histogram, HourPlays, LISTENERS, Noun, PLAYS, Rule, SONGS,
    Share, Shares, Tick, bars, count, histogram, hours, shares,
};
use crate::time::window::NightWindow;

/// Number of buckets in the loyalty histogram. Each bucket is five percentage points wide.
pub const LOYALTY_BUCKETS: usize = 20;
/// Number of buckets in the histogram of listening times. The last bucket has no upper limit.
pub const LISTEN_TIME_BUCKETS: usize = 25;
/// Width in seconds of a bucket in the histogram of listening times.
pub const LISTEN_TIME_STEP: u32 = 15;

/// The numbers of one epoch that the dashboard and the report show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// Number of the epoch.
    pub epoch: u64,
    /// The most played songs of the week or period.
    pub top_songs: Result<TopSongs, Unavailable>,
    /// Plays by genre, in any order. Plays of songs without a genre have an empty genre name.
    pub genres: Result<Vec<GenrePlays>, Unavailable>,
    /// Plays by hour of the week, from Monday 00:00 on.
    pub hours: Result<[u64; HOURS], Unavailable>,
    /// Hours that count as night.
    pub night: NightWindow,
    /// Listeners by their loyalty to one genre.
    pub loyalty: Result<Loyalty, Unavailable>,
    /// Songs by their mean listening time.
    pub listen_times: Result<ListenTimes, Unavailable>,
    /// Songs that are recommended to the most listeners, most recommended first.
    pub recommended: Result<Vec<SongCount>, Unavailable>,
    /// Number of listeners with at least one play.
    pub listeners: Result<u64, Unavailable>,
    /// Number of listeners with enough plays at night.
    pub night_owls: Result<u64, Unavailable>,
    /// Number of listeners who are loyal to a genre.
    pub loyal: Result<u64, Unavailable>,
}

/// The reason why a number or chart is missing, as text for readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable(pub String);

/// The most played songs of a week or of a period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopSongs {
    /// The name of the week or period, such as `2025-W13`; `None` if unknown.
    pub period: Option<String>,
    /// The songs, most played first.
    pub songs: Vec<SongCount>,
}

/// A song with a count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SongCount {
    /// Id of the song.
    pub song_id: String,
    /// Title; empty if unknown.
    pub title: String,
    /// Artist; empty if unknown.
    pub artist: String,
    /// Number of plays or of listeners, depending on the chart.
    pub count: u64,
}

/// Plays of all songs of one genre.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenrePlays {
    /// Genre; empty for songs without one.
    pub genre: String,
    /// Number of plays.
    pub plays: u64,
}

/// Listeners by loyalty. The loyalty of a listener is the share of plays in the most played genre.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loyalty {
    /// Number of listeners per bucket of five percentage points. The last bucket includes 100 %.
    pub buckets: [u64; LOYALTY_BUCKETS],
    /// Whether the buckets count only a sample of the listeners.
    pub sampled: bool,
    /// A listener whose share is above this threshold is loyal.
    pub threshold: Fraction,
}

impl Loyalty {
    /// Empty buckets.
    pub fn new(threshold: Fraction) -> Self {
        Self { buckets: [0; LOYALTY_BUCKETS], sampled: false, threshold }
    }

    /// Adds a listener. `most` counts the plays of the favourite genre, and `all` counts the plays of all
    /// songs that have a genre.
    pub fn add(&mut self, most: u64, all: u64) {
        let bucket = u128::from(most) * LOYALTY_BUCKETS as u128 / u128::from(all.max(1));
        self.buckets[(bucket as usize).min(LOYALTY_BUCKETS - 1)] += 1;
    }

    /// Number of listeners in the buckets.
    pub fn listeners(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// Songs by the mean duration of their plays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenTimes {
    /// Number of songs per bucket. The last bucket has no upper limit.
    pub buckets: [u64; LISTEN_TIME_BUCKETS],
}

impl ListenTimes {
    /// Adds a song with a mean duration of `seconds`.
    pub fn add(&mut self, seconds: f64) {
        let bucket = (seconds / f64::from(LISTEN_TIME_STEP)).max(0.0) as usize;
        self.buckets[bucket.min(LISTEN_TIME_BUCKETS - 1)] += 1;
    }
}

/// A named chart, or the reason why it is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    /// Name of the chart in file names and in the API.
    pub name: &'static str,
    /// Heading.
    pub title: String,
    /// The chart as SVG.
    pub svg: Result<String, Unavailable>,
    /// The values of the chart as text, for readers who cannot see the chart. Empty if a table already
    /// lists these values.
    pub numbers: Vec<(String, u64)>,
}

/// An overview and its charts, drawn for the dashboard.
#[derive(Debug)]
pub struct DashboardCharts {
    /// The numbers.
    pub overview: Overview,
    /// The charts, drawn as [`ChartMode::Inline`].
    pub charts: Vec<Chart>,
}

impl From<Overview> for DashboardCharts {
    fn from(overview: Overview) -> Self {
        let charts = overview.charts(ChartMode::Inline);
        Self { overview, charts }
    }
}

impl Overview {
    /// All charts, in display order.
    pub fn charts(&self, mode: ChartMode) -> Vec<Chart> {
        let title = match &self.top_songs {
            Ok(TopSongs { period: Some(period), .. }) => format!("Top songs of {period}"),
            _ => "Top songs of the week".to_owned(),
        };
        vec![
            chart("top_songs", &title, &self.top_songs, |top| {
                (song_bars(&title, PLAYS, &top.songs, "no plays yet", mode), Vec::new())
            }),
            chart("genres", GENRES, &self.genres, |genres| genre_shares(genres, mode)),
            chart("hours", HOUR_PLAYS, &self.hours, |plays| self.hour_plays(plays, mode)),
            chart("loyalty", LOYALTY, &self.loyalty, |loyalty| loyalty_histogram(loyalty, mode)),
            chart("listen_times", TIMES, &self.listen_times, |times| listen_time_histogram(times, mode)),
            chart("recommended", RECOMMENDED, &self.recommended, |songs| {
                (song_bars(RECOMMENDED, LISTENERS, songs, "no recommendations yet", mode), Vec::new())
            }),
        ]
    }

    /// Draws the chart of the 168 hours of a week. The values beside the chart are totals per weekday
    /// and per hour of the day, because a list of 168 values is unreadable.
    fn hour_plays(&self, plays: &[u64; HOURS], mode: ChartMode) -> Drawing {
        let days = FULL_DAYS.iter().zip(plays.chunks(24));
        let days = days.map(|(name, hours)| ((*name).to_owned(), hours.iter().sum()));
        let hour = |hour: usize| {
            let name = format!("{hour:02}:00–{:02}:00", hour + 1);
            (name, plays.iter().skip(hour).step_by(24).sum())
        };
        let numbers = days.chain((0..24).map(hour)).collect();
        let chart = HourPlays { title: HOUR_PLAYS.to_owned(), plays: *plays, night: self.night };
        (hours(&chart, mode), numbers)
    }
}

/// An SVG and its values as text.
type Drawing = (String, Vec<(String, u64)>);

fn chart<T>(
    name: &'static str,
    title: &str,
    data: &Result<T, Unavailable>,
    draw: impl FnOnce(&T) -> Drawing,
) -> Chart {
    let (svg, numbers) = match data {
        Ok(data) => {
            let (svg, numbers) = draw(data);
            (Ok(svg), numbers)
        }
        Err(reason) => (Err(reason.clone()), Vec::new()),
    };
    Chart { name, title: title.to_owned(), svg, numbers }
}

const GENRES: &str = "Plays by genre";
const HOUR_PLAYS: &str = "Plays by weekday and hour";
const LOYALTY: &str = "Loyalty to one genre";
const TIMES: &str = "Mean listening time of songs";
const RECOMMENDED: &str = "Most recommended songs";

fn song_bars(title: &str, noun: Noun, songs: &[SongCount], empty: &str, mode: ChartMode) -> String {
    let bar = |song: &SongCount| {
        let has_title = !song.title.is_empty();
        Bar {
            label: if has_title { song.title.clone() } else { song.song_id.clone() },
            subtitle: song.artist.clone(),
            value: song.count,
            link: None,
        }
    };
    let bars_of_songs = songs.iter().map(bar).collect();
    bars(&Bars { title: title.to_owned(), noun, empty: empty.to_owned(), bars: bars_of_songs }, mode)
}

fn genre_shares(genres: &[GenrePlays], mode: ChartMode) -> Drawing {
    let share = |genre: &GenrePlays| {
        let label = if genre.genre.is_empty() { "no genre" } else { &genre.genre };
        Share { label: label.to_owned(), value: genre.plays }
    };
    let all: Vec<Share> = genres.iter().map(share).collect();
    let numbers = all.iter().map(|share| (share.label.clone(), share.value)).collect();
    (shares(&Shares { title: GENRES.to_owned(), noun: PLAYS, shares: all }, mode), numbers)
}

fn loyalty_histogram(loyalty: &Loyalty, mode: ChartMode) -> Drawing {
    let width = 100 / LOYALTY_BUCKETS;
    let buckets = loyalty.buckets.iter().enumerate().map(|(place, &count)| Bucket {
        name: format!("{}–{} %", place * width, (place + 1) * width),
        count,
    });
    let tick = |percent: usize| Tick { at: percent as f64 / width as f64, name: format!("{percent} %") };
    let threshold = loyalty.threshold.to_f64();
    let note = if loyalty.sampled {
        format!("Based on a sample of {} listeners", count(loyalty.listeners()))
    } else {
        String::new()
    };
    let chart = Histogram {
        title: LOYALTY.to_owned(),
        noun: LISTENERS,
        buckets: buckets.collect(),
        ticks: [0, 20, 40, 60, 80, 100].map(tick).into(),
        rule: Some(Rule {
            at: threshold * LOYALTY_BUCKETS as f64,
            name: format!("loyal above {} %", (threshold * 1e9).round() / 1e7),
        }),
        note,
    };
    (histogram(&chart, mode), numbers_of(&chart))
}

fn listen_time_histogram(times: &ListenTimes, mode: ChartMode) -> Drawing {
    let time = |place: usize| {
        let seconds = place * LISTEN_TIME_STEP as usize;
        format!("{}:{:02}", seconds / 60, seconds % 60)
    };
    let last = LISTEN_TIME_BUCKETS - 1;
    let buckets = times.buckets.iter().enumerate().map(|(place, &count)| Bucket {
        name: if place == last {
            format!("{} or more", time(place))
        } else {
            format!("{}–{}", time(place), time(place + 1))
        },
        count,
    });
    let minute = 60 / LISTEN_TIME_STEP as usize;
    let chart = Histogram {
        title: TIMES.to_owned(),
        noun: SONGS,
        buckets: buckets.collect(),
        ticks: (0..=last)
            .step_by(minute)
            .map(|place| Tick { at: place as f64, name: format!("{} min", place / minute) })
            .collect(),
        rule: None,
        note: String::new(),
    };
    (histogram(&chart, mode), numbers_of(&chart))
}

fn numbers_of(chart: &Histogram) -> Vec<(String, u64)> {
    chart.buckets.iter().map(|bucket| (bucket.name.clone(), bucket.count)).collect()
}
