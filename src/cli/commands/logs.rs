//! Finds the logs that the arguments name.

use std::path::PathBuf;

use crate::ingest::source::replay::find_logs;
use crate::model::error::Error;
use crate::settings::Settings;
use crate::text::path_text;

/// Finds the logs that the arguments name, or the logs in `incoming` if there are no arguments.
///
/// # Errors
/// The first argument that names no log, unless `allow_empty` is set.
pub(super) fn find_logs_of_arguments(
    mut arguments: Vec<PathBuf>,
    settings: &Settings,
    allow_empty: bool,
) -> Result<Vec<PathBuf>, Error> {
    if arguments.is_empty() {
        arguments.push(settings.incoming.clone());
    }
    let logs = find_logs(&arguments, allow_empty)?;
    if logs.is_empty() {
        tracing::warn!("{}: no logs found", path_text(&arguments[0]));
    }
    Ok(logs)
}
