//! What makes a file the same file, whatever its name: its number in the file system and what is
//! in it. Two files are never taken for one because they share a header, nor one for two because
//! it was renamed.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// What a file is called by the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InodeKey {
    device: u64,
    inode: u64,
}

impl InodeKey {
    /// The number within its file system.
    pub fn inode(self) -> u64 {
        self.inode
    }
}

/// A file as the file system knows it. Numbers are used again after a deletion, so the moment of
/// birth counts, too, where the file system keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileId {
    /// Its number.
    pub number: InodeKey,
    /// Seconds and nanoseconds since 1970-01-01T00:00:00Z.
    born: Option<(u64, u32)>,
}

impl FileId {
    /// Of a file.
    pub fn of(metadata: &Metadata) -> Self {
        let born = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            number: InodeKey { device: metadata.dev(), inode: metadata.ino() },
            born: born.map(|since| (since.as_secs(), since.subsec_nanos())),
        }
    }

    /// Whether this is surely the same file as another of the same number, not one that got its
    /// number after it.
    pub fn is_same(&self, other: &Self) -> bool {
        self.number == other.number && self.born.is_some() && self.born == other.born
    }

    /// Whether this may be the same file as another.
    pub fn may_be_same(&self, other: &Self) -> bool {
        let born_alike = self.born.is_none() || other.born.is_none() || self.born == other.born;
        self.number == other.number && born_alike
    }
}

/// Bytes at the beginning, and before an offset, that tell a file from another.
pub const HEAD: usize = 4096;

/// The beginning of a file; grows with it up to [`HEAD`] bytes, so that short files are known, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of bytes.
    pub len: u64,
    /// Their hash.
    pub hash: u128,
}

/// That of an empty file: every file begins like it, so one that was seen but not read yet is
/// still known under its next name.
impl Default for Head {
    fn default() -> Self {
        Self { len: 0, hash: xxh3_128(b"") }
    }
}

impl Head {
    /// The first `len` bytes, at most [`HEAD`].
    ///
    /// # Errors
    /// What the file system says.
    pub fn read(file: &File, len: u64) -> io::Result<Self> {
        let (len, hash) = hash_range(file, 0, len.min(HEAD as u64))?;
        Ok(Self { len, hash })
    }
}

/// The hash of the bytes just before an offset, at most [`HEAD`].
///
/// # Errors
/// What the file system says.
pub fn hash_tail(file: &File, offset: u64) -> io::Result<u128> {
    let from = offset.saturating_sub(HEAD as u64);
    Ok(hash_range(file, from, offset - from)?.1)
}

/// Whether two files hold the same bytes from one offset up to another.
///
/// # Errors
/// What the file system says.
pub fn are_alike(files: [&File; 2], from: u64, to: u64) -> io::Result<bool> {
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

/// Stands for a tail that nobody could read; it is not compared.
pub const UNKNOWN: u128 = 0;

/// Whether a file begins like this and holds the same bytes before an offset.
///
/// # Errors
/// What the file system says.
pub fn holds_what_was_read(file: &File, head: Head, offset: u64, tail: u128) -> io::Result<bool> {
    Ok(Head::read(file, head.len)? == head && (tail == UNKNOWN || hash_tail(file, offset)? == tail))
}

/// The hash of bytes of a file, and how many there were.
fn hash_range(file: &File, from: u64, len: u64) -> io::Result<(u64, u128)> {
    let mut bytes = [0; HEAD];
    let bytes = &mut bytes[..len as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], from + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok((filled as u64, xxh3_128(&bytes[..filled])))
}

/// The hash of a whole file.
///
/// # Errors
/// What the file system says.
pub fn hash_whole(file: &File) -> io::Result<u128> {
    let mut hash = Xxh3::new();
    let mut bytes = vec![0; 256 << 10];
    let mut at = 0;
    loop {
        match file.read_at(&mut bytes, at) {
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

/// Size and times of the last change: as long as they are the same, so is what is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStat {
    /// Bytes.
    pub size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStat {
    /// Of a file.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What is known of a file at a look, enough to know it again after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Where it was.
    pub path: PathBuf,
    /// Which file it was.
    pub id: FileId,
    /// How it began.
    pub head: Head,
    /// The hash of all of it, if it is compressed.
    pub whole: u128,
    /// Its size and times.
    pub stamp: FileStat,
}
