//! All settings: read from flags, environment, file and defaults, and validated once.

mod input;
mod keys;
mod layers;
mod periods;
mod print;
mod schema;

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::settings::input::{Catalog, Input};
pub use crate::settings::keys::{differences, values_of};
pub use crate::settings::layers::{Effective, Layers, Origin, load};
pub use crate::settings::periods::{PeriodInsights, Periods};
pub use crate::settings::print::{example, print, print_json};
pub use crate::settings::schema::schema;

use crate::ingest::parquet;
use crate::insights::query::Weeks;
use crate::insights::top_songs_this_week::WeekChoice;
use crate::insights::{self, Insight};
use crate::model::error::Error;

use crate::model::value::{Fraction, TimeSpan, from_text, from_text_or_none, written_as};
use crate::telemetry::logging::{LoggingFormat, LoggingLevel};
use crate::text::shown;
use crate::time::civil::Week;
use crate::time::window::NightWindow;
use crate::time::zone::Zone;

/// All settings. The fields have the names that `music-insights.toml` uses.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The CSV file with the catalog of songs.
    #[serde(deserialize_with = "from_text")]
    pub songs: PathBuf,
    /// The folder for the published output.
    #[serde(deserialize_with = "from_text")]
    pub output: PathBuf,
    /// The IANA time zone of weeks, days, nights, and timestamps without an offset.
    #[serde(deserialize_with = "from_text")]
    pub timezone: Timezone,
    /// The folder that `watch` reads logs from.
    #[serde(deserialize_with = "from_text")]
    pub incoming: PathBuf,
    /// The folder where `watch` keeps its state between runs.
    #[serde(deserialize_with = "from_text")]
    pub state: PathBuf,
    /// How often `watch` publishes changes; at least `1ms`.
    #[serde(deserialize_with = "from_text")]
    pub flush_interval: TimeSpan,
    /// The address and port of the dashboard, or `off`.
    #[serde(deserialize_with = "from_text")]
    pub http: Http,
    /// A file that contains the access token of the dashboard; if not set, the dashboard needs no token.
    #[serde(deserialize_with = "from_text_or_none")]
    pub http_token_file: Option<PathBuf>,
    /// Host names that the dashboard accepts in addition to `localhost`, separated by commas.
    #[serde(deserialize_with = "from_text")]
    pub http_hosts: String,
    /// The number of chunks to decode in parallel, such as 2; if not set, one per processor.
    #[serde(deserialize_with = "from_text_or_none")]
    #[schemars(range(min = 1, max = MAX_THREADS))]
    pub threads: Option<usize>,
    /// The formats of the published tables: `csv`, or `csv,parquet`.
    #[serde(deserialize_with = "from_text")]
    pub format: Format,
    /// How logs are read.
    pub input: Input,
    /// How the catalog is read.
    pub catalog: Catalog,
    /// How CSV files are written.
    pub csv: Csv,
    /// Messages on stderr.
    pub logging: Logging,
    /// The calendar periods that the snapshots are also kept for.
    pub periods: Periods,
    /// Settings of each insight.
    pub insights: insights::Settings,
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
            http_token_file: None,
            http_hosts: String::new(),
            threads: None,
            format: Format::default(),
            input: Input::default(),
            catalog: Catalog::default(),
            csv: Csv::default(),
            logging: Logging::default(),
            periods: Periods::default(),
            insights: insights::Settings::default(),
        }
    }
}

/// `[csv]`
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Csv {
    /// Whether to put an apostrophe before text that a spreadsheet would run as a formula.
    #[serde(deserialize_with = "from_text")]
    pub escape_formulas: bool,
}

/// `[logging]`
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Logging {
    /// The format of messages: `text` for people, or `json` with one object per line.
    #[serde(deserialize_with = "from_text")]
    pub format: LoggingFormat,
    /// The minimum severity of messages: `error`, `warn`, `info` or `debug`.
    #[serde(deserialize_with = "from_text")]
    pub level: LoggingLevel,
}

impl Default for Logging {
    fn default() -> Self {
        Self { format: LoggingFormat::Text, level: LoggingLevel::Info }
    }
}

/// The formats of the published tables; CSV is always one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// Whether the tables are also written as Parquet.
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

impl Display for Format {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.parquet { "csv,parquet" } else { "csv" })
    }
}

written_as!(Format, "enum": ["csv", "csv,parquet", "parquet,csv"]);

/// The largest value of `threads`. No machine has more processors.
const MAX_THREADS: usize = 1024;

/// A time zone, set by its IANA name.
#[derive(Clone, Debug)]
pub struct Timezone(pub Zone);

impl FromStr for Timezone {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Zone::named(text).map(Self).ok_or("expected an IANA time zone such as UTC or Europe/Berlin")
    }
}

impl Display for Timezone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.name())
    }
}

written_as!(Timezone, "examples": ["UTC", "Europe/Berlin"]);

/// The address of the dashboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Http {
    /// No dashboard.
    Off,
    /// An address with a port, such as `127.0.0.1:8080`.
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

impl Display for Http {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => formatter.write_str("off"),
            Self::On(address) => formatter.write_str(address),
        }
    }
}

written_as!(Http, "pattern": r"^(off|.*:\+?[0-9]{1,5})$");

impl Settings {
    /// The number of chunks decoded in parallel.
    pub fn decoders(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or_else(processors)
    }

    /// The hours of the night, for which the ledger counts plays.
    pub fn night_window(&self) -> NightWindow {
        self.insights.night_owl_users.window()
    }

    /// The share of a genre above which a listener is loyal to it.
    pub fn loyalty_threshold(&self) -> Fraction {
        self.insights.genre_loyalty_scores.threshold
    }

    /// The insights of each period, still without rows.
    pub fn period_insights(&self) -> Vec<Box<dyn Insight>> {
        self.periods.insights.enabled(&self.insights)
    }

    /// The week of the top songs; `None` if it is the week of the latest play and there are no plays.
    pub fn top_songs_week(&self, weeks: Weeks) -> Option<Week> {
        self.insights.top_songs_this_week.week.resolve(weeks)
    }

    /// Whether the start of a calendar week changes an insight even without new plays.
    pub fn follows_current_week(&self) -> bool {
        self.insights.top_songs_this_week.week == WeekChoice::Current
    }

    /// These settings, but with the reloadable settings of `other`. A running `watch` cannot change the
    /// settings that its state depends on, or the settings that it reads only at start.
    #[must_use]
    pub fn taking_over(&self, other: &Self) -> Self {
        let mut insights = other.insights.clone();
        insights.enriched_logs = self.insights.enriched_logs.clone();
        let night = &self.insights.night_owl_users;
        (insights.night_owl_users.from, insights.night_owl_users.to) = (night.from, night.to);
        let mut periods = self.periods.clone();
        periods.insights.clone_from(&other.periods.insights);
        if other.periods.rules().is_within(&self.periods.rules()) {
            periods.clone_from(&other.periods);
        }
        let (flush_interval, logging) = (other.flush_interval, other.logging);
        Self { flush_interval, logging, periods, insights, ..self.clone() }
    }

    /// Checks that the folders of a `watch` do not contain each other, however they are spelled.
    ///
    /// # Errors
    /// The two folders that overlap, exit code 78.
    pub fn check_folders(&self) -> Result<(), Error> {
        let [incoming, output, state] =
            [&self.incoming, &self.output, &self.state].map(|path| place_of(path));
        let archive = place_of(&self.input.archive_dir);
        if archive == incoming {
            let message = format!("input.archive_dir must not be incoming: {}", shown(&incoming));
            return Err(Error::Config(message));
        }
        if self.input.recursive && archive.starts_with(&incoming) {
            let message = format!(
                "input.archive_dir must not be inside incoming if input.recursive is on: {} and {}",
                shown(&archive),
                shown(&incoming)
            );
            return Err(Error::Config(message));
        }
        for (inner, outer, names) in [
            (&output, &incoming, "output must not be inside incoming"),
            (&state, &incoming, "state must not be inside incoming"),
            (&incoming, &output, "incoming must not be inside output"),
            (&state, &output, "state must not be inside output"),
            (&output, &state, "output must not be inside state"),
        ] {
            if inner.starts_with(outer) {
                let message = format!("{names}: {} and {}", shown(inner), shown(outer));
                return Err(Error::Config(message));
            }
        }
        Ok(())
    }

    /// Checks that a folder of logs does not contain the output if its subfolders are read, too. Otherwise,
    /// published tables would be read as logs.
    ///
    /// # Errors
    /// If the folder contains the output, exit code 78.
    pub fn check_log_folder(&self, folder: &Path) -> Result<(), Error> {
        let (output, folder) = (place_of(&self.output), place_of(folder));
        if !self.input.recursive || !output.starts_with(&folder) {
            return Ok(());
        }
        let (output, folder) = (shown(&output), shown(&folder));
        let message = format!(
            "output must not be inside a folder of logs if input.recursive is on: {output} and {folder}"
        );
        Err(Error::Config(message))
    }

    /// Checks the rules that the types of the settings cannot express.
    ///
    /// # Errors
    /// The first invalid setting, exit code 78.
    fn check(&self) -> Result<(), Error> {
        let wrong = |message: &str| Err(Error::Config(message.to_owned()));
        self.insights.check().map_err(Error::Config)?;
        if self.threads.is_some_and(|threads| !(1..=MAX_THREADS).contains(&threads)) {
            return wrong("threads must be at least 1 and at most 1024");
        }
        input::check(&self.input, &self.catalog).map_err(Error::Config)?;
        if self.flush_interval.0 < Duration::from_millis(1) {
            return wrong("flush_interval must be at least 1ms");
        }
        Ok(())
    }
}

/// The absolute path of a folder without links. The part of the path that does not exist stays as it is.
fn place_of(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = absolute.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
    match existing.and_then(|(part, place)| Some(place.join(absolute.strip_prefix(part).ok()?))) {
        // Joining an empty path would add a slash, which makes no difference for comparisons.
        Some(place) => place,
        None => absolute,
    }
}
