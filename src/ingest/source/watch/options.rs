//! How a folder is watched, and what an earlier process knew about it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use crate::ingest::source::archive::{Archiver, RetirableInput};
use crate::ingest::source::scan::FolderRules;
use crate::ingest::source::tail::{KnownInput, LastLines};
use crate::model::dialect::Dialect;
use crate::model::error::Error;
use crate::telemetry::metrics::Metrics;
use crate::text::shown;

/// The options for watching a folder.
#[derive(Debug)]
pub struct WatchOptions {
    /// The folder.
    pub folder: PathBuf,
    /// Which files in the folder are logs.
    pub rules: FolderRules,
    /// How the rows of the logs are written.
    pub dialect: Arc<Dialect>,
    /// When last lines without a line feed count as complete.
    pub last_lines: LastLines,
    /// How long the plain file of a rolled log may still exist after its compressed form is complete.
    pub roll_wait: Duration,
    /// The maximum number of bytes of text to hold back while a compressed log is checked. A log with more text is
    /// decompressed twice.
    pub max_held: u64,
    /// What happens to finished inputs.
    pub archiver: Archiver,
    /// Maximum number of logs that are open at the same time.
    pub max_open: usize,
    /// The metrics to update.
    pub metrics: Arc<Metrics>,
}

/// The inputs of an earlier process, and the notices about later commits.
#[derive(Debug)]
pub struct Resume {
    /// The inputs of the last commit, in the order of their ids.
    pub inputs: Vec<KnownInput>,
    /// Receives inputs that may be archived or deleted.
    pub retirable: Receiver<Vec<RetirableInput>>,
    /// Whether all inputs are read again, including archived inputs.
    pub fresh: bool,
}

/// Checks that the folder exists.
///
/// # Errors
/// A missing folder, or a path that is not a folder (exit code 66).
pub fn check_folder(folder: &Path) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    let cause = match folder.metadata() {
        Ok(_) => "is not a folder; pass --incoming with a folder".to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            "does not exist; create it, or pass --incoming with a different folder".to_owned()
        }
        Err(error) => format!("cannot be read: {error}"),
    };
    Err(Error::MissingInput(format!("{} {cause}", shown(folder))))
}
