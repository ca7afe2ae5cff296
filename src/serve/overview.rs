//! What there is to see at one epoch, as plain data, and the charts that show it. A report fills it
//! from the output folder, a running program from its tables.

use crate::ledger::hours::HOURS;
use crate::model::value::Fraction;
use crate::serve::charts::{
    Bar, Bars, Bucket, FULL_DAYS, Form, Histogram, HourPlays, LISTENERS, Mark, Noun, PLAYS, SONGS, Share,
    Shares, Tick, bars, count, histogram, hours, shares,
};
use crate::time::window::NightWindow;

/// Buckets of loyalty, each of five percent.
pub const LOYALTIES: usize = 20;
/// Buckets of listening times, each of [`LISTEN_TIME`] but the last.
pub const LISTEN_TIMES: usize = 25;
/// Seconds of a bucket of listening times.
pub const LISTEN_TIME: u32 = 15;

/// Everything that is shown of one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// The number of the epoch.
    pub epoch: u64,
    /// The most played songs of the week.
    pub top_songs: Shown<TopSongs>,
    /// Plays by genre, in any order; songs without genre have an empty one.
    pub genres: Shown<Vec<GenrePlays>>,
    /// Plays by hour of the week, from Monday 00:00 on.
    pub hours: Shown<[u64; HOURS]>,
    /// What counts as night.
    pub night: NightWindow,
    /// How loyal listeners are to a genre.
    pub loyalty: Shown<Loyalty>,
    /// How long songs are listened to.
    pub listen_times: Shown<ListenTimes>,
    /// Songs by the listeners to whom they are recommended, the most first.
    pub recommended: Shown<Vec<SongCount>>,
    /// Everybody who has listened.
    pub listeners: Shown<u64>,
    /// Listeners with enough plays at night.
    pub night_owls: Shown<u64>,
    /// Listeners who are loyal to a genre.
    pub loyal: Shown<u64>,
}

/// What is shown, or why it is not.
pub type Shown<T> = Result<T, Absent>;

/// Why something is not shown, in words for a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent(pub String);

/// The most played songs of a week.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopSongs {
    /// The week, such as `2025-W13`, if it is known.
    pub week: Option<String>,
    /// The songs, the most played first.
    pub songs: Vec<SongCount>,
}

/// A song, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SongCount {
    /// Its id.
    pub song_id: String,
    /// Its title; empty if it is not known.
    pub title: String,
    /// Who plays it; empty if it is not known.
    pub artist: String,
    /// Its plays, or whatever else is counted.
    pub count: u64,
}

/// Plays of the songs of a genre.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenrePlays {
    /// The genre; empty for songs without.
    pub genre: String,
    /// The plays.
    pub plays: u64,
}

/// How many listeners give their most played genre which share of their plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loyalty {
    /// Listeners by share, in steps of five percent; the last has those with all plays in one genre.
    pub buckets: [u64; LOYALTIES],
    /// Whether not all listeners were looked at.
    pub sampled: bool,
    /// Above which share a listener is loyal.
    pub threshold: Fraction,
}

impl Loyalty {
    /// Nobody yet.
    pub fn new(threshold: Fraction) -> Self {
        Self { buckets: [0; LOYALTIES], sampled: false, threshold }
    }

    /// Counts a listener by the plays of the most played genre and of all genres, which are some.
    pub fn add(&mut self, most: u64, all: u64) {
        let bucket = u128::from(most) * LOYALTIES as u128 / u128::from(all.max(1));
        self.buckets[(bucket as usize).min(LOYALTIES - 1)] += 1;
    }

    /// The listeners that were looked at.
    pub fn listeners(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// How many songs are listened to for how long, as a mean of their plays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenTimes {
    /// Songs by time; the last bucket has all that are longer.
    pub buckets: [u64; LISTEN_TIMES],
}

impl ListenTimes {
    /// Counts a song by the mean of its plays.
    pub fn add(&mut self, seconds: f64) {
        let bucket = (seconds / f64::from(LISTEN_TIME)).max(0.0) as usize;
        self.buckets[bucket.min(LISTEN_TIMES - 1)] += 1;
    }
}

/// A chart by its name, or why it is not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    /// Its name in a path or an address.
    pub name: &'static str,
    /// Its heading.
    pub title: String,
    /// SVG.
    pub svg: Shown<String>,
    /// What the picture shows, for those who cannot see it; none where a table says the same.
    pub numbers: Vec<(String, u64)>,
}

impl Overview {
    /// All charts, in the order in which they are shown.
    pub fn charts(&self, form: Form) -> Vec<Chart> {
        let title = match &self.top_songs {
            Ok(TopSongs { week: Some(week), .. }) => format!("Top songs of {week}"),
            _ => "Top songs of the week".to_owned(),
        };
        vec![
            chart("top_songs", &title, &self.top_songs, |top| {
                (song_bars(&title, PLAYS, &top.songs, form), Vec::new())
            }),
            chart("genres", GENRES, &self.genres, |genres| genre_shares(genres, form)),
            chart("hours", HOUR_PLAYS, &self.hours, |plays| self.hour_plays(plays, form)),
            chart("loyalty", LOYALTY, &self.loyalty, |loyalty| loyalty_histogram(loyalty, form)),
            chart("listen_times", TIMES, &self.listen_times, |times| listen_time_histogram(times, form)),
            chart("recommended", RECOMMENDED, &self.recommended, |songs| {
                (song_bars(RECOMMENDED, LISTENERS, songs, form), Vec::new())
            }),
        ]
    }

    /// The numbers are those of days and of hours, which a person can read.
    fn hour_plays(&self, plays: &[u64; HOURS], form: Form) -> Picture {
        let days = FULL_DAYS.iter().zip(plays.chunks(24));
        let days = days.map(|(name, hours)| ((*name).to_owned(), hours.iter().sum()));
        let hour = |hour: usize| {
            let name = format!("{hour:02}:00–{:02}:00", hour + 1);
            (name, plays.iter().skip(hour).step_by(24).sum())
        };
        let numbers = days.chain((0..24).map(hour)).collect();
        let chart = HourPlays { title: HOUR_PLAYS.to_owned(), plays: *plays, night: self.night };
        (hours(&chart, form), numbers)
    }
}

/// SVG and its numbers.
type Picture = (String, Vec<(String, u64)>);

fn chart<T>(name: &'static str, title: &str, data: &Shown<T>, draw: impl FnOnce(&T) -> Picture) -> Chart {
    let (svg, numbers) = match data {
        Ok(data) => {
            let (svg, numbers) = draw(data);
            (Ok(svg), numbers)
        }
        Err(absent) => (Err(absent.clone()), Vec::new()),
    };
    Chart { name, title: title.to_owned(), svg, numbers }
}

const GENRES: &str = "Plays by genre";
const HOUR_PLAYS: &str = "Plays by day and hour";
const LOYALTY: &str = "Loyalty to a genre";
const TIMES: &str = "Listening time of songs";
const RECOMMENDED: &str = "Most recommended songs";

fn song_bars(title: &str, noun: Noun, songs: &[SongCount], form: Form) -> String {
    let bar = |song: &SongCount| {
        let known = !song.title.is_empty();
        Bar {
            label: if known { song.title.clone() } else { song.song_id.clone() },
            second: song.artist.clone(),
            value: song.count,
            link: None,
        }
    };
    bars(&Bars { title: title.to_owned(), noun, bars: songs.iter().map(bar).collect() }, form)
}

fn genre_shares(genres: &[GenrePlays], form: Form) -> Picture {
    let share = |genre: &GenrePlays| {
        let label = if genre.genre.is_empty() { "no genre" } else { &genre.genre };
        Share { label: label.to_owned(), value: genre.plays }
    };
    let shown: Vec<Share> = genres.iter().map(share).collect();
    let numbers = shown.iter().map(|share| (share.label.clone(), share.value)).collect();
    (shares(&Shares { title: GENRES.to_owned(), noun: PLAYS, shares: shown }, form), numbers)
}

fn loyalty_histogram(loyalty: &Loyalty, form: Form) -> Picture {
    let width = 100 / LOYALTIES;
    let buckets = loyalty.buckets.iter().enumerate().map(|(place, &count)| Bucket {
        name: format!("{}–{} %", place * width, (place + 1) * width),
        count,
    });
    let tick = |percent: usize| Tick { at: percent as f64 / width as f64, name: format!("{percent} %") };
    let threshold = loyalty.threshold.to_f64();
    let note = if loyalty.sampled {
        format!("from a sample of {} listeners", count(loyalty.listeners()))
    } else {
        String::new()
    };
    let chart = Histogram {
        title: LOYALTY.to_owned(),
        noun: LISTENERS,
        buckets: buckets.collect(),
        ticks: [0, 20, 40, 60, 80, 100].map(tick).into(),
        mark: Some(Mark {
            at: threshold * LOYALTIES as f64,
            name: format!("loyal above {} %", (threshold * 1e9).round() / 1e7),
        }),
        note,
    };
    (histogram(&chart, form), numbers_of(&chart))
}

fn listen_time_histogram(times: &ListenTimes, form: Form) -> Picture {
    let time = |place: usize| {
        let seconds = place * LISTEN_TIME as usize;
        format!("{}:{:02}", seconds / 60, seconds % 60)
    };
    let last = LISTEN_TIMES - 1;
    let buckets = times.buckets.iter().enumerate().map(|(place, &count)| Bucket {
        name: if place == last {
            format!("{} and more", time(place))
        } else {
            format!("{}–{}", time(place), time(place + 1))
        },
        count,
    });
    let minute = 60 / LISTEN_TIME as usize;
    let chart = Histogram {
        title: TIMES.to_owned(),
        noun: SONGS,
        buckets: buckets.collect(),
        ticks: (0..=last)
            .step_by(minute)
            .map(|place| Tick { at: place as f64, name: format!("{} min", place / minute) })
            .collect(),
        mark: None,
        note: String::new(),
    };
    (histogram(&chart, form), numbers_of(&chart))
}

fn numbers_of(chart: &Histogram) -> Vec<(String, u64)> {
    chart.buckets.iter().map(|bucket| (bucket.name.clone(), bucket.count)).collect()
}
