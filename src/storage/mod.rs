//! All writing goes through here: a small interface to the file system that says what is durable.
//!
//! Files only ever grow or are replaced whole, so a file is appended to, synced, renamed, cut short
//! in recovery, and removed; nothing durable is ever overwritten. [`real::RealDisk`] is the file
//! system; tests put a disk in its place that forgets whatever was not synced.

pub mod allocator;
pub mod failpoint;
pub mod real;
pub mod staged_file;

use std::any::Any;
use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use crate::model::error::{Error, FileRole, Op};

/// A file system. What is not synced may be lost, torn or come out of order after a power cut:
/// bytes until [`DiskFile::sync`], names until [`sync_folder`](Disk::sync_folder) of their folder.
pub trait Disk: Debug + Send + Sync {
    /// Creates a file that is not there yet.
    ///
    /// # Errors
    /// Those of the file system, `AlreadyExists` among them.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file that is there, never through a symbolic link.
    ///
    /// # Errors
    /// Those of the file system.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, in place of the file that has it.
    ///
    /// # Errors
    /// Those of the file system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Those of the file system.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Creates a folder and those above it, durably; one that is there is fine.
    ///
    /// # Errors
    /// Those of the file system.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder that is empty.
    ///
    /// # Errors
    /// Those of the file system.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// The names in a folder.
    ///
    /// # Errors
    /// Those of the file system.
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// Those of the file system. After one, nobody knows what is durable: the process must end.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Takes the lock of a folder that exists, until the result is dropped.
    ///
    /// # Errors
    /// If another process has it (75), or the file system refuses (73).
    fn lock(&self, folder: &Path) -> Result<Box<dyn Any + Send>, Error>;

    /// From now on, an operation that fails for want of room (or of permission to write, or of
    /// descriptors) waits until it can be done.
    fn wait_for_room(&self) {}

    /// Whether an operation waits right now.
    fn is_waiting(&self) -> bool {
        false
    }
}

/// A disk that everybody shares.
pub type SharedDisk = Arc<dyn Disk>;

/// An open file.
pub trait DiskFile: Debug + Send + Sync {
    /// Appends bytes at the end, all of them.
    ///
    /// # Errors
    /// Those of the file system; a part may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Reads bytes from an offset on; fewer only at the end.
    ///
    /// # Errors
    /// Those of the file system.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The length.
    ///
    /// # Errors
    /// Those of the file system.
    fn len(&self) -> io::Result<u64>;

    /// Whether there is nothing in it.
    ///
    /// # Errors
    /// Those of the file system.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file to a length that it has at least.
    ///
    /// # Errors
    /// Those of the file system.
    fn cut(&mut self, len: u64) -> io::Result<()>;

    /// Makes the bytes and the length durable.
    ///
    /// # Errors
    /// Those of the file system. After one, nobody knows what is durable: the process must end.
    fn sync(&mut self) -> io::Result<()>;
}

/// Bytes that are read at once where a whole file is gone through.
pub const READ: usize = 256 << 10;

/// Creates a folder and those above it.
///
/// # Errors
/// What the file system says, exit code 73.
pub fn create_folder(disk: &dyn Disk, path: &Path) -> Result<(), Error> {
    disk.create_folder(path).map_err(|cause| Error::file(FileRole::Output, Op::Create, path, cause))
}

/// Creates a file under its real name, in place of one that may be there.
///
/// # Errors
/// What the file system says, exit code 73.
pub fn create_empty(disk: &dyn Disk, path: &Path) -> Result<Box<dyn DiskFile>, Error> {
    remove_file(disk, path)?;
    create_new(disk, path)
}

/// Creates a file under its real name, which must be free.
///
/// # Errors
/// What the file system says, exit code 73.
pub fn create_new(disk: &dyn Disk, path: &Path) -> Result<Box<dyn DiskFile>, Error> {
    disk.create_new(path).map_err(|cause| Error::file(FileRole::Output, Op::Create, path, cause))
}

/// Removes a file, if it is there.
///
/// # Errors
/// What the file system says, exit code 73.
pub fn remove_file(disk: &dyn Disk, path: &Path) -> Result<(), Error> {
    match disk.remove(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(Error::file(FileRole::Output, Op::Remove, path, cause))
        }
        _ => Ok(()),
    }
}

/// The names in a folder, sorted; none if there is no such folder.
///
/// # Errors
/// What the file system says, exit code 73.
pub fn names_in(disk: &dyn Disk, folder: &Path) -> Result<Vec<OsString>, Error> {
    match disk.list(folder) {
        Ok(mut names) => {
            names.sort_unstable();
            Ok(names)
        }
        Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(cause) => Err(Error::file(FileRole::Output, Op::Read, folder, cause)),
    }
}

/// Removes the files of a folder whose name `unwanted` picks, and the folder if that empties it.
/// Says whether there were any.
///
/// # Errors
/// What the file system says, exit code 73.
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
        // Fails if something is left in it, as it should.
        let _ = disk.remove_folder(folder);
    }
    Ok(removed)
}

/// Makes the names in a folder durable.
///
/// # Errors
/// What the file system says, exit code 74.
pub fn sync_folder(disk: &dyn Disk, folder: &Path) -> Result<(), Error> {
    if crate::storage::failpoint::planted(crate::storage::failpoint::Bug::NoFolderSync) {
        return Ok(());
    }
    disk.sync_folder(folder).map_err(|cause| Error::file(FileRole::Open, Op::Sync, folder, cause))
}

/// Makes the bytes of a file durable.
///
/// # Errors
/// What the file system says, exit code 74.
pub fn sync_file(file: &mut dyn DiskFile, path: &Path) -> Result<(), Error> {
    file.sync().map_err(|cause| Error::file(FileRole::Open, Op::Sync, path, cause))
}

/// Appends to a file.
///
/// # Errors
/// What the file system says, exit code 74.
pub fn append(file: &mut dyn DiskFile, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    file.append(bytes).map_err(|cause| Error::file(FileRole::Open, Op::Write, path, cause))
}

/// Reads a whole file in pieces of bounded size.
///
/// # Errors
/// Those of the file system.
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

/// The XXH3-128 of the first bytes of a file.
///
/// # Errors
/// Those of the file system.
pub fn hash_of(file: &dyn DiskFile, len: u64) -> io::Result<u128> {
    let mut hash = Xxh3::new();
    read_through(file, len, |bytes| hash.update(bytes))?;
    Ok(hash.digest128())
}

/// Reads a small file whole, but not more than `limit` bytes of it.
///
/// # Errors
/// Those of the file system, and `InvalidData` if the file is longer.
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

/// Whether a name is one that [`staged_file::StagedFile`] makes.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && has_end(name, "tmp")
}

/// Whether a name ends in a point and this.
pub fn has_end(name: &str, end: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == end)
}
