//! Files that become visible only when they are complete.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::error::{Error, FileRole, Op};
use crate::storage::failpoint::{Bug, planted};
use crate::storage::{DiskFile, SharedDisk, remove_file, sync_file};

/// A file with a temporary name, `.<name>.tmp`, in its final folder. Dropping it without a commit removes
/// the file. The next start removes files that a killed process has left.
#[derive(Debug)]
pub struct StagedFile {
    disk: SharedDisk,
    temporary: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl StagedFile {
    /// Creates an empty staged file for `target`, whose folder must exist.
    ///
    /// # Errors
    /// An error of the file system (exit code 73).
    pub fn create(disk: &SharedDisk, target: &Path) -> Result<(Self, Box<dyn DiskFile>), Error> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = target.with_file_name(format!(".{name}.tmp"));
        // An existing file is replaced, never opened: it may be a link.
        let file = match disk.create_new(&temporary) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                remove_file(&**disk, &temporary)?;
                disk.create_new(&temporary)
            }
            other => other,
        };
        let file = file.map_err(|source| Error::file(FileRole::Output, Op::Create, &temporary, source))?;
        let staged = Self { disk: disk.clone(), temporary, target: target.to_owned(), committed: false };
        Ok((staged, file))
    }

    /// Makes the content durable. This must come before the commit, or a power cut may leave the final
    /// name with less content.
    ///
    /// # Errors
    /// An error of the file system (exit code 74).
    pub fn sync(&self, file: &mut dyn DiskFile) -> Result<(), Error> {
        if planted(Bug::NoSyncBeforeRename) {
            return Ok(());
        }
        sync_file(file, &self.temporary)
    }

    /// Renames the file to its final name, and replaces an existing file.
    ///
    /// # Errors
    /// An error of the file system (exit code 73).
    pub fn commit(mut self) -> Result<(), Error> {
        let renamed = self.disk.rename(&self.temporary, &self.target);
        renamed.map_err(|source| Error::file(FileRole::Output, Op::Replace, &self.target, source))?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.committed {
            // An error is ignored: the next start removes the file.
            let _ = self.disk.remove(&self.temporary);
        }
    }
}
