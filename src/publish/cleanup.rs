//! Removes files that do not belong to the output: temporary files of a killed run, tables of
//! disabled insights, and Parquet parts that the manifest does not list.

use std::path::Path;

use crate::insights::{NAMES, enriched_logs};
use crate::model::error::Error;
use crate::publish::manifest::Manifest;
use crate::publish::parquet::is_parquet_part;
use crate::publish::table_folders::TableFolders;
use crate::publish::{OutputFormats, REJECTS, is_part};
use crate::storage::{SharedDisk, is_temporary, remove_from};

/// Removes the temporary files that a killed run left in an output folder.
///
/// # Errors
/// A file system error, exit code 73.
pub fn remove_temporary_files(disk: &SharedDisk, output: &Path) -> Result<(), Error> {
    let csv = NAMES.into_iter().chain([REJECTS]).map(|name| output.join(name));
    let parquet = NAMES.map(|name| TableFolders::of(output, name).parquet);
    for folder in csv.chain(parquet).chain([output.to_owned()]) {
        remove_from(&**disk, &folder, is_temporary)?;
    }
    Ok(())
}

/// Removes the published files of insights and formats that are now disabled.
///
/// # Errors
/// A file system error, exit code 73.
pub fn remove_disabled(
    disk: &SharedDisk,
    output: &Path,
    formats: OutputFormats,
    enabled: &[&str],
) -> Result<(), Error> {
    for name in NAMES.iter().filter(|name| !enabled.contains(name)) {
        remove_from(&**disk, &output.join(name), |file| is_part(file) || is_temporary(file))?;
    }
    for name in NAMES.iter().filter(|name| !formats.parquet || !enabled.contains(name)) {
        let folder = TableFolders::of(output, name).parquet;
        remove_from(&**disk, &folder, |file| is_parquet_part(file) || is_temporary(file))?;
    }
    Ok(())
}

/// Removes Parquet parts of `enriched_logs` that the manifest does not list, for example parts with rows
/// that a rollback removed.
///
/// # Errors
/// A file system error, exit code 73.
pub fn remove_unlisted_parquet(disk: &SharedDisk, output: &Path, manifest: &Manifest) -> Result<(), Error> {
    let Some(entry) = manifest.insights.get(enriched_logs::NAME) else { return Ok(()) };
    let is_listed = |file: &str| entry.parquet.iter().any(|part| part.file == file);
    let folder = TableFolders::of(output, enriched_logs::NAME).parquet;
    remove_from(&**disk, &folder, |file| is_parquet_part(file) && !is_listed(file)).map(drop)
}
