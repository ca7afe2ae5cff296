//! Finds the logs that the arguments name.

use std::path::PathBuf;

use crate::ingest::source::replay::find_logs;
use crate::model::error::Error;
use crate::settings::Settings;

/// Finds the logs that the arguments name, or the logs in `incoming` if there are no arguments.
///
/// # Errors
/// The first argument that matches no file or folder.
pub(super) fn find_logs_of_arguments(
    mut arguments: Vec<PathBuf>,
    settings: &Settings,
) -> Result<Vec<PathBuf>, Error> {
    if arguments.is_empty() {
        arguments.push(settings.incoming.clone());
    }
    let logs = find_logs(&arguments)?;
    if logs.is_empty() {
        tracing::warn!("{}: no logs found", arguments[0].display());
    }
    Ok(logs)
}
