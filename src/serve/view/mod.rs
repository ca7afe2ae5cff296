//! What readers see while the program runs: one epoch as a whole, for as long as they look at it.
//!
//! The owner of the state makes a [`View`] of each epoch when it has published it. A view never
//! changes, so whoever reads needs no lock, holds up nobody, and never sees two epochs at once.

pub mod append_only;
pub mod listener;
pub mod overview;
pub mod page;
pub mod search;
pub mod song;
pub mod table;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::catalog::reload::CatalogVersion;
use crate::insights::columns::{Column, ColumnType, columns};
use crate::insights::{NAMES, enriched_logs};
use crate::ledger::LedgerReader;
use crate::model::dictionary::{Dictionaries, SortedIds};
use crate::model::value::Fraction;
use crate::model::{SongId, UserId};
use crate::publish::REJECTS;
use crate::publish::manifest::{InputEntry, Manifest};
use crate::serve::view::append_only::Log;
use crate::serve::view::overview::DashboardCharts;
use crate::serve::view::table::Table;
use crate::time::civil::Week;
use crate::time::window::NightWindow;

/// One epoch.
#[derive(Debug)]
pub struct View {
    /// What is in memory of it.
    pub snapshot: EpochSnapshot,
    tables: BTreeMap<&'static str, Arc<Table>>,
    enriched: Option<Log>,
    rejects: Log,
    pictures: OnceLock<Arc<DashboardCharts>>,
}

/// Where the view of the latest epoch is to be found; nothing before the first was published.
pub type Views = watch::Receiver<Option<Arc<View>>>;

/// An epoch, but for its files.
#[derive(Debug)]
pub struct EpochSnapshot {
    /// What was published.
    pub manifest: Manifest,
    /// The plays.
    pub ledger: LedgerReader,
    /// The catalog.
    pub catalog: Arc<CatalogVersion>,
    /// The text of ids.
    pub names: Arc<Dictionaries>,
    /// All listeners in the order of their ids' bytes.
    pub user_order: Arc<SortedIds<UserId>>,
    /// All songs in the order of their ids' bytes.
    pub song_order: Arc<SortedIds<SongId>>,
    /// The week of the top songs.
    pub week: Option<Week>,
    /// What counts as night.
    pub night: NightWindow,
    /// Above which share of a genre a listener is loyal.
    pub threshold: Fraction,
    /// Everybody who has a play.
    pub listeners: u64,
    /// What was read of the inputs that were read last.
    pub inputs: Vec<InputEntry>,
    /// Whether text that looks like a formula stands behind an apostrophe in the files.
    pub guarded: bool,
}

/// Columns of the rejected rows.
const REJECTS_COLUMNS: &[Column] = &[
    Column { name: "file", kind: ColumnType::Text },
    Column { name: "line", kind: ColumnType::Integer },
    Column { name: "byte_offset", kind: ColumnType::Integer },
    Column { name: "reason", kind: ColumnType::Text },
    Column { name: "raw", kind: ColumnType::Text },
];

impl View {
    /// The view of what was just published in an output folder. A table that is still that of the
    /// view before is taken over, with all that was found out about it.
    pub fn new(snapshot: EpochSnapshot, output: &Path, before: Option<&Self>) -> Self {
        let EpochSnapshot { manifest, guarded, .. } = &snapshot;
        let guarded = *guarded;
        let mut tables = BTreeMap::new();
        for name in NAMES.into_iter().filter(|name| *name != enriched_logs::NAME) {
            let Some(entry) = manifest.insights.get(name).and_then(|entry| entry.parts.first()) else {
                continue;
            };
            let same =
                before.and_then(|before| before.tables.get(name)).filter(|table| table.entry() == entry);
            let table = match same {
                Some(table) => Ok(Arc::clone(table)),
                None => {
                    Table::open(name, &output.join(name).join(&entry.file), entry, columns_of(name), guarded)
                        .map(Arc::new)
                }
            };
            match table {
                Ok(table) => drop(tables.insert(name, table)),
                // Whoever has removed the file knows; the epoch is published all the same.
                Err(cause) => tracing::warn!("{name}: cannot be shown: {cause}"),
            }
        }
        let enriched = manifest.insights.get(enriched_logs::NAME);
        let enriched = enriched.map(|entry| {
            Log::new(&output.join(enriched_logs::NAME), entry, columns_of(enriched_logs::NAME), guarded)
        });
        let rejects = Log::new(&output.join(REJECTS), &manifest.rejects, REJECTS_COLUMNS, false);
        Self { snapshot, tables, enriched, rejects, pictures: OnceLock::new() }
    }

    /// The snapshot of an insight, if it is enabled and none that only appends.
    pub fn table(&self, insight: &str) -> Option<&Arc<Table>> {
        self.tables.get(insight)
    }

    /// The log of `enriched_logs`, if it is enabled.
    pub fn enriched(&self) -> Option<&Log> {
        self.enriched.as_ref()
    }

    /// The log of rejected rows.
    pub fn rejects(&self) -> &Log {
        &self.rejects
    }

    /// Listeners whose ids begin with a text, in the order of their bytes.
    pub fn users_from(&self, start: &str, limit: usize) -> Vec<String> {
        let users = self.snapshot.names.users.read();
        let order = self.snapshot.user_order.ids();
        let from = order.partition_point(|&user| users.resolve(user) < start.as_bytes());
        let found = order[from..].iter().map(|&user| users.resolve(user));
        let found = found.take_while(|id| id.starts_with(start.as_bytes())).take(limit);
        found.map(|id| String::from_utf8_lossy(id).into_owned()).collect()
    }
}

fn columns_of(insight: &str) -> &'static [Column] {
    columns(insight).expect("every insight has columns")
}
