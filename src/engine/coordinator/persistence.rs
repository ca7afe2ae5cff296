//! The state on disk: commits, idle saves, and the inputs that may be retired.

use std::sync::mpsc;
use std::time::Duration;

use crate::catalog::Catalog;
use crate::engine::coordinator::pending::Pending;
use crate::engine::periods::PeriodTables;
use crate::ingest::source::archive::RetirableInput;
use crate::model::Reject;
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;
use crate::model::period_rules::PeriodRules;
use crate::state::checkpoint::committer::{Commit, Committer};
use crate::state::checkpoint::pace::RunningFlush;
use crate::state::input_progress::InputTracker;
use crate::storage::FolderLock;
use crate::text::path_text;

/// Idle time after which the coordinator commits input progress without new rows. If a flush comes earlier,
/// it commits the progress, and no separate commit is needed.
const QUIET: Duration = Duration::from_millis(500);

/// Commits the state of a `watch`. Does nothing in a `replay`.
#[derive(Debug)]
pub(super) struct Persistence {
    committer: Option<Committer>,
    /// The lock of the state folder; `None` in a `replay`.
    lock: Option<Box<dyn FolderLock>>,
    /// Tells the source which inputs it may archive or delete.
    retirable: mpsc::Sender<Vec<RetirableInput>>,
}

impl Persistence {
    /// `committer` and `lock` are `None` in a `replay`.
    pub(super) fn new(
        committer: Option<Committer>,
        lock: Option<Box<dyn FolderLock>>,
        retirable: mpsc::Sender<Vec<RetirableInput>>,
    ) -> Self {
        Self { committer, lock, retirable }
    }

    /// The lock of the state folder.
    pub(super) fn into_lock(self) -> Option<Box<dyn FolderLock>> {
        self.lock
    }

    /// Checks that the state folder is still the locked one and has its newest generation. Otherwise, a commit
    /// would refer to files that are gone.
    ///
    /// # Errors
    /// If the folder was removed or replaced, exit code 74.
    pub(super) fn check_folder(&self) -> Result<(), Error> {
        let Some(committer) = &self.committer else { return Ok(()) };
        if self.lock.as_ref().is_none_or(|lock| lock.is_current()) && committer.is_in_place() {
            return Ok(());
        }
        Err(Error::Io(format!(
            "{}: the state was removed or replaced while it was in use, so nothing more is committed or \
             published; restore the folder, or start with --fresh to read everything again",
            path_text(committer.folder())
        )))
    }

    /// Begins a flush, for which a merge of segments waits. The flush ends when the value is dropped.
    pub(super) fn begin_flush(&self) -> Option<RunningFlush> {
        self.committer.as_ref().map(Committer::begin_flush)
    }

    /// Whether this run commits its state.
    pub(super) fn is_enabled(&self) -> bool {
        self.committer.is_some()
    }

    /// Bytes of the current generation on disk; `None` in a `replay`.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.committer.as_ref().map(|committer| committer.current().bytes())
    }

    /// Includes the metadata of a new catalog in the next commit.
    pub(super) fn add_catalog(&mut self, catalog: &Catalog, dictionaries: &Dictionaries) {
        if let Some(committer) = &mut self.committer {
            committer.note_catalog(catalog, dictionaries);
        }
    }

    /// Includes the reported rejects of a catalog in the next commit.
    pub(super) fn add_catalog_rejects(&mut self, rejects: &[Reject]) {
        if let Some(committer) = &mut self.committer {
            committer.note_catalog_rejects(rejects);
        }
    }

    /// Commits a cut.
    ///
    /// # Errors
    /// A file system error (73, 74), a state folder that is gone (74), or a damaged segment (65).
    pub(super) fn commit(&mut self, commit: Commit<'_>) -> Result<(), Error> {
        self.check_folder()?;
        self.committer.as_mut().map_or(Ok(()), |committer| committer.commit(commit))
    }

    /// Tells the tables of periods where their plays are after a commit.
    ///
    /// # Errors
    /// If a segment is damaged, exit code 65.
    pub(super) fn follow(&self, periods: &mut PeriodTables) -> Result<(), Error> {
        self.committer.as_ref().map_or(Ok(()), |committer| {
            periods.follow(committer.disk(), committer.folder(), &committer.current().segments)
        })
    }

    /// Replaces the rules for periods. The next commit saves them.
    pub(super) fn set_period_rules(&mut self, rules: PeriodRules) {
        if let Some(committer) = &mut self.committer {
            committer.set_period_rules(rules);
        }
    }

    /// Removes old generations and the files that only they need. Then tells the source which inputs it may
    /// archive or delete. No rollback needs these inputs any more.
    ///
    /// # Errors
    /// A file system error, exit code 73.
    pub(super) fn retire(&mut self, inputs: &InputTracker) -> Result<(), Error> {
        let Some(committer) = &mut self.committer else { return Ok(()) };
        committer.remove_obsolete()?;
        let retirable = committer.take_retirable(inputs);
        if !retirable.is_empty() {
            // The receiver is gone only if the source has ended.
            let _ = self.retirable.send(retirable);
        }
        Ok(())
    }

    /// Commits input progress without new rows at the end of a run. For example, the next run must know the
    /// new name of an input.
    ///
    /// # Errors
    /// Same as [`commit`](Self::commit).
    pub(super) fn save_at_end(&mut self, inputs: &mut InputTracker) -> Result<(), Error> {
        if self.committer.is_none() || !inputs.has_unsaved() {
            return Ok(());
        }
        tokio::task::block_in_place(|| {
            self.check_folder()?;
            let Some(committer) = &mut self.committer else { return Ok(()) };
            committer.commit_inputs(inputs)?;
            self.retire(inputs)
        })
    }

    /// Commits the state while there is nothing to publish. First commits input progress without new rows.
    /// After `done_after`, commits the current state once more. This commit replaces an older generation, so
    /// that the most recently read inputs can be retired.
    ///
    /// # Errors
    /// Same as [`commit`](Self::commit).
    pub(super) fn save_when_idle(
        &mut self,
        inputs: &mut InputTracker,
        pending: &mut Pending,
        done_after: Duration,
    ) -> Result<(), Error> {
        let Some(committer) = &self.committer else { return Ok(()) };
        let saves_inputs = inputs.has_unsaved() && pending.idle() >= QUIET;
        let recommits = committer.has_unretirable() && pending.idle() >= done_after;
        if !saves_inputs && !recommits {
            return Ok(());
        }
        tokio::task::block_in_place(|| {
            self.check_folder()?;
            let Some(committer) = &mut self.committer else { return Ok(()) };
            if saves_inputs {
                pending.restart_idle();
                committer.commit_inputs(inputs)?;
            } else {
                committer.recommit()?;
            }
            self.retire(inputs)
        })
    }
}
