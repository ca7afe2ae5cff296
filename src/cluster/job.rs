//! Jobs and job reports: what the client and the executors exchange as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::engine::tally::Example;
use crate::insights;
use crate::model::{Reason, Reject};
use crate::publish::OutputFormats;
use crate::publish::manifest::{InsightEntry, PartEntry};
use crate::publish::periods::PeriodIndex;
use crate::state::checkpoint::generation::StateConfig;
use crate::time::date_range::DateRange;

/// A job for one executor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The version of the client. A different version may read logs differently.
    pub program: String,
    /// The URL of the job's report. It identifies the job.
    pub report: String,
    /// The work of the job.
    pub kind: JobKind,
}

/// The work of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Read logs.
    Map(Box<MapJob>),
    /// Add up several files of sums.
    Merge(MergeJob),
    /// Render the tables of a range of listeners.
    Listeners(Box<ListenersJob>),
    /// Render the tables of songs.
    Songs(Box<SongsJob>),
    /// Put a table together from its slices.
    Table(Box<TableJob>),
    /// Put a part of `enriched_logs` together.
    Part(Box<PartJob>),
    /// Render the tables of a period.
    Period(Box<PeriodJob>),
    /// Compare published files with recomputed ones.
    Compare(CompareJob),
}

/// Reads logs, or ranges of logs: makes a file of sums, a file of enriched rows, a file of rejects, and a
/// file with the sums of periods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapJob {
    /// The logs, in the order of the output.
    pub logs: Vec<LogRange>,
    /// The settings on which the files depend.
    pub config: StateConfig,
    /// The catalog for the enriched rows; `None` if `enriched_logs` is disabled.
    pub catalog: Option<CatalogFile>,
    /// The dates of the plays that count.
    pub dates: DateRange,
    /// The current time, in seconds since 1970-01-01T00:00:00Z.
    pub now: i64,
    /// The local date of the current time, in days since 1970-01-01.
    pub today: i64,
    /// The URL of a new folder for the files.
    pub folder: String,
}

/// A log, or a range of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRange {
    /// The number of the log.
    pub number: u32,
    /// The URL of the log.
    pub url: String,
    /// The bytes of the range; `None` for the whole log. A line belongs to the range in which it begins.
    pub range: Option<(u64, u64)>,
}

/// The rows of a catalog, as the client has parsed them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogFile {
    /// The URL of the file.
    pub url: String,
    /// The fingerprint of the catalog, as a hexadecimal number.
    pub fingerprint: String,
}

/// A file of sums.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SumsFile {
    /// The URL of the file.
    pub url: String,
    /// The offset of the sums in the file. Several sums may share a file.
    #[serde(default)]
    pub offset: u64,
    /// The length of the sums in bytes.
    pub bytes: u64,
}

/// Adds up several files of sums.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeJob {
    /// The files.
    pub sums: Vec<SumsFile>,
    /// The URL of the new file.
    pub target: String,
}

/// The sums, catalog and settings that a job renders tables from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableSources {
    /// The files of sums.
    pub sums: Vec<SumsFile>,
    /// The catalog.
    pub catalog: CatalogFile,
    /// The settings of the insights.
    pub insights: insights::Settings,
    /// The settings on which the sums depend.
    pub config: StateConfig,
    /// The time of the latest play, in seconds since 1970-01-01T00:00:00Z: as an instant, and as local time.
    pub latest: Option<(i64, i64)>,
    /// The number of the week that contains the current time.
    pub current_week: i64,
}

/// Renders the tables of a range of listeners, each to a slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenersJob {
    /// What the tables are rendered from.
    pub sources: TableSources,
    /// The first id of the range.
    pub from: String,
    /// The first id after the range; `None` if the range has no end.
    pub to: Option<String>,
    /// The URL of a new folder for the slices.
    pub folder: String,
}

/// Renders the tables of songs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SongsJob {
    /// What the tables are rendered from.
    pub sources: TableSources,
    /// Where the tables go.
    pub target: Target,
}

/// The output folder, and the formats of its tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The path of the output folder.
    pub output: String,
    /// The formats.
    pub formats: OutputFormats,
}

/// Puts a table together from its slices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableJob {
    /// The name of the insight.
    pub name: String,
    /// The URLs of the slices, in order.
    pub slices: Vec<String>,
    /// The number of rows in all slices.
    pub rows: u64,
    /// The settings of the insights.
    pub insights: insights::Settings,
    /// Where the table goes.
    pub target: Target,
}

/// Puts a part of `enriched_logs` together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartJob {
    /// The number of the part.
    pub number: usize,
    /// The rows, in order.
    pub rows: Vec<RowRange>,
    /// Where the part goes.
    pub target: Target,
}

/// Renders the tables of a period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeriodJob {
    /// What the tables are rendered from. The sums are only those of the period.
    pub sources: TableSources,
    /// The code of the period.
    pub period: u64,
    /// The number of plays in the period.
    pub plays: u64,
    /// The names of the insights.
    pub names: Vec<String>,
    /// Where the tables go.
    pub target: Target,
}

/// Compares published files with recomputed ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompareJob {
    /// The files.
    pub files: Vec<FilePair>,
}

/// A published file, and the file that it must equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePair {
    /// The URL of the published file.
    pub published: String,
    /// The URL of the recomputed file.
    pub expected: String,
    /// The length of the published file in bytes, according to its manifest.
    pub bytes: u64,
    /// The hash of the published file, according to its manifest.
    pub hash: String,
}

/// A range of a file of enriched rows, or of a file of rejects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowRange {
    /// The URL of the file.
    pub url: String,
    /// The offset of the first byte.
    pub offset: u64,
    /// The length in bytes.
    pub bytes: u64,
}

/// The report on a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobReport {
    /// The URL of the report, as in the job.
    pub job: String,
    /// The result.
    pub result: JobResult,
}

/// The result of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobResult {
    /// Logs were read.
    Map(MapReport),
    /// A file of sums was written.
    Merged(Sums),
    /// Slices were written, by insight.
    Slices(BTreeMap<String, Slice>),
    /// Tables were staged in the output folder.
    Tables(StagedTables),
    /// A part was staged in the output folder.
    Part(StagedPart),
    /// The tables of a period were staged in the output folder.
    Period(StagedPeriodTables),
    /// Files were compared. Each pair has its first difference, or `None` if the files are equal.
    Compared(Vec<Option<FileDifference>>),
}

/// A written file of sums.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// The file.
    pub file: SumsFile,
    /// Ids of listeners that divide the file into pieces of similar size.
    pub sample: Vec<String>,
}

/// The files that were made of logs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapReport {
    /// The sums.
    pub sums: Sums,
    /// The sums of periods. A period may occur several times.
    #[serde(default)]
    pub periods: Vec<PeriodSums>,
    /// The logs, in order.
    pub logs: Vec<LogReport>,
}

/// The sums of the plays in a period.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodSums {
    /// The code of the period.
    pub period: u64,
    /// The sums.
    pub file: SumsFile,
    /// The number of plays.
    pub plays: u64,
}

/// The report on a log, or on a range of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogReport {
    /// The number of the log.
    pub number: u32,
    /// The counts.
    pub counts: LogCounts,
    /// The number of lines that were read.
    pub lines: u64,
    /// The enriched rows.
    pub enriched: RowRange,
    /// The rejects.
    pub rejects: RowRange,
}

/// A slice of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// The URL of the file; it has no header.
    pub url: String,
    /// The number of rows.
    pub rows: u64,
}

/// Tables under temporary names in the output folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedTables {
    /// The tag in the temporary names. No other attempt at this job has the same tag.
    pub tag: String,
    /// The tables by insight.
    pub tables: BTreeMap<String, InsightEntry>,
    /// The number of plays whose song is not in the catalog, if the job counts them.
    pub unmatched: u64,
}

/// A part under a temporary name in the output folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedPart {
    /// The tag in the temporary names. No other attempt at this job has the same tag.
    pub tag: String,
    /// The part as CSV.
    pub csv: PartEntry,
    /// The part as Parquet.
    pub parquet: Option<PartEntry>,
}

/// The tables of a period under temporary names in the output folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedPeriodTables {
    /// The tag in the temporary names. No other attempt at this job has the same tag.
    pub tag: String,
    /// The tables.
    pub index: PeriodIndex,
}

/// The first difference between a published file and the recomputed one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileDifference {
    /// The published file does not exist.
    Missing,
    /// The files are equal, but the manifest states another hash.
    Hash,
    /// A line differs. A line that a file does not have is `None`.
    Line {
        /// The number of the line.
        line: u64,
        /// The start of the recomputed line.
        expected: Option<String>,
        /// The start of the published line.
        found: Option<String>,
    },
    /// A byte of a file that is not text differs.
    Byte {
        /// The offset of the byte.
        offset: u64,
    },
}

/// Continues the path of the file in a message.
impl fmt::Display for FileDifference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => out.write_str(": the file is missing"),
            Self::Hash => out.write_str(": the hash differs from the manifest"),
            Self::Line { line, expected, found } => {
                let [expected, found] = [expected, found].map(|text| text.as_deref().unwrap_or("nothing"));
                write!(out, ":{line}: expected {expected}, found {found}")
            }
            Self::Byte { offset } => write!(out, ": the byte at {offset} differs from the recomputed file"),
        }
    }
}

/// The counts of a log, or of a range of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCounts {
    /// Number of bytes after decompression.
    pub bytes: u64,
    /// Number of rows: plays, rejects, and plays outside the dates of the run.
    pub rows: u64,
    /// Number of plays.
    pub plays: u64,
    /// Number of plays outside the dates of the run.
    #[serde(default)]
    pub outside: u64,
    /// The first and the last local time of these plays, in seconds.
    #[serde(default)]
    pub outside_times: Option<(i64, i64)>,
    /// Number of rejects by reason.
    pub rejected: BTreeMap<String, u64>,
    /// The time of the latest play, in seconds since 1970-01-01T00:00:00Z: as an instant, and as local time.
    pub latest: Option<(i64, i64)>,
    /// The current time of the run that read the log, in seconds since 1970-01-01T00:00:00Z.
    pub now: i64,
    /// Number of rejected rows whose timestamp is too far in the future.
    #[serde(default)]
    pub future: u64,
    /// The first reject of each reason. Its `raw` is shortened.
    #[serde(default)]
    pub examples: BTreeMap<String, RejectExample>,
}

/// A reject, as messages show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectExample {
    /// Physical line number.
    pub line: u64,
    /// The start of the line.
    pub raw: Vec<u8>,
    /// Why the log was rejected as a whole, if it was.
    #[serde(default)]
    pub refusal: Option<Box<str>>,
}

impl LogCounts {
    /// Adds the counts of the next range of the same log. `lines` is the number of lines before this range.
    pub fn add(&mut self, next: &Self, lines: u64) {
        self.bytes += next.bytes;
        self.rows += next.rows;
        self.plays += next.plays;
        self.future += next.future;
        self.outside += next.outside;
        let times = self.outside_times.into_iter().chain(next.outside_times);
        self.outside_times = times.reduce(|(first, last), (from, to)| (first.min(from), last.max(to)));
        self.latest = self.latest.max(next.latest);
        self.now = next.now;
        for (reason, rows) in &next.rejected {
            *self.rejected.entry(reason.clone()).or_default() += rows;
        }
        for (reason, example) in &next.examples {
            let example = RejectExample { line: lines + example.line, ..example.clone() };
            self.examples.entry(reason.clone()).or_insert(example);
        }
    }

    /// The rejects of the log with this label, by reason: the number of rows, and the first reject.
    pub fn rejects(&self, label: &str) -> impl Iterator<Item = (u64, Example)> {
        Reason::ALL.iter().filter_map(move |&reason| {
            let rows = *self.rejected.get(reason.code())?;
            let RejectExample { line, raw, refusal } =
                self.examples.get(reason.code()).cloned().unwrap_or_default();
            let reject = Reject { reason, line, offset: 0, raw };
            Some((rows, Example::new(label, &reject).with_refusal(refusal)))
        })
    }
}
