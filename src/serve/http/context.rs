//! The state that all requests share.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Mutex, Semaphore, watch};

use crate::engine::epoch::Epochs;
use crate::serve::http::access::Access;
use crate::serve::http::health::{LiveStatus, ServiceState};
use crate::serve::http::response::Problem;
use crate::serve::view::period_views::PeriodViews;
use crate::serve::view::{self, View, Views};
use crate::settings::Settings;
use crate::storage::SharedDisk;
use crate::telemetry::heartbeat::EngineStatus;
use crate::telemetry::metrics::Metrics;

/// The data that the engine provides to the server.
#[derive(Debug)]
pub struct Sources {
    /// Published epochs.
    pub epochs: Epochs,
    /// Metrics of the process.
    pub metrics: Arc<Metrics>,
    /// The disk. It tells the server whether writes wait for disk space.
    pub disk: SharedDisk,
    /// Heartbeats of the coordinator.
    pub engine_status: watch::Receiver<EngineStatus>,
    /// Settings of the process.
    pub settings: Settings,
}

/// The sources and the server's own state.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) access: Access,
    pub(super) views: Views,
    /// The periods that were requested last.
    pub(super) period_views: PeriodViews,
    pub(super) metrics: Arc<Metrics>,
    pub(super) disk: SharedDisk,
    pub(super) settings: Settings,
    pub(super) started_at: SystemTime,
    engine_status: Mutex<watch::Receiver<EngineStatus>>,
    /// Time at which the server last noticed a heartbeat.
    last_heartbeat: Mutex<Instant>,
    /// The `status` event, updated once a second.
    pub(super) live: watch::Sender<Arc<LiveStatus>>,
    /// Permits for subscribers of events.
    pub(super) subscribers: Arc<Semaphore>,
    /// Permits for Parquet downloads. Each download takes one thread.
    pub(super) conversions: Arc<Semaphore>,
    /// The text of `/metrics` and its time of creation. The text is reused for [`METRICS_MAX_AGE`].
    metrics_text: Mutex<Option<(Instant, Arc<str>)>>,
}

/// Maximum number of subscribers, in quarters of the limit on connections. The server can still accept other
/// requests.
const SUBSCRIBER_QUARTERS: usize = 3;
/// Maximum number of simultaneous Parquet downloads.
const MAX_CONVERSIONS: usize = 2;
/// How long the text of `/metrics` is reused.
const METRICS_MAX_AGE: Duration = Duration::from_millis(250);

/// The engine counts as stalled after this time without a heartbeat. Writing even the largest table
/// takes less time.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_mins(5);

impl Context {
    /// `max_connections` is the limit on connections.
    pub(super) fn new(access: Access, sources: Sources, max_connections: usize) -> Self {
        let max_subscribers = max_connections * SUBSCRIBER_QUARTERS / 4;
        let Sources { epochs, metrics, disk, engine_status, settings } = sources;
        let (sender, views) = watch::channel(None);
        tokio::spawn(view::build_views(epochs, settings.output.clone(), sender));
        let (engine_status, last_heartbeat) = (Mutex::new(engine_status), Mutex::new(Instant::now()));
        let live = watch::Sender::new(Arc::default());
        let subscribers = Arc::new(Semaphore::new(max_subscribers));
        let (conversions, metrics_text) = (Arc::new(Semaphore::new(MAX_CONVERSIONS)), Mutex::default());
        let started_at = SystemTime::now();
        Self {
            access,
            views,
            period_views: PeriodViews::default(),
            metrics,
            disk,
            settings,
            started_at,
            engine_status,
            last_heartbeat,
            live,
            subscribers,
            conversions,
            metrics_text,
        }
    }

    /// The view of the latest epoch.
    pub(super) fn view(&self) -> Result<Arc<View>, Problem> {
        let view = self.views.borrow().clone();
        view.ok_or_else(|| Problem::unavailable("no epoch is published yet; try again"))
    }

    pub(super) fn state(&self) -> ServiceState {
        if self.views.borrow().is_none() {
            ServiceState::Starting
        } else if self.disk.is_waiting() {
            ServiceState::WaitingForRoom
        } else {
            ServiceState::Ready
        }
    }

    /// Records the current time if the coordinator has sent a heartbeat since the last call.
    pub(super) async fn check_heartbeat(&self) {
        let mut engine_status = self.engine_status.lock().await;
        if engine_status.has_changed().unwrap_or_default() {
            engine_status.mark_unchanged();
            *self.last_heartbeat.lock().await = Instant::now();
        }
    }

    /// While a new catalog is prepared for closed periods: the number of prepared periods, and of all of
    /// them.
    pub(super) async fn preparation(&self) -> Option<(usize, usize)> {
        self.engine_status.lock().await.borrow().preparation
    }

    /// Whether the last heartbeat is less than [`HEARTBEAT_TIMEOUT`] old.
    pub(super) async fn has_heartbeat(&self) -> bool {
        self.last_heartbeat.lock().await.elapsed() < HEARTBEAT_TIMEOUT
    }

    pub(super) async fn metrics(&self) -> Arc<str> {
        let mut cached = self.metrics_text.lock().await;
        match &*cached {
            Some((made, text)) if made.elapsed() < METRICS_MAX_AGE => Arc::clone(text),
            _ => {
                let text: Arc<str> = self.metrics.to_text().into();
                *cached = Some((Instant::now(), Arc::clone(&text)));
                text
            }
        }
    }
}
