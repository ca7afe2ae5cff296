//! The state of the service and the numbers of the `status` event.

use serde::Serialize;

/// The state of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ServiceState {
    /// No epoch is published yet.
    Starting,
    /// Normal operation.
    Ready,
    /// Writing is paused, for example until disk space is free.
    WaitingForRoom,
}

/// The data of the `status` event, sent once a second.
#[derive(Debug, Default, Serialize)]
pub(super) struct LiveStatus {
    /// Number of the latest epoch.
    pub(super) epoch: u64,
    pub(super) state: Option<ServiceState>,
    pub(super) uptime_seconds: u64,
    /// Number of rows in the latest epoch, including rows that were read before the last restart.
    pub(super) rows: u64,
    pub(super) plays: u64,
    pub(super) rejected: u64,
    pub(super) unmatched: u64,
    pub(super) rows_per_second: f64,
    pub(super) freshness_seconds: Option<f64>,
    pub(super) bytes_unread: u64,
    pub(super) charts: LiveCharts,
}

/// Charts of the last minutes as SVG. Empty if there are no subscribers.
#[derive(Debug, Default, Serialize)]
pub(super) struct LiveCharts {
    pub(super) throughput: String,
    pub(super) freshness: String,
}
