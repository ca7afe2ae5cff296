//! The connections of a running coordinator beside the rows: heartbeat, new settings, metrics, epochs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use crate::engine::epoch::EpochSnapshot;
use crate::settings::Settings;
use crate::telemetry::heartbeat::Heartbeat;
use crate::telemetry::metrics::Metrics;

/// Interval of the heartbeat while the coordinator is idle.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(500);

/// The connections between a coordinator and the rest of the program.
#[derive(Debug)]
pub struct ControlHandles {
    /// Receives the coordinator's signs of life.
    pub heartbeat: Heartbeat,
    /// New settings. Settings that the state depends on never change here.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The metrics of the process.
    pub metrics: Arc<Metrics>,
    /// Receives the published epochs, if there is a server.
    pub epochs: Option<watch::Sender<Option<Arc<EpochSnapshot>>>>,
}

impl ControlHandles {
    /// Handles for a run without server, reloads or watchdog.
    pub fn alone(settings: &Settings) -> Self {
        let settings = watch::channel(Arc::new(settings.clone())).1;
        Self { heartbeat: Heartbeat::default(), settings, metrics: Arc::default(), epochs: None }
    }
}

/// Ticks every `period`, the first time after one period.
pub(super) fn ticks(period: Duration) -> Interval {
    let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
