//! Removes files that do not belong to the output: temporary files of a killed run, tables of
//! disabled insights, and Parquet parts that the manifest does not list.

use std::path::Path;

use crate::insights::{NAMES, SNAPSHOTS, enriched_logs};
use crate::model::error::Error;
use crate::publish::manifest::Manifest;
use crate::publish::parquet::is_parquet_part;
use crate::publish::periods::{folder_of, periods_in};
use crate::publish::table_folders::TableFolders;
use crate::publish::{OutputFormats, REJECTS, is_part};
use crate::storage::{SharedDisk, is_temporary, remove_from};

/// Removes the temporary files that a killed run left in an output folder, also in the folders of periods.
///
/// # Errors
/// A file system error, exit code 73.
pub fn remove_temporary_files(disk: &SharedDisk, output: &Path) -> Result<(), Error> {
    let csv = NAMES.into_iter().chain([REJECTS]).map(|name| output.join(name));
    let parquet = NAMES.map(|name| TableFolders::of(output, name).parquet);
    for folder in csv.chain(parquet).chain([output.to_owned()]) {
        remove_from(&**disk, &folder, is_temporary)?;
    }
    for period in periods_in(&**disk, output)? {
        let tables = SNAPSHOTS.map(|about| TableFolders::of_period(output, period, about.name));
        for folder in tables.iter().flat_map(TableFolders::all).chain([&*folder_of(output, period)]) {
            remove_from(&**disk, folder, is_temporary)?;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use crate::storage::real::RealDisk;

    #[test]
    fn temporary_files_of_all_tables_are_removed() {
        let output = tempfile::tempdir().unwrap();
        let folders = [
            "",
            "_rejects",
            "night_owl_users",
            "parquet/night_owl_users",
            "periods/month/2025-03",
            "periods/month/2025-03/top_songs",
            "parquet/periods/month/2025-03/top_songs",
        ]
        .map(|folder| output.path().join(folder));
        for folder in &folders {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join(".part-00000.csv.tmp"), "").unwrap();
            fs::write(folder.join("part-00000.csv"), "").unwrap();
        }
        remove_temporary_files(&RealDisk::without_fsync(), output.path()).unwrap();
        for folder in &folders {
            assert!(!folder.join(".part-00000.csv.tmp").exists(), "{}", folder.display());
            assert!(folder.join("part-00000.csv").exists(), "{}", folder.display());
        }
    }
}
