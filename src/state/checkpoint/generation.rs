//! Generations. Each generation is a small file that represents one commit.
//!
//! A generation is a text file. It has three parts: a line with the format version, a JSON document, and a
//! line with the checksum of all preceding bytes. Every format version has the checksum in the same place, so
//! damage is never mistaken for a newer version.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::model::dialect::Dialect;
use crate::model::period_rules::PeriodRules;
use crate::publish::manifest::{PartEntry, hash_text};
use crate::settings::Settings;
use crate::state::checkpoint::segment::SegmentEntry;
use crate::state::unmatched::UnmatchedFile;
use crate::storage::failpoint::{Bug, planted};
use crate::storage::{Disk, read_small};
use crate::time::window::{NightWindow, TimeOfDay};

/// The format version that this program writes, and the only one that it reads.
pub const FORMAT: u64 = 2;
/// The start of the first line. The format version follows.
const TITLE: &str = "music-insights state ";
/// Maximum length of a generation in bytes.
const LIMIT: u64 = 4 << 30;

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// The number of the generation. It is larger than the number of every earlier generation.
    pub number: u64,
    /// The committed epoch.
    pub epoch: u64,
    /// The version of the program that wrote the generation.
    pub program: String,
    /// The settings that the state depends on.
    pub config: StateConfig,
    /// Number of plays in the tables.
    pub plays: u64,
    /// The time of the latest play: seconds since 1970-01-01T00:00:00Z, and the local time in seconds.
    pub latest: Option<(i64, i64)>,
    /// A day in the latest period of every length, as a number of days since 1970-01-01; `None` without plays or
    /// periods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_day: Option<i64>,
    /// The catalog and the settings that the published tables of periods have; `None` without periods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub periods_basis: Option<String>,
    /// The fingerprint of the catalog.
    pub catalog: String,
    /// The committed parts of `enriched_logs`.
    pub enriched: Vec<PartEntry>,
    /// The committed parts of `_rejects`.
    pub rejects: Vec<PartEntry>,
    /// The committed file of unmatched plays.
    pub unmatched: UnmatchedFile,
    /// The segments, from the oldest to the newest.
    pub segments: Vec<SegmentEntry>,
    /// The text of the manifest of the epoch; `None` before the first epoch.
    pub manifest: Option<String>,
}

/// The settings that the state depends on. A run with different values cannot continue the state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateConfig {
    /// `timezone`
    pub timezone: String,
    /// `insights.night_owl_users.from` and `to`, in minutes after midnight.
    pub night: (u16, u16),
    /// `insights.enriched_logs.enabled`
    pub enriched_logs: bool,
    /// `input.max_future`, in seconds.
    pub max_future: u64,
    /// `input.max_bad_lines`
    pub max_bad_lines: u64,
    /// The settings in `[input]` that decide how a row is read; absent for the default values.
    #[serde(flatten)]
    pub dialect: Dialect,
    /// `csv.escape_formulas`; absent for `false`. The state depends on it, because published rows of
    /// `enriched_logs` are never rewritten.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub escape_formulas: bool,
    /// How many periods are kept; absent for none.
    #[serde(default, skip_serializing_if = "PeriodRules::is_empty")]
    pub periods: PeriodRules,
    /// The version of the rules for decoding rows.
    pub rules: u32,
}

/// The version of the rules for decoding rows.
const RULES: u32 = 1;

impl StateConfig {
    /// The part of the settings that the state depends on.
    pub fn of(settings: &Settings) -> Self {
        let window = settings.night_window();
        Self {
            timezone: settings.timezone.0.name().to_owned(),
            night: (window.from.0, window.to.0),
            enriched_logs: settings.insights.enriched_logs.enabled,
            max_future: settings.input.max_future.0.as_secs(),
            max_bad_lines: settings.input.max_bad_lines,
            dialect: (*settings.dialect()).clone(),
            escape_formulas: settings.csv.escape_formulas,
            periods: settings.periods.rules(),
            rules: RULES,
        }
    }

    /// The night window, in local time.
    pub fn night_window(&self) -> NightWindow {
        NightWindow { from: TimeOfDay(self.night.0), to: TimeOfDay(self.night.1) }
    }

    /// These settings with the dialect of other settings.
    #[must_use]
    pub fn with_dialect_of(&self, other: &Self) -> Self {
        Self { dialect: other.dialect.clone(), ..self.clone() }
    }

    /// Describes the first setting that prevents a run with `current` from continuing the state (`self`). Returns
    /// `None` if there is none. Keeping fewer periods is no difference.
    pub fn difference(&self, current: &Self) -> Option<String> {
        let time = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        let span = |seconds: u64| match seconds {
            hours if hours % 3600 == 0 => format!("{}h", hours / 3600),
            seconds => format!("{seconds}s"),
        };
        let pairs = [
            ("timezone", self.timezone.clone(), current.timezone.clone()),
            ("insights.night_owl_users.from", time(self.night.0), time(current.night.0)),
            ("insights.night_owl_users.to", time(self.night.1), time(current.night.1)),
            (
                "insights.enriched_logs.enabled",
                self.enriched_logs.to_string(),
                current.enriched_logs.to_string(),
            ),
            ("input.max_future", span(self.max_future), span(current.max_future)),
            ("input.max_bad_lines", self.max_bad_lines.to_string(), current.max_bad_lines.to_string()),
            ("csv.escape_formulas", self.escape_formulas.to_string(), current.escape_formulas.to_string()),
            ("the version of the decoding rules", self.rules.to_string(), current.rules.to_string()),
        ];
        let dialects = self.dialect.settings().into_iter().zip(current.dialect.settings());
        let dialects = dialects.map(|((name, saved), (_, current))| (name, saved, current));
        let differing = pairs.into_iter().chain(dialects).find(|(_, saved, current)| saved != current);
        let periods = current.periods.differences(&self.periods).next();
        differing
            .map(|(name, saved, current)| (name.to_owned(), saved, current))
            .or(periods)
            .map(|(name, saved, current)| format!("{name} is {saved} in the state and {current} now"))
    }
}

/// The reason why a generation cannot be used.
#[derive(Debug)]
pub enum Unusable {
    /// A file is damaged. The text describes the damage.
    Damaged(String),
    /// The generation has this format version, which differs from [`FORMAT`].
    Format(u64),
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Damaged(damage) => formatter.write_str(damage),
            Self::Format(version) => {
                write!(formatter, "the format version is {version}, but this program reads version {FORMAT}")
            }
        }
    }
}

/// The file name of a generation.
pub fn generation_name(number: u64) -> String {
    format!("generation-{number:020}.bin")
}

/// The number in the file name of a generation; `None` for other files.
pub fn generation_number(name: &str) -> Option<u64> {
    let number = if planted(Bug::ReadTemporaryGeneration) {
        name.trim_start_matches('.').trim_end_matches(".tmp")
    } else {
        name
    };
    number.strip_prefix("generation-")?.strip_suffix(".bin").filter(|digits| digits.len() == 20)?.parse().ok()
}

impl Generation {
    /// The content of the file.
    pub fn to_text(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("a generation is plain data");
        let mut text = format!("{TITLE}{FORMAT}\n{json}\n");
        let checksum = hash_text(xxh3_128(text.as_bytes()));
        text.push_str(&checksum);
        text.push('\n');
        text
    }

    /// Parses the content of a file.
    ///
    /// # Errors
    /// If the file is damaged or has a different format version.
    pub fn parse(text: &[u8]) -> Result<Self, Unusable> {
        let damaged = |damage: &str| Unusable::Damaged(damage.to_owned());
        let lines = text.strip_suffix(b"\n").ok_or_else(|| damaged("the file is truncated"))?;
        let end = memchr::memrchr(b'\n', lines).ok_or_else(|| damaged("the file is truncated"))? + 1;
        let (body, checksum) = (&text[..end], &lines[end..]);
        if hash_text(xxh3_128(body)).as_bytes() != checksum && !planted(Bug::SkipChecksum) {
            return Err(damaged("the checksum is wrong"));
        }
        let text = std::str::from_utf8(body).map_err(|_| damaged("the file is not UTF-8"))?;
        let (title, json) = text.split_once('\n').ok_or_else(|| damaged("the first line is missing"))?;
        let version = title.strip_prefix(TITLE).and_then(|version| version.parse().ok());
        match version.ok_or_else(|| damaged("the first line is wrong"))? {
            FORMAT => serde_json::from_str(json).map_err(|cause| damaged(&cause.to_string())),
            other => Err(Unusable::Format(other)),
        }
    }

    /// Reads a generation from a folder.
    ///
    /// # Errors
    /// If the file is damaged or has a different format version. A file system error counts as damage.
    pub fn read(disk: &dyn Disk, folder: &Path, name: &str) -> Result<Self, Unusable> {
        let text = read_small(disk, &folder.join(name), LIMIT);
        let text = text.map_err(|cause: io::Error| Unusable::Damaged(cause.to_string()))?;
        Self::parse(&text)
    }

    /// Total size of the segments in bytes.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The names of the files that the generation needs.
    pub fn files(&self) -> Vec<String> {
        let segments = self.segments.iter().map(|segment| segment.file.clone());
        let unmatched = (self.unmatched.bytes > 0).then(|| self.unmatched.name());
        segments.chain(unmatched).collect()
    }
}
