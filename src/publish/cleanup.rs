//! Files of an output that are no part of it any more.

use crate::insights::{NAMES, enriched_logs};
use crate::model::error::Error;

use crate::publish::is_part;
use crate::publish::manifest::Manifest;
use crate::publish::parquet::{folder_of, is_parquet_part};
use crate::settings::Settings;
use crate::storage::{SharedDisk, is_temporary, remove_from};

/// Removes what an earlier run has published of insights that are disabled now.
///
/// # Errors
/// What the file system says, exit code 74.
pub fn remove_disabled(disk: &SharedDisk, settings: &Settings, enabled: &[&str]) -> Result<(), Error> {
    for name in NAMES.iter().filter(|name| !enabled.contains(name)) {
        let folder = settings.output.join(name);
        remove_from(&**disk, &folder, |file| is_part(file) || is_temporary(file))?;
    }
    let parquet = settings.format.parquet;
    for name in NAMES.iter().filter(|name| !parquet || !enabled.contains(name)) {
        let folder = folder_of(&settings.output, name);
        remove_from(&**disk, &folder, |file| is_parquet_part(file) || is_temporary(file))?;
    }
    Ok(())
}

/// Removes Parquet parts of rows that were taken back or read anew.
///
/// # Errors
/// What the file system says, exit code 74.
pub fn remove_unlisted_parquet(
    disk: &SharedDisk,
    settings: &Settings,
    manifest: &Manifest,
) -> Result<(), Error> {
    let Some(entry) = manifest.insights.get(enriched_logs::NAME) else { return Ok(()) };
    let listed = |file: &str| entry.parquet.iter().any(|part| part.file == file);
    let folder = folder_of(&settings.output, enriched_logs::NAME);
    remove_from(&**disk, &folder, |file| is_parquet_part(file) && !listed(file)).map(drop)
}
