//! A snapshot worker: keeps the rows of one insight up to date, and stages them at cuts.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::insights::{Cut, Insight};
use crate::model::error::Error;
use crate::publish::OutputFormats;
use crate::publish::snapshot::Snapshot;
use crate::publish::table_folders::TableFolders;
use crate::storage::SharedDisk;

/// A request for the snapshot of a cut. The answer is `None` if no row has changed and the published snapshot
/// exists.
#[derive(Debug)]
pub struct SnapshotRequest {
    /// The cut.
    pub cut: Arc<Cut>,
    /// Whether there is no published snapshot.
    pub is_missing: bool,
    /// Receives the staged snapshot.
    pub answer: oneshot::Sender<Result<Option<Snapshot>, Error>>,
}

/// Answers the requests for one insight until the channel closes. The first answer always contains a
/// snapshot.
pub fn serve_snapshots(
    mut insight: Box<dyn Insight>,
    disk: &SharedDisk,
    output: &Path,
    formats: OutputFormats,
    mut requests: mpsc::Receiver<SnapshotRequest>,
) {
    let mut is_first = true;
    while let Some(SnapshotRequest { cut, is_missing, answer }) = requests.blocking_recv() {
        let changed = insight.refresh(&cut);
        let folders = TableFolders::of(output, insight.name());
        let write = || {
            Snapshot::write(disk, &folders, insight.name(), formats, &mut |emit| insight.render(&cut, emit))
        };
        let snapshot = (changed || std::mem::take(&mut is_first) || is_missing).then(write);
        // After the answer, the coordinator may change the ledger. While `cut` refers to the ledger, such a
        // change would copy the whole ledger.
        drop(cut);
        // The receiver is gone only if the coordinator has failed.
        let _ = answer.send(snapshot.transpose());
    }
}
