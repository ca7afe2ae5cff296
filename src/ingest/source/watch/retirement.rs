//! Archives or deletes finished inputs that no rollback needs any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::ingest::source::archive::{Archiver, RetirableInput, WhenDone};
use crate::ingest::source::compression::Compression;
use crate::ingest::source::log_folder::LogFolder;
use crate::ingest::source::watch::tail_id::TailId;
use crate::ingest::source::watch::tail_set::TailSet;
use crate::ingest::source::{Closed, EventSender};
use crate::telemetry::metrics::Metrics;
use crate::text::shown;

/// Time until an input is tried again after its first failure. It doubles with every further failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Maximum time until an input is tried again.
const MAX_PAUSE: Duration = Duration::from_mins(5);

/// The inputs that are waiting to be archived or deleted.
#[derive(Debug)]
pub(super) struct Retirement {
    archiver: Archiver,
    /// The folder of archived inputs.
    archive: Arc<LogFolder>,
    /// Inputs that may be archived or deleted. The coordinator sends them after commits.
    retirable: Receiver<Vec<RetirableInput>>,
    /// Tails to archive or delete, each with an offset. No rollback goes back to a position before this
    /// offset.
    due: BTreeMap<TailId, u64>,
    /// Inputs that could not be archived or deleted. Only one warning is logged for each input.
    failed: BTreeMap<TailId, Failure>,
    metrics: Arc<Metrics>,
}

/// When an input is tried again.
#[derive(Clone, Copy, Debug)]
struct Failure {
    pause: Duration,
    next: Instant,
}

impl Retirement {
    /// A retirement without any inputs.
    pub(super) fn new(
        archiver: Archiver,
        archive: Arc<LogFolder>,
        retirable: Receiver<Vec<RetirableInput>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { archiver, archive, retirable, due: BTreeMap::new(), failed: BTreeMap::new(), metrics }
    }

    /// Archives or deletes all inputs that are ready. A later call tries the other inputs again.
    ///
    /// # Errors
    /// A closed channel.
    pub(super) fn run(&mut self, tails: &mut TailSet, events: &EventSender) -> Result<(), Closed> {
        for RetirableInput { input, offset } in self.retirable.try_iter().flatten() {
            if let Some(id) = tails.find_input(input) {
                self.due.insert(id, offset);
            }
        }
        for (id, offset) in std::mem::take(&mut self.due) {
            if self.must_wait(id, tails) {
                self.due.insert(id, offset);
                continue;
            }
            let tail = &tails[id];
            if tail.is_retired() || tail.offset() != offset || !tail.has_its_path() {
                // The file is gone, or more of its content must be committed first.
                self.failed.remove(&id);
                continue;
            }
            if !self.retire(id, tails, events)? {
                self.due.insert(id, offset);
            }
        }
        self.metrics.inputs_not_retired.set(self.failed.len() as i64);
        Ok(())
    }

    /// Whether it is too early for an input. The answer needs no system call.
    fn must_wait(&self, id: TailId, tails: &TailSet) -> bool {
        let tail = &tails[id];
        let compressed = Compression::of(tail.name()) != Compression::Plain;
        let is_ready = tail.is_finished() && (compressed || tail.unchanged_for() >= self.archiver.after);
        let is_paused = self.failed.get(&id).is_some_and(|failure| failure.next > Instant::now());
        !is_ready && !tail.is_retired() || is_paused
    }

    /// Archives or deletes one input. Returns false if the input must be tried again.
    fn retire(&mut self, id: TailId, tails: &mut TailSet, events: &EventSender) -> Result<bool, Closed> {
        let tail = &tails[id];
        let Some(stat) = tail.last_stat() else { return Ok(false) };
        let name = tail.name().to_owned();
        match self.archiver.archive(&tail.path(), &name, &stat) {
            Ok(Some(archived)) => {
                tracing::debug!("{}: archived as {}", shown(&name), shown(&archived));
                self.failed.remove(&id);
                tails.retire(id, &self.archive, &archived);
                tails.update(id, |tail| tail.send_retired(stat, events))?;
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) => {
                let before = self.failed.get(&id).map(|failure| failure.pause);
                if before.is_none() {
                    let verb = if self.archiver.when_done == WhenDone::Delete { "delete" } else { "archive" };
                    tracing::warn!("cannot {verb} {}: {error}; trying again later", shown(&name));
                }
                let pause = before.map_or(FIRST_PAUSE, |pause| (pause * 2).min(MAX_PAUSE));
                self.failed.insert(id, Failure { pause, next: Instant::now() + pause });
                Ok(false)
            }
        }
    }
}
