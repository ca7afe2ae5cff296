//! Finds the files of a watched folder that may have changed.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use crate::ingest::source::EventSender;
use crate::ingest::source::log_names::may_be_rolled;
use crate::ingest::source::scan::{Candidate, FolderScan, drop_repeated_links};
use crate::ingest::source::watch::Watch;
use crate::model::error::{Error, FileRole, Op};
use crate::model::shutdown::Shutdown;
use crate::storage::descriptors;

/// Interval between scans of a small folder.
const SCAN_INTERVAL: Duration = Duration::from_secs(1);
/// Scans take at most 1/200 of the time, so large folders are scanned less often.
const SCAN_SHARE: u32 = 200;
/// Maximum interval between scans.
const MAX_SCAN_INTERVAL: Duration = Duration::from_mins(1);

/// Changes within this time are read together.
const DEBOUNCE: Duration = Duration::from_millis(5);
/// Interval between checks for a shutdown and for incomplete last lines.
const TICK: Duration = Duration::from_millis(50);

impl Watch {
    /// Finds the files that may have changed, and tells whether the whole folder was scanned. If a scan is due, it inspects all files. Otherwise, it
    /// inspects only files with a notification or an incomplete last line.
    pub(super) fn find_changes(&mut self) -> (Vec<Candidate>, bool) {
        let hints = std::mem::take(&mut *self.hints.lock().unwrap_or_else(PoisonError::into_inner));
        if hints.overflow {
            self.metrics.watch_overflows.inc();
        }
        self.metrics.files_open.set(self.tails.open().len() as i64);
        if hints.overflow || Instant::now() >= self.next_scan {
            (self.scan(), true)
        } else {
            (self.inspect(hints.names), false)
        }
    }

    /// Scans the whole folder.
    fn scan(&mut self) -> Vec<Candidate> {
        let start = Instant::now();
        // Notifications start before the scan, so that no change between the two is missed.
        self.watch_folder();
        let mut scan = self.scan_folder();
        if scan.as_ref().is_err_and(descriptors::is_shortage) {
            self.close_unneeded();
            scan = self.scan_folder();
        }
        let was_readable = std::mem::replace(&mut self.readable, scan.is_ok());
        let files = match scan {
            Ok(FolderScan { logs, skipped, unreadable }) => {
                self.skipped.warn(&self.logs.path, &self.archive.path, skipped.folders);
                for (name, error) in unreadable {
                    self.note_unreadable(&name, error);
                }
                logs
            }
            Err(error) => {
                let error = Error::file(FileRole::Input, Op::Read, &self.logs.path, error);
                if was_readable {
                    tracing::warn!("{error}; trying again");
                }
                self.error = Some(error);
                Vec::new()
            }
        };
        self.revisit_open();
        self.next_scan =
            Instant::now() + (start.elapsed() * SCAN_SHARE).clamp(SCAN_INTERVAL, MAX_SCAN_INTERVAL);
        files
    }

    fn scan_folder(&mut self) -> io::Result<FolderScan> {
        let (tails, skipped) = (&self.tails, &mut self.skipped);
        let known = |name: &Path, inode| {
            tails.has_inode(inode) || tails.find_name(name).is_some() || is_rolled_name(name)
        };
        self.scanner.scan(&self.logs.path, known, |name| skipped.note(name))
    }

    /// Inspects the changed files, and the files with an incomplete last line.
    fn inspect(&mut self, changed: HashSet<PathBuf>) -> Vec<Candidate> {
        let incomplete = self.tails.incomplete().iter().map(|&id| self.tails[id].name().to_owned());
        let mut names: Vec<PathBuf> = incomplete.chain(changed).collect();
        names.sort_unstable();
        names.dedup();
        let mut files = Vec::new();
        for name in names {
            let tails = &self.tails;
            match self.scanner.inspect(&self.logs.path, &name, |metadata| {
                tails.has_file(metadata) || tails.find_name(&name).is_some() || is_rolled_name(&name)
            }) {
                Ok(Some(file)) => files.push(file),
                Ok(None) => {
                    // The name is gone. The rest of the file is read from the open file.
                    if let Some(id) = self.tails.find_name(&name) {
                        self.tails.orphan(id);
                        self.tails.set_incomplete(id, false);
                    } else if self.scanner.rules().recursive && self.logs.path.join(&name).is_dir() {
                        // A subfolder may have appeared together with its files.
                        self.next_scan = Instant::now();
                    }
                }
                Err(error) => self.note_unreadable(&name, error),
            }
        }
        drop_repeated_links(&mut files);
        files
    }

    /// Waits until there may be something to read.
    pub(super) fn wait(&self, events: &EventSender, shutdown: &Shutdown) {
        loop {
            match self.wake.recv_timeout(TICK) {
                Ok(()) => {
                    std::thread::sleep(DEBOUNCE);
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("`self.waker` is a sender"),
            }
            if shutdown.is_requested()
                || events.is_closed()
                || !self.tails.incomplete().is_empty()
                || !self.tails.orphans().is_empty()
                || Instant::now() >= self.next_scan
            {
                return;
            }
        }
    }
}

/// Whether a file may be a compressed log, according to its name.
fn is_rolled_name(name: &Path) -> bool {
    name.file_name().is_some_and(may_be_rolled)
}
