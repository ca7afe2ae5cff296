//! The only code that creates, renames and removes files.
//!
//! Whatever is written appears under a temporary name first, which starts with a point and ends in
//! `.tmp`, in the folder where it belongs. A [`Draft`] that is dropped unpublished takes its file
//! with it; what a killed process has left is removed by the next one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::failure::{Exit, Failure};

/// A file under its temporary name.
#[derive(Debug)]
pub struct Draft {
    temporary: PathBuf,
    target: PathBuf,
    published: bool,
}

impl Draft {
    /// Creates an empty file that will become `target`, in a folder that exists.
    ///
    /// # Errors
    /// What the file system says, exit code 73.
    pub fn create(target: &Path) -> Result<(Self, File), Failure> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = target.with_file_name(format!(".{name}.tmp"));
        // Never through a link or into a file that somebody else has put there.
        let create = || File::create_new(&temporary);
        let file = match create() {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                remove_file(&temporary)?;
                create()
            }
            other => other,
        };
        let file = file.map_err(|cause| Failure::io(Exit::CannotCreate, "create", &temporary, &cause))?;
        Ok((Self { temporary, target: target.to_owned(), published: false }, file))
    }

    /// Gives the file its real name, in place of one that may be there.
    ///
    /// # Errors
    /// What the file system says, exit code 73.
    pub fn publish(mut self) -> Result<(), Failure> {
        fs::rename(&self.temporary, &self.target)
            .map_err(|cause| Failure::io(Exit::CannotCreate, "replace", &self.target, &cause))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            // Nothing more can be done on the way out; the next run removes it.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Creates a folder and those above it.
///
/// # Errors
/// What the file system says, exit code 73.
pub fn create_folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|cause| Failure::io(Exit::CannotCreate, "create", path, &cause))
}

/// Creates a file that has its real name from the start.
///
/// # Errors
/// What the file system says, also if the file is there already; exit code 73.
pub fn create_new(path: &Path) -> Result<File, Failure> {
    File::create_new(path).map_err(|cause| Failure::io(Exit::CannotCreate, "create", path, &cause))
}

/// Creates a file that has its real name from the start, in place of one that may be there.
///
/// # Errors
/// What the file system says, exit code 73.
pub fn create_empty(path: &Path) -> Result<File, Failure> {
    remove_file(path)?;
    create_new(path)
}

/// Removes a file, if it is there.
///
/// # Errors
/// What the file system says, exit code 73.
pub fn remove_file(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(Failure::io(Exit::CannotCreate, "remove", path, &cause))
        }
        _ => Ok(()),
    }
}

/// Removes the files of a folder whose name `unwanted` picks, and the folder if that empties it.
///
/// # Errors
/// What the file system says, exit code 73.
pub fn remove_from(folder: &Path, unwanted: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let failed = |cause: &io::Error| Failure::io(Exit::CannotCreate, "read", folder, cause);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(());
        }
        Err(cause) => return Err(failed(&cause)),
    };
    for entry in entries {
        let entry = entry.map_err(|cause| failed(&cause))?;
        if entry.file_name().to_str().is_some_and(&unwanted) {
            remove_file(&entry.path())?;
        }
    }
    // Fails if something is left in it, as it should.
    let _ = fs::remove_dir(folder);
    Ok(())
}

/// Whether a name is one that [`Draft`] makes.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && has_end(name, "tmp")
}

/// Whether a name is that of a part of an insight.
pub fn is_part(name: &str) -> bool {
    name.starts_with("part-") && has_end(name, "csv")
}

fn has_end(name: &str, end: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == end)
}
