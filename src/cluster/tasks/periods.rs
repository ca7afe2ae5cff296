//! Periods: the sums of their plays, and their tables.

use std::path::Path;

use music_insights_ballista::error::{ClusterError, ErrorKind};

use crate::cluster::job::{PeriodJob, PeriodSums, StagedPeriodTables, SumsFile};
use crate::cluster::sums::write_ledger;
use crate::cluster::tasks::{Tasks, io_error};
use crate::insights::Cut;
use crate::ledger::Ledger;
use crate::ledger::periods::PeriodPlays;
use crate::model::dictionary::Dictionaries;
use crate::publish::periods::PeriodIndex;
use crate::publish::snapshot::Snapshot;
use crate::publish::table_folders::TableFolders;
use crate::time::period::Period;
use crate::time::window::NightWindow;

/// The number of plays in memory above which their sums are added to the file. A play counts once for each
/// kept length.
const IN_MEMORY: usize = 4 << 20;

/// The file with the sums of periods: one file of sums after the other. A period has several of them if there
/// are many plays.
#[derive(Debug)]
pub(super) struct PeriodsFile {
    plays: PeriodPlays,
    window: NightWindow,
    pub(super) bytes: Vec<u8>,
    pub(super) periods: Vec<PeriodSums>,
}

impl PeriodsFile {
    pub(super) fn new(plays: PeriodPlays, window: NightWindow) -> Self {
        Self { plays, window, bytes: Vec::new(), periods: Vec::new() }
    }

    /// Adds the plays of a batch.
    pub(super) fn add(&mut self, batch: &crate::model::Batch, dictionaries: &Dictionaries) {
        self.plays.add(batch);
        if self.plays.in_memory() > IN_MEMORY {
            self.write(dictionaries);
        }
    }

    /// Adds the sums of all plays in memory to the file.
    pub(super) fn write(&mut self, dictionaries: &Dictionaries) {
        for (period, plays) in self.plays.take_uncommitted() {
            let ledger = Ledger::of_plays(&plays, self.window);
            let sums = write_ledger(&ledger, dictionaries);
            let offset = self.bytes.len() as u64;
            let file = SumsFile { url: String::new(), offset, bytes: sums.bytes.len() as u64 };
            self.bytes.extend_from_slice(&sums.bytes);
            self.periods.push(PeriodSums { period: period.code(), file, plays: ledger.plays() });
        }
    }
}

impl Tasks {
    /// Renders the tables of a period, and stages them in the output folder.
    pub(super) fn period(&self, job: &PeriodJob) -> Result<StagedPeriodTables, ClusterError> {
        let period = Period::from_code(job.period)
            .ok_or_else(|| ClusterError::new(ErrorKind::Setup, "a job names no period"))?;
        let cut = self.cut(&job.sources, |ledger, dictionaries, sums| {
            self.add_listeners(ledger, dictionaries, sums, (b"", None))
        })?;
        let cut = Cut { period: Some(period), ..cut };
        let disk = self.disk_of(&job.target)?;
        let tag = self.new_tag();
        let mut index = PeriodIndex::new(period, job.plays);
        let insights = job.sources.insights.enabled_snapshots().into_iter();
        for mut insight in insights.filter(|insight| job.names.iter().any(|name| name == insight.name())) {
            insight.refresh(&cut);
            let folders = TableFolders::of_period(Path::new(&job.target.output), period, insight.name());
            let folders = folders.tagged(tag.clone());
            let render = &mut |emit: &mut dyn FnMut(&[u8])| insight.render(&cut, emit);
            let snapshot = Snapshot::write(&disk, &folders, insight.name(), job.target.formats, render);
            index.add(insight.name(), snapshot.map_err(|error| io_error(&error))?.keep());
        }
        Ok(StagedPeriodTables { tag, index })
    }
}
