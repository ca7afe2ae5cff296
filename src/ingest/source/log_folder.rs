//! A folder that contains followed files.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::ingest::source::fingerprint::FileId;

/// The folder of incoming logs, or the folder of archived logs. A followed file is known by its name relative
/// to its folder, so the spelling and the place of the folder make no difference.
#[derive(Debug)]
pub struct LogFolder {
    /// The path of the folder.
    pub path: PathBuf,
    /// Whether it contains archived logs.
    pub is_archive: bool,
    /// Whether a link to a file is treated as that file.
    pub follow_symlinks: bool,
}

impl LogFolder {
    /// The metadata of a file in the folder.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn metadata(&self, name: &Path) -> io::Result<Metadata> {
        let path = self.path.join(name);
        if self.follow_symlinks { path.metadata() } else { path.symlink_metadata() }
    }

    /// Opens a file. It must be the file that was scanned. A different file may have taken the path since the
    /// scan. Therefore, opening a pipe does not block, and links are not followed unless they are allowed.
    ///
    /// # Errors
    /// `NotFound` if a different file is at the path now, or an error of the file system.
    pub fn open(&self, path: &Path, id: &FileId) -> io::Result<File> {
        let links = if self.follow_symlinks { OFlags::empty() } else { OFlags::NOFOLLOW };
        let flags = OFlags::NONBLOCK.union(links).bits() as i32;
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_file() && FileId::of(&metadata).may_be_same(id) && metadata.nlink() > 0 {
            Ok(file)
        } else {
            // The next scan finds the file that is now at this path.
            Err(io::ErrorKind::NotFound.into())
        }
    }
}
