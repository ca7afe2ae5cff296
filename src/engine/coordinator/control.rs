//! What reaches a running owner beside rows: new settings, and the question whether it is alive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use crate::engine::coordinator::{Coordinator, RefreshScope};
use crate::model::error::Error;

use crate::engine::epoch::EpochSnapshot;
use crate::settings::Settings;
use crate::telemetry::heartbeat::{EngineStatus, Heartbeat};
use crate::telemetry::metrics::Metrics;

/// How often an owner that has nothing to do says that it is alive.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(500);

/// The ways to a running owner and from it.
#[derive(Debug)]
pub struct ControlHandles {
    /// Where it shows that it is alive.
    pub heartbeat: Heartbeat,
    /// Settings to come. All that shapes the state is as before in them.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where published epochs go, if a server reads them.
    pub epochs: Option<watch::Sender<Option<Arc<EpochSnapshot>>>>,
}

impl ControlHandles {
    /// A run that nobody talks to.
    pub fn alone(settings: &Settings) -> Self {
        let settings = watch::channel(Arc::new(settings.clone())).1;
        Self { heartbeat: Heartbeat::default(), settings, metrics: Arc::default(), epochs: None }
    }
}

/// Ticks at an interval, the first after the first interval.
pub(super) fn ticks(period: Duration) -> Interval {
    let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl Coordinator {
    /// Says that the owner is alive, and how far it is.
    pub(super) fn report_status(&self) {
        self.parts.live.heartbeat.beat(EngineStatus {
            rows: self.inputs.rows() - self.before.0,
            unread: self.inputs.bytes_unread(),
            epoch: self.manifest.as_ref().map(|manifest| manifest.epoch),
            settings_taken: self.settings_taken,
        });
    }

    /// Goes on with the newest settings, and publishes what a start with them would.
    pub(super) async fn take_settings(&mut self) -> Result<(), Error> {
        let settings = Arc::clone(&self.parts.live.settings.borrow_and_update());
        let other_rows = settings.insights != self.parts.settings.insights;
        self.parts.settings = Settings::clone(&settings);
        if other_rows {
            self.restart_insights().await?;
        }
        self.settings_taken += 1;
        self.report_status();
        Ok(())
    }

    /// Makes the insights that take snapshots anew, and publishes what they say now, if that is
    /// anything else than before.
    async fn restart_insights(&mut self) -> Result<(), Error> {
        // The old ones let go of their rows before the new ones make theirs.
        self.parts.tasks.snapshots.clear();
        self.parts.tasks.snapshots = (self.parts.spawn_insights)(&self.parts.disk, &self.parts.settings);
        let enabled = self.enabled();
        self.published.retain(|name, _| enabled.contains(&name.as_str()));
        self.week = self.week_of_now();
        let staged = self.stage(RefreshScope::Everything).await?;
        tokio::task::block_in_place(|| {
            let manifest = self.manifest_of(&staged)?;
            let same = self.manifest.as_ref().is_some_and(|before| manifest.says_the_same(before));
            if same && !self.news {
                self.publish(staged)?;
                self.publish_epoch();
                Ok(())
            } else {
                self.commit(staged, manifest)
            }
        })?;
        self.news = false;
        self.quiet_since = Instant::now();
        Ok(())
    }
}
