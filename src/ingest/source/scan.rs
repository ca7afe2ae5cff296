//! Finds the logs of a folder.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

/// File name extensions of logs.
const EXTENSIONS: [&[u8]; 4] = [b".csv", b".csv.gz", b".csv.zst", b".parquet"];

/// Whether a name is the name of a log: it has a known extension, and does not start with a dot like
/// the name of a temporary file.
pub fn is_log_name(name: &OsStr) -> bool {
    let name = name.as_bytes();
    !name.starts_with(b".") && EXTENSIONS.iter().any(|extension| name.ends_with(extension))
}

/// Whether a file is still being written, according to its name.
pub fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tmp" || extension == "part")
}

/// A file that may be a log.
#[derive(Debug)]
pub struct Candidate {
    /// The path, beginning with that of the folder.
    pub path: PathBuf,
    /// The metadata at the time of the scan.
    pub metadata: Metadata,
}

/// Finds the logs of a folder.
///
/// Links, pipes, devices and folders are never opened, even with the name of a log: opening one could
/// block or lead to another folder. A warning is logged once for each of their names, which are kept.
#[derive(Debug, Default)]
pub struct FolderScanner(BTreeSet<OsString>);

impl FolderScanner {
    /// Inspects one name in a folder. `None` if it is not a log or does not exist. A file that `known`
    /// recognizes is a log under any name, because logs are rotated.
    ///
    /// # Errors
    /// An error of the file system, except that the file does not exist.
    pub fn inspect(
        &mut self,
        folder: &Path,
        name: &OsStr,
        known: impl Fn(&Metadata) -> bool,
    ) -> io::Result<Option<Candidate>> {
        let path = folder.join(name);
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !is_log_name(name) {
            return Ok((metadata.is_file() && known(&metadata)).then_some(Candidate { path, metadata }));
        }
        if metadata.is_file() {
            return Ok(Some(Candidate { path, metadata }));
        }
        if self.0.insert(name.to_owned()) {
            tracing::warn!("{}: skipped, because it is not a regular file", path.display());
        }
        Ok(None)
    }

    /// Finds all logs directly in a folder, and files with a `known` inode under any name. They are
    /// sorted by name.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn scan(&mut self, folder: &Path, known: impl Fn(u64) -> bool) -> io::Result<Vec<Candidate>> {
        let mut names = Vec::new();
        for entry in folder.read_dir()? {
            let entry = entry?;
            let name = entry.file_name();
            // A directory entry contains the inode, so other files cost no system call.
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
