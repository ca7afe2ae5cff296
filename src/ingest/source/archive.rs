//! Archives or deletes finished inputs when no rollback needs them any more.

use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::ingest::source::fingerprint::FileStat;
use crate::model::InputId;
use crate::model::value::written_as;
use crate::storage::failpoint::fail_point;
use crate::storage::staged_file::StagedFile;
use crate::storage::{READ, SharedDisk};
use crate::text::shown;

/// The setting `input.when_done`: what happens to finished inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenDone {
    /// Finished inputs stay in the folder.
    #[default]
    Keep,
    /// Finished inputs are moved to `input.archive_dir`.
    Archive,
    /// Finished inputs are deleted.
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

/// An input that may be archived or deleted, but only if it was read exactly to `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetirableInput {
    /// The input.
    pub input: InputId,
    /// No rollback goes back to a position before this offset.
    pub offset: u64,
}

/// Archives or deletes finished inputs.
#[derive(Clone, Debug)]
pub struct Archiver {
    /// The file system of the inputs. It must not wait until a failed operation works, because reading goes
    /// on meanwhile.
    pub disk: SharedDisk,
    /// What happens to finished inputs.
    pub when_done: WhenDone,
    /// The folder for archived inputs.
    pub archive_dir: PathBuf,
    /// How long a plain log must be unchanged before it is archived or deleted. Compressed logs do not
    /// grow, so this time does not apply to them.
    pub after: Duration,
}

impl Archiver {
    /// Archives or deletes the file `path`, whose name in its folder is `name`. Returns its name in the
    /// archive, or its old name if it was deleted. If its size or times differ from `expected`, the file has
    /// changed. A changed file stays, and the result is `None`.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn archive(&self, path: &Path, name: &Path, expected: &FileStat) -> io::Result<Option<PathBuf>> {
        // A link is not the log itself, so it stays.
        let metadata = path.symlink_metadata()?;
        if metadata.is_symlink() {
            return Err(io::Error::other("it is a link; remove it yourself"));
        }
        if FileStat::of(&metadata) != *expected {
            return Ok(None);
        }
        if self.when_done == WhenDone::Delete {
            self.disk.remove(path)?;
            fail_point("inputs.archived");
            return Ok(Some(name.to_owned()));
        }
        let archived = self.free_name(name)?;
        let target = self.archive_dir.join(&archived);
        match self.disk.rename(path, &target) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => self.copy(path, &target)?,
            other => other?,
        }
        fail_point("inputs.archived");
        // A writer may have appended to the file just before the rename, and would go on writing to the
        // archived file. In this case, the file is moved back.
        if target.symlink_metadata()?.len() != expected.size {
            self.disk.rename(&target, path)?;
            return Ok(None);
        }
        Ok(Some(archived))
    }

    /// An unused name in the archive for the log `name`. The log keeps its subfolder.
    fn free_name(&self, name: &Path) -> io::Result<PathBuf> {
        let subfolder = name.parent().unwrap_or(Path::new(""));
        let folder = self.archive_dir.join(subfolder);
        if folder.is_file() {
            return Err(io::Error::other(format!("{} is not a folder", shown(&folder))));
        }
        self.disk.create_folder(&folder)?;
        let file_name = name.file_name().unwrap_or_default();
        let mut free = name.to_owned();
        let mut number = 1;
        while self.archive_dir.join(&free).symlink_metadata().is_ok() {
            // The number goes in front of the name, so that the file keeps its extension.
            let mut numbered = std::ffi::OsString::from(format!("{number}-"));
            numbered.push(file_name);
            free = subfolder.join(numbered);
            number += 1;
        }
        Ok(free)
    }

    /// Copies a file to a different file system. The copy is durable before the original is removed.
    fn copy(&self, path: &Path, target: &Path) -> io::Result<()> {
        let (staged, mut file) = StagedFile::create(&self.disk, target).map_err(io::Error::other)?;
        let mut reader = std::fs::File::open(path)?;
        let mut bytes = vec![0; READ];
        loop {
            match io::Read::read(&mut reader, &mut bytes)? {
                0 => break,
                read => file.append(&bytes[..read])?,
            }
        }
        staged.sync(&mut *file).map_err(io::Error::other)?;
        staged.commit().map_err(io::Error::other)?;
        self.disk.sync_folder(target.parent().unwrap_or(&self.archive_dir))?;
        self.disk.remove(path)
    }
}
