//! The worker of `enriched_logs`: appends a row for each play whose song is in the catalog.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::catalog::Catalog;
use crate::engine::rendering::RenderedRows;
use crate::insights::enriched_logs::{self, EnrichedLogs, EnrichedRows};
use crate::model::Batch;
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;
use crate::publish::OutputFormats;
use crate::publish::append_only::{AppendOnlyWriter, TableCheck};
use crate::publish::formula_escape::FormulaEscape;
use crate::publish::manifest::{InsightEntry, PartEntry};
use crate::publish::parquet::StagedParquet;
use crate::state::unmatched::{UnmatchedChanges, UnmatchedPlays};

/// Maximum number of messages that wait for the worker. These messages keep the worker busy while the
/// coordinator seals a run.
const ENRICHED_QUEUE: usize = 4;
/// Number of plays that the worker renders before it writes their rows. With this number, the rows are still
/// in the second-level cache when the writer hashes and copies them.
const PIECE: usize = 1024;

/// A message to the worker of `enriched_logs`.
#[derive(Debug)]
pub enum EnrichedMessage {
    /// More plays, and their rows if they are already rendered.
    Batch(Arc<Batch>, Option<RenderedRows>),
    /// All earlier batches are taken back. Comes only before the first cut.
    StartOver,
    /// A cut that covers all earlier batches.
    Cut {
        /// The catalog of the cut.
        catalog: Arc<Catalog>,
        /// Receives the durable state of the table.
        answer: oneshot::Sender<EnrichedCut>,
    },
    /// Published files are missing or were replaced.
    Restore {
        /// Whether the table begins again if its rows are lost.
        accept_loss: bool,
        /// The names of the Parquet parts that are missing. The next cut stages them again.
        parquet: BTreeSet<String>,
        /// Receives the state of the table.
        answer: oneshot::Sender<Result<TableCheck, Error>>,
    },
}

/// The state of `enriched_logs` at a cut.
#[derive(Debug, Default)]
pub struct EnrichedCut {
    /// All parts. The CSV parts are durable under their final names.
    pub entry: InsightEntry,
    /// The Parquet parts of `entry` that are staged but not published yet.
    pub parquet: Vec<StagedParquet>,
    /// The unmatched plays, for the commit.
    pub unmatched: UnmatchedChanges,
}

/// The worker of `enriched_logs`.
#[derive(Debug)]
pub struct EnrichedWorker {
    insight: EnrichedLogs,
    table: AppendOnlyWriter,
    escape: FormulaEscape,
    /// Buffer of the escaped lines.
    escaped: Vec<u8>,
    /// The parts that exist as Parquet; `None` unless `format.parquet` is set.
    parquet: Option<Vec<PartEntry>>,
    /// The names of published Parquet parts that are missing.
    missing_parquet: BTreeSet<String>,
    /// The unmatched plays; `None` in a `replay`, because its catalog never changes.
    unmatched: Option<UnmatchedPlays>,
    dictionaries: Arc<Dictionaries>,
}

impl EnrichedWorker {
    /// A worker that appends to `table`.
    pub fn new(
        insight: EnrichedLogs,
        table: AppendOnlyWriter,
        unmatched: Option<UnmatchedPlays>,
        dictionaries: Arc<Dictionaries>,
        formats: OutputFormats,
    ) -> Self {
        let escape = FormulaEscape::of(enriched_logs::NAME, formats.escape_formulas);
        let parquet = formats.parquet.then(Vec::new);
        Self {
            insight,
            table,
            escape,
            escaped: Vec::new(),
            parquet,
            missing_parquet: BTreeSet::new(),
            unmatched,
            dictionaries,
        }
    }

    /// Continues after the Parquet parts that an earlier process published.
    #[must_use]
    pub fn with_parquet(mut self, parts: &[PartEntry]) -> Self {
        self.parquet = self.parquet.map(|_| parts.to_vec());
        self
    }

    /// Starts the worker in its own thread. Returns the channel to the worker, and the handle of the thread.
    pub fn start(self) -> (mpsc::Sender<EnrichedMessage>, JoinHandle<Result<(), Error>>) {
        let (sender, messages) = mpsc::channel(ENRICHED_QUEUE);
        (sender, spawn_blocking(move || self.run(messages)))
    }

    /// Handles messages until the channel closes.
    ///
    /// # Errors
    /// The first file that cannot be written.
    pub fn run(mut self, mut messages: mpsc::Receiver<EnrichedMessage>) -> Result<(), Error> {
        let mut rows = EnrichedRows::default();
        while let Some(message) = messages.blocking_recv() {
            match message {
                EnrichedMessage::Batch(batch, rendered) => match &rendered {
                    Some(rendered) if let Some(ready) = rendered.of(&batch, self.insight.catalog()) => {
                        self.append_rendered(&batch, ready)?;
                    }
                    _ => self.append(&batch, &mut rows)?,
                },
                EnrichedMessage::StartOver => self.table.start_over()?,
                EnrichedMessage::Cut { catalog, answer } => {
                    if !Arc::ptr_eq(&catalog, self.insight.catalog()) {
                        self.insight.set_catalog(catalog);
                        self.append_newly_matched(&mut rows)?;
                    }
                    // The receiver is gone only if the coordinator has failed.
                    let _ = answer.send(self.cut()?);
                }
                EnrichedMessage::Restore { accept_loss, parquet, answer } => {
                    self.missing_parquet.extend(parquet);
                    let _ = answer.send(self.restore(accept_loss));
                }
            }
        }
        Ok(())
    }

    /// Restores the table if its files are missing or were replaced.
    fn restore(&mut self, accept_loss: bool) -> Result<TableCheck, Error> {
        let check = self.table.check(accept_loss)?;
        if check == TableCheck::RowsLost {
            self.parquet.iter_mut().for_each(Vec::clear);
            self.missing_parquet.clear();
        }
        Ok(check)
    }

    /// Makes the table and the unmatched plays durable.
    fn cut(&mut self) -> Result<EnrichedCut, Error> {
        let parts = self.table.publish()?;
        let staged = self.stage_parquet(&parts)?;
        let parquet = self.parquet.iter().flatten().cloned().collect();
        let unmatched = self.unmatched.as_mut().map(UnmatchedPlays::commit).transpose()?;
        Ok(EnrichedCut {
            entry: InsightEntry { parquet, ..InsightEntry::new(parts) },
            parquet: staged,
            unmatched: unmatched.unwrap_or_default(),
        })
    }

    /// Stages complete parts as Parquet. In a `watch`, the last part still grows. A `replay` makes only one
    /// cut, at the end, so all of its parts are complete.
    fn stage_parquet(&mut self, parts: &[PartEntry]) -> Result<Vec<StagedParquet>, Error> {
        let Some(known) = &mut self.parquet else { return Ok(Vec::new()) };
        let complete = parts.len() - usize::from(self.unmatched.is_some());
        let mut staged = Vec::new();
        for (index, part) in parts[..complete].iter().enumerate() {
            let published = known.get(index).filter(|entry| !self.missing_parquet.contains(&entry.file));
            if published.is_some() {
                continue;
            }
            let parquet = self.table.parquet_of(enriched_logs::NAME, part)?;
            known.splice(index..known.len().min(index + 1), [parquet.entry().clone()]);
            staged.push(parquet);
        }
        self.missing_parquet.clear();
        Ok(staged)
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
            self.table.append(self.escape.apply(rows.text.as_bytes(), &mut self.escaped))?;
        }
        self.unmatched.as_mut().map_or(Ok(()), UnmatchedPlays::spill)
    }

    /// Appends rows that are already rendered with the current catalog.
    fn append_rendered(&mut self, batch: &Batch, rows: &EnrichedRows) -> Result<(), Error> {
        let text = self.escape.apply(rows.text.as_bytes(), &mut self.escaped);
        self.table.append_rows(text, rows.rows)?;
        let Some(unmatched) = &mut self.unmatched else { return Ok(()) };
        if rows.rows < batch.plays() as u64 {
            self.insight.unmatched(batch, |song, play| unmatched.add(song, play));
        }
        unmatched.spill()
    }

    /// Appends the unmatched plays whose song is in the catalog now.
    fn append_newly_matched(&mut self, rows: &mut EnrichedRows) -> Result<(), Error> {
        let Some(unmatched) = &mut self.unmatched else { return Ok(()) };
        let catalog = Arc::clone(self.insight.catalog());
        for song in unmatched.songs().into_iter().filter(|&song| catalog.contains(song)) {
            unmatched.take(song, |plays| {
                rows.text.clear();
                self.insight.append_matched(song, plays, &self.dictionaries, rows);
                self.table.append(self.escape.apply(rows.text.as_bytes(), &mut self.escaped))
            })?;
        }
        Ok(())
    }
}
