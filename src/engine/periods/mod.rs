//! The tables of periods: one ledger per period, and the same insights for each of them.
//!
//! The plays since the last commit are in memory. The plays of earlier commits are in the state. The current and the
//! previous period of each length stay open: their ledgers and rows stay in memory, so a flush renders only what
//! has changed. All other periods are closed. A late play, a new catalog or new settings open a closed period, change
//! its tables, and close it again.

mod render;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio::task::{JoinHandle, spawn_blocking};
use xxhash_rust::xxh3::xxh3_128;

use crate::engine::periods::render::{Done, Job, OpenPeriod, Renderer, TableJob};
use crate::insights::{self, Cut};
use crate::ledger::periods::PeriodPlays;
use crate::model::Batch;
use crate::model::error::Error;
use crate::model::period_rules::PeriodRules;
use crate::publish::OutputFormats;
use crate::publish::manifest::hash_text;
use crate::publish::periods::{PublishedPeriods, StagedPeriod};
use crate::settings::{PeriodInsights, Settings};
use crate::state::checkpoint::committer::PeriodCommit;
use crate::state::checkpoint::load::CommittedPeriods;
use crate::state::checkpoint::periods::SavedPeriods;
use crate::state::checkpoint::segment::SegmentEntry;
use crate::storage::{Disk, SharedDisk};
use crate::time::period::Period;

/// The ledgers and the tables of all periods.
#[derive(Debug)]
pub struct PeriodTables {
    disk: SharedDisk,
    tables: TableSettings,
    plays: PeriodPlays,
    saved: SavedPeriods,
    /// Whether periods stay open between cuts.
    stays_open: bool,
    open: BTreeMap<Period, Box<OpenPeriod>>,
    /// The part of the last cut that the next commit saves.
    commit: PeriodCommit,
}

/// The settings that decide what the tables of a period look like.
#[derive(Clone, Debug)]
struct TableSettings {
    output: PathBuf,
    formats: OutputFormats,
    insights: insights::Settings,
    names: PeriodInsights,
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
    listed: Vec<Period>,
    rendering: Option<JoinHandle<Result<Vec<Done>, Error>>>,
}

impl PeriodTables {
    /// Continues after the commits of earlier processes. `stays_open` is false in a `replay`, which makes only one
    /// cut.
    pub fn new(
        disk: &SharedDisk,
        settings: &Settings,
        committed: CommittedPeriods,
        stays_open: bool,
    ) -> Self {
        let CommittedPeriods { saved, latest_day, basis } = committed;
        let plays = PeriodPlays::new(settings.periods.rules(), latest_day, saved.counts());
        let commit = PeriodCommit { latest_day, basis, ..PeriodCommit::default() };
        let tables = TableSettings::of(settings);
        Self { disk: disk.clone(), tables, plays, saved, stays_open, open: BTreeMap::new(), commit }
    }

    /// Begins again with the commits of earlier processes.
    pub fn start_over(&mut self, settings: &Settings, committed: CommittedPeriods) {
        *self = Self::new(&self.disk, settings, committed, self.stays_open);
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

    /// Adds the plays of a batch.
    pub fn add(&mut self, batch: &Batch) {
        self.plays.add(batch);
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

    /// Applies new settings. All tables are rendered again at the next cut.
    pub fn set_settings(&mut self, settings: &Settings) {
        self.tables = TableSettings::of(settings);
        self.plays.set_rules(settings.periods.rules());
        self.open.clear();
    }

    /// Begins to stage the tables of the periods that have changed since the last cut. `cut` is the cut of all
    /// plays.
    pub fn begin(&mut self, cut: &Cut, published: &PublishedPeriods) -> Staging {
        let basis = self.tables.basis(cut);
        let is_new_basis = self.commit.basis.as_ref() != Some(&basis);
        self.commit = PeriodCommit { latest_day: self.plays.latest_day(), ..PeriodCommit::default() };
        if self.rules().is_empty() {
            return Staging::default();
        }
        self.commit.basis = Some(basis);
        let renderer = Renderer::new(&self.disk, self.tables.clone(), cut, is_new_basis);
        let counts: Vec<(Period, u64)> = self.plays.published().collect();
        let jobs = self.jobs(&counts, is_new_basis, published);
        let saved = self.saved.clone();
        let listed = counts.into_iter().map(|(period, _)| period).collect();
        Staging { listed, rendering: Some(spawn_blocking(move || renderer.run(jobs, &saved))) }
    }

    /// Waits until all tables are staged.
    ///
    /// # Errors
    /// The first file that cannot be read (65) or written (73, 74).
    pub async fn finish(&mut self, staging: Staging) -> Result<StagedPeriods, Error> {
        let Staging { listed, rendering } = staging;
        let mut staged = StagedPeriods { listed, ..StagedPeriods::default() };
        let Some(rendering) = rendering else { return Ok(staged) };
        let rendered =
            rendering.await.map_err(|cause| Error::Bug(format!("a thread has panicked: {cause}")))?;
        for done in rendered? {
            self.commit.plays.extend(done.added.map(|plays| (done.period, plays)));
            staged.changed.extend(done.staged);
            if let Some(open) = done.open.filter(|_| self.stays_open(done.period)) {
                self.open.insert(done.period, open);
            }
        }
        Ok(staged)
    }

    /// The work of a cut: render what has changed, and make ledgers of the plays to commit.
    fn jobs(
        &mut self,
        counts: &[(Period, u64)],
        is_new_basis: bool,
        published: &PublishedPeriods,
    ) -> Vec<Job> {
        let mut added = self.plays.take_uncommitted();
        let mut jobs = Vec::new();
        for &(period, plays) in counts {
            let added = added.remove(&period);
            let index = published.index(period);
            if added.is_some() || index.is_none() || is_new_basis {
                let (open, published) = (self.open.remove(&period), index.cloned());
                jobs.push(Job { period, added, tables: Some(TableJob { plays, open, published }) });
            }
        }
        // A later period may become the latest one at any time, so its plays are kept.
        jobs.extend(added.into_iter().map(|(period, added)| Job {
            period,
            added: Some(added),
            tables: None,
        }));
        self.open.retain(|period, _| counts.binary_search_by_key(period, |(period, _)| *period).is_ok());
        jobs
    }

    /// Whether a period stays open: the current and the previous one of each length do.
    fn stays_open(&self, period: Period) -> bool {
        let is_recent = |day| period >= Period::of_day(period.length, day).back(1);
        self.stays_open && self.plays.latest_day().is_some_and(is_recent)
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

impl TableSettings {
    fn of(settings: &Settings) -> Self {
        Self {
            output: settings.output.clone(),
            formats: OutputFormats::of(settings),
            insights: settings.insights.clone(),
            names: settings.periods.insights.clone(),
        }
    }

    /// The catalog and the settings as a hash. Tables with the same plays and the same basis are the same.
    fn basis(&self, cut: &Cut) -> String {
        let catalog = cut.catalog.fingerprint();
        let text = format!(
            "{} {catalog:032x} {} {:?} {}",
            env!("CARGO_PKG_VERSION"),
            self.names,
            self.formats,
            serde_json::to_string(&self.insights).expect("settings are plain data"),
        );
        hash_text(xxh3_128(text.as_bytes()))
    }
}
