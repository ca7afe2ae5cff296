//! What runs in the task of each insight.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::catalog::Catalog;
use crate::insights::enriched_logs::{self, EnrichedLogs, EnrichedRows};
use crate::insights::{Cut, Insight};
use crate::model::Batch;
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;

use crate::publish::OutputFormats;
use crate::publish::formula_escape::FormulaEscape;
use crate::publish::manifest::PartEntry;
use crate::publish::parquet::StagedParquet;
use crate::publish::rolling_file::RollingFile;
use crate::publish::snapshot::Snapshot;
use crate::state::unmatched::{UnmatchedChanges, UnmatchedPlays};
use crate::storage::SharedDisk;

/// Asks an insight for the snapshot of a cut; the answer is nothing if no row has changed.
#[derive(Debug)]
pub struct SnapshotRequest {
    /// The cut.
    pub cut: Arc<Cut>,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Option<Snapshot>, Error>>,
}

/// Answers requests for one insight until nobody asks any more.
pub fn take_snapshots(
    mut insight: Box<dyn Insight>,
    disk: &SharedDisk,
    output: &Path,
    formats: OutputFormats,
    mut requests: mpsc::Receiver<SnapshotRequest>,
) {
    let mut first = true;
    while let Some(SnapshotRequest { cut, answer }) = requests.blocking_recv() {
        let changed = insight.refresh(&cut);
        let write =
            || Snapshot::write(disk, output, insight.name(), formats, &mut |emit| insight.render(&cut, emit));
        let snapshot = (changed || std::mem::take(&mut first)).then(write);
        // The cut must be let go before the answer, so that the ledger can go on without a copy.
        drop(cut);
        // Nobody waits for the answer only if the program is on its way out.
        let _ = answer.send(snapshot.transpose());
    }
}

/// Plays that are rendered before they are written: their rows are hashed and copied to the file
/// while they are still in the second-level cache.
const PIECE: usize = 1024;

/// What the task of `enriched_logs` is told.
#[derive(Debug)]
pub enum EnrichedMessage {
    /// More plays.
    Batch(Arc<Batch>),
    /// A cut: all plays before it, with this catalog.
    Cut {
        /// The catalog of the epoch.
        catalog: Arc<Catalog>,
        /// Where the state of the log goes.
        answer: oneshot::Sender<EnrichedCut>,
    },
}

/// The durable state of the log at a cut.
#[derive(Debug, Default)]
pub struct EnrichedCut {
    /// Its parts.
    pub parts: Vec<PartEntry>,
    /// Its parts that are there as Parquet, or in `drafts`.
    pub parquet: Vec<PartEntry>,
    /// Those of them that nobody sees yet.
    pub drafts: Vec<StagedParquet>,
    /// What waits.
    pub unmatched: UnmatchedChanges,
}

/// The task of `enriched_logs`.
#[derive(Debug)]
pub struct EnrichedTask {
    insight: EnrichedLogs,
    log: RollingFile,
    guard: FormulaEscape,
    /// The lines that are guarded.
    room: Vec<u8>,
    /// The parts that are there as Parquet, if that is wanted.
    parquet: Option<Vec<PartEntry>>,
    /// Nothing in a `replay`, whose catalog never changes.
    unmatched: Option<UnmatchedPlays>,
    dictionaries: Arc<Dictionaries>,
}

impl EnrichedTask {
    /// A task that appends to `log`.
    pub fn new(
        insight: EnrichedLogs,
        log: RollingFile,
        unmatched: Option<UnmatchedPlays>,
        dictionaries: Arc<Dictionaries>,
        formats: OutputFormats,
    ) -> Self {
        let guard = FormulaEscape::of(enriched_logs::NAME, formats.escape_formulas);
        let parquet = formats.parquet.then(Vec::new);
        Self { insight, log, guard, room: Vec::new(), parquet, unmatched, dictionaries }
    }

    /// Goes on where these parts are there as Parquet.
    #[must_use]
    pub fn with_parquet(mut self, parts: &[PartEntry]) -> Self {
        self.parquet = self.parquet.map(|_| parts.to_vec());
        self
    }

    /// Appends plays until nobody sends any more.
    ///
    /// # Errors
    /// The first file that cannot be written.
    pub fn run(mut self, mut messages: mpsc::Receiver<EnrichedMessage>) -> Result<(), Error> {
        let mut rows = EnrichedRows::default();
        while let Some(message) = messages.blocking_recv() {
            match message {
                EnrichedMessage::Batch(batch) => self.append(&batch, &mut rows)?,
                EnrichedMessage::Cut { catalog, answer } => {
                    if !Arc::ptr_eq(&catalog, self.insight.catalog()) {
                        self.insight.set_catalog(catalog);
                        self.append_waiting(&mut rows)?;
                    }
                    let parts = self.log.publish()?;
                    let drafts = self.write_parquet(&parts)?;
                    let parquet = self.parquet.iter().flatten().cloned().collect();
                    let unmatched = self.unmatched.as_mut().map(UnmatchedPlays::commit).transpose()?;
                    let _ = answer.send(EnrichedCut {
                        parts,
                        parquet,
                        drafts,
                        unmatched: unmatched.unwrap_or_default(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Parts that will not grow any more become Parquet: in a `replay`, which cuts once, all of them.
    fn write_parquet(&mut self, parts: &[PartEntry]) -> Result<Vec<StagedParquet>, Error> {
        let Some(known) = &mut self.parquet else { return Ok(Vec::new()) };
        let full = parts.len() - usize::from(self.unmatched.is_some());
        let mut drafts = Vec::new();
        for part in &parts[known.len().min(full)..full] {
            let draft = self.log.parquet_of(enriched_logs::NAME, part)?;
            known.push(draft.entry().clone());
            drafts.push(draft);
        }
        Ok(drafts)
    }

    fn append(&mut self, batch: &Batch, rows: &mut EnrichedRows) -> Result<(), Error> {
        for start in (0..batch.plays()).step_by(PIECE) {
            rows.text.clear();
            let plays = start..batch.plays().min(start + PIECE);
            self.insight.append(batch, plays, rows, |song, play| {
                if let Some(unmatched) = &mut self.unmatched {
                    unmatched.add(song, play);
                }
            });
            self.log.append(self.guard.apply(rows.text.as_bytes(), &mut self.room))?;
        }
        self.unmatched.as_mut().map_or(Ok(()), UnmatchedPlays::spill)
    }

    /// Appends the plays whose song has appeared.
    fn append_waiting(&mut self, rows: &mut EnrichedRows) -> Result<(), Error> {
        let Some(unmatched) = &mut self.unmatched else { return Ok(()) };
        let catalog = Arc::clone(self.insight.catalog());
        for song in unmatched.songs().into_iter().filter(|&song| catalog.contains(song)) {
            unmatched.take(song, |plays| {
                rows.text.clear();
                self.insight.append_matched(song, plays, &self.dictionaries, rows);
                self.log.append(self.guard.apply(rows.text.as_bytes(), &mut self.room))
            })?;
        }
        Ok(())
    }
}
