//! What readers see while the program runs: one epoch as a whole, for as long as they look at it.
//!
//! The engine publishes an epoch, and the server makes a [`View`] of it. A view never changes, so
//! readers need no lock and never see two epochs at once.

pub mod append_only;
pub mod listener;
pub mod overview;
pub mod page;
pub mod search;
pub mod song;
pub mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::engine::epoch::{EpochSnapshot, Epochs, SnapshotFile};
use crate::insights::{Column, columns, enriched_logs};
use crate::publish::REJECTS;
use crate::serve::view::append_only::Log;
use crate::serve::view::overview::DashboardCharts;
use crate::serve::view::table::Table;

/// One epoch.
#[derive(Debug)]
pub struct View {
    /// The epoch.
    pub snapshot: Arc<EpochSnapshot>,
    tables: BTreeMap<&'static str, Arc<Table>>,
    enriched: Option<Log>,
    rejects: Log,
    pictures: OnceLock<Arc<DashboardCharts>>,
}

/// Where the view of the latest epoch is to be found; nothing before the first was published.
pub type Views = watch::Receiver<Option<Arc<View>>>;

/// Columns of the rejected rows.
const REJECTS_COLUMNS: &[Column] = &[
    Column::text("file", "File"),
    Column::integer("line", "Line"),
    Column::integer("byte_offset", "At byte"),
    Column::text("reason", "Reason"),
    Column::text("raw", "The line as it is"),
];

impl View {
    /// The view of an epoch whose output is in the folder `output`. A table that has not changed since
    /// the view before is taken over, with all that was found out about it.
    pub fn new(snapshot: Arc<EpochSnapshot>, output: &Path, before: Option<&Self>) -> Self {
        let EpochSnapshot { manifest, escaped, .. } = &*snapshot;
        let escaped = *escaped;
        let tables = snapshot.files.iter().map(|(&name, SnapshotFile { file, entry })| {
            let known = before.and_then(|before| before.tables.get(name));
            let table = match known.filter(|table| table.entry() == entry) {
                Some(table) => Arc::clone(table),
                None => Arc::new(Table::new(name, Arc::clone(file), entry, columns_of(name), escaped)),
            };
            (name, table)
        });
        let tables = tables.collect();
        let enriched = manifest.insights.get(enriched_logs::NAME);
        let enriched = enriched.map(|entry| {
            Log::new(&output.join(enriched_logs::NAME), entry, columns_of(enriched_logs::NAME), escaped)
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
        let users = self.snapshot.dictionaries.users.read();
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

/// Makes a view of each epoch, until the engine ends.
pub async fn follow(mut epochs: Epochs, output: PathBuf, views: watch::Sender<Option<Arc<View>>>) {
    while epochs.changed().await.is_ok() {
        let Some(snapshot) = epochs.borrow_and_update().clone() else { continue };
        let before = views.borrow().clone();
        views.send_replace(Some(Arc::new(View::new(snapshot, &output, before.as_deref()))));
    }
}
