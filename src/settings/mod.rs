//! All settings, from defaults, file, environment and command line, checked once.

mod layers;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

pub use crate::settings::layers::{Layers, load};

use crate::delimiter::Delimiter;
use crate::failure::{Exit, Failure};
use crate::insights::{
    avg_listen_time_per_song, enriched_logs, genre_loyalty_scores, happy_recommendations, night_owl_users,
    top_songs_this_week, user_favorite_genres,
};
use crate::parquet;
use crate::source::finished::WhenDone;
use crate::values::{TimeSpan, from_text, from_text_or_none};
use crate::zone::Zone;

/// Everything that can be set; `music-insights.toml` has these names.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The catalog.
    #[serde(deserialize_with = "from_text")]
    pub songs: PathBuf,
    /// Where the insights go.
    #[serde(deserialize_with = "from_text")]
    pub output: PathBuf,
    /// The zone of timestamps without an offset, of weeks and of nights.
    #[serde(deserialize_with = "from_text")]
    pub timezone: Timezone,
    /// The folder that `watch` tails.
    #[serde(deserialize_with = "from_text")]
    pub incoming: PathBuf,
    /// Where `watch` keeps what must outlive the memory.
    #[serde(deserialize_with = "from_text")]
    pub state: PathBuf,
    /// How often `watch` publishes, if there is news.
    #[serde(deserialize_with = "from_text")]
    pub flush_interval: TimeSpan,
    /// Where the dashboard listens.
    #[serde(deserialize_with = "from_text")]
    pub http: Http,
    /// Chunks that are decoded at the same time; as many as there are processors if absent.
    #[serde(deserialize_with = "from_text_or_none")]
    pub threads: Option<usize>,
    /// `[input]`
    pub input: Input,
    /// In which formats the insights are written.
    #[serde(deserialize_with = "from_text")]
    pub format: Format,
    /// `[csv]`
    pub csv: Csv,
    /// `[insights.<name>]`
    pub insights: Insights,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            songs: "data/songs_metadata.csv".into(),
            output: "output".into(),
            timezone: Timezone(Zone::named("UTC").expect("UTC is a zone")),
            incoming: "data/incoming".into(),
            state: "data/state".into(),
            flush_interval: TimeSpan(Duration::from_secs(1)),
            http: Http::On("127.0.0.1:8080".to_owned()),
            threads: None,
            input: Input::default(),
            format: Format::default(),
            csv: Csv::default(),
            insights: Insights::default(),
        }
    }
}

/// `[input]`
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Input {
    /// What parts the fields of logs and of the catalog.
    #[serde(deserialize_with = "from_text")]
    pub delimiter: Delimiter,
    /// How far after the moment of reading a play may be.
    #[serde(deserialize_with = "from_text")]
    pub max_future: TimeSpan,
    /// Bad lines at which a file is given up; 0 for never.
    #[serde(deserialize_with = "from_text")]
    pub max_bad_lines: u64,
    /// How long a last line without line feed waits in `watch` until it counts.
    #[serde(deserialize_with = "from_text")]
    pub last_line_wait: TimeSpan,
    /// What becomes of an input that was read to its end.
    #[serde(deserialize_with = "from_text")]
    pub when_done: WhenDone,
    /// Where it is moved if it is archived.
    #[serde(deserialize_with = "from_text")]
    pub archive_dir: PathBuf,
    /// For how long it must not have grown.
    #[serde(deserialize_with = "from_text")]
    pub done_after: TimeSpan,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            delimiter: Delimiter::COMMA,
            max_future: TimeSpan(Duration::from_hours(48)),
            max_bad_lines: 0,
            last_line_wait: TimeSpan(Duration::from_secs(30)),
            when_done: WhenDone::Keep,
            archive_dir: "data/archive".into(),
            done_after: TimeSpan(Duration::from_mins(1)),
        }
    }
}

/// `[csv]`
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Csv {
    /// Whether text that a spreadsheet would take for a formula is written behind an apostrophe.
    #[serde(deserialize_with = "from_text")]
    pub guard_formulas: bool,
}

/// `[insights.<name>]`
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Insights {
    /// `[insights.user_favorite_genres]`
    pub user_favorite_genres: user_favorite_genres::Settings,
    /// `[insights.avg_listen_time_per_song]`
    pub avg_listen_time_per_song: avg_listen_time_per_song::Settings,
    /// `[insights.top_songs_this_week]`
    pub top_songs_this_week: top_songs_this_week::Settings,
    /// `[insights.happy_recommendations]`
    pub happy_recommendations: happy_recommendations::Settings,
    /// `[insights.genre_loyalty_scores]`
    pub genre_loyalty_scores: genre_loyalty_scores::Settings,
    /// `[insights.night_owl_users]`
    pub night_owl_users: night_owl_users::Settings,
    /// `[insights.enriched_logs]`
    pub enriched_logs: enriched_logs::Settings,
}

/// In which formats the insights are written; CSV always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// Whether Parquet is, too.
    pub parquet: bool,
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "csv" => Ok(Self { parquet: false }),
            "csv,parquet" | "parquet,csv" if !parquet::AVAILABLE => Err(parquet::MISSING),
            "csv,parquet" | "parquet,csv" => Ok(Self { parquet: true }),
            _ => Err("expected `csv` or `csv,parquet`"),
        }
    }
}

/// More chunks at a time than any machine has processors for.
const MAX_THREADS: usize = 1024;

/// A time zone by its IANA name.
#[derive(Clone, Debug)]
pub struct Timezone(pub Zone);

impl FromStr for Timezone {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Zone::named(text).map(Self).ok_or("expected an IANA time zone such as UTC or Europe/Berlin")
    }
}

/// Where the dashboard listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Http {
    /// Nowhere.
    Off,
    /// On an address with a port.
    On(String),
}

impl FromStr for Http {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        match (text, port) {
            ("off", _) => Ok(Self::Off),
            (_, Some(_)) => Ok(Self::On(text.to_owned())),
            _ => Err("expected `off` or an address with a port such as 127.0.0.1:8080"),
        }
    }
}

impl Settings {
    /// How many chunks are decoded at the same time.
    pub fn decoders(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or_else(processors)
    }

    /// Checks that the folders of a `watch` do not lie in each other's way.
    ///
    /// # Errors
    /// The two that overlap, exit code 78.
    pub fn check_folders(&self) -> Result<(), Failure> {
        let place = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let [incoming, output, state] = [&self.incoming, &self.output, &self.state].map(place);
        if place(&self.input.archive_dir) == incoming {
            let message = format!("input.archive_dir must not be incoming: {}", incoming.display());
            return Err(Failure::new(Exit::Config, message));
        }
        for (inner, outer, names) in [
            (&output, &incoming, "output must not be inside incoming"),
            (&state, &incoming, "state must not be inside incoming"),
            (&incoming, &output, "incoming must not be inside output"),
            (&state, &output, "state must not be inside output"),
            (&output, &state, "output must not be inside state"),
        ] {
            if inner.starts_with(outer) {
                let message = format!("{names}: {} and {}", inner.display(), outer.display());
                return Err(Failure::new(Exit::Config, message));
            }
        }
        Ok(())
    }

    /// Checks what no single value can tell.
    ///
    /// # Errors
    /// The setting that is wrong, exit code 78.
    fn check(&self) -> Result<(), Failure> {
        let wrong = |message: &str| Err(Failure::new(Exit::Config, message));
        let night = &self.insights.night_owl_users;
        if night.from == night.to {
            return wrong("insights.night_owl_users: `from` and `to` must differ");
        }
        if self.insights.happy_recommendations.min_sad_plays == 0 {
            return wrong("insights.happy_recommendations.min_sad_plays must be at least 1");
        }
        if self.threads.is_some_and(|threads| !(1..=MAX_THREADS).contains(&threads)) {
            return wrong("threads must be at least 1 and at most 1024");
        }
        if self.flush_interval.0 < Duration::from_millis(1) {
            return wrong("flush_interval must be at least 1ms");
        }
        Ok(())
    }
}
