//! Everything that the coordinator owns, in one struct that a flush can borrow.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::engine::coordinator::catalog::CatalogInForce;
use crate::engine::coordinator::control::ControlHandles;
use crate::engine::coordinator::pending::Pending;
use crate::engine::coordinator::persistence::Persistence;
use crate::engine::coordinator::plays::Plays;
use crate::engine::coordinator::reject_reports::RejectReports;
use crate::engine::periods::PeriodTables;
use crate::engine::rendering::RenderedRows;
use crate::engine::run_mode::RunMode;
use crate::engine::tally::Acceptance;
use crate::engine::workers::InsightWorkers;
use crate::model::error::Error;
use crate::model::{Batch, Reject};
use crate::publish::append_only::AppendOnlyWriter;
use crate::publish::epoch::Published;
use crate::publish::rejects::reject_lines;
use crate::settings::Settings;
use crate::state::input_progress::InputTracker;
use crate::storage::FolderLock;
use crate::telemetry::progress::Progress;
use crate::text::path_text;
use crate::time::civil::Week;
use crate::time::clock::Clock;
use crate::time::date_range::DateRange;

/// The state of a run. Only the coordinator changes it, so it needs no locks.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) context: RunContext,
    pub(super) plays: Plays,
    pub(super) periods: PeriodTables,
    pub(super) inputs: RunInputs,
    pub(super) catalog: CatalogInForce,
    pub(super) workers: InsightWorkers,
    pub(super) rejects: AppendOnlyWriter,
    pub(super) persistence: Persistence,
    pub(super) published: Published,
    pub(super) output_lock: Box<dyn FolderLock>,
    pub(super) pending: Pending,
    pub(super) reports: RejectReports,
}

/// How the engine was started, and its connections to the rest of the program.
#[derive(Debug)]
pub struct RunContext {
    /// The current settings.
    pub settings: Settings,
    /// The command that runs the engine.
    pub mode: RunMode,
    /// The dates of the plays that count.
    pub dates: DateRange,
    /// What the run requires of its rows; `None` if the run is accepted whatever it rejects.
    pub acceptance: Option<Acceptance>,
    /// The clock that determines the current week.
    pub clock: Clock,
    /// Whether to continue if published rows of the append-only tables are lost.
    pub accept_missing_output: bool,
    /// The progress bar.
    pub progress: Arc<Progress>,
    /// Heartbeat, new settings, metrics, and published epochs.
    pub control: ControlHandles,
}

/// The inputs, and the totals of earlier processes.
#[derive(Debug)]
pub(super) struct RunInputs {
    pub(super) tracker: InputTracker,
    rows_before: u64,
    bytes_before: u64,
    inputs_before: usize,
}

impl RunContext {
    /// The current time, in seconds since 1970-01-01T00:00:00Z, and the local date, in days since 1970-01-01.
    pub(super) fn today(&self) -> (i64, i64) {
        let now = self.clock.now();
        (now, self.settings.timezone.0.local_date(now))
    }

    /// The current week in the configured time zone.
    pub(super) fn current_week(&self) -> Week {
        Week::of_day(self.today().1)
    }
}

impl RunInputs {
    /// The inputs as earlier processes left them.
    pub(super) fn new(tracker: InputTracker) -> Self {
        let (rows_before, bytes_before, inputs_before) = (tracker.rows(), tracker.bytes(), tracker.len());
        Self { tracker, rows_before, bytes_before, inputs_before }
    }

    /// Rows that this process has read, including rejected rows.
    pub(super) fn rows(&self) -> u64 {
        self.tracker.rows() - self.rows_before
    }

    /// Inputs that this process has found.
    pub(super) fn discovered(&self) -> u64 {
        (self.tracker.len() - self.inputs_before) as u64
    }

    /// Bytes that this process has read, after decompression.
    pub(super) fn bytes(&self) -> u64 {
        self.tracker.bytes() - self.bytes_before
    }
}

impl Core {
    /// Adds the rows of a batch. The caller has already recorded the input progress of the batch.
    pub(super) async fn add(&mut self, batch: Batch, rendered: Option<RenderedRows>) -> Result<(), Error> {
        self.append_rejects(&batch.input.label, &batch.rejects)?;
        let batch = Arc::new(batch);
        self.workers.append(&batch, rendered, &self.context.control.metrics).await?;
        self.periods.add(&batch).await?;
        self.plays.add(&batch).await;
        Ok(())
    }

    /// Saves the metadata and the new rejects of a catalog that has just become current.
    pub(super) fn adopt_catalog(&mut self) -> Result<(), Error> {
        let rejects = self.catalog.take_new_rejects();
        if self.workers.has_enriched() {
            self.persistence.add_catalog(self.catalog.catalog(), &self.plays.dictionaries);
        }
        self.persistence.add_catalog_rejects(&rejects);
        let path = path_text(&self.context.settings.songs);
        self.append_rejects(&path, &rejects)
    }

    /// Prepares the tables of closed periods for a new catalog. Returns whether the catalog can be published now.
    pub(super) fn prepare(&mut self, catalog: &Arc<Catalog>) -> bool {
        let (week, threads) = (self.pending.week, self.context.settings.decoders());
        let cut = tokio::task::block_in_place(|| self.plays.ids(catalog, week, threads));
        self.periods.prepare(&cut, self.published.periods())
    }

    /// Waits until the newest catalog can be published.
    pub(super) async fn prepare_newest(&mut self) {
        while let Some(version) = self.catalog.newer() {
            if self.prepare(&version.catalog) {
                break;
            }
            self.periods.prepared().await;
        }
    }

    fn append_rejects(&mut self, file: &str, rejects: &[Reject]) -> Result<(), Error> {
        if rejects.is_empty() {
            return Ok(());
        }
        let lines = reject_lines(file, rejects);
        tokio::task::block_in_place(|| self.rejects.append(&lines))
    }
}
