//! The coordinator: applies events in order, and flushes.
//!
//! One loop owns the whole state, so the state needs no locks. The loop makes every decision that depends on
//! the order of events.

mod catalog;
mod control;
mod engine_core;
mod flush;
mod observe;
mod output_check;
mod pending;
mod persistence;
mod plays;
mod reject_reports;
mod start_over;
mod verdict;

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt};

use crate::catalog::reload::CatalogVersion;
use crate::engine::coordinator::catalog::CatalogInForce;
use crate::engine::coordinator::control::{HEARTBEAT, ticks};
use crate::engine::coordinator::engine_core::{Core, RunInputs};
use crate::engine::coordinator::flush::Flush;
use crate::engine::coordinator::output_check::{QUIET_CHECK, check_output};
use crate::engine::coordinator::pending::Pending;
use crate::engine::coordinator::persistence::Persistence;
use crate::engine::coordinator::plays::{Plays, RefreshScope};
use crate::engine::coordinator::reject_reports::RejectReports;
use crate::engine::periods::PeriodTables;
use crate::engine::workers::InsightWorkers;
use crate::ingest::source::Event;
use crate::ingest::source::archive::RetirableInput;
use crate::model::ReaderState;
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;
use crate::publish::append_only::AppendOnlyWriter;
use crate::publish::epoch::Published;
use crate::publish::manifest::Manifest;
use crate::state::checkpoint::committer::Committer;
use crate::state::checkpoint::load::Loaded;
use crate::storage::FolderLock;

pub use crate::engine::coordinator::control::ControlHandles;
pub use crate::engine::coordinator::engine_core::RunContext;
pub use crate::engine::decoding::Decoded;
pub use crate::engine::run_mode::RunMode;

/// Minimum pause after a flush, as a multiple of the duration of the flush. Even if a flush takes longer
/// than the flush interval, at least half of the time remains for reading.
const REST: u32 = 1;
/// The same for a `watch --once`. Readers get its last epoch soon in any case, so most of the time is for reading.
const REST_ONCE: u32 = 9;

/// The components of a coordinator.
#[derive(Debug)]
pub struct CoordinatorDeps {
    /// How the engine was started.
    pub context: RunContext,
    /// The dictionaries, shared with the decoders.
    pub dictionaries: Arc<Dictionaries>,
    /// The tables of periods.
    pub periods: PeriodTables,
    /// The workers of the insights.
    pub workers: InsightWorkers,
    /// The versions of the catalog.
    pub versions: watch::Receiver<Arc<CatalogVersion>>,
    /// The table `_rejects`.
    pub rejects: AppendOnlyWriter,
    /// The output folder, with the epoch that an earlier process committed, if any.
    pub published: Published,
    /// Commits the state; `None` in a `replay`.
    pub committer: Option<Committer>,
    /// Tells the source which inputs it may archive or delete.
    pub retirable: mpsc::Sender<Vec<RetirableInput>>,
    /// The locks of the folders.
    pub locks: Locks,
}

/// The locks of a run.
#[derive(Debug)]
pub struct Locks {
    /// The lock of the output folder.
    pub output: Box<dyn FolderLock>,
    /// The lock of the state folder; `None` in a `replay`.
    pub state: Option<Box<dyn FolderLock>>,
}

/// The task that owns the ledger, the input progress and the epoch.
#[derive(Debug)]
pub struct Coordinator {
    core: Core,
    /// Number of times that new settings took effect.
    settings_taken: u64,
}

/// The result of a run.
#[derive(Debug)]
pub struct RunSummary {
    /// The last manifest.
    pub manifest: Manifest,
    /// All plays, including those of earlier processes.
    pub plays: u64,
    /// Rows that this process read, including rejected rows.
    pub rows: u64,
    /// Bytes that this process read, after decompression.
    pub bytes: u64,
    /// Whether the rows of this process are accepted. The error of a `watch` comes here, because it has
    /// already committed and published the rows. The error of a `replay` ends the run before it publishes
    /// anything.
    pub verdict: Result<(), Error>,
}

impl Coordinator {
    /// A coordinator that continues from the state `loaded`.
    pub fn new(deps: CoordinatorDeps, loaded: Loaded) -> Self {
        let CoordinatorDeps {
            context,
            dictionaries,
            periods,
            workers,
            versions,
            rejects,
            published,
            committer,
            retirable,
            locks,
        } = deps;
        let core = Core {
            context,
            plays: Plays::new(loaded.ledger, dictionaries),
            periods,
            inputs: RunInputs::new(loaded.inputs),
            catalog: CatalogInForce::new(versions, loaded.catalog_rejects),
            workers,
            rejects,
            persistence: Persistence::new(committer, locks.state, retirable),
            pending: Pending::new(published.manifest().is_none() || published.was_damaged()),
            published,
            reports: RejectReports::default(),
            output_lock: locks.output,
        };
        Self { core, settings_taken: 0 }
    }

    /// The locks. All other parts of the coordinator are dropped, which ends the workers.
    pub fn into_locks(self) -> Locks {
        let Core { output_lock, persistence, .. } = self.core;
        Locks { output: output_lock, state: persistence.into_lock() }
    }

    /// Applies events until the stream ends, then flushes the remaining changes.
    ///
    /// # Errors
    /// The first input that cannot be read, or the first file that cannot be written.
    pub async fn run(
        &mut self,
        mut events: impl Stream<Item = Event<Decoded>> + Unpin,
    ) -> Result<RunSummary, Error> {
        self.core.adopt_catalog()?;
        observe::record_inputs(&self.core);
        let mut tick = ticks(self.flush_interval());
        let mut heartbeat = ticks(HEARTBEAT);
        let mut quiet_check = ticks(QUIET_CHECK);
        if self.core.published.manifest().is_some() {
            // An earlier process may have been killed before it published its last commit.
            Flush::new(RefreshScope::Everything).run(&mut self.core).await?;
            self.report_status();
        }
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => self.apply(event).await?,
                    None => break,
                },
                _ = tick.tick(), if self.core.context.mode == RunMode::Watch => {
                    match self.flush_news().await? {
                        Some(took) => {
                            quiet_check.reset();
                            let until_next = self.flush_interval().saturating_sub(took);
                            tick.reset_after(until_next.max(took * self.rest()));
                            self.report_status();
                        }
                        None => self.save_when_idle()?,
                    }
                }
                _ = quiet_check.tick(), if self.core.context.mode == RunMode::Watch => {
                    check_output(&mut self.core).await?;
                    if self.core.published.was_damaged() {
                        self.flush_news().await?;
                    }
                }
                _ = heartbeat.tick() => {
                    self.report_status();
                    if self.core.context.mode == RunMode::Watch {
                        self.core.warn_of_rejects(Instant::now());
                    }
                }
                Ok(()) = self.core.context.control.settings.changed() => {
                    self.take_settings().await?;
                    tick = ticks(self.flush_interval());
                }
            }
        }
        let mut verdict = self.core.judge();
        if self.core.context.mode == RunMode::Replay {
            // What was published before stays.
            verdict = Ok(verdict?);
        }
        // The summary must not name files that are gone.
        check_output(&mut self.core).await?;
        self.core.prepare_newest().await;
        while self.flush_news().await?.is_some() && self.core.published.was_damaged() {}
        self.core.persistence.save_at_end(&mut self.core.inputs.tracker)?;
        Ok(self.summary(verdict))
    }

    fn summary(&self, verdict: Result<(), Error>) -> RunSummary {
        let Core { plays, inputs, published, .. } = &self.core;
        RunSummary {
            manifest: published.manifest().cloned().expect("the first flush is never skipped"),
            plays: plays.ledger().plays(),
            rows: inputs.rows(),
            bytes: inputs.bytes(),
            verdict,
        }
    }

    async fn apply(&mut self, event: Event<Decoded>) -> Result<(), Error> {
        let inputs = &mut self.core.inputs.tracker;
        match event {
            Event::Grown(input, size) => {
                inputs.record_size(&input, size);
                observe::record_inputs(&self.core);
            }
            Event::Identified(input, fingerprint) => inputs.record_fingerprint(&input, fingerprint),
            Event::Advanced(input, position) => {
                if position.state == ReaderState::Finished {
                    self.core.context.control.metrics.files_completed.inc();
                }
                inputs.advance(&input, position);
            }
            Event::Data(decoded) => self.apply_batch(decoded).await?,
            Event::StartedOver => self.core.start_over().await?,
            // No flush follows. The output of an earlier run stays, because it is better than an incomplete
            // new output.
            Event::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Adds the rows of a batch, unless its input was given up earlier.
    async fn apply_batch(&mut self, Decoded { mut batch, rendered, read_at }: Decoded) -> Result<(), Error> {
        let core = &mut self.core;
        let inputs = &mut core.inputs.tracker;
        let (rows_before, bytes_before) = (inputs.rows(), inputs.bytes());
        let counts = inputs.apply(&mut batch, core.catalog.catalog());
        let (rows, bytes) = (inputs.rows() - rows_before, inputs.bytes() - bytes_before);
        observe::record_batch(core, &batch, rows, bytes);
        if !counts || rows == 0 {
            return Ok(());
        }
        core.pending.add_rows(read_at);
        core.reports.add(&batch, core.inputs.tracker.rows_of(batch.input.id));
        core.add(*batch, rendered).await?;
        if core.context.mode == RunMode::Watch && core.periods.is_full() {
            self.flush_news().await?;
        }
        Ok(())
    }

    /// Flushes if there is anything new for readers. Returns the duration of the flush, or `None` if there
    /// was nothing to flush.
    async fn flush_news(&mut self) -> Result<Option<Duration>, Error> {
        let core = &mut self.core;
        let follows_week = core.context.settings.follows_current_week();
        let new_week = follows_week && core.context.current_week() != core.pending.week;
        let new_period = core.periods.set_today(core.context.today().1);
        let newer = core.catalog.newer().filter(|version| core.prepare(&version.catalog));
        let new_catalog = newer.is_some();
        if let Some(version) = newer {
            core.catalog.update(version);
        }
        if !core.pending.has_news && !new_week && !new_period && !new_catalog {
            return Ok(None);
        }
        let began = Instant::now();
        if new_catalog {
            core.adopt_catalog()?;
        }
        check_output(core).await?;
        let is_first = core.published.manifest().is_none();
        let scope = if new_catalog || is_first { RefreshScope::Catalog } else { RefreshScope::Plays };
        Flush::new(scope).run(core).await?;
        core.context.control.metrics.flush_duration.observe(began.elapsed().as_secs_f64());
        Ok(Some(began.elapsed()))
    }

    fn save_when_idle(&mut self) -> Result<(), Error> {
        let Core { context, inputs, persistence, pending, .. } = &mut self.core;
        let done_after = context.settings.input.done_after.0;
        persistence.save_when_idle(&mut inputs.tracker, pending, done_after)
    }

    /// Applies the newest settings. The output is then the same as after a restart with these settings.
    async fn take_settings(&mut self) -> Result<(), Error> {
        let core = &mut self.core;
        let settings = Arc::clone(&core.context.control.settings.borrow_and_update());
        let before = &core.context.settings;
        let tables_changed = settings.insights != before.insights || settings.periods != before.periods;
        core.context.settings.clone_from(&settings);
        if tables_changed {
            core.workers.restart_snapshots(&settings);
            core.periods.set_settings(&settings);
            core.persistence.set_period_rules(settings.periods.rules());
            check_output(core).await?;
            Flush::new(RefreshScope::Everything).run(core).await?;
        }
        self.settings_taken += 1;
        self.report_status();
        Ok(())
    }

    fn report_status(&self) {
        observe::report_status(&self.core, self.settings_taken);
    }

    fn rest(&self) -> u32 {
        // A `watch` that runs on accepts all rows.
        if self.core.context.acceptance.is_some() { REST_ONCE } else { REST }
    }

    fn flush_interval(&self) -> Duration {
        self.core.context.settings.flush_interval.0
    }
}
