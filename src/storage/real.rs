//! The file system of the operating system.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::model::error::{Error, FileRole, Op};
use crate::model::shutdown::Shutdown;
use crate::storage::lock::lock;
use crate::storage::{
    Disk, DiskFile, FileIdentity, FileStat, FolderLock, SharedDisk, create_folder, descriptors, is_missing,
};
use crate::telemetry::heartbeat::Heartbeat;
use crate::text::shown;

/// The time between two attempts of a failed operation.
const TRY_AGAIN: Duration = Duration::from_millis(250);
/// Rejects symbolic links, because a link may lead to a different folder.
const NO_FOLLOW: i32 = OFlags::NOFOLLOW.bits() as i32;

/// The file in a locked folder that is locked, too. It has the number of the process that holds the lock.
const LOCK_FILE: &str = ".lock";

/// The file system of this machine.
#[derive(Clone, Debug)]
pub struct RealDisk {
    retry: RetryPolicy,
    /// Whether a sync waits for the hardware. If false, a sync does nothing.
    fsync: bool,
}

/// Repeats a failed operation if its error may be temporary, for example a full disk. Clones share their
/// state.
#[derive(Clone, Debug)]
struct RetryPolicy {
    enabled: Arc<AtomicBool>,
    /// Whether an operation is being repeated now. Only the first failure logs a warning.
    waiting: Arc<AtomicBool>,
    shutdown: Shutdown,
    heartbeat: Heartbeat,
}

impl RealDisk {
    /// A disk that syncs. A shutdown stops the repetition of failed operations.
    pub fn with_fsync(shutdown: Shutdown) -> SharedDisk {
        Self::with_fsync_and_heartbeat(shutdown, Heartbeat::default())
    }

    /// A disk that syncs, and touches the heartbeat while it repeats an operation.
    pub fn with_fsync_and_heartbeat(shutdown: Shutdown, heartbeat: Heartbeat) -> SharedDisk {
        Arc::new(Self { retry: RetryPolicy::new(shutdown, heartbeat), fsync: true })
    }

    /// A disk that never syncs. It is for output that the program can compute again.
    pub fn without_fsync() -> SharedDisk {
        Arc::new(Self { retry: RetryPolicy::new(Shutdown::default(), Heartbeat::default()), fsync: false })
    }
}

impl RetryPolicy {
    fn new(shutdown: Shutdown, heartbeat: Heartbeat) -> Self {
        Self { enabled: Arc::default(), waiting: Arc::default(), shutdown, heartbeat }
    }

    /// Repeats an operation that writes until it succeeds or its error is not temporary.
    fn attempt<T>(&self, path: &Path, operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.repeat(path, Self::blocks_writing, operation)
    }

    /// Repeats an operation that only opens a file as long as there are too many open files.
    fn attempt_open<T>(&self, path: &Path, operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.repeat(path, descriptors::is_shortage, operation)
    }

    fn repeat<T>(
        &self,
        path: &Path,
        may_pass: fn(&io::Error) -> bool,
        mut operation: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        let mut waited = false;
        loop {
            match operation() {
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(error) if may_pass(&error) && self.is_enabled() => {
                    if descriptors::is_shortage(&error) {
                        descriptors::use_reserve();
                    }
                    if !self.waiting.swap(true, Ordering::Relaxed) {
                        let path = shown(path);
                        tracing::warn!("cannot write {path}: {error}; reading stops until writing works");
                    }
                    waited = true;
                    self.heartbeat.touch();
                    std::thread::sleep(TRY_AGAIN);
                }
                result => {
                    if waited && result.is_ok() && self.waiting.swap(false, Ordering::Relaxed) {
                        tracing::info!("writing {} works again", shown(path));
                    }
                    return result;
                }
            }
        }
    }

    fn blocks_writing(error: &io::Error) -> bool {
        let temporary = matches!(
            error.kind(),
            ErrorKind::StorageFull
                | ErrorKind::QuotaExceeded
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::PermissionDenied
        );
        temporary || descriptors::is_shortage(error)
    }

    fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed) && !self.shutdown.is_requested()
    }
}

impl Disk for RealDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let options = options.read(true).append(true).create_new(true);
        let file = self.retry.attempt(path, || options.open(path))?;
        Ok(self.file(file, path))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let options = options.read(true).append(true).custom_flags(NO_FOLLOW);
        let file = self.retry.attempt_open(path, || match options.open(path) {
            // The commands `verify` and `state` need only read access.
            Err(cause)
                if matches!(cause.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
            {
                OpenOptions::new().read(true).custom_flags(NO_FOLLOW).open(path)
            }
            other => other,
        });
        Ok(self.file(file?, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.retry.attempt(to, || fs::rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.retry.attempt(path, || fs::remove_file(path))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(());
        }
        let parent = path.parent().unwrap_or(Path::new(""));
        self.create_folder(parent)?;
        match self.retry.attempt(path, || fs::create_dir(path)) {
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(cause) if matches!(cause.kind(), ErrorKind::AlreadyExists | ErrorKind::NotADirectory) => {
                let message =
                    if path.exists() { "it is not a folder" } else { "a part of the path is not a folder" };
                return Err(io::Error::new(cause.kind(), message));
            }
            other => other?,
        }
        self.sync_folder(parent)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        self.retry.attempt_open(folder, || folder.read_dir())?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        if !self.fsync {
            return Ok(());
        }
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        self.retry.attempt_open(folder, || File::open(folder))?.sync_all()
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        let metadata = path.symlink_metadata()?;
        Ok(FileStat { len: metadata.len(), identity: identity_of(&metadata) })
    }

    fn lock(&self, folder: &Path) -> Result<Box<dyn FolderLock>, Error> {
        Ok(Box::new(RealLock::take(self.clone(), folder)?))
    }

    fn is_waiting(&self) -> bool {
        self.retry.waiting.load(Ordering::Relaxed)
    }

    fn wait_for_room(&self) {
        self.retry.enabled.store(true, Ordering::Relaxed);
    }
}

/// The device number and the inode number.
fn identity_of(metadata: &Metadata) -> FileIdentity {
    (metadata.dev(), metadata.ino())
}

/// Maximum number of steps to lock a folder that is replaced at the same time.
const LOCK_ATTEMPTS: u32 = 16;

/// A locked folder. Two locks exclude other processes. The lock on the open folder itself holds even if the
/// file `.lock` is removed, and while the folder is open, no other folder gets its identity. The lock on the
/// file `.lock` also excludes other machines, because network file systems lock only files.
#[derive(Debug)]
struct RealLock {
    disk: RealDisk,
    path: PathBuf,
    folder: File,
    file: File,
}

impl RealLock {
    fn take(disk: RealDisk, path: &Path) -> Result<Self, Error> {
        let (folder, file) = (disk.open_locked_folder(path)?, disk.open_lock_file(path)?);
        let mut lock = Self { disk, path: path.to_owned(), folder, file };
        lock.settle()?;
        Ok(lock)
    }

    /// Locks until both locks are those of the folder at the path. Between opening and locking, another
    /// process may replace the folder. Returns whether the folder was a different one.
    fn settle(&mut self) -> Result<bool, Error> {
        let mut is_new = false;
        for _ in 0..LOCK_ATTEMPTS {
            if !self.is_current() {
                create_folder(&self.disk, &self.path)?;
                self.folder = self.disk.open_locked_folder(&self.path)?;
                is_new = true;
            } else if self.has_lock_file() {
                return Ok(is_new);
            } else {
                self.file = self.disk.open_lock_file(&self.path)?;
            }
        }
        let folder = shown(&self.path);
        Err(Error::Io(format!("{folder}: the folder is replaced again and again, so it cannot be locked")))
    }

    /// Whether a path has the identity of an open file. If the file system cannot tell, the answer is yes.
    fn is_at(file: &File, path: &Path) -> bool {
        match (file.metadata(), path.metadata()) {
            (Ok(open), Ok(named)) => identity_of(&open) == identity_of(&named),
            (Ok(_), Err(cause)) if is_missing(&cause) => false,
            (Err(cause), _) if cause.raw_os_error() == Some(Errno::STALE.raw_os_error()) => false,
            _ => true,
        }
    }

    fn has_lock_file(&self) -> bool {
        Self::is_at(&self.file, &self.path.join(LOCK_FILE))
    }
}

impl FolderLock for RealLock {
    fn is_current(&self) -> bool {
        let folder = if self.path.as_os_str().is_empty() { Path::new(".") } else { &self.path };
        Self::is_at(&self.folder, folder)
    }

    fn renew(&mut self) -> Result<bool, Error> {
        self.settle()
    }
}

impl RealDisk {
    /// Opens and locks a folder.
    fn open_locked_folder(&self, path: &Path) -> Result<File, Error> {
        let name = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let failed = |cause: io::Error| Error::file(FileRole::Output, Op::Lock, path, cause);
        let folder = self.retry.attempt(path, || File::open(name)).map_err(failed)?;
        match lock(&folder) {
            // Some file systems cannot lock folders. The lock of the file is then enough.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(folder),
            Err(TryLockError::WouldBlock) => {
                let owner = fs::read_to_string(path.join(LOCK_FILE)).unwrap_or_default();
                Err(in_use(path, &owner))
            }
        }
    }

    /// Opens and locks the lock file of a folder, and writes the number of this process to it.
    fn open_lock_file(&self, folder: &Path) -> Result<File, Error> {
        let path = folder.join(LOCK_FILE);
        let failed = |cause: io::Error| Error::file(FileRole::Output, Op::Lock, &path, cause);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).custom_flags(NO_FOLLOW);
        let mut file = self.retry.attempt(&path, || options.open(&path)).map_err(failed)?;
        match lock(&file) {
            Ok(()) => {}
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = file.read_to_string(&mut owner);
                return Err(in_use(folder, &owner));
            }
        }
        let named = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        named.map_err(failed)?;
        Ok(file)
    }

    fn file(&self, file: File, path: &Path) -> Box<dyn DiskFile> {
        let (path, retry) = (path.to_owned(), self.retry.clone());
        Box::new(RealFile { file, path, retry, fsync: self.fsync })
    }
}

/// The error for a folder that another process has locked. `owner` is the content of the lock file.
fn in_use(folder: &Path, owner: &str) -> Error {
    let process = match owner.trim() {
        "" => "another process".to_owned(),
        number => format!("process {number}"),
    };
    let folder = shown(folder);
    Error::Busy(format!(
        "{folder}: already in use by {process}; stop that process, or use a different folder"
    ))
}

#[derive(Debug)]
struct RealFile {
    file: File,
    path: PathBuf,
    retry: RetryPolicy,
    fsync: bool,
}

impl DiskFile for RealFile {
    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.retry.attempt(&self.path, || (&self.file).write(bytes))?;
            if written == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            bytes = &bytes[written..];
        }
        Ok(())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(filled)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(identity_of(&self.file.metadata()?))
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.fsync { self.file.sync_data() } else { Ok(()) }
    }
}
