//! What executors are asked to do, and what they say they have done: JSON, one text each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::state::checkpoint::generation::StateConfig;

/// The name of the receipt in the folder of an order, written last.
pub const RECEIPT: &str = "receipt.json";

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The version of the program that gives it; others may read logs in another way.
    pub program: String,
    /// The folder where the tables go, as a URL. It is new: nothing else is ever written there.
    pub folder: String,
    /// What is to be done.
    pub task: Task,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Read one log.
    Read(ReadLog),
    /// Make the tables of several folders one.
    Merge(Vec<String>),
}

/// Read one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadLog {
    /// Its number.
    pub number: u32,
    /// Where it is, as a URL.
    pub url: String,
    /// The settings that shape the tables.
    pub shape: StateConfig,
    /// The moment that counts as now, in seconds since 1970-01-01T00:00:00Z.
    pub now: i64,
}

/// What came of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobReport {
    /// The folder of the order.
    pub folder: String,
    /// Rows of the tables by name.
    pub tables: BTreeMap<String, u64>,
    /// What the log came to, if one was read.
    pub log: Option<LogCounts>,
}

/// What a log came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCounts {
    /// Its bytes, decompressed.
    pub bytes: u64,
    /// Its rows: plays and rejects.
    pub rows: u64,
    /// Its plays.
    pub plays: u64,
    /// Its rejects by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Its latest play: seconds since 1970-01-01T00:00:00Z, and the local time.
    pub latest: Option<(i64, i64)>,
    /// The moment that counted as now.
    pub now: i64,
}
