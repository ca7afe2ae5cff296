//! Generations: the small files that are the commits.
//!
//! A generation is text: a line with the version of the format, JSON, and a line with the checksum
//! of all before it. Every version ends in such a checksum, so damage is never taken for news from
//! the future.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::model::delimiter::Delimiter;
use crate::publish::manifest::{PartEntry, hash_text};
use crate::settings::Settings;
use crate::state::checkpoint::segment::SegmentEntry;
use crate::state::unmatched::UnmatchedFile;
use crate::storage::failpoint::{Bug, planted};
use crate::storage::{Disk, read_small};
use crate::time::window::{NightWindow, TimeOfDay};

/// The version of the format that is written, and the only one that is read.
pub const FORMAT: u64 = 1;
/// The first line, up to the version.
const TITLE: &str = "music-insights state ";
/// No generation is longer.
const LIMIT: u64 = 4 << 30;

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its number; each is larger than all before it.
    pub number: u64,
    /// The epoch that it holds.
    pub epoch: u64,
    /// The version of the program that wrote it.
    pub program: String,
    /// The settings that shape the state.
    pub shape: StateConfig,
    /// Plays in the tables.
    pub plays: u64,
    /// The latest play: seconds since 1970-01-01T00:00:00Z, and the local time.
    pub latest: Option<(i64, i64)>,
    /// The fingerprint of the catalog.
    pub catalog: String,
    /// What of `enriched_logs` is committed.
    pub enriched: Vec<PartEntry>,
    /// What of `_rejects` is committed.
    pub rejects: Vec<PartEntry>,
    /// What waits for its song.
    pub unmatched: UnmatchedFile,
    /// The parts, from the oldest to the newest.
    pub parts: Vec<SegmentEntry>,
    /// The manifest that is published for it; nothing before the first epoch.
    pub manifest: Option<String>,
}

/// The settings that shape the state, as text: with others it would be another state.
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
    /// `input.delimiter`; left out where it is the comma, as it was before there were others.
    #[serde(default, skip_serializing_if = "Delimiter::is_comma")]
    pub delimiter: Delimiter,
    /// `csv.escape_formulas`, for rows of `enriched_logs` stay as they were written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub escape_formulas: bool,
    /// The version of the rules by which lines become plays.
    pub rules: u32,
}

/// The version of the rules by which lines become plays.
const RULES: u32 = 1;

impl StateConfig {
    /// Of settings.
    pub fn of(settings: &Settings) -> Self {
        let window = settings.night_window();
        Self {
            timezone: settings.timezone.0.name().to_owned(),
            night: (window.from.0, window.to.0),
            enriched_logs: settings.insights.enriched_logs.enabled,
            max_future: settings.input.max_future.0.as_secs(),
            max_bad_lines: settings.input.max_bad_lines,
            delimiter: settings.input.delimiter,
            escape_formulas: settings.csv.escape_formulas,
            rules: RULES,
        }
    }

    /// The window of the nights.
    pub fn night_window(&self) -> NightWindow {
        NightWindow { from: TimeOfDay(self.night.0), to: TimeOfDay(self.night.1) }
    }

    /// The first setting in which this shape, of the state, differs from another, in words.
    pub fn difference(&self, wanted: &Self) -> Option<String> {
        let time = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        let span = |seconds: u64| match seconds {
            hours if hours % 3600 == 0 => format!("{}h", hours / 3600),
            seconds => format!("{seconds}s"),
        };
        let pairs = [
            ("timezone", self.timezone.clone(), wanted.timezone.clone()),
            ("insights.night_owl_users.from", time(self.night.0), time(wanted.night.0)),
            ("insights.night_owl_users.to", time(self.night.1), time(wanted.night.1)),
            (
                "insights.enriched_logs.enabled",
                self.enriched_logs.to_string(),
                wanted.enriched_logs.to_string(),
            ),
            ("input.max_future", span(self.max_future), span(wanted.max_future)),
            ("input.max_bad_lines", self.max_bad_lines.to_string(), wanted.max_bad_lines.to_string()),
            ("input.delimiter", self.delimiter.to_string(), wanted.delimiter.to_string()),
            ("csv.escape_formulas", self.escape_formulas.to_string(), wanted.escape_formulas.to_string()),
            ("the rules of reading", self.rules.to_string(), wanted.rules.to_string()),
        ];
        let differing = pairs.into_iter().find(|(_, ours, theirs)| ours != theirs);
        differing.map(|(name, ours, theirs)| format!("{name} is {ours} in the state and {theirs} now"))
    }
}

/// Why a generation cannot be used.
#[derive(Debug)]
pub enum Unusable {
    /// It is damaged, in this way.
    Damaged(String),
    /// It is of another version of the format.
    Format(u64),
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Damaged(what) => formatter.write_str(what),
            Self::Format(version) => write!(formatter, "is of format {version}, this program reads {FORMAT}"),
        }
    }
}

/// The name of a generation.
pub fn generation_name(number: u64) -> String {
    format!("generation-{number:020}.bin")
}

/// The number in the name of a generation.
pub fn generation_number(name: &str) -> Option<u64> {
    let number = if planted(Bug::ReadTemporaryGeneration) {
        name.trim_start_matches('.').trim_end_matches(".tmp")
    } else {
        name
    };
    number.strip_prefix("generation-")?.strip_suffix(".bin").filter(|digits| digits.len() == 20)?.parse().ok()
}

impl Generation {
    /// Its text.
    pub fn to_text(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("a generation is plain data");
        let mut text = format!("{TITLE}{FORMAT}\n{json}\n");
        let checksum = hash_text(xxh3_128(text.as_bytes()));
        text.push_str(&checksum);
        text.push('\n');
        text
    }

    /// Reads a text back.
    ///
    /// # Errors
    /// If it is damaged or of another version.
    pub fn parse(text: &[u8]) -> Result<Self, Unusable> {
        let damaged = |what: &str| Unusable::Damaged(what.to_owned());
        let lines = text.strip_suffix(b"\n").ok_or_else(|| damaged("it is cut short"))?;
        let end = memchr::memrchr(b'\n', lines).ok_or_else(|| damaged("it is cut short"))? + 1;
        let (body, checksum) = (&text[..end], &lines[end..]);
        if hash_text(xxh3_128(body)).as_bytes() != checksum && !planted(Bug::SkipChecksum) {
            return Err(damaged("the checksum is wrong"));
        }
        let text = std::str::from_utf8(body).map_err(|_| damaged("it is no text"))?;
        let (title, json) = text.split_once('\n').ok_or_else(|| damaged("it has no first line"))?;
        let version = title.strip_prefix(TITLE).and_then(|version| version.parse().ok());
        match version.ok_or_else(|| damaged("the first line is wrong"))? {
            FORMAT => serde_json::from_str(json).map_err(|cause| damaged(&cause.to_string())),
            other => Err(Unusable::Format(other)),
        }
    }

    /// Reads one from a folder.
    ///
    /// # Errors
    /// If it is damaged or of another version; what the file system says counts as damage.
    pub fn read(disk: &dyn Disk, folder: &Path, name: &str) -> Result<Self, Unusable> {
        let text = read_small(disk, &folder.join(name), LIMIT);
        let text = text.map_err(|cause: io::Error| Unusable::Damaged(cause.to_string()))?;
        Self::parse(&text)
    }

    /// Bytes of the parts.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// The files that it needs, besides itself.
    pub fn files(&self) -> Vec<String> {
        let parts = self.parts.iter().map(|part| part.file.clone());
        let unmatched = (self.unmatched.bytes > 0).then(|| self.unmatched.name());
        parts.chain(unmatched).collect()
    }
}
