//! The published epoch as the server shows it: tables in memory, and open snapshot files.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use tokio::sync::watch;

use crate::catalog::reload::CatalogVersion;
use crate::insights;
use crate::ledger::LedgerReader;
use crate::model::dictionary::Dictionaries;
use crate::model::period_rules::PeriodRules;
use crate::model::sorted_ids::SortedIds;
use crate::model::value::Fraction;
use crate::model::{SongId, UserId};
use crate::publish::manifest::{InputEntry, Manifest, PartEntry};
use crate::publish::periods::PeriodIndex;
use crate::state::checkpoint::periods::SavedPeriods;
use crate::state::input_progress::RefusedInput;
use crate::time::civil::Week;
use crate::time::period::Period;
use crate::time::window::NightWindow;

/// The latest epoch; `None` before the first one is published.
pub type Epochs = watch::Receiver<Option<Arc<EpochSnapshot>>>;

/// The open file of a published snapshot. Its content stays readable after a later snapshot has replaced the
/// file in the folder.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    /// The open file.
    pub file: Arc<File>,
    /// The entry of the file in the manifest.
    pub entry: PartEntry,
}

/// One published epoch. It never changes.
#[derive(Debug)]
pub struct EpochSnapshot {
    /// The published manifest.
    pub manifest: Manifest,
    /// The files of the snapshots, by insight.
    pub files: BTreeMap<&'static str, SnapshotFile>,
    /// The sums over all plays of the epoch.
    pub ledger: LedgerReader,
    /// The catalog of the epoch.
    pub catalog: Arc<CatalogVersion>,
    /// The texts of all ids, including ids that are newer than the epoch.
    pub dictionaries: Arc<Dictionaries>,
    /// All listeners, sorted by the bytes of their ids.
    pub user_order: Arc<SortedIds<UserId>>,
    /// All songs, sorted by the bytes of their ids.
    pub song_order: Arc<SortedIds<SongId>>,
    /// The week of the top songs; `None` without plays.
    pub week: Option<Week>,
    /// The hours that count as night.
    pub night: NightWindow,
    /// The settings of the insights.
    pub insights: insights::Settings,
    /// The loyalty score that a listener must exceed.
    pub threshold: Fraction,
    /// Number of listeners with at least one play.
    pub listeners: u64,
    /// The progress of the inputs that were read most recently, latest first.
    pub inputs: Vec<InputEntry>,
    /// The latest inputs that cannot be read as logs, latest first.
    pub refused: Vec<RefusedInput>,
    /// Whether formulas are escaped in the CSV files.
    pub escaped: bool,
    /// The published periods.
    pub periods: EpochPeriods,
}

/// The periods of an epoch.
#[derive(Clone, Debug, Default)]
pub struct EpochPeriods {
    /// The tables of each published period.
    pub indexes: BTreeMap<Period, Arc<PeriodIndex>>,
    /// The plays of each period. A period can be loaded at any time, also after later epochs.
    pub saved: SavedPeriods,
    /// The rules that say which periods are kept.
    pub rules: PeriodRules,
    /// A day in the latest period of every length, as a number of days since 1970-01-01; `None` without plays.
    pub latest_day: Option<i64>,
}
