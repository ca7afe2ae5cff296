//! Measures throughput and freshness once a second, and keeps the values of the last minutes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{MissedTickBehavior, interval};

use crate::serve::charts::{ChartMode, Line, MINUTES, line};
use crate::serve::http::context::Context;
use crate::serve::http::health::LiveStatus;
use crate::telemetry::metrics::{Metrics, unix_seconds};

/// Maximum number of stored values. Each second adds one value.
const MAX_VALUES: usize = MINUTES * 60;
/// The current throughput is the mean over this many seconds. The mean keeps the figure steady.
const MEAN_SECONDS: usize = 5;

/// Values of the counters at one moment.
struct Counters {
    events: u64,
    /// Sum and count of the observations in the freshness histogram.
    freshness: (f64, u64),
}

/// Measures once a second, forever. Charts are drawn only if there are subscribers.
pub(super) async fn measure(context: Arc<Context>) {
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    let mut previous = Counters::at(&context.metrics);
    let (mut throughput, mut freshness) = (VecDeque::new(), VecDeque::new());
    loop {
        tick.tick().await;
        context.check_heartbeat().await;
        let now = Counters::at(&context.metrics);
        push(&mut throughput, Some((now.events - previous.events) as f64));
        push(&mut freshness, now.freshness_since(&previous, &context.metrics));
        previous = now;
        context.live.send_replace(Arc::new(live_status(&context, &throughput, &freshness)));
    }
}

fn push(values: &mut VecDeque<Option<f64>>, value: Option<f64>) {
    if values.len() == MAX_VALUES {
        values.pop_front();
    }
    values.push_back(value);
}

impl Counters {
    fn at(metrics: &Metrics) -> Self {
        let freshness = (metrics.freshness.get_sample_sum(), metrics.freshness.get_sample_count());
        Self { events: metrics.events.get(), freshness }
    }

    /// Waiting time of rows in seconds; `None` if no row waits. If epochs were published since
    /// `previous`, the result is the mean waiting time of the oldest row of each epoch. Otherwise, the
    /// result is the time that the oldest unread row has waited so far.
    fn freshness_since(&self, previous: &Self, metrics: &Metrics) -> Option<f64> {
        let epochs = self.freshness.1 - previous.freshness.1;
        if epochs > 0 {
            return Some((self.freshness.0 - previous.freshness.0) / epochs as f64);
        }
        let oldest = metrics.oldest_unread_timestamp.get();
        (oldest > 0.0).then(|| (unix_seconds(SystemTime::now()) - oldest).max(0.0))
    }
}

fn live_status(
    context: &Context,
    throughput: &VecDeque<Option<f64>>,
    freshness: &VecDeque<Option<f64>>,
) -> LiveStatus {
    let view = context.views.borrow().clone();
    let uptime = context.started_at.elapsed().unwrap_or_default();
    let latest = throughput.iter().rev().take(MEAN_SECONDS);
    let rows_per_second = latest.clone().flatten().sum::<f64>() / latest.len().max(1) as f64;
    let mut live = LiveStatus {
        state: Some(context.state()),
        uptime_seconds: uptime.as_secs(),
        rows_per_second,
        // If no row waits, the last measured value remains valid.
        freshness_seconds: freshness.iter().rev().find_map(|value| *value),
        bytes_unread: context.metrics.bytes_unread.get() as u64,
        ..LiveStatus::default()
    };
    if let Some(view) = view {
        let totals = &view.snapshot.manifest.totals;
        live.epoch = view.snapshot.manifest.epoch;
        (live.rows, live.unmatched) = (totals.rows, totals.unmatched);
        live.plays = view.snapshot.ledger.plays();
        live.rejected = totals.rejected.values().sum();
    }
    if context.live.receiver_count() > 0 {
        let chart = |title: &str, unit: &str, values: &VecDeque<Option<f64>>| {
            let values = values.iter().copied().collect();
            line(&Line { title: title.to_owned(), unit: unit.to_owned(), values }, ChartMode::Inline)
        };
        live.charts.throughput = chart("Throughput", "rows/s", throughput);
        live.charts.freshness = chart("Freshness", "s", freshness);
    }
    live
}
