//! Finds the logs that the arguments name.

use std::path::PathBuf;

use crate::ingest::source::replay::{FoundLogs, find_logs};
use crate::model::error::Error;
use crate::settings::Settings;
use crate::text::shown;

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
        if settings.input.recursive {
            settings.check_folders()?;
        }
    }
    for folder in arguments.iter().filter(|argument| argument.is_dir()) {
        settings.check_log_folder(folder)?;
    }
    let FoundLogs { logs, skipped } = find_logs(&arguments, &settings.input.folder_rules(), allow_empty)?;
    for (folder, skipped) in skipped {
        tracing::warn!("{}: {skipped}", shown(&folder));
    }
    if logs.is_empty() {
        tracing::warn!("{}: no logs found", shown(&arguments[0]));
    }
    Ok(logs)
}
