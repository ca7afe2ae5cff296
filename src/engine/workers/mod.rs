//! The workers, one thread for each enabled insight, and the channels to them.

mod enriched;
mod snapshot;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use crate::engine::rendering::RenderedRows;
use crate::insights::enriched_logs;
use crate::insights::{Cut, Insight};
use crate::model::Batch;
use crate::model::error::Error;
use crate::publish::OutputFormats;
use crate::publish::append_only::TableCheck;
use crate::publish::epoch::{Published, StagedEpoch};
use crate::settings::Settings;
use crate::state::unmatched::UnmatchedChanges;
use crate::storage::SharedDisk;
use crate::telemetry::metrics::Metrics;

pub use enriched::{EnrichedCut, EnrichedMessage, EnrichedWorker};
pub use snapshot::{SnapshotRequest, serve_snapshots};

/// Maximum number of requests that wait for a snapshot worker. One is enough, because the coordinator makes
/// the next cut only after the worker has answered.
const SNAPSHOT_QUEUE: usize = 1;

/// The workers of the enabled insights.
#[derive(Debug)]
pub struct InsightWorkers {
    disk: SharedDisk,
    snapshots: Vec<SnapshotChannel>,
    /// The worker of `enriched_logs`, if it is enabled.
    enriched: Option<mpsc::Sender<EnrichedMessage>>,
}

/// The name of an insight, and the channel to its worker.
type SnapshotChannel = (&'static str, mpsc::Sender<SnapshotRequest>);

/// The answers of all workers to one cut.
#[derive(Debug)]
pub struct StagedCut {
    /// The staged files.
    pub epoch: StagedEpoch,
    /// The unmatched plays of the cut, for the commit.
    pub unmatched: UnmatchedChanges,
}

impl InsightWorkers {
    /// Starts the snapshot workers. `enriched` is the channel to the worker of `enriched_logs`.
    pub fn start(
        disk: &SharedDisk,
        settings: &Settings,
        enriched: Option<mpsc::Sender<EnrichedMessage>>,
    ) -> Self {
        Self { disk: disk.clone(), snapshots: start_snapshots(disk, settings), enriched }
    }

    /// Replaces the snapshot workers with new ones that use `settings`. The new workers know no plays yet.
    pub fn restart_snapshots(&mut self, settings: &Settings) {
        // The old workers free their rows before the new ones allocate theirs.
        self.snapshots.clear();
        self.snapshots = start_snapshots(&self.disk, settings);
    }

    /// The names of the enabled insights.
    pub fn enabled(&self) -> Vec<&'static str> {
        let enriched = self.enriched.as_ref().map(|_| enriched_logs::NAME);
        self.snapshots.iter().map(|(name, _)| *name).chain(enriched).collect()
    }

    /// Whether `enriched_logs` is enabled.
    pub fn has_enriched(&self) -> bool {
        self.enriched.is_some()
    }

    /// Passes a batch and its rendered rows to the worker of `enriched_logs`.
    ///
    /// # Errors
    /// The worker has ended.
    pub async fn append(
        &self,
        batch: &Arc<Batch>,
        rendered: Option<RenderedRows>,
        metrics: &Metrics,
    ) -> Result<(), Error> {
        let Some(enriched) = &self.enriched else { return Ok(()) };
        let message = EnrichedMessage::Batch(Arc::clone(batch), rendered);
        metrics.send("enrich", enriched, message).await.map_err(|_| ended())
    }

    /// Takes back all batches. The snapshot workers know no plays before the first cut.
    ///
    /// # Errors
    /// The worker has ended.
    pub async fn start_over(&self) -> Result<(), Error> {
        let Some(enriched) = &self.enriched else { return Ok(()) };
        enriched.send(EnrichedMessage::StartOver).await.map_err(|_| ended())
    }

    /// Asks the worker of `enriched_logs` to restore its table. `parquet` are the names of the missing Parquet
    /// parts.
    ///
    /// # Errors
    /// Rows that are lost (65, 74), a file system error (73, 74), or a worker that has ended.
    pub async fn restore_enriched(
        &self,
        accept_loss: bool,
        parquet: BTreeSet<String>,
    ) -> Result<TableCheck, Error> {
        let Some(enriched) = &self.enriched else { return Ok(TableCheck::InPlace) };
        let (answer, answered) = oneshot::channel();
        let message = EnrichedMessage::Restore { accept_loss, parquet, answer };
        enriched.send(message).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    /// Sends a cut to all workers, and waits until each has staged its output. A worker stages its table if
    /// the rows have changed or if `published` does not have the table.
    ///
    /// # Errors
    /// The first file that cannot be written, or a worker that has ended.
    pub async fn stage(&self, cut: Cut, published: &Published) -> Result<StagedCut, Error> {
        let catalog = Arc::clone(&cut.catalog);
        let cut = Arc::new(cut);
        let mut pending = Vec::new();
        for (name, requests) in &self.snapshots {
            let (answer, answered) = oneshot::channel();
            let cut = Arc::clone(&cut);
            let is_missing = published.files(name).is_none();
            requests.send(SnapshotRequest { cut, is_missing, answer }).await.map_err(|_| ended())?;
            pending.push((*name, answered));
        }
        // Once all references to the ledger are gone, the coordinator can change the ledger without a copy.
        drop(cut);
        let mut pending_enriched = None;
        if let Some(enriched) = &self.enriched {
            let (answer, answered) = oneshot::channel();
            enriched.send(EnrichedMessage::Cut { catalog, answer }).await.map_err(|_| ended())?;
            pending_enriched = Some(answered);
        }
        let mut epoch = StagedEpoch::default();
        for (name, answered) in pending {
            let snapshot = answered.await.map_err(|_| ended())??;
            epoch.snapshots.extend(snapshot.map(|snapshot| (name, snapshot)));
        }
        let mut unmatched = UnmatchedChanges::default();
        if let Some(answered) = pending_enriched {
            let cut = answered.await.map_err(|_| ended())?;
            epoch.enriched = Some(cut.entry);
            epoch.parquet = cut.parquet;
            unmatched = cut.unmatched;
        }
        Ok(StagedCut { epoch, unmatched })
    }
}

fn start_snapshots(disk: &SharedDisk, settings: &Settings) -> Vec<SnapshotChannel> {
    let start = |insight: Box<dyn Insight>| {
        let (sender, requests) = mpsc::channel(SNAPSHOT_QUEUE);
        let (name, disk, output) = (insight.name(), disk.clone(), settings.output.clone());
        let formats = OutputFormats::of(settings);
        spawn_blocking(move || serve_snapshots(insight, &disk, &output, formats, requests));
        (name, sender)
    };
    settings.insights.enabled_snapshots().into_iter().map(start).collect()
}

/// The error if a worker has ended early. The worker's own error is reported when its thread is joined.
fn ended() -> Error {
    Error::Bug("a worker has ended unexpectedly".to_owned())
}
