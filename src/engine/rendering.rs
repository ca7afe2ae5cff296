//! Renders enriched rows right after their batch was decoded, on the same thread. The worker of `enriched_logs`
//! then only has to append text, so that this work is spread over all cores.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::catalog::Catalog;
use crate::catalog::reload::CatalogVersion;
use crate::insights::enriched_logs::{EnrichedLogs, EnrichedRows};
use crate::model::Batch;

/// Renders the enriched rows of batches with the newest catalog.
#[derive(Debug)]
pub struct Renderer {
    versions: watch::Receiver<Arc<CatalogVersion>>,
    unused: Arc<UnusedRows>,
}

/// Rows that were appended. Their buffers are used again.
#[derive(Debug, Default)]
struct UnusedRows(Mutex<Vec<EnrichedRows>>);

/// The enriched rows of a batch.
#[derive(Debug)]
pub struct RenderedRows {
    rows: EnrichedRows,
    /// The fingerprint of the catalog.
    catalog: u128,
    /// The number of plays in the batch, matched or not.
    plays: usize,
    unused: Arc<UnusedRows>,
}

impl Renderer {
    /// A renderer that follows the versions of the catalog.
    pub fn new(versions: watch::Receiver<Arc<CatalogVersion>>) -> Self {
        Self { versions, unused: Arc::default() }
    }

    /// Renders the matched plays of a batch.
    pub fn render(&self, batch: &Batch) -> RenderedRows {
        let catalog = Arc::clone(&self.versions.borrow().catalog);
        let fingerprint = catalog.fingerprint();
        let mut rows = self.unused.take();
        EnrichedLogs::new(catalog).append(batch, 0..batch.plays(), &mut rows, |_, _| {});
        RenderedRows { rows, catalog: fingerprint, plays: batch.plays(), unused: Arc::clone(&self.unused) }
    }
}

impl RenderedRows {
    /// The rows of a batch with a catalog. `None` if they were rendered with another catalog, or if plays were
    /// removed from the batch afterwards.
    pub fn of(&self, batch: &Batch, catalog: &Catalog) -> Option<&EnrichedRows> {
        (self.catalog == catalog.fingerprint() && self.plays == batch.plays()).then_some(&self.rows)
    }
}

impl Drop for RenderedRows {
    fn drop(&mut self) {
        self.unused.put(std::mem::take(&mut self.rows));
    }
}

impl UnusedRows {
    fn take(&self) -> EnrichedRows {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn put(&self, mut rows: EnrichedRows) {
        rows.clear();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(rows);
    }
}
