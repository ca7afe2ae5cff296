//! The interface through which the program writes its files.
//!
//! The program creates files, appends to them, and syncs, renames and removes them. Only recovery
//! truncates files. Durable bytes are never overwritten. [`real::RealDisk`] is the file system of the
//! operating system. Tests use a simulated disk instead, which loses all changes that were not synced.

pub mod allocator;
pub mod descriptors;
pub mod failpoint;
mod lock;
pub mod real;
pub mod staged_file;

use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use crate::model::error::{Error, FileRole, Op};

/// A file system. A power cut may lose, tear or reorder all changes that are not durable.
/// [`DiskFile::sync`] makes the bytes of a file durable, and [`sync_folder`](Disk::sync_folder) makes
/// the names in a folder durable.
pub trait Disk: Debug + Send + Sync {
    /// Creates a file. The path must not exist yet.
    ///
    /// # Errors
    /// An error of the file system, such as `AlreadyExists`.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens an existing file. Does not follow symbolic links.
    ///
    /// # Errors
    /// An error of the file system.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Renames a file. An existing file that already has the new name is replaced.
    ///
    /// # Errors
    /// An error of the file system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// An error of the file system.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Creates a folder and its parents durably. It is not an error if the folder exists.
    ///
    /// # Errors
    /// An error of the file system.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    ///
    /// # Errors
    /// An error of the file system.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Lists the names in a folder, in any order.
    ///
    /// # Errors
    /// An error of the file system.
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// An error of the file system. After this error, the durable state is unknown, so the process must end.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// The length and the identity of a file, without following symbolic links.
    ///
    /// # Errors
    /// An error of the file system.
    fn stat(&self, path: &Path) -> io::Result<FileStat>;

    /// Locks an existing folder until the returned value is dropped. If another process holds the lock, waits a
    /// second for it.
    ///
    /// # Errors
    /// `Busy` if another process holds the lock (exit code 75), or an error of the file system (73).
    fn lock(&self, folder: &Path) -> Result<Box<dyn FolderLock>, Error>;

    /// Enables retries. From now on, if an operation fails because the disk is full, write permission is
    /// missing or too many files are open, the disk repeats the operation until it succeeds.
    fn wait_for_room(&self) {}

    /// Whether the disk is repeating a failed operation now.
    fn is_waiting(&self) -> bool {
        false
    }
}

/// What identifies a file as long as it is open: the numbers of its device and of its inode.
pub type FileIdentity = (u64, u64);

/// The length and the identity of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// The length in bytes.
    pub len: u64,
    /// The identity.
    pub identity: FileIdentity,
}

/// The lock of a folder. Dropping the value releases the lock.
pub trait FolderLock: Debug + Send {
    /// Whether the folder at the path is still the locked folder. If the file system cannot tell, the answer
    /// is yes.
    fn is_current(&self) -> bool;

    /// Locks the folder that is at the path now. Creates it if it is missing. If the folder at the path is
    /// the locked folder, nothing changes. Returns whether the folder was a different one.
    ///
    /// # Errors
    /// `Busy` if another process holds the lock of the new folder (exit code 75), or an error of the file
    /// system (73).
    fn renew(&mut self) -> Result<bool, Error>;
}

/// A shared disk.
pub type SharedDisk = Arc<dyn Disk>;

/// An open file.
pub trait DiskFile: Debug + Send + Sync {
    /// Appends all bytes.
    ///
    /// # Errors
    /// An error of the file system. The file may then contain some of the bytes.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Reads bytes from an offset and returns their number. Fills `bytes` unless the file ends first.
    ///
    /// # Errors
    /// An error of the file system.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The length in bytes.
    ///
    /// # Errors
    /// An error of the file system.
    fn len(&self) -> io::Result<u64>;

    /// The identity.
    ///
    /// # Errors
    /// An error of the file system.
    fn identity(&self) -> io::Result<FileIdentity>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// An error of the file system.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Truncates the file. The new length must not exceed the current length.
    ///
    /// # Errors
    /// An error of the file system.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Makes the bytes and the length durable.
    ///
    /// # Errors
    /// An error of the file system. After this error, the durable state is unknown, so the process must end.
    fn sync(&mut self) -> io::Result<()>;
}

/// Buffer size for reading whole files, in bytes.
pub const READ: usize = 256 << 10;

/// Creates a folder and its parents.
///
/// # Errors
/// An error of the file system (exit code 73).
pub fn create_folder(disk: &dyn Disk, path: &Path) -> Result<(), Error> {
    disk.create_folder(path).map_err(|source| Error::file(FileRole::Output, Op::Create, path, source))
}

/// Creates an empty file. If the path already exists, the existing file is replaced.
///
/// # Errors
/// An error of the file system (exit code 73).
pub fn create_empty(disk: &dyn Disk, path: &Path) -> Result<Box<dyn DiskFile>, Error> {
    remove_file(disk, path)?;
    create_new(disk, path)
}

/// Creates a file. The path must not exist yet.
///
/// # Errors
/// An error of the file system (exit code 73).
pub fn create_new(disk: &dyn Disk, path: &Path) -> Result<Box<dyn DiskFile>, Error> {
    disk.create_new(path).map_err(|source| Error::file(FileRole::Output, Op::Create, path, source))
}

/// Removes a file if it exists.
///
/// # Errors
/// An error of the file system (exit code 73).
pub fn remove_file(disk: &dyn Disk, path: &Path) -> Result<(), Error> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::file(FileRole::Output, Op::Remove, path, error))
        }
        _ => Ok(()),
    }
}

/// The sorted names in a folder. Empty if the folder does not exist.
///
/// # Errors
/// An error of the file system (exit code 73).
pub fn names_in(disk: &dyn Disk, folder: &Path) -> Result<Vec<OsString>, Error> {
    match disk.list(folder) {
        Ok(mut names) => {
            names.sort_unstable();
            Ok(names)
        }
        Err(error) if is_missing(&error) => Ok(Vec::new()),
        Err(source) => Err(Error::file(FileRole::Output, Op::Read, folder, source)),
    }
}

/// Removes all files with an `unwanted` name from a folder. If the folder is empty afterwards, removes
/// the folder too. Returns whether a file was removed.
///
/// # Errors
/// An error of the file system (exit code 73).
pub fn remove_from(disk: &dyn Disk, folder: &Path, unwanted: impl Fn(&str) -> bool) -> Result<bool, Error> {
    let names = names_in(disk, folder)?;
    let mut removed = false;
    for name in &names {
        if name.to_str().is_some_and(&unwanted) {
            remove_file(disk, &folder.join(name))?;
            removed = true;
        }
    }
    if removed {
        // The files must be gone from the medium before their folder is.
        sync_folder(disk, folder)?;
        // This fails if the folder is not empty, and then the folder must stay.
        let _ = disk.remove_folder(folder);
    }
    Ok(removed)
}

/// Makes the names in a folder durable.
///
/// # Errors
/// An error of the file system (exit code 74).
pub fn sync_folder(disk: &dyn Disk, folder: &Path) -> Result<(), Error> {
    if crate::storage::failpoint::planted(crate::storage::failpoint::Bug::NoFolderSync) {
        return Ok(());
    }
    disk.sync_folder(folder).map_err(|source| Error::file(FileRole::Open, Op::Sync, folder, source))
}

/// Makes the content of a file durable.
///
/// # Errors
/// An error of the file system (exit code 74).
pub fn sync_file(file: &mut dyn DiskFile, path: &Path) -> Result<(), Error> {
    file.sync().map_err(|source| Error::file(FileRole::Open, Op::Sync, path, source))
}

/// Appends to a file.
///
/// # Errors
/// An error of the file system (exit code 74).
pub fn append(file: &mut dyn DiskFile, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    file.append(bytes).map_err(|source| Error::file(FileRole::Open, Op::Write, path, source))
}

/// Reads the first `len` bytes of a file, and passes them to `each` in pieces of limited size.
///
/// # Errors
/// An error of the file system.
pub fn read_through(file: &dyn DiskFile, len: u64, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut bytes = vec![0; READ.min(len as usize)];
    let mut at = 0;
    while at < len {
        let wanted = bytes.len().min((len - at) as usize);
        let read = file.read_at(&mut bytes[..wanted], at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        each(&bytes[..read]);
        at += read as u64;
    }
    Ok(())
}

/// The XXH3-128 hash of the first `len` bytes of a file.
///
/// # Errors
/// An error of the file system.
pub fn hash_of(file: &dyn DiskFile, len: u64) -> io::Result<u128> {
    let mut hash = Xxh3::new();
    read_through(file, len, |bytes| hash.update(bytes))?;
    Ok(hash.digest128())
}

/// Reads a whole file. The file must not have more than `limit` bytes.
///
/// # Errors
/// An error of the file system, or `InvalidData` if the file is longer.
pub fn read_small(disk: &dyn Disk, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let len = file.len()?;
    if len > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{len} bytes, expected at most {limit}"),
        ));
    }
    let mut bytes = Vec::with_capacity(len as usize);
    read_through(&*file, len, |read| bytes.extend_from_slice(read))?;
    Ok(bytes)
}

/// Whether the error of a file operation means that there is no such file.
pub fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether a name is the temporary name of a [`staged_file::StagedFile`].
pub fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && has_end(name, "tmp")
}

/// Whether a name has the file name extension `end`.
pub fn has_end(name: &str, end: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == end)
}
