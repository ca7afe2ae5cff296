//! The source of `watch`: a folder in which logs appear and grow.
//!
//! Repeated scans of the folder find every change, on any file system. Change notifications from the
//! operating system only make the program find changes sooner.

mod changes;
mod headers;
mod heads;
mod identify;
mod notifications;
mod open_files;
mod options;
mod retirement;
mod rolled;
mod skipped;
mod tail_id;
mod tail_set;

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use notify::RecommendedWatcher;

use crate::ingest::source::compression::{Compression, unreadable};
use crate::ingest::source::fingerprint::{FileId, InodeKey};
use crate::ingest::source::log_folder::LogFolder;
use crate::ingest::source::log_names::LogNames;
use crate::ingest::source::scan::{Candidate, FolderRules, FolderScanner};
use crate::ingest::source::tail::{KnownInput, LastLines, Tail};
use crate::ingest::source::watch::headers::EarlierHeaders;
use crate::ingest::source::watch::identify::{Identity, identify};
use crate::ingest::source::watch::notifications::{Hints, start_watcher};
use crate::ingest::source::watch::retirement::Retirement;
use crate::ingest::source::watch::rolled::{Decided, Decision, Rolled};
use crate::ingest::source::watch::skipped::SkippedWarnings;
use crate::ingest::source::watch::tail_id::TailId;
use crate::ingest::source::watch::tail_set::TailSet;
use crate::ingest::source::{Closed, Event, EventSender, ReadError};
use crate::model::dialect::Dialect;
use crate::model::error::{Error, FileRole, Op};
use crate::model::shutdown::Shutdown;
use crate::model::{Input, InputId};
use crate::storage::descriptors;
use crate::telemetry::metrics::Metrics;
use crate::text::{harmless, path_text, shown};

pub use crate::ingest::source::watch::options::{Resume, WatchOptions, check_folder};

pub use crate::ingest::source::watch::rolled::ROLL_WAIT;

/// A watched folder.
#[derive(Debug)]
pub struct Watch {
    logs: Arc<LogFolder>,
    archive: Arc<LogFolder>,
    /// Maximum number of open files. A file stays open so that it can be read to its end after its name is
    /// gone.
    max_open: usize,
    dialect: Arc<Dialect>,
    last_lines: LastLines,
    /// The maximum number of bytes of text to hold back while a compressed log is checked.
    max_held: u64,
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
    skipped: SkippedWarnings,
    tails: TailSet,
    retirement: Retirement,
    rolled: Rolled,
    headers: EarlierHeaders,
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
        let WatchOptions {
            folder,
            rules,
            dialect,
            last_lines,
            roll_wait,
            max_held,
            archiver,
            max_open,
            metrics,
        } = options;
        check_folder(&folder)?;
        let (waker, wake) = sync_channel(1);
        let follow_symlinks = rules.follow_symlinks;
        let folder_of = |path, is_archive| Arc::new(LogFolder { path, is_archive, follow_symlinks });
        let archive = folder_of(archiver.archive_dir.clone(), true);
        let retirement =
            Retirement::new(archiver, Arc::clone(&archive), resume.retirable, Arc::clone(&metrics));
        let mut watch = Self {
            logs: folder_of(folder, false),
            archive,
            max_open,
            dialect,
            last_lines,
            max_held,
            metrics,
            fresh: resume.fresh,
            hints: Arc::default(),
            waker,
            wake,
            watcher: None,
            watched: None,
            readable: true,
            scanner: FolderScanner::new(rules),
            skipped: SkippedWarnings::default(),
            tails: TailSet::default(),
            retirement,
            rolled: Rolled::new(roll_wait),
            headers: EarlierHeaders::of(&resume.inputs),
            next_input: 0,
            unreadable: BTreeSet::new(),
            error: None,
            next_scan: Instant::now(),
        };
        watch.resume(resume.inputs);
        watch.watch_folder();
        Ok(watch)
    }

    /// Continues with the inputs of an earlier process. A device may get a new number when it is mounted again.
    /// If one known file has moved to a new device number, the number is changed for all files of that device.
    fn resume(&mut self, inputs: Vec<KnownInput>) {
        let mut tails: Vec<Tail> = Vec::with_capacity(inputs.len());
        for known in inputs {
            self.next_input = self.next_input.max(known.input.id.0 + 1);
            if known.retried {
                continue;
            }
            let folder = if known.fingerprint.retired { &self.archive } else { &self.logs };
            let earlier = self.headers.get(&known.fingerprint.name);
            let tail = Tail::resume(known, Arc::clone(folder), &self.dialect).with_max_held(self.max_held);
            tails.push(tail.with_earlier_layout(earlier));
        }
        let device_of = |tail: &Tail| tail.id().inode_key.device();
        let here = self.logs.path.metadata().map_or(0, |metadata| FileId::of(&metadata).inode_key.device());
        let renumbered = tails.iter().find(|tail| device_of(tail) != here && tail.is_on_device(here));
        let renumbered = renumbered.map(device_of);
        for mut tail in tails {
            if renumbered == Some(device_of(&tail)) {
                tail.set_device(here);
            }
            self.tails.insert(tail);
        }
    }

    /// Starts change notifications for the folder that is at the path now. If there are no
    /// notifications, only scans find changes.
    fn watch_folder(&mut self) {
        let folder = self.logs.path.metadata().ok().map(|metadata| FileId::of(&metadata).inode_key);
        if folder == self.watched {
            return;
        }
        self.watched = folder;
        let recursive = self.scanner.rules().recursive;
        let watcher = start_watcher(&self.logs.path, recursive, Arc::clone(&self.hints), self.waker.clone());
        if let (Err(error), Some(_)) = (&watcher, folder) {
            let folder = shown(&self.logs.path);
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
        let (changed, is_scan) = self.find_changes();
        let logs = Arc::clone(&self.logs);
        self.read_files(&logs, changed, self.last_lines, events, shutdown)?;
        self.read_orphans(events, shutdown)?;
        // Only a scan of the whole folder tells whether a file is gone, because it may have been renamed.
        if is_scan && self.readable && !shutdown.is_requested() {
            self.decide_rolled(events, shutdown)?;
        } else if self.rolled.may_decide(&self.tails) {
            self.next_scan = Instant::now();
        }
        self.retirement.run(&mut self.tails, events)
    }

    /// Reads the inputs that earlier processes have archived.
    fn read_archive(&mut self, events: &EventSender, shutdown: &Shutdown) -> Result<(), Error> {
        let archive = Arc::clone(&self.archive);
        let failed = |path: &Path, error| Error::file(FileRole::Input, Op::Read, path, error);
        // Rotated logs were archived under any name.
        let names = LogNames::new(["*"]).expect("the pattern is valid");
        let mut scanner = FolderScanner::new(FolderRules { names, ..self.scanner.rules().clone() });
        let scan = match scanner.scan(&archive.path, |_, _| false, |_| {}) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            scan => scan.map_err(|error| failed(&archive.path, error))?,
        };
        if let Some((name, error)) = scan.unreadable.into_iter().next() {
            return Err(failed(&archive.path.join(name), error));
        }
        // Archived files are complete.
        let last_lines = LastLines { once: true, ..self.last_lines };
        // A closed channel also ends the loop of the caller.
        let _ = self.read_files(&archive, scan.logs, last_lines, events, shutdown);
        self.error.take().map_or(Ok(()), Err)
    }

    fn read_files(
        &mut self,
        folder: &Arc<LogFolder>,
        mut files: Vec<Candidate>,
        last_lines: LastLines,
        events: &EventSender,
        shutdown: &Shutdown,
    ) -> Result<(), Closed> {
        // A compressed file may contain one of the plain files, so these are read first.
        files.sort_by_key(|file| !Compression::of(&file.path).is_plain());
        for file in files {
            if shutdown.is_requested() {
                break;
            }
            self.yield_descriptors();
            let mut read = self.read_file(folder, &file, last_lines, events, shutdown);
            if let Err(ReadError::Failed(error)) = &read
                && descriptors::is_shortage(error)
            {
                self.close_unneeded();
                read = self.read_file(folder, &file, last_lines, events, shutdown);
            }
            match read {
                Ok(()) => {
                    self.unreadable.remove(&file.name);
                }
                Err(ReadError::Closed) => return Err(Closed),
                Err(ReadError::Failed(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(ReadError::Failed(error)) => self.note_unreadable(&file.name, error),
            }
        }
        Ok(())
    }

    /// Records that a file or subfolder cannot be read. Warns once.
    fn note_unreadable(&mut self, name: &Path, error: io::Error) {
        let error = unreadable(name, error);
        if self.unreadable.insert(name.to_owned()) {
            tracing::warn!("{error}; trying again");
        }
        self.error = Some(error);
    }

    fn read_file(
        &mut self,
        folder: &Arc<LogFolder>,
        file: &Candidate,
        last_lines: LastLines,
        events: &EventSender,
        shutdown: &Shutdown,
    ) -> Result<(), ReadError> {
        let Some(id) = self.follow(folder, file)? else { return Ok(()) };
        self.read_due(id, file, last_lines, events, shutdown)
    }

    fn read_due(
        &mut self,
        id: TailId,
        file: &Candidate,
        last_lines: LastLines,
        events: &EventSender,
        shutdown: &Shutdown,
    ) -> Result<(), ReadError> {
        if !self.tails[id].is_due(&file.metadata) {
            return Ok(());
        }
        let read = self.read_tail(id, &file.metadata, last_lines, events, shutdown);
        // After an error, the file is not tried again before the next scan or notification.
        let incomplete = read.is_ok() && self.tails[id].is_due(&file.metadata);
        self.tails.set_incomplete(id, incomplete);
        self.close_surplus();
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
        let read = self.tails.update(id, |tail| tail.read(metadata, last_lines, events, shutdown));
        let tail = &self.tails[id];
        if let Some(layout) = tail.layout() {
            self.headers.note(tail.name(), layout);
        }
        read
    }

    /// Decides which compressed files are rolled logs, and reads the files that no longer wait.
    fn decide_rolled(&mut self, events: &EventSender, shutdown: &Shutdown) -> Result<(), Closed> {
        for decided in self.rolled.decide(&self.tails, self.last_lines.once) {
            match self.read_decided(&decided, events, shutdown) {
                Ok(()) => {}
                Err(ReadError::Closed) => return Err(Closed),
                Err(ReadError::Failed(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(ReadError::Failed(error)) => self.note_unreadable(&decided.file.name, error),
            }
        }
        if let Some(deadline) = self.rolled.deadline() {
            self.next_scan = self.next_scan.min(deadline);
        }
        Ok(())
    }

    fn read_decided(
        &mut self,
        decided: &Decided,
        events: &EventSender,
        shutdown: &Shutdown,
    ) -> Result<(), ReadError> {
        let Decided { folder, file, decision } = decided;
        let is_log = folder.is_archive || self.scanner.rules().is_log(&file.name);
        let label = shown(&file.name);
        let id = match *decision {
            Decision::Continues(id, bytes) => {
                let input = Arc::clone(self.tails[id].input());
                tracing::info!(
                    "{label}: this is {}, compressed; reading continues at byte {} of its text",
                    harmless(&input.label),
                    self.tails[id].offset()
                );
                self.tails.continue_compressed(id, folder, &file.name, &file.metadata);
                events.send(Event::Grown(input, bytes))?;
                id
            }
            Decision::Contained(id) => {
                let other = harmless(&self.tails[id].input().label);
                tracing::info!("{label}: this is {other}, compressed; all its rows were read before");
                if is_log {
                    let id = self.insert_new(folder, file);
                    return self.tails.update(id, |tail| tail.finish_unread(&file.metadata, events));
                }
                self.rolled.ignore(file);
                return Ok(());
            }
            Decision::New(_) if !is_log => {
                self.rolled.ignore(file);
                return Ok(());
            }
            Decision::New(same) => {
                if let Some(same) = same {
                    let other = harmless(&self.tails[same].input().label);
                    tracing::warn!("{label}: has the same content as {other}; its rows are counted again");
                }
                self.insert_new(folder, file)
            }
        };
        self.read_due(id, file, self.last_lines, events, shutdown)
    }

    /// The tail that follows a file: an existing tail, even if the file was renamed, or a new tail.
    /// `None` if the file must not be read.
    fn follow(&mut self, folder: &Arc<LogFolder>, file: &Candidate) -> io::Result<Option<TailId>> {
        let Candidate { name, metadata, .. } = file;
        let is_log = folder.is_archive || self.scanner.rules().is_log(name);
        let label = shown(name);
        match identify(&self.tails, file)? {
            Identity::Known(id) => {
                self.rename(id, folder, file);
                if let Some(layout) = self.tails[id].layout() {
                    self.headers.note(name, layout);
                }
                return Ok(Some(id));
            }
            Identity::Copy(id) => {
                self.tails.update(id, |tail| tail.switch_to(metadata));
                return Ok(Some(id));
            }
            Identity::Rewritten(id) => {
                self.rename(id, folder, file);
                self.stop_rewritten(id, metadata);
                return Ok(None);
            }
            Identity::Truncated(id) if is_log => {
                self.metrics.files_truncated.inc();
                tracing::warn!("{label}: the file was truncated; it is read again from the beginning");
                self.tails.close(id);
            }
            Identity::Truncated(id) => {
                // It is unclear whether the content was already read under the name of the log.
                self.metrics.files_truncated.inc();
                tracing::warn!(
                    "{label}: the file was truncated, and its name is not a log name; it is no longer read"
                );
                self.tails.forget_file(id, name);
            }
            Identity::Replaced(_) | Identity::New if self.rolled.consider(folder, file, &self.tails)? => {
                return Ok(None);
            }
            Identity::Replaced(id) => {
                if is_log && !self.tails[id].is_rejected() {
                    tracing::warn!(
                        "{label}: a different file has this path now; it is read from the beginning"
                    );
                }
            }
            Identity::New => {}
        }
        if !is_log {
            self.skipped.note(name);
            return Ok(None);
        }
        Ok(Some(self.insert_new(folder, file)))
    }

    /// Follows a new file.
    fn insert_new(&mut self, folder: &Arc<LogFolder>, file: &Candidate) -> TailId {
        let Candidate { name, metadata, .. } = file;
        let input = Arc::new(Input { id: InputId(self.next_input), label: path_text(name) });
        self.next_input += 1;
        let tail = Tail::new(input, Arc::clone(folder), name.clone(), metadata, &self.dialect)
            .with_max_held(self.max_held);
        self.tails.insert(tail.with_earlier_layout(self.headers.get(name)))
    }

    /// Gives a tail the name of its file. If the file has several names at the same time, for example because
    /// its folder is mounted twice, the first name stays.
    fn rename(&mut self, id: TailId, folder: &Arc<LogFolder>, file: &Candidate) {
        let tail = &self.tails[id];
        if tail.name() != file.name && tail.has_its_path() {
            return;
        }
        self.tails.rename(id, folder, &file.name);
    }

    /// Stops reading a file, because bytes were overwritten after they had been read.
    fn stop_rewritten(&mut self, id: TailId, metadata: &Metadata) {
        self.metrics.files_rewritten.inc();
        let tail = &self.tails[id];
        let label = shown(tail.name());
        tracing::error!(
            "{label}: bytes before offset {} were overwritten after they had been read; the file is no longer \
             read; replace it, truncate it or copy it to a different name to read it from the beginning",
            tail.offset()
        );
        let message = format!("{label}: bytes were overwritten after they had been read");
        self.error = Some(Error::MissingInput(message));
        self.tails.update(id, |tail| tail.give_up(metadata));
        self.tails.set_incomplete(id, false);
    }
}
