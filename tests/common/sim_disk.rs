//! A disk in memory that records all operations, so that a test can cut the power after any operation.
//!
//! The effect of a power cut is decided after the run. [`SimDisk::image`] replays the record. The image keeps
//! all synced operations. Random numbers decide which unsynced operations reach the medium. One recorded run
//! therefore yields any number of possible images.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use music_insights::generate::rng::Rng as Dice;
use music_insights::model::error::Error;

use music_insights::storage::{Disk, DiskFile, FileIdentity, FileStat, FolderLock};

use crate::medium::Medium;

/// The longest wait before a test fails. It is long enough for the slowest machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The number of a file. Files are numbered in the order of their creation.
pub(super) type Number = usize;

/// An operation that changes a disk.
#[derive(Clone, Debug)]
pub(super) enum Op {
    CreateFolder(PathBuf),
    RemoveFolder(PathBuf),
    Create(PathBuf, Number),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    Append(Number, Vec<u8>),
    Cut(Number, usize),
    Sync(Number),
    SyncFolder(PathBuf),
    /// A failed sync. Its data may never become durable, even if a later sync succeeds.
    FailedSync(Number),
    FailedSyncFolder(PathBuf),
}

/// Files and folders as a process sees them.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) files: Vec<Vec<u8>>,
    pub(super) folders: BTreeSet<PathBuf>,
    pub(super) names: BTreeMap<PathBuf, Number>,
}

impl View {
    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::CreateFolder(path) => self.folders.extend(path.ancestors().map(Path::to_owned)),
            Op::RemoveFolder(path) => {
                self.folders.remove(path);
            }
            Op::Create(path, number) => {
                self.files.resize(self.files.len().max(number + 1), Vec::new());
                self.names.insert(path.clone(), *number);
            }
            Op::Rename(from, to) => {
                let number = self.names.remove(from).expect("a renamed file exists");
                self.names.insert(to.clone(), number);
            }
            Op::Remove(path) => {
                self.names.remove(path);
            }
            Op::Append(number, bytes) => self.files[*number].extend_from_slice(bytes),
            Op::Cut(number, len) => self.files[*number].truncate(*len),
            Op::Sync(_) | Op::SyncFolder(_) | Op::FailedSync(_) | Op::FailedSyncFolder(_) => {}
        }
    }

    fn inside<'a>(&'a self, folder: &'a Path) -> impl Iterator<Item = &'a Path> {
        let names = self.names.keys().chain(&self.folders).map(PathBuf::as_path);
        names.filter(move |path| path.parent() == Some(folder))
    }
}

/// Which unsynced changes of file names reach the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// All changes before a random position, as in a journal.
    Prefix,
    /// A random subset of the changes.
    Any,
}

/// The effect of a power cut on unsynced operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Random numbers decide about each operation.
    Dice(Names),
    AllLost,
    AllKept,
    /// The process is killed without a power cut. A later power cut may still lose unsynced operations.
    Kill,
}

impl Cut {
    pub(crate) const ALL: [Self; 5] =
        [Self::Dice(Names::Prefix), Self::Dice(Names::Any), Self::AllLost, Self::AllKept, Self::Kill];
}

/// A planned failure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The operation with the given number fails with an I/O error.
    Broken(usize),
    /// The disk is full after the given number of appended bytes.
    Room(usize),
}

/// An operation that failed as planned.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) what: What,
    /// The path that the operation changes.
    pub(crate) path: PathBuf,
}

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Append,
    Cut,
    Sync,
    Naming,
}

#[derive(Debug, Default)]
struct Inner {
    /// The files at the start of the record. All are durable.
    base: View,
    log: Vec<Op>,
    now: View,
    locked: BTreeSet<PathBuf>,
    fault: Option<Fault>,
    failed: Option<Failed>,
}

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
}

/// A handle to the disk. A clone refers to the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimDisk(Arc<Shared>);

impl SimDisk {
    fn of(base: View, log: Vec<Op>) -> Self {
        let mut now = base.clone();
        for op in &log {
            now.apply(op);
        }
        let inner = Inner { base, log, now, ..Inner::default() };
        Self(Arc::new(Shared { inner: Mutex::new(inner), changed: Condvar::new() }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A test that catches a panic continues with the current disk.
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of operations so far.
    pub(crate) fn operations(&self) -> usize {
        self.inner().log.len()
    }

    /// Plans a failure.
    pub(crate) fn plan(&self, fault: Fault) {
        self.inner().fault = Some(fault);
    }

    /// The operation that failed as planned.
    pub(crate) fn failed(&self) -> Option<Failed> {
        self.inner().failed.clone()
    }

    /// All current files.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let now = &self.inner().now;
        now.names.iter().map(|(path, &number)| (path.clone(), now.files[number].clone())).collect()
    }

    /// The current content of a file.
    pub(crate) fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let now = &self.inner().now;
        now.names.get(path).map(|&number| now.files[number].clone())
    }

    /// Changes a file durably, without recording an operation.
    pub(crate) fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut inner = self.inner();
        let number = inner.now.names[path];
        change(&mut inner.now.files[number]);
        inner.base = inner.now.clone();
        inner.log.clear();
    }

    /// Waits until `found` returns a value. Calls `found` after every operation.
    pub(crate) fn wait_for<T>(&self, what: &str, mut found: impl FnMut(&Self) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            let operations = self.operations();
            if let Some(found) = found(self) {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "waited too long for {what}");
            let inner = self.inner();
            // Also call `found` after a short wait, because some changes involve no disk operation.
            let unchanged = |inner: &mut Inner| inner.log.len() == operations;
            drop(self.0.changed.wait_timeout_while(inner, Duration::from_millis(20), unchanged));
        }
    }

    /// The disk if the process is killed after operation `at`.
    pub(crate) fn crash_image(&self, at: usize) -> Self {
        let inner = self.inner();
        Self::of(inner.base.clone(), inner.log[..at].to_vec())
    }

    /// The disk if the power is cut after operation `at`.
    pub(crate) fn image(&self, at: usize, cut: Cut, dice: &mut Dice) -> Self {
        if cut == Cut::Kill {
            return self.crash_image(at);
        }
        let inner = self.inner();
        let mut medium = Medium::of(&inner.base);
        for op in &inner.log[..at] {
            medium.apply(op);
        }
        Self::of(medium.cut(cut, dice), Vec::new())
    }

    /// Performs an operation. Fails if a failure is planned for this operation.
    fn act(&self, op: Op) -> io::Result<()> {
        let mut inner = self.inner();
        let broken = matches!(inner.fault, Some(Fault::Broken(at)) if inner.log.len() == at);
        let done = if broken { inner.break_down(op) } else { inner.perform(op) };
        self.0.changed.notify_all();
        done
    }
}

impl Inner {
    fn perform(&mut self, mut op: Op) -> io::Result<()> {
        let mut done = Ok(());
        if let (Op::Append(_, bytes), Some(Fault::Room(room))) = (&mut op, &mut self.fault) {
            let fitting = bytes.len().min(*room);
            *room -= fitting;
            if fitting < bytes.len() {
                bytes.truncate(fitting);
                done = Err(ErrorKind::StorageFull.into());
            }
        }
        if done.is_err() {
            self.note_failed(&op);
        }
        self.now.apply(&op);
        self.log.push(op);
        done
    }

    fn note_failed(&mut self, op: &Op) {
        let (what, number, path) = match op {
            Op::Append(number, _) => (What::Append, Some(number), None),
            Op::Cut(number, _) => (What::Cut, Some(number), None),
            Op::Sync(number) | Op::FailedSync(number) => (What::Sync, Some(number), None),
            Op::SyncFolder(path) | Op::FailedSyncFolder(path) => (What::Sync, None, Some(path)),
            Op::Create(path, _)
            | Op::Rename(_, path)
            | Op::Remove(path)
            | Op::CreateFolder(path)
            | Op::RemoveFolder(path) => (What::Naming, None, Some(path)),
        };
        let named = || self.now.names.iter().find(|(_, of)| Some(*of) == number).map(|(path, _)| path);
        let path = path.or_else(named).cloned().unwrap_or_default();
        self.failed = Some(Failed { what, path });
    }

    /// Fails with an I/O error. After a failed sync, the data may or may not be durable.
    fn break_down(&mut self, op: Op) -> io::Result<()> {
        self.fault = None;
        self.note_failed(&op);
        let left = match op {
            Op::Sync(number) => Some(Op::FailedSync(number)),
            Op::SyncFolder(folder) => Some(Op::FailedSyncFolder(folder)),
            Op::Append(number, mut bytes) => {
                bytes.truncate(bytes.len() / 2);
                Some(Op::Append(number, bytes))
            }
            _ => None,
        };
        if let Some(left) = left {
            self.now.apply(&left);
            self.log.push(left);
        }
        Err(io::Error::other("the medium is broken"))
    }
}

fn not_found<T>() -> io::Result<T> {
    Err(ErrorKind::NotFound.into())
}

impl Disk for SimDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let number = {
            let mut inner = self.inner();
            if inner.now.names.contains_key(path) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            if !path.parent().is_some_and(|folder| inner.now.folders.contains(folder)) {
                return not_found();
            }
            inner.now.files.push(Vec::new());
            inner.now.files.len() - 1
        };
        self.act(Op::Create(path.to_owned(), number))?;
        Ok(Box::new(SimFile { disk: self.clone(), number }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        match self.inner().now.names.get(path) {
            Some(&number) => Ok(Box::new(SimFile { disk: self.clone(), number })),
            None => not_found(),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if !self.inner().now.names.contains_key(from) {
            return not_found();
        }
        self.act(Op::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if !self.inner().now.names.contains_key(path) {
            return not_found();
        }
        self.act(Op::Remove(path.to_owned()))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        if self.inner().now.folders.contains(path) {
            return Ok(());
        }
        self.act(Op::CreateFolder(path.to_owned()))
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        {
            let inner = self.inner();
            // The lock of a folder is a file in this folder.
            if inner.locked.contains(path) || inner.now.inside(path).next().is_some() {
                return Err(ErrorKind::DirectoryNotEmpty.into());
            }
        }
        self.act(Op::RemoveFolder(path.to_owned()))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let now = &self.inner().now;
        if !now.folders.contains(folder) {
            return not_found();
        }
        Ok(now.inside(folder).map(|path| path.file_name().unwrap_or_default().to_owned()).collect())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.act(Op::SyncFolder(folder.to_owned()))
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        let now = &self.inner().now;
        match now.names.get(path) {
            Some(&number) => {
                Ok(FileStat { len: now.files[number].len() as u64, identity: (0, number as u64) })
            }
            None => not_found(),
        }
    }

    fn lock(&self, folder: &Path) -> Result<Box<dyn FolderLock>, Error> {
        if !self.inner().locked.insert(folder.to_owned()) {
            return Err(Error::Busy("locked".to_owned()));
        }
        Ok(Box::new(Lock(self.clone(), folder.to_owned())))
    }
}

#[derive(Debug)]
struct Lock(SimDisk, PathBuf);

impl FolderLock for Lock {
    fn is_current(&self) -> bool {
        true
    }

    fn renew(&mut self) -> Result<bool, Error> {
        Ok(false)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.inner().locked.remove(&self.1);
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    number: Number,
}

impl DiskFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.act(Op::Append(self.number, bytes.to_vec()))
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let file = &self.disk.inner().now.files[self.number];
        let rest = &file[file.len().min(offset as usize)..];
        let read = rest.len().min(bytes.len());
        bytes[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.inner().now.files[self.number].len() as u64)
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok((0, self.number as u64))
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        assert!(len <= DiskFile::len(self)?, "truncation never extends a file");
        self.disk.act(Op::Cut(self.number, len as usize))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.act(Op::Sync(self.number))
    }
}
