//! What the program shows of itself: the view of each epoch, and its meters.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::engine::coordinator::Coordinator;
use crate::engine::epoch::{EpochSnapshot, SnapshotFile};
use crate::insights::query::Weeks;
use crate::insights::{About, SNAPSHOTS};
use crate::model::UserId;
use crate::publish::manifest::Manifest;
use crate::telemetry::metrics::unix_seconds;

/// Listeners, each of whom counts once.
#[derive(Debug, Default)]
pub(super) struct ListenerSet {
    /// By number, as bits.
    known: Vec<u64>,
    count: u64,
}

impl ListenerSet {
    /// Counts those who were not known.
    pub(super) fn note(&mut self, users: &[UserId]) {
        for user in users {
            let (word, bit) = (user.index() / 64, 1 << (user.index() % 64));
            if word >= self.known.len() {
                self.known.resize(word + 1, 0);
            }
            self.count += u64::from(self.known[word] & bit == 0);
            self.known[word] |= bit;
        }
    }

    fn count(&self) -> u64 {
        self.count
    }
}

impl Coordinator {
    /// Shows the epoch that was just published.
    pub(super) fn publish_epoch(&mut self) {
        self.measure_epoch();
        let (Some(epochs), Some(manifest)) = (&self.parts.live.epochs, &self.manifest) else { return };
        let settings = &self.parts.settings;
        let weeks = Weeks::new(self.ledger.latest_local(), self.week);
        let snapshot = EpochSnapshot {
            manifest: manifest.clone(),
            files: open_snapshots(manifest, &settings.output, epochs.borrow().as_deref()),
            ledger: self.ledger.reading(),
            catalog: Arc::clone(&self.catalog),
            dictionaries: Arc::clone(&self.parts.dictionaries),
            user_order: Arc::clone(&self.user_order),
            song_order: Arc::clone(&self.song_order),
            week: settings.top_songs_week(weeks),
            night: settings.night_window(),
            insights: settings.insights.clone(),
            threshold: settings.loyalty_threshold(),
            listeners: self.listeners.count(),
            inputs: self.inputs.latest(),
            escaped: settings.csv.escape_formulas,
        };
        epochs.send_replace(Some(Arc::new(snapshot)));
    }

    fn measure_epoch(&mut self) {
        let Some(manifest) = &self.manifest else { return };
        let (metrics, now) = (&self.parts.live.metrics, SystemTime::now());
        if let Some(since) = self.unpublished_since.take() {
            metrics.freshness.observe(now.duration_since(since).unwrap_or_default().as_secs_f64());
        }
        metrics.oldest_unread_timestamp.set(0.0);
        metrics.last_flush_success_timestamp.set(unix_seconds(now));
        metrics.epoch.set(manifest.epoch as i64);
        metrics.unmatched_plays.set(manifest.totals.unmatched as i64);
        metrics.catalog_songs.set(manifest.catalog.songs as i64);
        if let Some((latest, _)) = self.ledger.latest() {
            metrics.event_time_max_timestamp.set(latest as f64);
        }
        for (name, entry) in &manifest.insights {
            metrics.insight_rows.with_label_values(&[name.as_str()]).set(entry.rows as i64);
        }
        if let Some(committer) = &self.parts.committer {
            metrics.checkpoint_bytes.set(committer.current().bytes() as i64);
        }
    }

    /// Notes how far the inputs were read.
    pub(super) fn measure_inputs(&self) {
        let metrics = &self.parts.live.metrics;
        let discovered = (self.inputs.len() - self.before.2) as u64;
        metrics.files_discovered.inc_by(discovered.saturating_sub(metrics.files_discovered.get()));
        metrics.files_outstanding.set(self.inputs.unfinished_len() as i64);
        metrics.bytes_unread.set(self.inputs.bytes_unread() as i64);
        if let Some(since) = self.unpublished_since {
            metrics.oldest_unread_timestamp.set(unix_seconds(since));
        }
    }
}

/// Opens the snapshot files that have just been published. A file that has not changed is taken over
/// from the epoch before.
fn open_snapshots(
    manifest: &Manifest,
    output: &Path,
    before: Option<&EpochSnapshot>,
) -> BTreeMap<&'static str, SnapshotFile> {
    let mut files = BTreeMap::new();
    for &About { name, .. } in SNAPSHOTS {
        let Some(entry) = manifest.insights.get(name).and_then(|entry| entry.parts.first()) else { continue };
        let known = before.and_then(|before| before.files.get(name)).filter(|file| file.entry == *entry);
        if let Some(known) = known {
            files.insert(name, known.clone());
            continue;
        }
        match File::open(output.join(name).join(&entry.file)) {
            Ok(file) => drop(files.insert(name, SnapshotFile { file: Arc::new(file), entry: entry.clone() })),
            // The epoch is published all the same; only the dashboard lacks this table.
            Err(cause) => tracing::warn!("{name}: cannot be shown: {cause}"),
        }
    }
    files
}
