//! The changes since the last flush.

use std::time::{Duration, Instant, SystemTime};

use crate::time::civil::Week;

/// The changes since the last flush, and the idle time.
#[derive(Debug)]
pub(super) struct Pending {
    /// Whether there are rows that are not published yet. Also true before the first epoch, so that the
    /// first flush is never skipped.
    pub(super) has_news: bool,
    /// The week of the last cut.
    pub(super) week: Week,
    /// The time at which the oldest unpublished row was read.
    pub(super) oldest_read: Option<SystemTime>,
    idle_since: Instant,
}

impl Pending {
    /// The state before the first flush.
    pub(super) fn new(has_news: bool) -> Self {
        Self { has_news, week: Week(i64::MIN), oldest_read: None, idle_since: Instant::now() }
    }

    /// Notes new rows that were read at `read_at`.
    pub(super) fn add_rows(&mut self, read_at: SystemTime) {
        self.has_news = true;
        self.oldest_read.get_or_insert(read_at);
    }

    /// Notes the end of a flush. `has_news` says whether the flush has left anything to publish.
    pub(super) fn reset(&mut self, has_news: bool) {
        self.has_news = has_news;
        self.restart_idle();
    }

    /// Time since the last flush or idle save.
    pub(super) fn idle(&self) -> Duration {
        self.idle_since.elapsed()
    }

    /// Restarts the idle time at zero.
    pub(super) fn restart_idle(&mut self) {
        self.idle_since = Instant::now();
    }
}
