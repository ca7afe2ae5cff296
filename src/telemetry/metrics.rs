//! What a running program counts of itself, for `/metrics`: names and units after the conventions
//! of Prometheus, and no label that could have more values than this file shows.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use prometheus::core::Collector;
use prometheus::{
    CounterVec, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::{SendError, TrySendError};

/// All meters. Each may be moved from any thread at any time.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Rows taken in: plays and rejected ones.
    pub events: IntCounter,
    /// Rejected rows by reason.
    pub events_rejected: IntCounterVec,
    /// Bytes taken in (of the decompressed text).
    pub bytes_read: IntCounter,
    /// Inputs that were met for the first time.
    pub files_discovered: IntCounter,
    /// Inputs that will not grow any more and were read to their end.
    pub files_completed: IntCounter,
    /// Inputs that were cut short while they were followed.
    pub files_truncated: IntCounter,
    /// Inputs whose bytes were rewritten after they had been read, of which nothing more is read.
    pub files_rewritten: IntCounter,
    /// Inputs that are open.
    pub files_open: IntGauge,
    /// Inputs of which a part was not read.
    pub files_outstanding: IntGauge,
    /// Bytes that are known and were not read.
    pub bytes_unread: IntGauge,
    /// When the oldest row was read that is in no epoch yet; 0 if there is none.
    pub oldest_unread_timestamp: Gauge,
    /// The latest time of any play.
    pub event_time_max_timestamp: Gauge,
    /// Plays of songs that are not in the catalog.
    pub unmatched_plays: IntGauge,
    /// Songs in the catalog.
    pub catalog_songs: IntGauge,
    /// Whether the file of the catalog is broken, so that an earlier one is in force.
    pub catalog_broken: IntGauge,
    /// Changes of the catalog that were seen, by what came of them.
    pub catalog_reloads: IntCounterVec,
    /// How long it takes to publish.
    pub flush_duration: Histogram,
    /// How long the oldest row of an epoch waited for it.
    pub freshness: Histogram,
    /// When an epoch was published last.
    pub last_flush_success_timestamp: Gauge,
    /// The epoch that was published last.
    pub epoch: IntGauge,
    /// Bytes that the last commits take on the disk.
    pub checkpoint_bytes: IntGauge,
    /// Rows of each insight.
    pub insight_rows: IntGaugeVec,
    /// What waits in the queue before a stage.
    pub queue_depth: IntGaugeVec,
    /// How long a stage held up the one before it.
    pub backpressure: CounterVec,
    /// Reports of changes that the operating system has lost.
    pub watch_overflows: IntCounter,
    /// Requests by the class of their answer.
    pub http_requests: IntCounterVec,
    /// Open connections.
    pub http_connections: IntGauge,
}

/// Upper bounds, in seconds, of what flushes take and rows wait.
const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new_custom(Some("music_insights".to_owned()), None);
        let registry = registry.expect("a valid prefix");
        let make = Maker(&registry);
        make.gauges("build_info", "The version that runs.", "version")
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        Self {
            events: make.counter("events_total", "Rows taken in, rejected ones included."),
            events_rejected: make.counters("events_rejected_total", "Rejected rows by reason.", "reason"),
            bytes_read: make.counter("bytes_read_total", "Bytes taken in, after decompression."),
            files_discovered: make.counter("files_discovered_total", "Inputs met for the first time."),
            files_completed: make
                .counter("files_completed_total", "Finished inputs that were read to their end."),
            files_truncated: make
                .counter("files_truncated_total", "Inputs cut short while they were followed."),
            files_rewritten: make.counter(
                "files_rewritten_total",
                "Inputs given up because bytes that were read have been rewritten.",
            ),
            files_open: make.gauge("files_open", "Inputs that are open."),
            files_outstanding: make.gauge("files_outstanding", "Inputs of which a part was not read."),
            bytes_unread: make.gauge("bytes_unread", "Bytes that are known and were not read."),
            oldest_unread_timestamp: make.time(
                "oldest_unread_timestamp_seconds",
                "When the oldest row was read that is in no epoch yet; 0 if there is none.",
            ),
            event_time_max_timestamp: make
                .time("event_time_max_timestamp_seconds", "The latest time of any play."),
            unmatched_plays: make.gauge("unmatched_plays", "Plays of songs that are not in the catalog."),
            catalog_songs: make.gauge("catalog_songs", "Songs in the catalog."),
            catalog_broken: make.gauge(
                "catalog_broken",
                "Whether the catalog's file is broken, so that an earlier one counts.",
            ),
            catalog_reloads: make.counters(
                "catalog_reloads_total",
                "Changed catalogs by what came of them.",
                "result",
            ),
            flush_duration: make
                .histogram("flush_duration_seconds", "How long it takes to publish an epoch."),
            freshness: make
                .histogram("freshness_seconds", "How long the oldest row of an epoch waited for it."),
            last_flush_success_timestamp: make
                .time("last_flush_success_timestamp_seconds", "When an epoch was published last."),
            epoch: make.gauge("epoch", "The epoch that was published last."),
            checkpoint_bytes: make
                .gauge("checkpoint_bytes", "Bytes of the state on disk, but for plays that wait."),
            insight_rows: make.gauges("insight_rows", "Published rows of each insight.", "insight"),
            queue_depth: make.gauges("queue_depth", "What waits before a stage.", "stage"),
            backpressure: make.times(
                "backpressure_seconds_total",
                "How long a stage held up those before it.",
                "stage",
            ),
            watch_overflows: make
                .counter("watch_overflows_total", "Times that reports of changes were lost."),
            http_requests: make.counters(
                "http_requests_total",
                "Requests by the class of their answer.",
                "status",
            ),
            http_connections: make.gauge("http_connections", "Open connections."),
            registry,
        }
    }
}

impl Metrics {
    /// All meters in the text format of Prometheus.
    pub fn to_text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).expect("meters have valid names")
    }

    /// Sends to the queue before a stage, and notes how long that took and how full it is.
    ///
    /// # Errors
    /// If nobody receives any more.
    pub async fn send<T>(&self, stage: &str, queue: &Sender<T>, value: T) -> Result<(), SendError<T>> {
        match queue.try_send(value) {
            Ok(()) => {}
            Err(TrySendError::Closed(value)) => return Err(SendError(value)),
            Err(TrySendError::Full(value)) => {
                let began = Instant::now();
                queue.send(value).await?;
                self.backpressure.with_label_values(&[stage]).inc_by(began.elapsed().as_secs_f64());
            }
        }
        let depth = queue.max_capacity() - queue.capacity();
        self.queue_depth.with_label_values(&[stage]).set(depth as i64);
        Ok(())
    }
}

/// Seconds since 1970-01-01T00:00:00Z, as meters show them.
pub fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Makes meters that are shown from then on.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn show<M: Collector + Clone + 'static>(&self, meter: prometheus::Result<M>) -> M {
        let meter = meter.expect("a valid name");
        self.0.register(Box::new(meter.clone())).expect("every name is used once");
        meter
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.show(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, label: &str) -> IntCounterVec {
        self.show(IntCounterVec::new(Opts::new(name, help), &[label]))
    }

    fn times(&self, name: &str, help: &str, label: &str) -> CounterVec {
        self.show(CounterVec::new(Opts::new(name, help), &[label]))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.show(IntGauge::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, label: &str) -> IntGaugeVec {
        self.show(IntGaugeVec::new(Opts::new(name, help), &[label]))
    }

    fn time(&self, name: &str, help: &str) -> Gauge {
        self.show(Gauge::new(name, help))
    }

    fn histogram(&self, name: &str, help: &str) -> Histogram {
        self.show(Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec())))
    }
}
