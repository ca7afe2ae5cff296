//! One process at a time writes an output folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use crate::failure::{Exit, Failure};
use crate::output::disk::create_folder;

/// Holds `<folder>/.lock` until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Creates the folder if need be and takes its lock.
    ///
    /// # Errors
    /// If another process has it (75), or the folder cannot be written (73).
    pub fn take(folder: &Path) -> Result<Self, Failure> {
        create_folder(folder)?;
        let path = folder.join(".lock");
        let failed = |cause: &std::io::Error| Failure::io(Exit::CannotCreate, "lock", &path, cause);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(|cause| failed(&cause))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(cause)) => return Err(failed(&cause)),
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = file.read_to_string(&mut owner);
                let folder = folder.display();
                let message = format!("{folder}: already in use by process {}", owner.trim());
                return Err(Failure::new(Exit::Busy, message));
            }
        }
        let named = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        named.map_err(|cause| failed(&cause))?;
        Ok(Self { _file: file })
    }
}
