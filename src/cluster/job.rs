//! Jobs and job reports: what the client and the executors exchange as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::state::checkpoint::generation::StateConfig;

/// The name of the report in the folder of a job. It is written last.
pub const REPORT: &str = "report.json";

/// A job for one executor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The version of the client. Another version may read logs differently.
    pub program: String,
    /// The URL of a new folder for the tables. Nothing else is ever written there.
    pub folder: String,
    /// The work.
    pub kind: JobKind,
}

/// The work of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Make tables of one log.
    Read(ReadLog),
    /// Merge the tables of several folders, given as URLs.
    Merge(Vec<String>),
}

/// One log to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadLog {
    /// The number of the log, unique among all tables.
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
    /// The folder of the job, which identifies it.
    pub folder: String,
    /// Number of rows by name of table.
    pub tables: BTreeMap<String, u64>,
    /// The counts of the log, if one was read.
    pub log: Option<LogCounts>,
}

/// The counts of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCounts {
    /// Bytes, decompressed.
    pub bytes: u64,
    /// Rows: plays and rejects.
    pub rows: u64,
    /// Plays.
    pub plays: u64,
    /// Rejects by reason.
    pub rejected: BTreeMap<String, u64>,
    /// The latest play: seconds since 1970-01-01T00:00:00Z, and the same in local time.
    pub latest: Option<(i64, i64)>,
    /// The current time when the log was read.
    pub now: i64,
}
