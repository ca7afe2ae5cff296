//! One epoch in memory, for the dashboard and the API.
//!
//! The engine publishes an epoch, and the server builds a [`View`] of that epoch. A view never changes.
//! Requests therefore need no lock, and every response shows a single epoch. The view of a [period](period)
//! is built when a request asks for it.

pub mod append_only;
pub mod listener;
pub mod overview;
pub mod page;
pub mod period;
mod period_plays;
pub mod period_views;
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
use crate::serve::overview::DashboardCharts;
use crate::serve::view::append_only::AppendOnlyTable;
use crate::serve::view::period_plays::PeriodPlays;
use crate::serve::view::table::SnapshotTable;

/// The published tables of one epoch, either of all time or of a period.
#[derive(Debug)]
pub struct View {
    /// The epoch as the engine published it: catalog, ledger, dictionaries and manifest.
    pub snapshot: Arc<EpochSnapshot>,
    /// The period; `None` for all time.
    period: Option<Arc<PeriodPlays>>,
    tables: BTreeMap<&'static str, Arc<SnapshotTable>>,
    enriched: Option<AppendOnlyTable>,
    rejects: AppendOnlyTable,
    charts: Arc<OnceLock<Arc<DashboardCharts>>>,
}

/// Receives the view of the latest epoch; `None` before the first epoch.
pub type Views = watch::Receiver<Option<Arc<View>>>;

/// Columns of `_rejects`.
pub const REJECTS_COLUMNS: &[Column] = &[
    Column::text("file", "File"),
    Column::integer("line", "Line"),
    Column::integer("byte_offset", "Byte offset"),
    Column::text("reason", "Reason"),
    Column::text("raw", "Original line"),
];

impl View {
    /// Creates the view of all time in an epoch. `output` is the output folder. If a table is the same as in
    /// the previous view, the new view takes it over, together with its loaded rows and sort orders.
    pub fn new(snapshot: Arc<EpochSnapshot>, output: &Path, previous: Option<&Self>) -> Self {
        let EpochSnapshot { manifest, escaped, .. } = &*snapshot;
        let escaped = *escaped;
        let tables = snapshot.files.iter().map(|(&name, SnapshotFile { file, entry })| {
            let known = previous.and_then(|previous| previous.tables.get(name));
            let table = match known.filter(|table| table.entry() == entry) {
                Some(table) => Arc::clone(table),
                None => {
                    Arc::new(SnapshotTable::new(name, Arc::clone(file), entry, columns_of(name), escaped))
                }
            };
            (name, table)
        });
        let tables = tables.collect();
        let enriched = manifest.insights.get(enriched_logs::NAME);
        let enriched = enriched.map(|entry| {
            AppendOnlyTable::new(
                &output.join(enriched_logs::NAME),
                entry,
                columns_of(enriched_logs::NAME),
                escaped,
            )
        });
        let rejects = AppendOnlyTable::new(&output.join(REJECTS), &manifest.rejects, REJECTS_COLUMNS, false);
        Self { snapshot, period: None, tables, enriched, rejects, charts: Arc::default() }
    }

    /// The snapshot of an insight; `None` if the insight is disabled or append-only.
    pub fn table(&self, insight: &str) -> Option<&Arc<SnapshotTable>> {
        self.tables.get(insight)
    }

    /// The table `enriched_logs`; `None` if this insight is disabled, and for a period.
    pub fn enriched(&self) -> Option<&AppendOnlyTable> {
        self.enriched.as_ref()
    }

    /// The table `_rejects`.
    pub fn rejects(&self) -> &AppendOnlyTable {
        &self.rejects
    }

    /// The first `limit` listener ids that begin with `prefix`, in byte order.
    pub fn users_with_prefix(&self, prefix: &str, limit: usize) -> Vec<String> {
        let users = self.snapshot.dictionaries.users.read();
        let order = self.snapshot.user_order.ids();
        let from = order.partition_point(|&user| users.resolve(user) < prefix.as_bytes());
        let found = order[from..].iter().map(|&user| users.resolve(user));
        let found = found.take_while(|id| id.starts_with(prefix.as_bytes())).take(limit);
        found.map(|id| String::from_utf8_lossy(id).into_owned()).collect()
    }
}

fn columns_of(insight: &str) -> &'static [Column] {
    columns(insight).expect("every insight has columns")
}

/// Builds a view of each new epoch until the engine stops.
pub async fn build_views(mut epochs: Epochs, output: PathBuf, views: watch::Sender<Option<Arc<View>>>) {
    while epochs.changed().await.is_ok() {
        let Some(snapshot) = epochs.borrow_and_update().clone() else { continue };
        let previous = views.borrow().clone();
        views.send_replace(Some(Arc::new(View::new(snapshot, &output, previous.as_deref()))));
    }
}
