//! Which files of a folder are logs.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Ends of names of logs.
const ENDS: [&[u8]; 4] = [b".csv", b".csv.gz", b".csv.zst", b".parquet"];

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
pub struct Candidate {
    /// The folder's path and the name.
    pub path: PathBuf,
    /// What the file system says of it.
    pub metadata: Metadata,
}

/// Things with the name of a log that are none: links, pipes, devices, folders. Each is warned of
/// once and never opened, for that could block or lead elsewhere.
#[derive(Debug, Default)]
pub struct FolderScanner(BTreeSet<OsString>);

impl FolderScanner {
    /// Looks at one name in a folder; nothing if it is no log or has vanished. A file that `known`
    /// recognizes is a log under whatever name it was rotated to.
    ///
    /// # Errors
    /// What the file system says, unless it is that the file has vanished.
    pub fn inspect(
        &mut self,
        folder: &Path,
        name: &OsStr,
        known: impl Fn(&Metadata) -> bool,
    ) -> io::Result<Option<Candidate>> {
        let path = folder.join(name);
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(cause),
        };
        if !is_log_name(name) {
            return Ok((metadata.is_file() && known(&metadata)).then_some(Candidate { path, metadata }));
        }
        if metadata.is_file() {
            return Ok(Some(Candidate { path, metadata }));
        }
        if self.0.insert(name.to_owned()) {
            tracing::warn!("{}: left alone, because it is not a regular file", path.display());
        }
        Ok(None)
    }

    /// All logs directly in a folder, in the order of their names, and the files that are known by
    /// their inode although their name is not that of a log (any more).
    ///
    /// # Errors
    /// What the file system says of the folder.
    pub fn scan(&mut self, folder: &Path, known: impl Fn(u64) -> bool) -> io::Result<Vec<Candidate>> {
        let mut names = Vec::new();
        for entry in folder.read_dir()? {
            let entry = entry?;
            let name = entry.file_name();
            // Entries tell their inode for free, so other names cost nothing.
            if is_log_name(&name) || known(entry.ino()) {
                names.push(name);
            }
        }
        names.sort_unstable();
        let mut found = Vec::new();
        for name in names {
            found.extend(self.inspect(folder, &name, |metadata| known(metadata.ino()))?);
        }
        Ok(found)
    }
}
