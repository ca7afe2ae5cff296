//! The open files of a watched folder: how many there are, and the rest of files that have lost their name.

use std::time::Duration;

use crate::ingest::source::watch::Watch;
use crate::ingest::source::{Closed, EventSender, ReadError};
use crate::model::shutdown::Shutdown;
use crate::storage::descriptors;
use crate::text::shown;

/// A file that has not grown for this long is closed.
const IDLE: Duration = Duration::from_mins(1);

impl Watch {
    /// Closes files until only as many are open as allowed. Files that were opened first are closed first, but
    /// files without a name are closed last, because they cannot be opened again.
    pub(super) fn close_surplus(&mut self) {
        while self.tails.open().len() > self.max_open {
            let open = self.tails.open();
            let named = open.iter().find(|&&id| self.tails[id].has_its_path());
            let surplus = *named.unwrap_or(&open[0]);
            self.tails.close(surplus);
        }
    }

    /// Closes all files that still have a name, because descriptors are short. They are opened again when
    /// they have grown.
    pub(super) fn close_unneeded(&mut self) {
        for id in self.tails.open().clone() {
            if self.tails[id].has_its_path() {
                self.tails.close(id);
            }
        }
    }

    /// Closes files if an operation has used the reserve of descriptors. From then on, fewer files are kept
    /// open.
    pub(super) fn yield_descriptors(&mut self) {
        if descriptors::is_reserve_used() {
            self.close_unneeded();
            self.max_open = (self.max_open / 2).max(1);
            descriptors::fill_reserve();
        }
    }

    /// Closes idle files. Also finds open files whose name is gone or belongs to a different file.
    pub(super) fn revisit_open(&mut self) {
        self.close_surplus();
        for id in self.tails.open().clone() {
            let tail = &self.tails[id];
            let needed = self.tails.orphans().contains(&id) || self.tails.incomplete().contains(&id);
            if tail.unchanged_for() > IDLE && !needed {
                self.tails.close(id);
            } else if !tail.has_its_path() {
                self.tails.orphan(id);
            }
        }
    }

    /// Reads each open file to its end if its name is gone or belongs to a different file.
    pub(super) fn read_orphans(&mut self, events: &EventSender, shutdown: &Shutdown) -> Result<(), Closed> {
        for id in self.tails.take_orphans() {
            let tail = &self.tails[id];
            let Some(metadata) = tail.open_metadata() else { continue };
            if !self.tails.owns_its_file(id) {
                self.tails.close(id);
                continue;
            }
            if tail.has_its_path() {
                continue;
            }
            if tail.is_due(&metadata) {
                match self.read_tail(id, &metadata, self.last_lines, events, shutdown) {
                    Ok(()) => {}
                    Err(ReadError::Closed) => return Err(Closed),
                    Err(ReadError::Failed(error)) => {
                        let name = shown(self.tails[id].name());
                        tracing::warn!("cannot read {name} to its end: {error}");
                        self.tails.close(id);
                        continue;
                    }
                }
            }
            let tail = &self.tails[id];
            if tail.is_due(&metadata) || tail.unchanged_for() < IDLE {
                self.tails.orphan(id);
            } else {
                self.tails.close(id);
            }
        }
        Ok(())
    }
}
