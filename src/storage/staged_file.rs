//! Files that appear whole.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::error::{Error, FileRole, Op};
use crate::storage::failpoint::{Bug, planted};
use crate::storage::{DiskFile, SharedDisk, remove_file, sync_file};

/// A file under its temporary name, which starts with a point and ends in `.tmp`, in the folder
/// where it belongs. One that is dropped unpublished takes its file with it; what a killed process
/// has left is removed by the next one.
#[derive(Debug)]
pub struct StagedFile {
    disk: SharedDisk,
    temporary: PathBuf,
    target: PathBuf,
    published: bool,
}

impl StagedFile {
    /// Creates an empty file that will become `target`, in a folder that exists.
    ///
    /// # Errors
    /// What the file system says, exit code 73.
    pub fn create(disk: &SharedDisk, target: &Path) -> Result<(Self, Box<dyn DiskFile>), Error> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = target.with_file_name(format!(".{name}.tmp"));
        // Never through a link or into a file that somebody else has put there.
        let file = match disk.create_new(&temporary) {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                remove_file(&**disk, &temporary)?;
                disk.create_new(&temporary)
            }
            other => other,
        };
        let file = file.map_err(|cause| Error::file(FileRole::Output, Op::Create, &temporary, cause))?;
        let draft = Self { disk: disk.clone(), temporary, target: target.to_owned(), published: false };
        Ok((draft, file))
    }

    /// Makes what was written durable, so that the name never stands for less.
    ///
    /// # Errors
    /// What the file system says, exit code 74.
    pub fn sync(&self, file: &mut dyn DiskFile) -> Result<(), Error> {
        if planted(Bug::NoSyncBeforeRename) {
            return Ok(());
        }
        sync_file(file, &self.temporary)
    }

    /// Gives the file its real name, in place of one that may be there.
    ///
    /// # Errors
    /// What the file system says, exit code 73.
    pub fn commit(mut self) -> Result<(), Error> {
        let renamed = self.disk.rename(&self.temporary, &self.target);
        renamed.map_err(|cause| Error::file(FileRole::Output, Op::Replace, &self.target, cause))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.published {
            // Nothing more can be done on the way out; the next run removes it.
            let _ = self.disk.remove(&self.temporary);
        }
    }
}
