//! How the program is, in words and numbers.

use serde::Serialize;

/// How the program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// No epoch was published yet.
    Starting,
    /// All is well.
    Ready,
    /// Something cannot be written until there is room again.
    WaitingForRoom,
}

/// What is told once a second.
#[derive(Debug, Default, Serialize)]
pub(super) struct Live {
    /// The latest epoch.
    pub(super) epoch: u64,
    pub(super) state: Option<State>,
    pub(super) uptime_seconds: u64,
    /// Rows taken in by this process and those before it.
    pub(super) rows: u64,
    pub(super) plays: u64,
    pub(super) rejected: u64,
    pub(super) unmatched: u64,
    pub(super) rows_per_second: f64,
    pub(super) freshness_seconds: Option<f64>,
    pub(super) bytes_unread: u64,
    pub(super) charts: LiveCharts,
}

/// The last minutes as SVG.
#[derive(Debug, Default, Serialize)]
pub(super) struct LiveCharts {
    pub(super) throughput: String,
    pub(super) freshness: String,
}
