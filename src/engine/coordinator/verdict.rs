//! Warns of rejected rows during a run, and decides at its end whether it is accepted.

use std::time::Instant;

use crate::engine::coordinator::engine_core::{Core, RunContext};
use crate::engine::run_mode::RunMode;
use crate::model::error::Error;
use crate::text::path_text;

impl Core {
    /// Warns of rows that were rejected since the last call.
    pub(super) fn warn_of_rejects(&mut self, now: Instant) {
        for text in self.reports.warnings.take_due(now) {
            tracing::warn!("{text}");
        }
        self.warn_of_clock();
    }

    /// Warns once if most rows are too far in the future.
    fn warn_of_clock(&mut self) {
        if self.reports.warned_of_clock {
            return;
        }
        let max_future = self.context.settings.input.max_future;
        if let Some(warning) = self.reports.tally.clock_warning(self.context.clock.now(), max_future) {
            tracing::warn!("{warning}");
            self.reports.warned_of_clock = true;
        }
    }

    /// Decides at the end of the input whether the run is accepted.
    ///
    /// # Errors
    /// See [`RunTally::judge`].
    pub(super) fn judge(&mut self) -> Result<(), Error> {
        let is_watch = self.context.mode == RunMode::Watch;
        if is_watch {
            for text in self.reports.warnings.take_all() {
                tracing::warn!("{text}");
            }
        }
        self.warn_of_clock();
        let RunContext { acceptance: Some(acceptance), dates, .. } = self.context else { return Ok(()) };
        let songs = path_text(&self.context.settings.songs);
        self.reports.tally.set_catalog(&songs, &self.catalog.version().rejects);
        let consequence = if is_watch { "" } else { ", and nothing was published" };
        self.reports.tally.judge(acceptance, dates, consequence)
    }
}
