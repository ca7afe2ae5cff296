//! The published epoch, handed to readers: what is in memory of it, and its open snapshot files.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use tokio::sync::watch;

use crate::catalog::reload::CatalogVersion;
use crate::insights;
use crate::ledger::LedgerReader;
use crate::model::dictionary::{Dictionaries, SortedIds};
use crate::model::value::Fraction;
use crate::model::{SongId, UserId};
use crate::publish::manifest::{InputEntry, Manifest, PartEntry};
use crate::time::civil::Week;
use crate::time::window::NightWindow;

/// The latest epoch; `None` before the first is published.
pub type Epochs = watch::Receiver<Option<Arc<EpochSnapshot>>>;

/// The file of a published snapshot table. It stays open, so it belongs to its epoch even after a
/// later one has replaced it.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    /// The open file.
    pub file: Arc<File>,
    /// Its entry in the manifest.
    pub entry: PartEntry,
}

/// One published epoch. It never changes.
#[derive(Debug)]
pub struct EpochSnapshot {
    /// What was published.
    pub manifest: Manifest,
    /// The files of the snapshot tables, by insight.
    pub files: BTreeMap<&'static str, SnapshotFile>,
    /// The plays.
    pub ledger: LedgerReader,
    /// The catalog.
    pub catalog: Arc<CatalogVersion>,
    /// The text of ids.
    pub dictionaries: Arc<Dictionaries>,
    /// All listeners in the order of their ids' bytes.
    pub user_order: Arc<SortedIds<UserId>>,
    /// All songs in the order of their ids' bytes.
    pub song_order: Arc<SortedIds<SongId>>,
    /// The week of the top songs.
    pub week: Option<Week>,
    /// What counts as night.
    pub night: NightWindow,
    /// The settings of the insights.
    pub insights: insights::Settings,
    /// Above which share of a genre a listener is loyal.
    pub threshold: Fraction,
    /// Everybody who has a play.
    pub listeners: u64,
    /// What was read of the inputs that were read last.
    pub inputs: Vec<InputEntry>,
    /// Whether text that looks like a formula stands behind an apostrophe in the files.
    pub escaped: bool,
}
