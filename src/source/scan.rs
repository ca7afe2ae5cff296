//! Which files of a folder are logs.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Ends of names of logs.
const ENDS: [&[u8]; 3] = [b".csv", b".csv.gz", b".csv.zst"];

/// Whether a name is that of a finished or growing log: it starts with no point, so temporary
/// names are left alone, and has one of the known ends.
pub fn is_log_name(name: &OsStr) -> bool {
    let name = name.as_bytes();
    !name.starts_with(b".") && ENDS.iter().any(|end| name.ends_with(end))
}

/// Whether a name says that its file is still being written.
pub fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "tmp" || end == "part")
}

/// A log that was found.
#[derive(Debug)]
pub struct Found {
    /// The folder's path and the name.
    pub path: PathBuf,
    /// What the file system says of it.
    pub metadata: Metadata,
}

/// Things with the name of a log that are none: links, pipes, devices, folders. Each is warned of
/// once and never opened, for that could block or lead elsewhere.
#[derive(Debug, Default)]
pub struct LeftAlone(BTreeSet<OsString>);

impl LeftAlone {
    /// Looks at one name in a folder; nothing if it is no log or has vanished.
    ///
    /// # Errors
    /// What the file system says, unless it is that the file has vanished.
    pub fn look_at(&mut self, folder: &Path, name: &OsStr) -> io::Result<Option<Found>> {
        if !is_log_name(name) {
            return Ok(None);
        }
        let path = folder.join(name);
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(cause),
        };
        if metadata.is_file() {
            return Ok(Some(Found { path, metadata }));
        }
        if self.0.insert(name.to_owned()) {
            tracing::warn!("{}: left alone, because it is not a regular file", path.display());
        }
        Ok(None)
    }

    /// All logs directly in a folder, in the order of their names.
    ///
    /// # Errors
    /// What the file system says of the folder.
    pub fn look_around(&mut self, folder: &Path) -> io::Result<Vec<Found>> {
        let mut names = Vec::new();
        for entry in folder.read_dir()? {
            names.push(entry?.file_name());
        }
        names.sort_unstable();
        let mut found = Vec::new();
        for name in names {
            found.extend(self.look_at(folder, &name)?);
        }
        Ok(found)
    }
}
