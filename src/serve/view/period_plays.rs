//! The plays of one period, and the files of its tables.
//!
//! The tables are in the output folder, and the plays are in the state. Both are read when a request needs
//! them.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::engine::epoch::EpochSnapshot;
use crate::insights::columns;
use crate::ledger::LedgerReader;
use crate::publish::periods::PeriodIndex;
use crate::publish::table_folders::TableFolders;
use crate::serve::view::table::{Replaced, SnapshotTable};
use crate::time::period::Period;

/// What the view of a period has instead of the plays of all time.
#[derive(Debug)]
pub(super) struct PeriodPlays {
    /// The period.
    pub(super) period: Period,
    /// The index of its tables.
    pub(super) index: Arc<PeriodIndex>,
    /// The plays. The first request that needs them loads them.
    pub(super) loaded: Arc<OnceLock<LoadedPlays>>,
    /// The top songs of the period before, if that period is published.
    pub(super) before: Option<(Period, Arc<SnapshotTable>)>,
}

/// The plays of a period.
#[derive(Debug)]
pub(super) struct LoadedPlays {
    /// Sums over the plays.
    pub(super) ledger: LedgerReader,
    /// Number of listeners.
    pub(super) listeners: u64,
}

impl PeriodPlays {
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
pub(super) fn open_table(
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
