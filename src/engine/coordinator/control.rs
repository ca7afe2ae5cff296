//! The coordinator's connections to the rest of the program: heartbeat, new settings, metrics and epochs.

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
    /// Receives the heartbeat of the coordinator.
    pub heartbeat: Heartbeat,
    /// Delivers new settings. A setting that the state depends on never changes during a run.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The metrics of the process.
    pub metrics: Arc<Metrics>,
    /// Receives the published epochs, if there is a server.
    pub epochs: Option<watch::Sender<Option<Arc<EpochSnapshot>>>>,
}

impl ControlHandles {
    /// Handles for a run without a server, without reloads of the settings, and without a watchdog.
    pub fn alone(settings: &Settings) -> Self {
        let settings = watch::channel(Arc::new(settings.clone())).1;
        Self { heartbeat: Heartbeat::default(), settings, metrics: Arc::default(), epochs: None }
    }
}

/// Ticks every `period`. The first tick comes after one period.
pub(super) fn ticks(period: Duration) -> Interval {
    let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
