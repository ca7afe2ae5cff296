//! Metrics for Prometheus. Names and units follow the conventions of Prometheus. Every label has a small,
//! fixed set of values.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use prometheus::core::Collector;
use prometheus::{
    CounterVec, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::{SendError, TrySendError};

/// All metrics. Any thread may update them at any time.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Rows applied: plays and rejects.
    pub events: IntCounter,
    /// Rejected rows by reason.
    pub events_rejected: IntCounterVec,
    /// Bytes applied, after decompression.
    pub bytes_read: IntCounter,
    /// Inputs found for the first time since the start of the process.
    pub files_discovered: IntCounter,
    /// Inputs that cannot grow and have been read to their end.
    pub files_completed: IntCounter,
    /// Inputs that were truncated while `watch` tailed them.
    pub files_truncated: IntCounter,
    /// Inputs that are no longer read because bytes that had already been read were overwritten.
    pub files_rewritten: IntCounter,
    /// Finished inputs that could not be archived or deleted yet.
    pub inputs_not_retired: IntGauge,
    /// Inputs that cannot be read as logs.
    pub inputs_refused: IntGauge,
    /// Open inputs.
    pub files_open: IntGauge,
    /// Inputs with unread bytes.
    pub files_outstanding: IntGauge,
    /// Known bytes that have not been read yet.
    pub bytes_unread: IntGauge,
    /// When the oldest unpublished row was read, Unix time; 0 if all rows are published.
    pub oldest_unread_timestamp: Gauge,
    /// The latest timestamp of all plays, Unix time.
    pub event_time_max_timestamp: Gauge,
    /// Plays whose song is not in the catalog.
    pub unmatched_plays: IntGauge,
    /// Songs in the catalog.
    pub catalog_songs: IntGauge,
    /// 1 if the catalog file cannot be used and an earlier catalog is in force.
    pub catalog_broken: IntGauge,
    /// How many times the catalog was read again, by result.
    pub catalog_reloads: IntCounterVec,
    /// Duration of flushes.
    pub flush_duration: Histogram,
    /// For each epoch, the time from the reading of its oldest row to its publication.
    pub freshness: Histogram,
    /// When the last epoch was published, Unix time.
    pub last_flush_success_timestamp: Gauge,
    /// The last published epoch.
    pub epoch: IntGauge,
    /// Size of the segments of the last generation in bytes.
    pub checkpoint_bytes: IntGauge,
    /// Published rows of each insight.
    pub insight_rows: IntGaugeVec,
    /// Published periods.
    pub periods_published: IntGauge,
    /// Periods whose plays and rows are in memory.
    pub periods_open: IntGauge,
    /// Items in the queue before a stage.
    pub queue_depth: IntGaugeVec,
    /// Time that the previous stage waited for room in the queue.
    pub backpressure: CounterVec,
    /// Lost change notifications of the operating system.
    pub watch_overflows: IntCounter,
    /// HTTP requests by the class of their status code.
    pub http_requests: IntCounterVec,
    /// Open HTTP connections.
    pub http_connections: IntGauge,
}

/// Upper bounds of the buckets of durations, in seconds.
const BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new_custom(Some("music_insights".to_owned()), None);
        let registry = registry.expect("a valid prefix");
        let register = Register(&registry);
        register
            .gauges("build_info", "Version of the running program.", "version")
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        Self {
            events: register.counter("events_total", "Rows read: plays and rejects."),
            events_rejected: register.counters(
                "events_rejected_total",
                "Rejected rows, by reason.",
                "reason",
            ),
            bytes_read: register.counter("bytes_read_total", "Bytes read, after decompression."),
            files_discovered: register
                .counter("files_discovered_total", "Inputs found for the first time since the start."),
            files_completed: register.counter(
                "files_completed_total",
                "Compressed and Parquet inputs that have been read to their end.",
            ),
            files_truncated: register
                .counter("files_truncated_total", "Inputs that were truncated while `watch` tailed them."),
            files_rewritten: register.counter(
                "files_rewritten_total",
                "Inputs that are no longer read because bytes that had already been read were overwritten.",
            ),
            inputs_not_retired: register.gauge(
                "inputs_not_retired",
                "Finished inputs that could not be archived or deleted; `watch` tries again.",
            ),
            inputs_refused: register.gauge("inputs_refused", "Inputs that cannot be read as logs."),
            files_open: register.gauge("files_open", "Open inputs."),
            files_outstanding: register.gauge("files_outstanding", "Inputs with unread bytes."),
            bytes_unread: register.gauge("bytes_unread", "Known bytes that have not been read yet."),
            oldest_unread_timestamp: register.time(
                "oldest_unread_timestamp_seconds",
                "When the oldest unpublished row was read, Unix time; 0 if all rows are published.",
            ),
            event_time_max_timestamp: register
                .time("event_time_max_timestamp_seconds", "Latest timestamp of all plays, Unix time."),
            unmatched_plays: register.gauge("unmatched_plays", "Plays whose song is not in the catalog."),
            catalog_songs: register.gauge("catalog_songs", "Songs in the catalog."),
            catalog_broken: register.gauge(
                "catalog_broken",
                "1 if the catalog file cannot be used and an earlier catalog is in force, otherwise 0.",
            ),
            catalog_reloads: register.counters(
                "catalog_reloads_total",
                "How many times the catalog was read again, by result.",
                "result",
            ),
            flush_duration: register
                .histogram("flush_duration_seconds", "Duration of a flush, from its cut to its publication."),
            freshness: register.histogram(
                "freshness_seconds",
                "For each epoch, the time from the reading of its oldest row to its publication.",
            ),
            last_flush_success_timestamp: register.time(
                "last_flush_success_timestamp_seconds",
                "When the last epoch was published, Unix time.",
            ),
            epoch: register.gauge("epoch", "Last published epoch."),
            checkpoint_bytes: register.gauge(
                "checkpoint_bytes",
                "Size of the segments of the last generation in bytes, without unmatched plays.",
            ),
            insight_rows: register.gauges("insight_rows", "Published rows of each insight.", "insight"),
            periods_published: register.gauge("periods_published", "Published periods."),
            periods_open: register.gauge("periods_open", "Periods whose plays and rows are in memory."),
            queue_depth: register.gauges(
                "queue_depth",
                "Number of items in the queue before a stage, measured when the last item was added.",
                "stage",
            ),
            backpressure: register.times(
                "backpressure_seconds_total",
                "Time that the previous stage waited for room in the queue.",
                "stage",
            ),
            watch_overflows: register
                .counter("watch_overflows_total", "Lost change notifications of the operating system."),
            http_requests: register.counters(
                "http_requests_total",
                "HTTP requests, by the class of their status code.",
                "status",
            ),
            http_connections: register.gauge("http_connections", "Open HTTP connections."),
            registry,
        }
    }
}

impl Metrics {
    /// Sets the counters of rows, bytes and inputs to zero, because a run reads all its inputs again.
    pub fn take_back_rows(&self) {
        self.events.reset();
        self.events_rejected.reset();
        self.bytes_read.reset();
        self.files_discovered.reset();
    }

    /// All metrics in the text format of Prometheus.
    pub fn to_text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).expect("metrics have valid names")
    }

    /// Sends a value to the queue before a stage, and records the waiting time and the length of the queue.
    ///
    /// # Errors
    /// If the receiver is gone.
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

/// Unix time in seconds, as metrics show it.
pub fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Creates metrics and registers them.
struct Register<'a>(&'a Registry);

impl Register<'_> {
    fn add<M: Collector + Clone + 'static>(&self, metric: prometheus::Result<M>) -> M {
        let metric = metric.expect("a valid name");
        self.0.register(Box::new(metric.clone())).expect("every name is used once");
        metric
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, label: &str) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), &[label]))
    }

    fn times(&self, name: &str, help: &str, label: &str) -> CounterVec {
        self.add(CounterVec::new(Opts::new(name, help), &[label]))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, label: &str) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(name, help), &[label]))
    }

    fn time(&self, name: &str, help: &str) -> Gauge {
        self.add(Gauge::new(name, help))
    }

    fn histogram(&self, name: &str, help: &str) -> Histogram {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec())))
    }
}
