//! Renders the tables of periods on several threads.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::catalog::Catalog;
use crate::engine::periods::table_settings::TableSettings;
use crate::insights::{Cut, Insight};
use crate::ledger::columns::PlayColumns;
use crate::ledger::{Changes, Ledger};
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;
use crate::model::sorted_ids::SortedIds;
use crate::model::{SongId, UserId};
use crate::publish::periods::{PeriodIndex, StagedPeriod};
use crate::publish::snapshot::Snapshot;
use crate::publish::table_folders::TableFolders;
use crate::state::checkpoint::periods::SavedPeriods;
use crate::storage::SharedDisk;
use crate::time::civil::Week;
use crate::time::period::Period;
use crate::time::window::NightWindow;

/// The ledger and the insights of a period, both up to date.
pub(super) struct OpenPeriod {
    ledger: Ledger,
    insights: Vec<Box<dyn Insight>>,
}

impl std::fmt::Debug for OpenPeriod {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("OpenPeriod").field("plays", &self.ledger.plays()).finish_non_exhaustive()
    }
}

/// The work for one period.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) period: Period,
    /// The plays since the last cut.
    pub(super) added: Option<PlayColumns>,
    /// `None` if the tables are not rendered.
    pub(super) tables: Option<TableJob>,
}

/// The tables to render.
#[derive(Debug)]
pub(super) struct TableJob {
    /// The number of all plays.
    pub(super) plays: u64,
    /// The ledger and the insights after the last cut; `None` if the period is closed.
    pub(super) open: Option<Box<OpenPeriod>>,
    /// The published tables.
    pub(super) published: Option<PeriodIndex>,
    /// Whether the period stays open. If not, its ledger and rows are freed at once.
    pub(super) stays_open: bool,
}

/// The result of a job.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) period: Period,
    /// The ledger of the plays since the last cut.
    pub(super) added: Option<Arc<Ledger>>,
    pub(super) open: Option<Box<OpenPeriod>>,
    /// The new tables; `None` if they are the same as the published ones.
    pub(super) staged: Option<StagedPeriod>,
}

/// What has changed since the tables were published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Plays.
    Plays,
    /// Only the catalog, and the tables are rendered in the background.
    Catalog,
    /// Plays, and the catalog or the settings.
    Everything,
}

impl Scope {
    /// The part of the temporary names of staged files.
    fn tag(self) -> &'static str {
        if self == Self::Catalog { ".next" } else { "" }
    }
}

/// The progress of a renderer.
#[derive(Debug, Default)]
pub(super) struct Progress {
    done: AtomicUsize,
    is_cancelled: AtomicBool,
}

impl Progress {
    /// The number of jobs that are done.
    pub(super) fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Leaves out all jobs that have not begun.
    pub(super) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }
}

/// What the tables of all periods of a cut have in common.
#[derive(Debug)]
pub(super) struct Renderer {
    disk: SharedDisk,
    tables: TableSettings,
    window: NightWindow,
    catalog: Arc<Catalog>,
    scope: Scope,
    /// Whether a commit follows, which needs the ledgers of the new plays.
    commits: bool,
    progress: Arc<Progress>,
    dictionaries: Arc<Dictionaries>,
    user_order: Arc<SortedIds<UserId>>,
    song_order: Arc<SortedIds<SongId>>,
    current_week: Week,
    threads: usize,
}

impl Renderer {
    /// A renderer for the catalog and the ids of `cut`. `commits` says whether a commit follows.
    pub(super) fn new(
        disk: &SharedDisk,
        tables: TableSettings,
        cut: &Cut,
        scope: Scope,
        commits: bool,
    ) -> Self {
        Self {
            disk: disk.clone(),
            window: tables.insights.night_owl_users.window(),
            tables,
            catalog: Arc::clone(&cut.catalog),
            scope,
            commits,
            progress: Arc::default(),
            dictionaries: Arc::clone(&cut.dictionaries),
            user_order: Arc::clone(&cut.user_order),
            song_order: Arc::clone(&cut.song_order),
            current_week: cut.current_week,
            threads: cut.threads,
        }
    }

    /// The progress, for other threads.
    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Does all jobs. The results are in the order of the periods, whatever the number of threads.
    ///
    /// # Errors
    /// The first file that cannot be read (65) or written (73, 74).
    ///
    /// # Panics
    /// If an insight panics.
    pub(super) fn run(&self, jobs: Vec<Job>, saved: &SavedPeriods) -> Result<Vec<Done>, Error> {
        // With few periods, each of them uses all threads.
        let workers = self.threads.min(jobs.len());
        let threads_each = if jobs.len() >= self.threads { 1 } else { self.threads };
        let queue = Mutex::new(VecDeque::from(jobs));
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let work = || {
            let mut done = Vec::new();
            while let Some(job) = next().filter(|_| !self.progress.is_cancelled.load(Ordering::Relaxed)) {
                done.push(self.render(job, saved, threads_each)?);
                self.progress.done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(done)
        };
        let results: Vec<Result<Vec<Done>, Error>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().expect("rendering does not panic")).collect()
        });
        let mut done: Vec<Done> = Vec::new();
        for result in results {
            done.extend(result?);
        }
        done.sort_unstable_by_key(|done| done.period);
        Ok(done)
    }

    fn render(&self, job: Job, saved: &SavedPeriods, threads: usize) -> Result<Done, Error> {
        let Job { period, added, tables } = job;
        let added = added.map(|plays| Arc::new(Ledger::of_columns(&plays, self.window)));
        let Some(TableJob { plays, open, published, stays_open }) = tables else {
            return Ok(Done { period, added, open: None, staged: None });
        };
        let is_new = self.scope != Scope::Plays || open.is_none();
        let OpenPeriod { mut ledger, mut insights } = match open {
            Some(open) => *open,
            None => OpenPeriod { ledger: saved.load(period, self.window)?, insights: self.insights() },
        };
        if let Some(added) = &added {
            ledger.absorb(added);
        }
        let changes = if is_new {
            ledger.everything()
        } else {
            added.as_ref().map_or_else(Changes::default, |added| added.everything())
        };
        let cut = Cut {
            period: Some(period),
            ledger: Arc::new(ledger),
            changes: Arc::new(changes),
            catalog: Arc::clone(&self.catalog),
            new_catalog: is_new,
            dictionaries: Arc::clone(&self.dictionaries),
            user_order: Arc::clone(&self.user_order),
            song_order: Arc::clone(&self.song_order),
            current_week: self.current_week,
            threads,
        };
        let staged = self.stage(&cut, period, plays, &mut insights, published.as_ref())?;
        let open = stays_open.then(|| {
            // The cut has the only reference, so this is no copy.
            Box::new(OpenPeriod { ledger: Arc::unwrap_or_clone(cut.ledger), insights })
        });
        let added = added.filter(|_| self.commits);
        Ok(Done { period, added, open, staged })
    }

    /// Stages the tables that differ from the published ones.
    fn stage(
        &self,
        cut: &Cut,
        period: Period,
        plays: u64,
        insights: &mut [Box<dyn Insight>],
        published: Option<&PeriodIndex>,
    ) -> Result<Option<StagedPeriod>, Error> {
        let mut index = PeriodIndex::new(period, plays);
        let mut snapshots = Vec::new();
        for insight in insights {
            let name = insight.name();
            let table = published.and_then(|published| published.table(name));
            if let Some(unchanged) =
                table.filter(|_| self.scope == Scope::Catalog && !insight.reads_catalog())
            {
                index.add(name, unchanged.clone());
                continue;
            }
            let changed = insight.refresh(cut);
            let entry = if let Some(unchanged) = table.filter(|_| !changed && !cut.new_catalog) {
                unchanged.clone()
            } else {
                let folders = TableFolders::of_period(&self.tables.output, period, name);
                let folders = folders.tagged(self.scope.tag());
                let render = &mut |emit: &mut dyn FnMut(&[u8])| insight.render(cut, emit);
                let snapshot = Snapshot::write(&self.disk, &folders, name, self.tables.formats, render)?;
                let entry = snapshot.entry().clone();
                // An unchanged snapshot is dropped, which removes its staged file.
                snapshots.extend((table != Some(&entry)).then_some((name, snapshot)));
                entry
            };
            index.add(name, entry);
        }
        Ok((published != Some(&index)).then_some(StagedPeriod { period, index, snapshots }))
    }

    fn insights(&self) -> Vec<Box<dyn Insight>> {
        self.tables.names.enabled(&self.tables.insights)
    }
}
