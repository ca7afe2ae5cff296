//! What the program shows of itself: the view of each epoch, and its meters.

use std::sync::Arc;
use std::time::SystemTime;

use crate::engine::coordinator::Dispatch;
use crate::telemetry::metrics::unix_seconds;
use crate::model::UserId;
use crate::serve::view::{Sight, View};

/// Listeners, each of whom counts once.
#[derive(Debug, Default)]
pub(super) struct Everybody {
    /// By number, as bits.
    known: Vec<u64>,
    count: u64,
}

impl Everybody {
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

impl Dispatch {
    /// Shows the epoch that was just published.
    pub(super) fn show(&mut self) {
        self.measure_epoch();
        let (Some(views), Some(manifest)) = (&self.parts.live.views, &self.manifest) else { return };
        let settings = &self.parts.settings;
        let top_songs = &settings.insights.top_songs_this_week;
        let sight = Sight {
            manifest: manifest.clone(),
            ledger: self.ledger.reading(),
            catalog: Arc::clone(&self.catalog),
            names: Arc::clone(&self.parts.names),
            user_order: Arc::clone(&self.user_order),
            song_order: Arc::clone(&self.song_order),
            week: top_songs.week_of(self.ledger.latest_local(), self.week),
            night: settings.insights.night_owl_users.window(),
            threshold: settings.insights.genre_loyalty_scores.threshold,
            listeners: self.listeners.count(),
            inputs: self.inputs.latest(),
            guarded: settings.csv.guard_formulas,
        };
        let before = views.borrow().clone();
        let view = View::new(sight, &settings.output, before.as_deref());
        views.send_replace(Some(Arc::new(view)));
    }

    fn measure_epoch(&mut self) {
        let Some(manifest) = &self.manifest else { return };
        let (meters, now) = (&self.parts.live.meters, SystemTime::now());
        if let Some(since) = self.unpublished_since.take() {
            meters.freshness.observe(now.duration_since(since).unwrap_or_default().as_secs_f64());
        }
        meters.oldest_unread_timestamp.set(0.0);
        meters.last_flush_success_timestamp.set(unix_seconds(now));
        meters.epoch.set(manifest.epoch as i64);
        meters.unmatched_plays.set(manifest.totals.unmatched as i64);
        meters.metadata_songs.set(manifest.catalog.songs as i64);
        if let Some((latest, _)) = self.ledger.latest() {
            meters.event_time_max_timestamp.set(latest as f64);
        }
        for (name, entry) in &manifest.insights {
            meters.state_entries.with_label_values(&[name.as_str()]).set(entry.rows as i64);
        }
        if let Some(keeper) = &self.parts.keeper {
            meters.checkpoint_bytes.set(keeper.current().bytes() as i64);
        }
    }

    /// Notes how far the inputs were read.
    pub(super) fn measure_inputs(&self) {
        let meters = &self.parts.live.meters;
        let discovered = self.inputs.len() as u64;
        meters.files_discovered.inc_by(discovered.saturating_sub(meters.files_discovered.get()));
        meters.files_outstanding.set(self.inputs.unfinished_len() as i64);
        meters.bytes_unread.set(self.inputs.bytes_unread() as i64);
        if let Some(since) = self.unpublished_since {
            meters.oldest_unread_timestamp.set(unix_seconds(since));
        }
    }
}
