//! What every answer is made from.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Mutex, Semaphore, watch};

use crate::engine::epoch::Epochs;
use crate::serve::http::access::Access;
use crate::serve::http::health::{Live, State};
use crate::serve::http::response::Problem;
use crate::serve::view::{self, View, Views};
use crate::settings::Settings;
use crate::storage::SharedDisk;
use crate::telemetry::heartbeat::EngineStatus;
use crate::telemetry::metrics::Metrics;

/// What the server looks at.
#[derive(Debug)]
pub struct Sources {
    /// The latest epoch.
    pub epochs: Epochs,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The disk, which may be waiting.
    pub disk: SharedDisk,
    /// Signs of life of the owner of the state.
    pub standings: watch::Receiver<EngineStatus>,
    /// The settings.
    pub settings: Settings,
}

/// The same, with what the server itself needs.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) access: Access,
    pub(super) views: Views,
    pub(super) metrics: Arc<Metrics>,
    pub(super) disk: SharedDisk,
    pub(super) settings: Settings,
    pub(super) started_at: SystemTime,
    standings: Mutex<watch::Receiver<EngineStatus>>,
    /// When the owner of the state was heard of last.
    heard: Mutex<Instant>,
    /// What is told once a second.
    pub(super) live: watch::Sender<Arc<Live>>,
    /// Places for those who are told of everything; fewer than there are connections, so that others
    /// find one.
    pub(super) subscribers: Arc<Semaphore>,
    /// Places for those who want Parquet, which takes a thread each.
    pub(super) conversions: Arc<Semaphore>,
    /// The text of the metrics, for a moment.
    metrics_text: Mutex<Option<(Instant, Arc<str>)>>,
}

/// Readers who are told of everything at the same time.
const MAX_SUBSCRIBERS: usize = 192;
/// Readers who are sent Parquet at the same time.
const CONVERSIONS: usize = 2;
/// How long the text of the metrics is given out before it is made anew.
const METRICS_AGE: Duration = Duration::from_millis(250);

/// After so long without a sign of life, the owner of the state is taken for dead. Even the largest
/// table is written in less.
const SILENCE: Duration = Duration::from_mins(5);

impl Context {
    pub(super) fn new(access: Access, sources: Sources) -> Self {
        let Sources { epochs, metrics, disk, standings, settings } = sources;
        let (sender, views) = watch::channel(None);
        tokio::spawn(view::follow(epochs, settings.output.clone(), sender));
        let (standings, heard) = (Mutex::new(standings), Mutex::new(Instant::now()));
        let live = watch::Sender::new(Arc::default());
        let subscribers = Arc::new(Semaphore::new(MAX_SUBSCRIBERS));
        let (conversions, metrics_text) = (Arc::new(Semaphore::new(CONVERSIONS)), Mutex::default());
        let started_at = SystemTime::now();
        Self {
            access,
            views,
            metrics,
            disk,
            settings,
            started_at,
            standings,
            heard,
            live,
            subscribers,
            conversions,
            metrics_text,
        }
    }

    /// The latest epoch.
    pub(super) fn view(&self) -> Result<Arc<View>, Problem> {
        let view = self.views.borrow().clone();
        view.ok_or_else(|| Problem::unavailable("nothing is published yet: the first epoch is on its way"))
    }

    pub(super) fn state(&self) -> State {
        if self.views.borrow().is_none() {
            State::Starting
        } else if self.disk.is_waiting() {
            State::WaitingForRoom
        } else {
            State::Ready
        }
    }

    /// Listens for signs of life since the last time.
    pub(super) async fn listen(&self) {
        let mut standings = self.standings.lock().await;
        if standings.has_changed().unwrap_or_default() {
            standings.mark_unchanged();
            *self.heard.lock().await = Instant::now();
        }
    }

    /// Whether the owner of the state was heard of lately.
    pub(super) async fn is_alive(&self) -> bool {
        self.heard.lock().await.elapsed() < SILENCE
    }

    pub(super) async fn metrics(&self) -> Arc<str> {
        let mut kept = self.metrics_text.lock().await;
        match &*kept {
            Some((made, text)) if made.elapsed() < METRICS_AGE => Arc::clone(text),
            _ => {
                let text: Arc<str> = self.metrics.to_text().into();
                *kept = Some((Instant::now(), Arc::clone(&text)));
                text
            }
        }
    }
}
