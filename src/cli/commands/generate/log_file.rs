//! Generated files, and counts of their rows and bytes.

use std::path::{Path, PathBuf};

use crate::model::error::Error;
use crate::storage::real::RealDisk;
use crate::storage::staged_file::StagedFile;
use crate::storage::{DiskFile, append};

/// Counts of complete files, their rows and their bytes.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) files: u64,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl Tally {
    /// Adds a complete file.
    pub(super) fn add(&mut self, file: &LogFile) {
        self.files += 1;
        self.rows += file.rows;
        self.bytes += file.bytes;
    }
}

/// A file that gets its final name when it is complete.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    staged: StagedFile,
    file: Box<dyn DiskFile>,
    pub(super) rows: u64,
    bytes: u64,
}

impl LogFile {
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        let (staged, file) = StagedFile::create(&RealDisk::without_fsync(), path)?;
        Ok(Self { path: path.to_owned(), staged, file, rows: 0, bytes: 0 })
    }

    pub(super) fn write(&mut self, text: &[u8]) -> Result<(), Error> {
        self.bytes += text.len() as u64;
        append(&mut *self.file, &self.path, text)
    }

    /// Gives the file its final name.
    pub(super) fn publish(self) -> Result<(), Error> {
        self.staged.commit()
    }
}
