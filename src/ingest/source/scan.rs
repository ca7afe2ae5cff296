//! Finds the logs in a folder.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

/// File name extensions of logs.
const EXTENSIONS: [&[u8]; 4] = [b".csv", b".csv.gz", b".csv.zst", b".parquet"];

/// Whether a file name is a log name. A log name has a known extension and does not start with a dot. A
/// leading dot marks a temporary file.
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
    /// The path. It starts with the path of the folder.
    pub path: PathBuf,
    /// The metadata at the time of the scan.
    pub metadata: Metadata,
}

/// Finds the logs in a folder.
///
/// The scanner never opens a link, pipe, device or folder, even if it has a log name. Opening one could
/// block or lead to a different folder. The scanner remembers these names, so that it logs only one
/// warning for each name.
#[derive(Debug, Default)]
pub struct FolderScanner(BTreeSet<OsString>);

impl FolderScanner {
    /// Inspects one name in a folder. `None` if the file does not exist or is not a log. A file that
    /// `known` recognizes is a log under any name, because logs are renamed when they are rotated.
    ///
    /// # Errors
    /// An error of the file system. It is not an error if the file does not exist.
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

    /// Finds all logs directly in a folder, and all files with a `known` inode, whatever their names.
    /// The result is sorted by name.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn scan(&mut self, folder: &Path, known: impl Fn(u64) -> bool) -> io::Result<Vec<Candidate>> {
        let mut names = Vec::new();
        for entry in folder.read_dir()? {
            let entry = entry?;
            let name = entry.file_name();
            // A directory entry contains the inode, so files that are not logs cost no system call.
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
