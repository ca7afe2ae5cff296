//! The tables of periods: one ledger per period, and the same insights for each of them.
//!
//! The plays since the last commit are in memory. The plays of earlier commits are in the state. The current and the
//! previous period of each length stay open: their ledgers and rows stay in memory, so a flush renders only what
//! has changed. All other periods are closed. A late play, a new catalog or new settings open a closed period, change
//! its tables, and close it again.

mod earlier;
mod limits;
mod preparation;
mod render;
mod spill;
mod spilled;
mod table_settings;

use std::collections::BTreeMap;
use std::path::Path;

use tokio::task::{JoinHandle, spawn_blocking};

use crate::engine::periods::earlier::EarlierPlays;
use crate::engine::periods::limits::{MOST_IN_MEMORY, MOST_UNCOMMITTED};
use crate::engine::periods::preparation::{Preparation, Prepared};
use crate::engine::periods::render::{Done, Job, OpenPeriod, Renderer, Scope, TableJob};
use crate::engine::periods::spill::Spill;
use crate::engine::periods::table_settings::TableSettings;
use crate::insights::Cut;
use crate::ledger::compact::CompactPlays;
use crate::ledger::periods::PeriodPlays;
use crate::model::Batch;
use crate::model::error::Error;
use crate::model::period_rules::{Kept, LatestPeriod, PeriodRules};
use crate::publish::periods::{PublishedPeriods, StagedPeriod};
use crate::settings::Settings;
use crate::state::checkpoint::committer::PeriodCommit;
use crate::state::checkpoint::load::CommittedPeriods;
use crate::state::checkpoint::periods::SavedPeriods;
use crate::state::checkpoint::segment::SegmentEntry;
use crate::storage::failpoint::{Bug, planted};
use crate::storage::{Disk, SharedDisk};
use crate::time::period::{Length, Period};

/// The ledgers and the tables of all periods.
#[derive(Debug)]
pub struct PeriodTables {
    disk: SharedDisk,
    tables: TableSettings,
    plays: PeriodPlays,
    saved: SavedPeriods,
    /// Takes plays from memory in a `replay`; `None` in a `watch`, whose commits take them.
    spill: Option<Spill>,
    open: BTreeMap<Period, Box<OpenPeriod>>,
    /// The part of the last cut that the next commit saves.
    commit: PeriodCommit,
    /// The tables of closed periods for a new catalog.
    preparation: Option<Preparation>,
    /// The latest day in the future that a warning has named.
    warned_of: Option<i64>,
}

/// The staged tables of a cut.
#[derive(Debug, Default)]
pub struct StagedPeriods {
    /// The periods whose tables differ from the published ones.
    pub changed: Vec<StagedPeriod>,
    /// All periods of the cut, ascending.
    pub listed: Vec<Period>,
}

/// The tables of a cut that other threads stage.
#[derive(Debug, Default)]
pub struct Staging {
    staged: StagedPeriods,
    rendering: Option<JoinHandle<Result<Vec<Done>, Error>>>,
}

impl PeriodTables {
    /// Continues after the commits of earlier processes. `commits` is false in a `replay`, which makes only one cut.
    pub fn new(disk: &SharedDisk, settings: &Settings, committed: CommittedPeriods, commits: bool) -> Self {
        let CommittedPeriods { saved, latest_day, basis } = committed;
        let (rules, night) = (settings.periods.rules(), settings.night_window());
        let plays = if commits {
            PeriodPlays::new(rules, night, latest_day, &saved.counts())
        } else {
            PeriodPlays::of_few_lengths(rules, night)
        };
        let commit = PeriodCommit { latest_day, basis, ..PeriodCommit::default() };
        let tables = TableSettings::of(settings);
        let spill = (!commits).then(|| Spill::new(disk, &settings.output, rules));
        let (disk, open, preparation) = (disk.clone(), BTreeMap::new(), None);
        Self { disk, tables, plays, saved, spill, open, commit, preparation, warned_of: None }
    }

    /// Begins again with the commits of earlier processes.
    pub fn start_over(&mut self, settings: &Settings, committed: CommittedPeriods) {
        let files = self.spill.as_ref().map(Spill::files);
        *self = Self::new(&self.disk, settings, committed, self.spill.is_none());
        // A thread may still be writing a file.
        if let (Some(spill), Some(files)) = (&mut self.spill, files) {
            spill.set_files(files);
        }
    }

    /// The rules that say which periods are kept.
    pub fn rules(&self) -> PeriodRules {
        self.plays.rules()
    }

    /// The plays by period.
    pub fn plays(&self) -> &PeriodPlays {
        &self.plays
    }

    /// The committed plays by period.
    pub fn saved(&self) -> &SavedPeriods {
        &self.saved
    }

    /// The number of periods whose plays and rows are in memory.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Adds the plays of a batch. If memory is full, a `replay` moves plays to temporary files.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub async fn add(&mut self, batch: &Batch) -> Result<(), Error> {
        self.plays.add(batch);
        if let Some(spill) = self.spill.as_mut().filter(|_| self.plays.in_memory() >= MOST_IN_MEMORY) {
            spill.write(self.plays.take_uncommitted()).await?;
        }
        Ok(())
    }

    /// Whether memory is full, so that the plays must be committed.
    pub fn is_full(&self) -> bool {
        self.plays.in_memory() >= MOST_UNCOMMITTED
    }

    /// Notes the local date of the current time. Returns whether other periods are published because of it.
    pub fn set_today(&mut self, day: i64) -> bool {
        let before = self.plays.latest_day();
        self.plays.set_today(day);
        let changes = |rules: PeriodRules| {
            let latest = |length, day| Period::of_day(length, day);
            rules.lengths().any(|length| {
                before.map(|day| latest(length, day))
                    != self.plays.latest_day().map(|day| latest(length, day))
            })
        };
        self.rules().follows_clock() && before != self.plays.latest_day() && changes(self.rules())
    }

    /// The warning about plays in the future, once for each day. They decide which periods are the latest.
    pub fn warn_of_future(&mut self, today: i64) {
        let Some(latest) = self.plays.latest_day().filter(|day| Some(*day) > self.warned_of) else { return };
        let rules = self.rules();
        let is_later = |length| Period::of_day(length, latest) > Period::of_day(length, today);
        let mut limited = rules.lengths().filter(|length| rules.kept(*length) != Kept::All);
        if rules.latest == LatestPeriod::Data && limited.any(is_later) {
            self.warned_of = Some(latest);
            tracing::warn!(
                "plays of {} are in the future, and the kept periods end there; correct the clock of the writer, or \
                 set periods.latest to \"now\"",
                Period::of_day(Length::Day, latest)
            );
        }
    }

    /// Applies new settings. All tables are rendered again at the next cut.
    pub fn set_settings(&mut self, settings: &Settings) {
        self.tables = TableSettings::of(settings);
        self.plays.set_rules(settings.periods.rules());
        self.open.clear();
        self.preparation = None;
    }

    /// Prepares the tables of closed periods for the catalog of `cut`. Returns whether the catalog can be published
    /// now. `published` are the tables of the previous catalog.
    pub fn prepare(&mut self, cut: &Cut, published: &PublishedPeriods) -> bool {
        let basis = self.tables.basis(&cut.catalog);
        if let Some(preparation) = self.preparation.take_if(|preparation| preparation.is_for(&basis)) {
            let is_done = preparation.is_done();
            self.preparation = Some(preparation);
            return is_done;
        }
        let is_closed = |period: &Period| !self.open.contains_key(period);
        let closed = self.plays.published().into_iter().filter(|(period, _)| is_closed(period));
        let closed = closed.filter(|(period, _)| self.plays.uncommitted(*period).is_none());
        let job = |(period, plays): (Period, u64)| {
            let published = published.index(period)?.clone();
            let tables = TableJob { plays, open: None, published: Some(published), stays_open: false };
            Some(Job { period, added: None, tables: Some(tables) })
        };
        let jobs: Vec<Job> = closed.filter_map(job).collect();
        if jobs.is_empty() {
            self.preparation = None;
            return true;
        }
        let renderer = Renderer::new(&self.disk, self.tables.clone(), cut, Scope::Catalog, false);
        self.preparation = Some(Preparation::begin(basis, renderer, jobs, self.saved.clone()));
        false
    }

    /// Waits until the tables for a new catalog are prepared.
    pub async fn prepared(&mut self) {
        if let Some(preparation) = &mut self.preparation {
            preparation.wait().await;
        }
    }

    /// The progress of the preparation: the number of rendered periods, and of all periods to render. `None` if
    /// there is no new catalog.
    pub fn preparation(&self) -> Option<(usize, usize)> {
        self.preparation.as_ref().map(Preparation::progress)
    }

    /// Begins to stage the tables of the periods that have changed since the last cut. `cut` is the cut of all
    /// plays.
    ///
    /// # Errors
    /// The first file of a new catalog that cannot be read (65) or written (73, 74).
    pub async fn begin(&mut self, cut: &Cut, published: &PublishedPeriods) -> Result<Staging, Error> {
        let basis = self.tables.basis(&cut.catalog);
        let is_same = self.commit.basis.as_ref() == Some(&basis);
        let scope = if is_same { Scope::Plays } else { Scope::Everything };
        self.commit = PeriodCommit { latest_day: self.plays.latest_day(), ..PeriodCommit::default() };
        if self.rules().is_empty() {
            return Ok(Staging::default());
        }
        let mut prepared = match self.preparation.take_if(|preparation| preparation.is_for(&basis)) {
            Some(preparation) => preparation.finish().await?,
            None => BTreeMap::new(),
        };
        self.commit.basis = Some(basis);
        let renderer = Renderer::new(&self.disk, self.tables.clone(), cut, scope, self.spill.is_none());
        let counts = self.plays.published();
        let mut added = self.plays.take_uncommitted();
        let earlier = match &mut self.spill {
            Some(spill) => EarlierPlays::Spilled(spill.take(std::mem::take(&mut added)).await?),
            None => EarlierPlays::Saved(self.saved.clone()),
        };
        let (jobs, changed) = self.jobs(&counts, added, scope, published, &mut prepared);
        let listed = counts.into_iter().map(|(period, _)| period).collect();
        let staged = StagedPeriods { changed, listed };
        Ok(Staging { staged, rendering: Some(spawn_blocking(move || renderer.run(jobs, &earlier))) })
    }

    /// Waits until all tables are staged.
    ///
    /// # Errors
    /// The first file that cannot be read (65) or written (73, 74).
    pub async fn finish(&mut self, staging: Staging) -> Result<StagedPeriods, Error> {
        let Staging { mut staged, rendering } = staging;
        let Some(rendering) = rendering else { return Ok(staged) };
        let rendered =
            rendering.await.map_err(|cause| Error::Bug(format!("a thread has panicked: {cause}")))?;
        for mut done in rendered? {
            if planted(Bug::ClosedPeriodUnsaved) && !self.stays_open(done.period) {
                done.added = None;
            }
            self.commit.plays.extend(done.added.map(|plays| (done.period, plays)));
            staged.changed.extend(done.staged);
            self.open.extend(done.open.map(|open| (done.period, open)));
        }
        staged.changed.sort_unstable_by_key(|staged| staged.period);
        Ok(staged)
    }

    /// The work of a cut: render what has changed, and make ledgers of the plays to commit. Also returns the prepared
    /// tables that are still up to date.
    fn jobs(
        &mut self,
        counts: &[(Period, u64)],
        mut added: BTreeMap<Period, CompactPlays>,
        scope: Scope,
        published: &PublishedPeriods,
        prepared: &mut BTreeMap<Period, Prepared>,
    ) -> (Vec<Job>, Vec<StagedPeriod>) {
        let (mut jobs, mut ready) = (Vec::new(), Vec::new());
        for &(period, plays) in counts {
            let added = added.remove(&period);
            let index = published.index(period);
            let prepared = prepared.remove(&period).filter(|prepared| prepared.plays == plays);
            match (prepared, index) {
                (Some(prepared), Some(_)) => ready.extend(prepared.staged),
                _ if added.is_some() || index.is_none() || scope != Scope::Plays => {
                    let (open, published) = (self.open.remove(&period), index.cloned());
                    let stays_open = self.stays_open(period);
                    let tables = Some(TableJob { plays, open, published, stays_open });
                    jobs.push(Job { period, added, tables });
                }
                _ => {}
            }
        }
        // A later period may become the latest one at any time, so its plays are kept.
        let later = |(period, added)| Job { period, added: Some(added), tables: None };
        jobs.extend(added.into_iter().map(later));
        self.open.retain(|period, _| counts.binary_search_by_key(period, |(period, _)| *period).is_ok());
        (jobs, ready)
    }

    /// Whether a period stays open: the current and the previous one of each length do.
    fn stays_open(&self, period: Period) -> bool {
        let is_recent = |day| period >= Period::of_day(period.length, day).back(1);
        self.spill.is_none() && self.plays.latest_day().is_some_and(is_recent)
    }

    /// The part of the last cut that a commit saves.
    pub fn for_commit(&self) -> &PeriodCommit {
        &self.commit
    }

    /// Follows a commit, after which the state in `folder` has these segments.
    ///
    /// # Errors
    /// If a segment is damaged, exit code 65.
    pub fn follow(&mut self, disk: &dyn Disk, folder: &Path, segments: &[SegmentEntry]) -> Result<(), Error> {
        self.commit.plays.clear();
        let stays_open = |period: &Period| self.stays_open(*period);
        let closed: Vec<Period> = self.open.keys().filter(|period| !stays_open(period)).copied().collect();
        for period in &closed {
            self.open.remove(period);
        }
        self.saved.follow(disk, folder, segments)
    }
}
