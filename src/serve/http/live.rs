//! What is measured once a second: throughput and freshness, now and over the last minutes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{MissedTickBehavior, interval};

use crate::serve::charts::{Form, Line, MINUTES, line};
use crate::serve::http::context::Context;
use crate::serve::http::health::Live;
use crate::telemetry::metrics::{Metrics, unix_seconds};

/// Seconds that are remembered.
const REMEMBERED: usize = MINUTES * 60;
/// Seconds over which the throughput of now is a mean, so that a number can be read.
const NOW: usize = 5;

/// What meters showed at the last look.
struct Looked {
    events: u64,
    freshness: (f64, u64),
}

/// Measures once a second, for as long as it is polled. Charts are drawn only for those who look.
pub(super) async fn measure(context: Arc<Context>) {
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    let mut before = Looked::at(&context.metrics);
    let (mut throughput, mut freshness) = (VecDeque::new(), VecDeque::new());
    loop {
        tick.tick().await;
        context.listen().await;
        let now = Looked::at(&context.metrics);
        remember(&mut throughput, Some((now.events - before.events) as f64));
        remember(&mut freshness, now.freshness_since(&before, &context.metrics));
        before = now;
        context.live.send_replace(Arc::new(live(&context, &throughput, &freshness)));
    }
}

fn remember(values: &mut VecDeque<Option<f64>>, value: Option<f64>) {
    if values.len() == REMEMBERED {
        values.pop_front();
    }
    values.push_back(value);
}

impl Looked {
    fn at(metrics: &Metrics) -> Self {
        let freshness = (metrics.freshness.get_sample_sum(), metrics.freshness.get_sample_count());
        Self { events: metrics.events.get(), freshness }
    }

    /// How long the oldest rows of the epochs since then have waited for them, as a mean; if there
    /// was none, how long the oldest row waits by now; nothing if none waits.
    fn freshness_since(&self, before: &Self, metrics: &Metrics) -> Option<f64> {
        let epochs = self.freshness.1 - before.freshness.1;
        if epochs > 0 {
            return Some((self.freshness.0 - before.freshness.0) / epochs as f64);
        }
        let oldest = metrics.oldest_unread_timestamp.get();
        (oldest > 0.0).then(|| (unix_seconds(SystemTime::now()) - oldest).max(0.0))
    }
}

fn live(context: &Context, throughput: &VecDeque<Option<f64>>, freshness: &VecDeque<Option<f64>>) -> Live {
    let view = context.views.borrow().clone();
    let uptime = context.started_at.elapsed().unwrap_or_default();
    let latest = throughput.iter().rev().take(NOW);
    let rows_per_second = latest.clone().flatten().sum::<f64>() / latest.len().max(1) as f64;
    let mut live = Live {
        state: Some(context.state()),
        uptime_seconds: uptime.as_secs(),
        rows_per_second,
        // Without news the last epoch is as fresh as can be.
        freshness_seconds: freshness.iter().rev().find_map(|value| *value),
        bytes_unread: context.metrics.bytes_unread.get() as u64,
        ..Live::default()
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
            line(&Line { title: title.to_owned(), unit: unit.to_owned(), values }, Form::Inline)
        };
        live.charts.throughput = chart("Throughput", "rows/s", throughput);
        live.charts.freshness = chart("Freshness", "s", freshness);
    }
    live
}
