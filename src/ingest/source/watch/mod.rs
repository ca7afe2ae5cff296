//! The source of `watch`: a folder in which logs appear and grow.
//!
//! Repeated scans of the folder find every change, on any file system. Change notifications from the
//! operating system only make the program find changes sooner.

mod identify;
mod notifications;
mod retirement;
mod tail_set;

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::RecommendedWatcher;

use crate::ingest::source::archive::{Archiver, RetirableInput};
use crate::ingest::source::compression::unreadable;
use crate::ingest::source::fingerprint::{FileId, InodeKey};
use crate::ingest::source::scan::{Candidate, FolderScanner, is_log_name};
use crate::ingest::source::tail::{KnownInput, LastLines, Tail};
use crate::ingest::source::watch::identify::{Identity, identify};
use crate::ingest::source::watch::notifications::{Hints, start_watcher};
use crate::ingest::source::watch::retirement::Retirement;
use crate::ingest::source::watch::tail_set::{TailId, TailSet};
use crate::ingest::source::{Closed, EventSender, ReadError};
use crate::model::dialect::Dialect;
use crate::model::error::{Error, FileRole, Op};
use crate::model::shutdown::Shutdown;
use crate::model::{Input, InputId};
use crate::telemetry::metrics::Metrics;
use crate::text::path_text;

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

/// Maximum number of open files. A file stays open so that it can be read to its end after its name is
/// gone.
const MAX_OPEN: usize = 256;
/// A file that has not grown for this long is closed.
const IDLE: Duration = Duration::from_mins(1);

/// The options for watching a folder.
#[derive(Debug)]
pub struct WatchOptions {
    /// The folder.
    pub folder: PathBuf,
    /// How the rows of the logs are written.
    pub dialect: Arc<Dialect>,
    /// When last lines without a line feed count as complete.
    pub last_lines: LastLines,
    /// What happens to finished inputs.
    pub archiver: Archiver,
    /// The metrics to update.
    pub metrics: Arc<Metrics>,
}

/// The inputs of an earlier process, and the notices about later commits.
#[derive(Debug)]
pub struct Resume {
    /// The inputs of the last commit, in the order of their ids.
    pub inputs: Vec<KnownInput>,
    /// Receives inputs that may be archived or deleted.
    pub retirable: Receiver<Vec<RetirableInput>>,
    /// Whether all inputs are read again, including archived inputs.
    pub fresh: bool,
}

/// A watched folder.
#[derive(Debug)]
pub struct Watch {
    folder: PathBuf,
    dialect: Arc<Dialect>,
    last_lines: LastLines,
    metrics: Arc<Metrics>,
    /// Whether the archive is read first.
    fresh: bool,
    hints: Arc<Mutex<Hints>>,
    waker: SyncSender<()>,
    wake: Receiver<()>,
    watcher: Option<RecommendedWatcher>,
    /// The folder that the watcher observes. A different folder may later get the same name.
    watched: Option<InodeKey>,
    /// Whether the last scan of the folder succeeded.
    readable: bool,
    scanner: FolderScanner,
    tails: TailSet,
    retirement: Retirement,
    next_input: u32,
    /// Files that could not be read. Only one warning is logged for each file.
    unreadable: BTreeSet<PathBuf>,
    /// The latest read error.
    error: Option<Error>,
    next_scan: Instant,
}

impl Watch {
    /// Starts to watch a folder.
    ///
    /// # Errors
    /// A missing folder (exit code 66).
    pub fn new(options: WatchOptions, resume: Resume) -> Result<Self, Error> {
        let WatchOptions { folder, dialect, last_lines, archiver, metrics } = options;
        check_folder(&folder)?;
        let (waker, wake) = sync_channel(1);
        let mut watch = Self {
            folder,
            dialect,
            last_lines,
            metrics,
            fresh: resume.fresh,
            hints: Arc::default(),
            waker,
            wake,
            watcher: None,
            watched: None,
            readable: true,
            scanner: FolderScanner::default(),
            tails: TailSet::default(),
            retirement: Retirement::new(archiver, resume.retirable),
            next_input: 0,
            unreadable: BTreeSet::new(),
            error: None,
            next_scan: Instant::now(),
        };
        for known in resume.inputs {
            watch.next_input = watch.next_input.max(known.input.id.0 + 1);
            watch.tails.insert(Tail::resume(known, &watch.dialect));
        }
        watch.watch_folder();
        Ok(watch)
    }

    /// Starts change notifications for the folder that is at the path now. If there are no
    /// notifications, only scans find changes.
    fn watch_folder(&mut self) {
        let folder = self.folder.metadata().ok().map(|metadata| FileId::of(&metadata).inode_key);
        if folder == self.watched {
            return;
        }
        self.watched = folder;
        let watcher = start_watcher(&self.folder, Arc::clone(&self.hints), self.waker.clone());
        if let (Err(error), Some(_)) = (&watcher, folder) {
            let folder = self.folder.display();
            tracing::warn!("{folder}: no change notifications ({error}); the folder is scanned every second");
        }
        self.watcher = watcher.ok();
    }

    /// Reads until a shutdown. With `--once`, reads until all files are read.
    ///
    /// # Errors
    /// With `--once`, the error for a file that cannot be read. Without `--once`, a warning is logged,
    /// and the file is tried again.
    pub fn run(mut self, events: &EventSender, shutdown: &Shutdown) -> Result<(), Error> {
        if self.fresh {
            self.read_archive(events, shutdown)?;
        }
        let once = self.last_lines.once;
        while !shutdown.is_requested() && !events.is_closed() {
            if self.read_changes(events, shutdown).is_err() || once {
                break;
            }
            self.wait(events, shutdown);
        }
        // With `--once`, the file is not tried again. Its rows would be missing, so the run must end
        // with an error.
        self.error.take_if(|_| once).map_or(Ok(()), Err)
    }

    /// Scans the whole folder once, regardless of notifications, and reads new bytes.
    ///
    /// # Errors
    /// A closed channel.
    pub fn poll(&mut self, events: &EventSender, shutdown: &Shutdown) -> Result<(), Closed> {
        self.next_scan = Instant::now();
        self.read_changes(events, shutdown)
    }

    fn read_changes(&mut self, events: &EventSender, shutdown: &Shutdown) -> Result<(), Closed> {
        let changed = self.find_changes();
        self.read_files(changed, self.last_lines, events, shutdown)?;
        self.read_orphans(events, shutdown)?;
        self.retirement.run(&mut self.tails);
        Ok(())
    }

    /// Reads the inputs that earlier processes have archived.
    fn read_archive(&mut self, events: &EventSender, shutdown: &Shutdown) -> Result<(), Error> {
        let archive = self.retirement.archive_dir();
        let files = match self.scanner.scan(archive, |_| false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            files => files.map_err(|error| Error::file(FileRole::Input, Op::Read, archive, error))?,
        };
        // Archived files are complete.
        let last_lines = LastLines { once: true, ..self.last_lines };
        // A closed channel also ends the loop of the caller.
        let _ = self.read_files(files, last_lines, events, shutdown);
        self.error.take().map_or(Ok(()), Err)
    }

    /// Finds the files that may have changed. If a scan is due, it inspects all files. Otherwise, it
    /// inspects only files with a notification or an incomplete last line.
    fn find_changes(&mut self) -> Vec<Candidate> {
        let hints = std::mem::take(&mut *self.hints.lock().unwrap_or_else(PoisonError::into_inner));
        if hints.overflow {
            self.metrics.watch_overflows.inc();
        }
        self.metrics.files_open.set(self.tails.open().len() as i64);
        if hints.overflow || Instant::now() >= self.next_scan {
            self.scan()
        } else {
            self.inspect(hints.names)
        }
    }

    /// Scans the whole folder.
    fn scan(&mut self) -> Vec<Candidate> {
        let start = Instant::now();
        // Notifications start before the scan, so that no change between the two is missed.
        self.watch_folder();
        let tails = &self.tails;
        let files = self.scanner.scan(&self.folder, |inode| tails.has_inode(inode));
        let was_readable = std::mem::replace(&mut self.readable, files.is_ok());
        let files = files.unwrap_or_else(|error| {
            let error = Error::file(FileRole::Input, Op::Read, &self.folder, error);
            if was_readable {
                tracing::warn!("{error}; trying again");
            }
            self.error = Some(error);
            Vec::new()
        });
        self.revisit_open();
        self.next_scan =
            Instant::now() + (start.elapsed() * SCAN_SHARE).clamp(SCAN_INTERVAL, MAX_SCAN_INTERVAL);
        files
    }

    /// Inspects the changed files, and the files with an incomplete last line.
    fn inspect(&mut self, changed: HashSet<OsString>) -> Vec<Candidate> {
        let incomplete = self.tails.incomplete().iter().filter_map(|&id| self.tails[id].path().file_name());
        let mut names: Vec<OsString> = incomplete.map(ToOwned::to_owned).chain(changed).collect();
        names.sort_unstable();
        names.dedup();
        let mut files = Vec::new();
        for name in names {
            let tails = &self.tails;
            match self.scanner.inspect(&self.folder, &name, |metadata| tails.has_file(metadata)) {
                Ok(Some(file)) => files.push(file),
                Ok(None) => {
                    // The name is gone. The rest of the file is read from the open file.
                    if let Some(id) = self.tails.find_path(&self.folder.join(&name)) {
                        self.tails.orphan(id);
                        self.tails.set_incomplete(id, false);
                    }
                }
                Err(error) => tracing::warn!("cannot read {}: {error}", self.folder.join(&name).display()),
            }
        }
        files
    }

    /// Closes idle files. Also finds open files whose path is gone or belongs to a different file.
    fn revisit_open(&mut self) {
        while self.tails.open().len() > MAX_OPEN {
            self.tails.close(self.tails.open()[0]);
        }
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

    /// Reads each open file to its end if its path is gone or belongs to a different file.
    fn read_orphans(&mut self, events: &EventSender, shutdown: &Shutdown) -> Result<(), Closed> {
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
                        let path = self.tails[id].path().display();
                        tracing::warn!("cannot read {path} to its end: {error}");
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

    fn read_files(
        &mut self,
        files: Vec<Candidate>,
        last_lines: LastLines,
        events: &EventSender,
        shutdown: &Shutdown,
    ) -> Result<(), Closed> {
        for file in files {
            if shutdown.is_requested() {
                break;
            }
            match self.read_file(&file, last_lines, events, shutdown) {
                Ok(()) => {
                    self.unreadable.remove(&file.path);
                }
                Err(ReadError::Closed) => return Err(Closed),
                Err(ReadError::Failed(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(ReadError::Failed(error)) => {
                    let error = unreadable(&file.path, error);
                    if self.unreadable.insert(file.path) {
                        tracing::warn!("{error}; trying again");
                    }
                    self.error = Some(error);
                }
            }
        }
        Ok(())
    }

    fn read_file(
        &mut self,
        file: &Candidate,
        last_lines: LastLines,
        events: &EventSender,
        shutdown: &Shutdown,
    ) -> Result<(), ReadError> {
        let Some(id) = self.follow(&file.path, &file.metadata)? else { return Ok(()) };
        if !self.tails[id].is_due(&file.metadata) {
            return Ok(());
        }
        let read = self.read_tail(id, &file.metadata, last_lines, events, shutdown);
        // After an error, the file is not tried again before the next scan or notification.
        let incomplete = read.is_ok() && self.tails[id].is_due(&file.metadata);
        self.tails.set_incomplete(id, incomplete);
        if self.tails.open().len() > MAX_OPEN {
            self.revisit_open();
        }
        read
    }

    fn read_tail(
        &mut self,
        id: TailId,
        metadata: &Metadata,
        last_lines: LastLines,
        events: &EventSender,
        shutdown: &Shutdown,
    ) -> Result<(), ReadError> {
        self.tails.update(id, |tail| tail.read(metadata, last_lines, events, shutdown))
    }

    /// The tail that follows a file: an existing tail, even if the file was renamed, or a new tail.
    /// `None` if the file must not be read.
    fn follow(&mut self, path: &Path, metadata: &Metadata) -> io::Result<Option<TailId>> {
        let is_log = is_log_name(path.file_name().unwrap_or_default());
        let shown = path.display();
        match identify(&self.tails, path, metadata)? {
            Identity::Known(id) => {
                self.tails.rename(id, path.to_owned());
                return Ok(Some(id));
            }
            Identity::Copy(id) => {
                self.tails.update(id, |tail| tail.switch_to(metadata));
                return Ok(Some(id));
            }
            Identity::Rewritten(id) => {
                self.tails.rename(id, path.to_owned());
                self.stop_rewritten(id, metadata);
                return Ok(None);
            }
            Identity::Truncated(id) if is_log => {
                self.metrics.files_truncated.inc();
                tracing::warn!("{shown}: the file was truncated; it is read again from the beginning");
                self.tails.close(id);
            }
            Identity::Truncated(id) => {
                // It is unclear whether the content was already read under the name of the log.
                self.metrics.files_truncated.inc();
                tracing::warn!(
                    "{shown}: the file was truncated, and its name is not a log name; it is no longer read"
                );
                self.tails.forget_file(id);
            }
            Identity::Replaced(id) => {
                if !self.tails[id].is_rejected() {
                    tracing::warn!(
                        "{shown}: a different file has this path now; it is read from the beginning"
                    );
                }
            }
            Identity::New => {}
        }
        if !is_log {
            return Ok(None);
        }
        let input = Arc::new(Input { id: InputId(self.next_input), label: path_text(path) });
        self.next_input += 1;
        Ok(Some(self.tails.insert(Tail::new(input, path.to_owned(), metadata, &self.dialect))))
    }

    /// Stops reading a file, because bytes were overwritten after they had been read.
    fn stop_rewritten(&mut self, id: TailId, metadata: &Metadata) {
        self.metrics.files_rewritten.inc();
        let tail = &self.tails[id];
        let path = tail.path().display();
        tracing::error!(
            "{path}: bytes before offset {} were overwritten after they had been read; the file is no longer \
             read; replace it, truncate it or copy it to a different name to read it from the beginning",
            tail.offset()
        );
        let message = format!("{path}: bytes were overwritten after they had been read");
        self.error = Some(Error::MissingInput(message));
        self.tails.update(id, |tail| tail.give_up(metadata));
        self.tails.set_incomplete(id, false);
    }

    /// Waits until there may be something to read.
    fn wait(&self, events: &EventSender, shutdown: &Shutdown) {
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

/// Checks that the folder exists.
///
/// # Errors
/// A missing folder (exit code 66).
pub fn check_folder(folder: &Path) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    let message =
        format!("{} does not exist; create it, or pass --incoming with a different folder", folder.display());
    Err(Error::MissingInput(message))
}
