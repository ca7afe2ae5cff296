//! Archives or deletes finished inputs that no rollback needs any more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc::Receiver;

use crate::ingest::source::archive::{Archiver, RetirableInput};
use crate::ingest::source::compression::Compression;
use crate::ingest::source::watch::tail_set::{TailId, TailSet};

/// The inputs that are waiting to be archived or deleted.
#[derive(Debug)]
pub(super) struct Retirement {
    archiver: Archiver,
    /// Inputs that may be archived or deleted. The coordinator sends them after commits.
    retirable: Receiver<Vec<RetirableInput>>,
    /// Tails to archive or delete, each with an offset. No rollback goes back to a position before this
    /// offset.
    due: BTreeMap<TailId, u64>,
    /// Files that could not be archived. Only one warning is logged for each file.
    failed: BTreeSet<PathBuf>,
}

impl Retirement {
    /// A retirement without any inputs.
    pub(super) fn new(archiver: Archiver, retirable: Receiver<Vec<RetirableInput>>) -> Self {
        Self { archiver, retirable, due: BTreeMap::new(), failed: BTreeSet::new() }
    }

    /// The folder of archived inputs.
    pub(super) fn archive_dir(&self) -> &PathBuf {
        &self.archiver.archive_dir
    }

    /// Archives or deletes all inputs that are ready. The next call tries the other inputs again.
    pub(super) fn run(&mut self, tails: &mut TailSet) {
        for RetirableInput { input, offset } in self.retirable.try_iter().flatten() {
            if let Some(id) = tails.find_input(input) {
                self.due.insert(id, offset);
            }
        }
        for (id, offset) in std::mem::take(&mut self.due) {
            let tail = &tails[id];
            let archived = tail.path().parent() == Some(self.archive_dir());
            if archived || !tail.has_its_path() || tail.offset() != offset {
                // The file is gone, or more of its content must be committed first.
                continue;
            }
            if !self.retire(id, tails) {
                self.due.insert(id, offset);
            }
        }
    }

    /// Archives or deletes one input. Returns false if the input must be tried again.
    fn retire(&mut self, id: TailId, tails: &mut TailSet) -> bool {
        let tail = &tails[id];
        let compressed = Compression::of(tail.path()) != Compression::Plain;
        let ready = tail.is_finished() && (compressed || tail.unchanged_for() >= self.archiver.after);
        let (true, Some(stat)) = (ready, tail.last_stat()) else { return false };
        let path = tail.path().to_owned();
        match self.archiver.archive(&path, &stat) {
            Ok(Some(target)) => {
                tracing::debug!("{}: archived as {}", path.display(), target.display());
                self.failed.remove(&path);
                tails.retire(id, target);
                true
            }
            Ok(None) => false,
            Err(error) => {
                if self.failed.insert(path.clone()) {
                    tracing::warn!("cannot archive {}: {error}; trying again", path.display());
                }
                false
            }
        }
    }
}
