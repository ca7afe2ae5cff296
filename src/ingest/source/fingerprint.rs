//! The fingerprint of a file: its inode, its creation time, and hashes of its content. The fingerprint
//! identifies a file even after a rename. It also distinguishes files that have only their header in
//! common.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// The key of a file in the file system: device and inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InodeKey {
    device: u64,
    inode: u64,
}

impl InodeKey {
    /// The inode number, which is unique on one device.
    pub fn inode(self) -> u64 {
        self.inode
    }

    /// The device.
    pub fn device(self) -> u64 {
        self.device
    }
}

/// The identity of a file. File systems reuse the inode numbers of deleted files. Therefore, the
/// creation time is also compared if the file system records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileId {
    /// Device and inode.
    #[serde(rename = "number")]
    pub inode_key: InodeKey,
    /// The creation time, in seconds and nanoseconds since 1970-01-01T00:00:00Z.
    #[serde(rename = "born")]
    created: Option<(u64, u32)>,
}

impl FileId {
    /// Reads the identity from metadata.
    pub fn of(metadata: &Metadata) -> Self {
        let created = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            inode_key: InodeKey { device: metadata.dev(), inode: metadata.ino() },
            created: created.map(|since| (since.as_secs(), since.subsec_nanos())),
        }
    }

    /// Whether both identities certainly belong to the same file: the inode is the same and was not
    /// reused.
    pub fn is_same(&self, other: &Self) -> bool {
        self.inode_key == other.inode_key && self.created.is_some() && self.created == other.created
    }

    /// The same file on a device that has a different number now.
    #[must_use]
    pub fn on_device(self, device: u64) -> Self {
        Self { inode_key: InodeKey { device, ..self.inode_key }, ..self }
    }

    /// Whether both identities may belong to the same file. Without a creation time, only the inode is
    /// compared.
    pub fn may_be_same(&self, other: &Self) -> bool {
        let created_match =
            self.created.is_none() || other.created.is_none() || self.created == other.created;
        self.inode_key == other.inode_key && created_match
    }
}

/// Maximum number of bytes to hash at the beginning of a file, and before an offset.
pub const HEAD: usize = 4096;

/// The hash of the beginning of a file. It covers more bytes as the file grows, up to [`HEAD`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Head {
    /// Number of hashed bytes.
    pub len: u64,
    /// XXH3-128 of the bytes.
    pub hash: u128,
}

/// The head of an empty file. It matches every file, so a file that is renamed before its first read
/// is still recognized.
impl Default for Head {
    fn default() -> Self {
        Self { len: 0, hash: xxh3_128(b"") }
    }
}

impl Head {
    /// The head of a file that begins with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { len: bytes.len() as u64, hash: xxh3_128(bytes) }
    }

    /// Hashes the first `len` bytes of a file, but at most [`HEAD`] bytes.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn read(file: &File, len: u64) -> io::Result<Self> {
        let (len, hash) = hash_range(file, 0, len.min(HEAD as u64))?;
        Ok(Self { len, hash })
    }
}

/// Hashes the bytes just before an offset, but at most [`HEAD`] bytes.
///
/// # Errors
/// An error of the file system.
pub fn hash_tail(file: &File, offset: u64) -> io::Result<u128> {
    let from = offset.saturating_sub(HEAD as u64);
    Ok(hash_range(file, from, offset - from)?.1)
}

/// Whether two files have the same bytes between two offsets.
///
/// # Errors
/// An error of the file system.
pub fn ranges_match(files: [&File; 2], from: u64, to: u64) -> io::Result<bool> {
    let mut at = from;
    while at < to {
        let len = (to - at).min(HEAD as u64);
        if hash_range(files[0], at, len)? != hash_range(files[1], at, len)? {
            return Ok(false);
        }
        at += len;
    }
    Ok(true)
}

/// Stands for the hash of a tail that could not be read. Such a hash is never compared.
pub const UNKNOWN: u128 = 0;

/// Whether a file starts with the given head and has the given tail just before `offset`.
///
/// # Errors
/// An error of the file system.
pub fn has_read_content(file: &File, head: Head, offset: u64, tail: u128) -> io::Result<bool> {
    Ok(Head::read(file, head.len)? == head && (tail == UNKNOWN || hash_tail(file, offset)? == tail))
}

/// Hashes a range of at most [`HEAD`] bytes. Returns how many bytes of the range exist, and their hash.
fn hash_range(file: &File, from: u64, len: u64) -> io::Result<(u64, u128)> {
    let mut bytes = [0; HEAD];
    let filled = fill(file, from, &mut bytes[..len as usize])?;
    Ok((filled as u64, xxh3_128(&bytes[..filled])))
}

/// Reads a range of a file. The result is shorter if the file ends before the range.
///
/// # Errors
/// An error of the file system.
pub fn read_range(file: &File, from: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    let filled = fill(file, from, &mut bytes)?;
    bytes.truncate(filled);
    Ok(bytes)
}

/// Reads bytes at an offset, until the buffer is full or the file ends. Returns the number of bytes.
fn fill(file: &File, from: u64, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], from + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(filled)
}

/// Hashes a whole file.
///
/// # Errors
/// An error of the file system.
pub fn hash_whole(file: &File) -> io::Result<u128> {
    hash_prefix(file, u64::MAX)
}

/// Hashes the first `len` bytes of a file, or the whole file if it is shorter.
///
/// # Errors
/// An error of the file system.
pub fn hash_prefix(file: &File, len: u64) -> io::Result<u128> {
    let mut hash = Xxh3::new();
    let mut bytes = vec![0; 256 << 10];
    let mut at = 0;
    loop {
        let wanted = (len - at).min(bytes.len() as u64) as usize;
        match file.read_at(&mut bytes[..wanted], at) {
            Ok(0) => return Ok(hash.digest128()),
            Ok(read) => {
                hash.update(&bytes[..read]);
                at += read as u64;
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
}

/// The size and the change times of a file. If they are unchanged, the content of the file is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStat {
    /// Size in bytes.
    pub size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStat {
    /// Whether both have the same size and the same time of the last change of the content. A careful copy
    /// of a file keeps both, and its other time is that of the copy.
    pub fn is_copy_of(&self, other: &Self) -> bool {
        (self.size, self.modified) == (other.size, other.modified)
    }

    /// Reads size and times from metadata.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The data that identifies an input after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The last known name, relative to the folder of the logs, or to that of archived logs.
    pub name: PathBuf,
    /// Whether the file is archived or deleted.
    pub retired: bool,
    /// The identity of the file.
    pub id: FileId,
    /// The hash of the beginning of the file.
    pub head: Head,
    /// The hash of the whole file if it is compressed or in UTF-16, else 0.
    pub whole: u128,
    /// The size and the change times of the file.
    pub stat: FileStat,
}
