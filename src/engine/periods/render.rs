//! Renders the tables of periods on several threads.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::catalog::Catalog;
use crate::engine::periods::earlier::EarlierPlays;
use crate::engine::periods::limits::MOST_WITHOUT_ROWS;
use crate::engine::periods::spilled::Scratch;
use crate::engine::periods::table_settings::TableSettings;
use crate::insights::pass::{self, PassTable};
use crate::insights::{Cut, Insight, Once};
use crate::ledger::compact::CompactPlays;
use crate::ledger::user_index::UserIndex;
use crate::ledger::{Changes, Ledger};
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;
use crate::model::sorted_ids::SortedIds;
use crate::model::{SongId, UserId};
use crate::publish::manifest::InsightEntry;
use crate::publish::periods::{PeriodIndex, StagedPeriod};
use crate::publish::snapshot::{Render, Snapshot, SnapshotWriter};
use crate::publish::table_folders::TableFolders;
use crate::storage::SharedDisk;
use crate::time::civil::Week;
use crate::time::period::Period;
use crate::time::window::NightWindow;

/// The ledger and the insights of a period, both up to date. There are no insights if no rows are kept.
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
    pub(super) added: Option<CompactPlays>,
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
    pub(super) fn run(&self, mut jobs: Vec<Job>, earlier: &EarlierPlays) -> Result<Vec<Done>, Error> {
        // The longest jobs come first, so that no thread is left alone with one of them.
        jobs.sort_by_key(|job| Reverse(job.tables.as_ref().map_or(0, |tables| tables.plays)));
        // With few periods, each of them uses all threads.
        let workers = self.threads.min(jobs.len());
        let threads_each = if jobs.len() >= self.threads { 1 } else { self.threads };
        let queue = Mutex::new(VecDeque::from(jobs));
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let work = || {
            let (mut done, mut scratch) = (Vec::new(), Scratch::default());
            while let Some(job) = next().filter(|_| !self.progress.is_cancelled.load(Ordering::Relaxed)) {
                done.push(self.render(job, earlier, threads_each, &mut scratch)?);
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

    fn render(
        &self,
        job: Job,
        earlier: &EarlierPlays,
        threads: usize,
        scratch: &mut Scratch,
    ) -> Result<Done, Error> {
        let Job { period, added, tables } = job;
        let added = added.map(|plays| Arc::new(Ledger::of_plays(&plays, self.window)));
        let Some(TableJob { plays, open, published, stays_open }) = tables else {
            return Ok(Done { period, added, open: None, staged: None });
        };
        let (mut ledger, grouped, insights) = if let Some(open) = open {
            (open.ledger, None, open.insights)
        } else {
            let (ledger, grouped) = earlier.load(period, self.window, scratch)?;
            (ledger, grouped, Vec::new())
        };
        if let Some(added) = &added {
            ledger.absorb(added);
        }
        let keeps_rows = stays_open && plays > MOST_WITHOUT_ROWS;
        let is_new = self.scope != Scope::Plays || insights.is_empty();
        let changes = match &added {
            _ if !keeps_rows => Changes::default(),
            Some(added) if !is_new => added.everything(),
            None if !is_new => Changes::default(),
            _ => ledger.everything(),
        };
        let mut insights = if insights.is_empty() { self.insights() } else { insights };
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
        let index = PeriodIndex::new(period, plays);
        let mut tables = StagedTables { period, index, snapshots: Vec::new() };
        if keeps_rows {
            self.stage(&cut, &mut insights, published.as_ref(), &mut tables)?;
        } else {
            let index = match &grouped {
                Some(plays) => UserIndex::Grouped(plays),
                None => UserIndex::of_listens(cut.ledger.listens()),
            };
            self.stage_once(&cut, &index, insights, published.as_ref(), &mut tables)?;
            insights = Vec::new();
        }
        let StagedTables { index, snapshots, .. } = tables;
        let staged =
            (published.as_ref() != Some(&index)).then_some(StagedPeriod { period, index, snapshots });
        let open = stays_open.then(|| {
            // The cut has the only reference, so this is no copy.
            Box::new(OpenPeriod { ledger: Arc::unwrap_or_clone(cut.ledger), insights })
        });
        let added = added.filter(|_| self.commits);
        Ok(Done { period, added, open, staged })
    }

    /// Stages the tables of a period with rows that differ from the published ones.
    fn stage(
        &self,
        cut: &Cut,
        insights: &mut [Box<dyn Insight>],
        published: Option<&PeriodIndex>,
        staged: &mut StagedTables,
    ) -> Result<(), Error> {
        for insight in insights {
            let name = insight.name();
            let table = published.and_then(|published| published.table(name));
            let changed = insight.refresh(cut);
            if let Some(unchanged) = table.filter(|_| !changed && !cut.new_catalog) {
                staged.index.add(name, unchanged.clone());
                continue;
            }
            let render = &mut |emit: &mut dyn FnMut(&[u8])| insight.render(cut, emit);
            staged.add(name, self.begin(staged.period, name)?.write(render)?, table);
        }
        Ok(())
    }

    /// Stages the tables of a period without rows that differ from the published ones.
    fn stage_once(
        &self,
        cut: &Cut,
        listens: &UserIndex<'_>,
        mut insights: Vec<Box<dyn Insight>>,
        published: Option<&PeriodIndex>,
        staged: &mut StagedTables,
    ) -> Result<(), Error> {
        let table = |name| published.and_then(|published| published.table(name));
        let period = staged.period;
        insights.retain(|insight| {
            let is_same = self.scope == Scope::Catalog && !insight.reads_catalog();
            let unchanged = table(insight.name()).filter(|_| is_same);
            if let Some(entry) = unchanged {
                staged.index.add(insight.name(), entry.clone());
            }
            unchanged.is_none()
        });
        let (mut tables, mut writers) = (Vec::new(), Vec::new());
        for insight in &mut insights {
            let (about, writer) = (insight.about(), self.begin(period, insight.name())?);
            let render: &mut Render<'_> = match insight.once(cut) {
                Once::Table(insight) => &mut |emit| insight.render(cut, emit),
                Once::Songs(rows) => &mut |emit| pass::render_songs(cut, rows, &about.header(), emit),
                Once::Listeners(rows) => {
                    tables.push(PassTable { rows, header: about.header() });
                    writers.push((about.name, writer));
                    continue;
                }
            };
            staged.add(about.name, writer.write(render)?, table(about.name));
        }
        let rows = pass::render(cut, listens, &tables, |index, lines| writers[index].1.push(lines));
        for ((name, writer), rows) in writers.into_iter().zip(rows) {
            staged.add(name, writer.finish(rows)?, table(name));
        }
        Ok(())
    }

    /// Begins to stage a table.
    fn begin(&self, period: Period, name: &'static str) -> Result<SnapshotWriter, Error> {
        let folders = TableFolders::of_period(&self.tables.output, period, name).tagged(self.scope.tag());
        SnapshotWriter::begin(&self.disk, &folders, name, self.tables.formats)
    }

    fn insights(&self) -> Vec<Box<dyn Insight>> {
        self.tables.names.enabled(&self.tables.insights)
    }
}

/// The staged tables of a period.
struct StagedTables {
    period: Period,
    index: PeriodIndex,
    snapshots: Vec<(&'static str, Snapshot)>,
}

impl StagedTables {
    /// Adds a table, unless it is the same as the published one.
    fn add(&mut self, name: &'static str, snapshot: Snapshot, published: Option<&InsightEntry>) {
        self.index.add(name, snapshot.entry().clone());
        // An unchanged snapshot is dropped, which removes its staged file.
        self.snapshots.extend((published != Some(snapshot.entry())).then_some((name, snapshot)));
    }
}
