//! The plays of one period, and the files of its tables.
//!
//! The tables are in the output folder, and the plays are in the state. Both are read when a request needs
//! them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::engine::epoch::EpochSnapshot;
use crate::insights::{self, SNAPSHOTS, columns, top_songs_this_week};
use crate::ledger::LedgerReader;
use crate::publish::periods::PeriodIndex;
use crate::publish::table_folders::TableFolders;
use crate::serve::overview::DashboardCharts;
use crate::serve::view::table::{Replaced, SnapshotTable};
use crate::time::period::Period;

/// What the view of a period has instead of the plays of all time. It stays the same over all epochs in which
/// the period does not change, and it keeps nothing of an epoch in memory.
#[derive(Debug)]
pub struct PeriodPlays {
    /// The period.
    pub(super) period: Period,
    /// The index of its tables.
    pub(super) index: Arc<PeriodIndex>,
    /// The published tables.
    pub(super) tables: BTreeMap<&'static str, Arc<SnapshotTable>>,
    /// The charts. The first request that needs them draws them.
    pub(super) charts: Arc<OnceLock<Arc<DashboardCharts>>>,
    /// The top songs of the period before, if that period is published.
    pub(super) before: Option<(Period, Arc<SnapshotTable>)>,
    /// The plays. The first request that needs them loads them.
    loaded: Arc<OnceLock<LoadedPlays>>,
    /// Hash of the catalog of the charts.
    catalog: u128,
    /// The settings of the tables and charts.
    insights: insights::Settings,
}

/// The loaded plays of a period.
#[derive(Debug)]
pub(super) struct LoadedPlays {
    /// Sums over the plays.
    pub(super) ledger: LedgerReader,
    /// Number of listeners.
    pub(super) listeners: u64,
}

impl PeriodPlays {
    /// Opens the tables of a published period. Everything that has not changed since `previous`, an earlier
    /// value for the same period, is taken over.
    ///
    /// # Errors
    /// If a table cannot be opened.
    pub(super) fn open(
        snapshot: &EpochSnapshot,
        period: Period,
        index: &Arc<PeriodIndex>,
        output: &Path,
        previous: Option<&Self>,
    ) -> io::Result<Self> {
        let opened = |period: Period, index: &PeriodIndex, name, known| {
            open_table(output, index, period, name, snapshot.escaped, known)
        };
        let mut tables = BTreeMap::new();
        for about in SNAPSHOTS {
            let known = previous.and_then(|previous| previous.tables.get(about.name));
            let table = opened(period, index, about.name, known)?;
            tables.extend(table.map(|table| (about.name, table)));
        }
        let earlier = period.back(1);
        let before = match snapshot.periods.indexes.get(&earlier) {
            Some(index) => {
                let known = previous.and_then(|previous| previous.before.as_ref()).map(|(_, table)| table);
                opened(earlier, index, top_songs_this_week::NAME, known)?
            }
            None => None,
        };
        // Plays are only added, so the same number of plays means the same plays.
        let same_plays = previous.filter(|previous| previous.index.plays == index.plays);
        let catalog = snapshot.catalog.catalog.fingerprint();
        let same_charts = previous.filter(|previous| {
            previous.index == *index && previous.catalog == catalog && previous.insights == snapshot.insights
        });
        Ok(Self {
            period,
            index: Arc::clone(index),
            tables,
            charts: same_charts.map(|previous| Arc::clone(&previous.charts)).unwrap_or_default(),
            before: before.map(|table| (earlier, table)),
            loaded: same_plays.map(|previous| Arc::clone(&previous.loaded)).unwrap_or_default(),
            catalog,
            insights: snapshot.insights.clone(),
        })
    }

    /// The plays. The first call loads them.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub(super) fn loaded(&self, snapshot: &EpochSnapshot) -> io::Result<&LoadedPlays> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let ledger = snapshot.periods.saved.load(self.period, snapshot.night);
        let ledger = ledger.map_err(|cause| io::Error::other(cause.to_string()))?;
        let listeners = ledger.everything().users.len() as u64;
        Ok(self.loaded.get_or_init(|| LoadedPlays { ledger: ledger.reading(), listeners }))
    }
}

/// The table of an insight of a period; `None` if it is not published. If `known` is the same table, it is
/// returned.
///
/// # Errors
/// If the file cannot be opened.
fn open_table(
    output: &Path,
    index: &PeriodIndex,
    period: Period,
    name: &'static str,
    escaped: bool,
    known: Option<&Arc<SnapshotTable>>,
) -> io::Result<Option<Arc<SnapshotTable>>> {
    let Some(part) = index.table(name).and_then(|entry| entry.parts.first()) else { return Ok(None) };
    if let Some(same) = known.filter(|table| table.entry() == part) {
        return Ok(Some(Arc::clone(same)));
    }
    let path = TableFolders::of_period(output, period, name).csv.join(&part.file);
    let file = File::open(path).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => Replaced.into(),
        _ => cause,
    })?;
    if file.metadata()?.len() != part.bytes {
        return Err(Replaced.into());
    }
    let columns = columns(name).unwrap_or_default();
    Ok(Some(Arc::new(SnapshotTable::unchecked(name, Arc::new(file), part, columns, escaped))))
}
