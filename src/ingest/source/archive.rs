//! What becomes of inputs that were read to their end, when nothing can take that back any more.

use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::ingest::source::fingerprint::FileStat;
use crate::model::InputId;
use crate::model::error::Error;

use crate::model::value::written_as;
use crate::storage::failpoint::fail_point;
use crate::storage::staged_file::StagedFile;
use crate::storage::{READ, SharedDisk, create_folder};

/// `input.when_done`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenDone {
    /// It stays where it is.
    #[default]
    Keep,
    /// It is moved to `input.archive_dir`.
    Archive,
    /// It is deleted.
    Delete,
}

impl FromStr for WhenDone {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "keep" => Ok(Self::Keep),
            "archive" => Ok(Self::Archive),
            "delete" => Ok(Self::Delete),
            _ => Err("expected `keep`, `archive` or `delete`"),
        }
    }
}

impl Display for WhenDone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Keep => "keep",
            Self::Archive => "archive",
            Self::Delete => "delete",
        })
    }
}

written_as!(WhenDone, "enum": ["keep", "archive", "delete"]);

/// An input up to an offset, which no rollback can get behind any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetirableInput {
    /// The input.
    pub input: InputId,
    /// The offset.
    pub offset: u64,
}

/// Puts finished inputs away.
#[derive(Clone, Debug)]
pub struct Archiver {
    /// The disk they are on.
    pub disk: SharedDisk,
    /// What is done.
    pub when_done: WhenDone,
    /// Where they go.
    pub archive_dir: PathBuf,
    /// For how long a log must not have grown; one that is compressed cannot.
    pub after: Duration,
}

impl Archiver {
    /// Puts a file away that was last seen like this; says where it is now. One that has changed
    /// meanwhile stays.
    ///
    /// # Errors
    /// What the file system says.
    pub fn archive(&self, path: &Path, seen: &FileStat) -> io::Result<Option<PathBuf>> {
        if FileStat::of(&path.symlink_metadata()?) != *seen {
            return Ok(None);
        }
        if self.when_done == WhenDone::Delete {
            self.disk.remove(path)?;
            fail_point("inputs.archived");
            return Ok(Some(path.to_owned()));
        }
        let target = self.free_name(path).map_err(io::Error::other)?;
        match self.disk.rename(path, &target) {
            Err(cause) if cause.kind() == io::ErrorKind::CrossesDevices => self.copy(path, &target)?,
            other => other?,
        }
        fail_point("inputs.archived");
        // Somebody may have appended in the last moment, and would go on doing so over there.
        if target.symlink_metadata()?.len() != seen.size {
            self.disk.rename(&target, path)?;
            return Ok(None);
        }
        Ok(Some(target))
    }

    /// A name in the archive that is not taken.
    fn free_name(&self, path: &Path) -> Result<PathBuf, Error> {
        create_folder(&*self.disk, &self.archive_dir)?;
        let name = path.file_name().unwrap_or_default();
        let mut target = self.archive_dir.join(name);
        let mut number = 1;
        while target.symlink_metadata().is_ok() {
            // In front, so that the end still says how the log is stored.
            let mut numbered = std::ffi::OsString::from(format!("{number}-"));
            numbered.push(name);
            target = self.archive_dir.join(numbered);
            number += 1;
        }
        Ok(target)
    }

    /// To another file system: written whole and durably before the original goes.
    fn copy(&self, path: &Path, target: &Path) -> io::Result<()> {
        let (draft, mut file) = StagedFile::create(&self.disk, target).map_err(io::Error::other)?;
        let mut reader = std::fs::File::open(path)?;
        let mut bytes = vec![0; READ];
        loop {
            match io::Read::read(&mut reader, &mut bytes)? {
                0 => break,
                read => file.append(&bytes[..read])?,
            }
        }
        draft.sync(&mut *file).map_err(io::Error::other)?;
        draft.commit().map_err(io::Error::other)?;
        self.disk.sync_folder(&self.archive_dir)?;
        self.disk.remove(path)
    }
}
