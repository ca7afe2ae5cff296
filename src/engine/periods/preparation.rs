//! Renders the tables of closed periods for a new catalog in the background. Epochs go on with the previous catalog
//! until all tables are staged. Then one epoch publishes the new catalog for all periods.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::{JoinHandle, spawn_blocking};

use crate::engine::periods::earlier::EarlierPlays;
use crate::engine::periods::render::{Done, Job, Progress, Renderer};
use crate::model::error::Error;
use crate::publish::periods::StagedPeriod;
use crate::state::checkpoint::periods::SavedPeriods;
use crate::time::period::Period;

/// The tables of closed periods for a new catalog, which threads are rendering.
#[derive(Debug)]
pub(super) struct Preparation {
    /// The catalog and the settings of the tables.
    basis: String,
    progress: Arc<Progress>,
    /// The number of plays of each period.
    plays: BTreeMap<Period, u64>,
    rendering: JoinHandle<Result<Vec<Done>, Error>>,
}

/// The prepared tables of a period.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The number of plays that the tables cover.
    pub(super) plays: u64,
    /// `None` if the tables are the same as the published ones.
    pub(super) staged: Option<StagedPeriod>,
}

impl Preparation {
    /// Begins to render.
    pub(super) fn begin(basis: String, renderer: Renderer, jobs: Vec<Job>, saved: SavedPeriods) -> Self {
        let plays = jobs.iter().filter_map(|job| Some((job.period, job.tables.as_ref()?.plays))).collect();
        let progress = renderer.progress();
        Self {
            basis,
            progress,
            plays,
            rendering: spawn_blocking(move || renderer.run(jobs, &EarlierPlays::Saved(saved))),
        }
    }

    /// Whether the tables are for this catalog and these settings.
    pub(super) fn is_for(&self, basis: &str) -> bool {
        self.basis == basis
    }

    /// Whether all tables are staged.
    pub(super) fn is_done(&self) -> bool {
        self.rendering.is_finished()
    }

    /// The number of rendered periods, and of all periods to render.
    pub(super) fn progress(&self) -> (usize, usize) {
        (self.progress.done(), self.plays.len())
    }

    /// Waits until all tables are staged.
    pub(super) async fn wait(&mut self) {
        while !self.is_done() {
            tokio::time::sleep(WAIT).await;
        }
    }

    /// The tables, by period.
    ///
    /// # Errors
    /// The first file that cannot be read (65) or written (73, 74).
    pub(super) async fn finish(mut self) -> Result<BTreeMap<Period, Prepared>, Error> {
        let rendered = (&mut self.rendering).await;
        let rendered = rendered.map_err(|cause| Error::Bug(format!("a thread has panicked: {cause}")))?;
        let plays = &self.plays;
        let prepared = |done: Done| {
            let plays = plays.get(&done.period).copied().unwrap_or_default();
            (done.period, Prepared { plays, staged: done.staged })
        };
        Ok(rendered?.into_iter().map(prepared).collect())
    }
}

/// Time between two looks at the progress.
const WAIT: std::time::Duration = std::time::Duration::from_millis(5);

impl Drop for Preparation {
    fn drop(&mut self) {
        // A thread that still renders stops at the next period. Dropping its results removes the staged files.
        self.progress.cancel();
    }
}
