//! Staged files. A staged file becomes visible only when it is complete.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::error::{Error, FileRole, Op};
use crate::storage::failpoint::{Bug, planted};
use crate::storage::{DiskFile, SharedDisk, remove_file, sync_file};

/// A file with the temporary name `.<name>.tmp` in its final folder. Dropping the value without a commit
/// removes the file. If the process is killed, the next start of the program removes the staged files.
#[derive(Debug)]
pub struct StagedFile {
    disk: SharedDisk,
    temporary: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl StagedFile {
    /// Creates an empty staged file for `target`. The folder of `target` must exist.
    ///
    /// # Errors
    /// An error of the file system (exit code 73).
    pub fn create(disk: &SharedDisk, target: &Path) -> Result<(Self, Box<dyn DiskFile>), Error> {
        Self::create_as(disk, target, "")
    }

    /// Same as [`create`](Self::create), with another temporary name: `.<name><tag>.tmp`. Files with different tags
    /// can be staged for one target at the same time.
    ///
    /// # Errors
    /// Same as [`create`](Self::create).
    pub fn create_as(
        disk: &SharedDisk,
        target: &Path,
        tag: &str,
    ) -> Result<(Self, Box<dyn DiskFile>), Error> {
        let temporary = temporary_of(target, tag);
        // An existing temporary file is replaced and never opened, because it may be a link.
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

    /// The file that another process has staged for `target` with this tag.
    pub fn adopt(disk: &SharedDisk, target: &Path, tag: &str) -> Self {
        let temporary = temporary_of(target, tag);
        Self { disk: disk.clone(), temporary, target: target.to_owned(), committed: false }
    }

    /// Leaves the file under its temporary name, for [`adopt`](Self::adopt) in another process.
    pub fn keep(mut self) {
        self.committed = true;
    }

    /// The temporary path of the file.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Makes the content durable. The caller must sync before the commit. Otherwise, a power cut may
    /// leave an incomplete file with the final name.
    ///
    /// # Errors
    /// An error of the file system (exit code 74).
    pub fn sync(&self, file: &mut dyn DiskFile) -> Result<(), Error> {
        if planted(Bug::NoSyncBeforeRename) {
            return Ok(());
        }
        sync_file(file, &self.temporary)
    }

    /// Gives the file its final name. An existing file that already has this name is replaced.
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

fn temporary_of(target: &Path, tag: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}{tag}.tmp"))
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.committed {
            // An error is ignored, because the next start of the program removes the file.
            let _ = self.disk.remove(&self.temporary);
        }
    }
}
