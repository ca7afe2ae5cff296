//! The coordinator's reports about its work: metrics, engine status, and the view of each epoch.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::engine::coordinator::engine_core::Core;
use crate::engine::epoch::{EpochPeriods, EpochSnapshot, SnapshotFile};
use crate::insights::query::Weeks;
use crate::insights::{About, SNAPSHOTS};
use crate::model::Batch;
use crate::publish::manifest::Manifest;
use crate::telemetry::heartbeat::EngineStatus;
use crate::telemetry::metrics::unix_seconds;
use crate::text::shown;

/// Sends a heartbeat with the current progress.
pub(super) fn report_status(core: &Core, settings_taken: u64) {
    core.context.control.heartbeat.beat(EngineStatus {
        rows: core.inputs.rows(),
        unread: core.inputs.tracker.bytes_unread(),
        epoch: core.published.manifest().map(|manifest| manifest.epoch),
        preparation: core.periods.preparation(),
        settings_taken,
    });
}

/// Counts a batch of `rows` new rows and `bytes` new bytes.
pub(super) fn record_batch(core: &Core, batch: &Batch, rows: u64, bytes: u64) {
    core.context.progress.advance(rows, bytes);
    let metrics = &core.context.control.metrics;
    metrics.events.inc_by(rows);
    metrics.bytes_read.inc_by(bytes);
    for reject in &batch.rejects {
        metrics.events_rejected.with_label_values(&[reject.reason.code()]).inc();
    }
    record_inputs(core);
}

/// Updates the metrics of the input progress.
pub(super) fn record_inputs(core: &Core) {
    let (metrics, inputs) = (&core.context.control.metrics, &core.inputs.tracker);
    let discovered = core.inputs.discovered();
    metrics.files_discovered.inc_by(discovered.saturating_sub(metrics.files_discovered.get()));
    metrics.files_outstanding.set(inputs.unfinished_len() as i64);
    metrics.inputs_refused.set(inputs.refused_len() as i64);
    metrics.bytes_unread.set(inputs.bytes_unread() as i64);
    if let Some(oldest) = core.pending.oldest_read {
        metrics.oldest_unread_timestamp.set(unix_seconds(oldest));
    }
}

/// Updates the metrics of the epoch that was just published.
pub(super) fn record_epoch(core: &mut Core) {
    let Some(manifest) = core.published.manifest() else { return };
    let (metrics, now) = (&core.context.control.metrics, SystemTime::now());
    if let Some(oldest) = core.pending.oldest_read.take() {
        metrics.freshness.observe(now.duration_since(oldest).unwrap_or_default().as_secs_f64());
    }
    metrics.oldest_unread_timestamp.set(0.0);
    metrics.last_flush_success_timestamp.set(unix_seconds(now));
    metrics.epoch.set(manifest.epoch as i64);
    metrics.unmatched_plays.set(manifest.totals.unmatched as i64);
    metrics.periods_published.set(manifest.periods.len() as i64);
    metrics.periods_open.set(core.periods.open() as i64);
    metrics.catalog_songs.set(manifest.catalog.songs as i64);
    if let Some((latest, _)) = core.plays.ledger().latest() {
        metrics.event_time_max_timestamp.set(latest as f64);
    }
    for (name, entry) in &manifest.insights {
        metrics.insight_rows.with_label_values(&[name.as_str()]).set(entry.rows as i64);
    }
    if let Some(bytes) = core.persistence.bytes() {
        metrics.checkpoint_bytes.set(bytes as i64);
    }
}

/// Sends the newly published epoch to the server.
pub(super) fn publish_view(core: &Core) {
    let (Some(epochs), Some(manifest)) = (&core.context.control.epochs, core.published.manifest()) else {
        return;
    };
    let (settings, plays) = (&core.context.settings, &core.plays);
    let weeks = Weeks::new(plays.ledger().latest_local(), core.pending.week);
    let snapshot = EpochSnapshot {
        manifest: manifest.clone(),
        files: open_snapshots(manifest, core.published.output(), epochs.borrow().as_deref()),
        ledger: plays.ledger().reading(),
        catalog: Arc::clone(core.catalog.version()),
        dictionaries: Arc::clone(&plays.dictionaries),
        user_order: Arc::clone(&plays.user_order),
        song_order: Arc::clone(&plays.song_order),
        week: settings.top_songs_week(weeks),
        night: settings.night_window(),
        insights: settings.insights.clone(),
        threshold: settings.loyalty_threshold(),
        listeners: plays.listeners.count(),
        inputs: core.inputs.tracker.latest(),
        refused: core.inputs.tracker.refused(),
        escaped: settings.csv.escape_formulas,
        periods: EpochPeriods {
            indexes: core.published.periods().indexes().clone(),
            saved: core.periods.saved().clone(),
            rules: core.periods.rules(),
            latest_day: core.periods.plays().latest_day(),
        },
    };
    epochs.send_replace(Some(Arc::new(snapshot)));
}

/// Opens the published snapshot files. If a file has not changed, the open file of `previous` is reused.
fn open_snapshots(
    manifest: &Manifest,
    output: &Path,
    previous: Option<&EpochSnapshot>,
) -> BTreeMap<&'static str, SnapshotFile> {
    let mut files = BTreeMap::new();
    for &About { name, .. } in SNAPSHOTS {
        let Some(entry) = manifest.insights.get(name).and_then(|entry| entry.parts.first()) else { continue };
        let known = previous.and_then(|previous| previous.files.get(name));
        if let Some(unchanged) = known.filter(|file| file.entry == *entry) {
            files.insert(name, unchanged.clone());
            continue;
        }
        let path = output.join(name).join(&entry.file);
        match File::open(&path) {
            Ok(file) => drop(files.insert(name, SnapshotFile { file: Arc::new(file), entry: entry.clone() })),
            // The epoch is published nevertheless. Only the dashboard lacks this table.
            Err(cause) => {
                tracing::warn!(
                    "{}: cannot open; the dashboard lacks this table until the next epoch: {cause}",
                    shown(&path)
                );
            }
        }
    }
    files
}
