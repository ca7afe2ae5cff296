//! Jobs and job reports: what the client and the executors exchange as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::engine::tally::Example;
use crate::model::{Reason, Reject};
use crate::state::checkpoint::generation::StateConfig;

/// The name of the report in the folder of a job. The executor writes the report last.
pub const REPORT: &str = "report.json";

/// A job for one executor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The version of the client. A different version may read logs differently.
    pub program: String,
    /// The URL of a new folder for the tables of this job. Only this job writes to the folder.
    pub folder: String,
    /// The work of the job.
    pub kind: JobKind,
}

/// The work of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Make tables of one log.
    Read(Box<ReadLog>),
    /// Merge the tables of several folders, given as URLs.
    Merge(Vec<String>),
}

/// One log to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadLog {
    /// The number of the log. No other log in the tables has the same number.
    pub number: u32,
    /// The URL of the log.
    pub url: String,
    /// The settings on which the tables depend.
    pub config: StateConfig,
    /// The current time, in seconds since 1970-01-01T00:00:00Z.
    pub now: i64,
}

/// The result of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobReport {
    /// The URL of the job's folder. It identifies the job.
    pub folder: String,
    /// The number of rows of each table, by name of the table.
    pub tables: BTreeMap<String, u64>,
    /// The counts of the log, if the job read one.
    pub log: Option<LogCounts>,
}

/// The counts of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCounts {
    /// Number of bytes after decompression.
    pub bytes: u64,
    /// Number of rows: plays and rejects.
    pub rows: u64,
    /// Number of plays.
    pub plays: u64,
    /// Number of rejects by reason.
    pub rejected: BTreeMap<String, u64>,
    /// The time of the latest play, in seconds since 1970-01-01T00:00:00Z: as an instant, and as local time.
    pub latest: Option<(i64, i64)>,
    /// The time at which the log was read.
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
