//! The manifest, `_manifest.json`, lists the files of an epoch with their hashes. The program writes the
//! manifest after all other files, so a reader that checks the hashes sees exactly one epoch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::Reject;
use crate::model::error::{Error, FileRole, Op};
use crate::model::rejects::{ReasonCounts, by_code, count};
use crate::storage::staged_file::StagedFile;
use crate::storage::{SharedDisk, append, read_small, sync_folder};
use crate::text::{path_text, shown};
use crate::time::civil::CivilDate;
use crate::time::date_range::DateRange;
use crate::time::period::Period;

/// Name of the manifest file.
pub const FILE: &str = "_manifest.json";
/// Name of the folder of Parquet files in the output folder. The folder has one subfolder for each insight.
pub const PARQUET: &str = "parquet";
/// Name of the folder of all periods in the output folder, and in the folder of Parquet files.
pub const PERIODS: &str = "periods";
/// Version of the manifest format.
const VERSION: u32 = 1;
/// Maximum length of a manifest in bytes. A million unfinished inputs need a tenth of this length.
const LIMIT: u64 = 4 << 30;

/// The description of one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the manifest format.
    pub version: u32,
    /// `replay` or `watch`.
    pub producer: String,
    /// Number of the epoch. The first epoch has number 1.
    pub epoch: u64,
    /// Time of publication in UTC, in the format of RFC 3339.
    pub generated_at: String,
    /// Time in UTC, in the format of RFC 3339. Before this time, published rows of `enriched_logs` or
    /// `_rejects` were lost, and the loss was accepted with `--accept-missing-output`. The entries of the
    /// tables say which of them lack rows. `None` if no row is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete_since: Option<String>,
    /// The first date of the plays that count; `None` if there is no first date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<CivilDate>,
    /// The last date of the plays that count; `None` if there is no last date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<CivilDate>,
    /// Sums over all inputs.
    pub totals: Totals,
    /// The inputs that are not fully read.
    pub unfinished: Vec<InputEntry>,
    /// The catalog of the epoch.
    pub catalog: CatalogEntry,
    /// The published insights, by name.
    pub insights: BTreeMap<String, InsightEntry>,
    /// The table of rejected rows.
    pub rejects: InsightEntry,
    /// The file `_index.json` of each published period, which lists the tables of the period.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub periods: Vec<PeriodEntry>,
    /// The time of the cut in UTC, in the format of RFC 3339. `None` unless the current time decides which periods
    /// are published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
    /// Whether finished inputs are deleted. If they are, the output cannot be recomputed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inputs_deleted: bool,
}

/// Sums over all inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Number of inputs.
    pub inputs: u64,
    /// Bytes after decompression.
    pub bytes: u64,
    /// Rows: plays, rejected rows, and plays outside the dates of the run.
    pub rows: u64,
    /// Valid plays outside the dates of the run; `None` if the run has no limit of dates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<u64>,
    /// Rejected rows by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Plays of songs that are not in the catalog of this epoch.
    pub unmatched: u64,
}

/// The progress of one input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputEntry {
    /// Path of the input.
    pub path: String,
    /// Bytes that this epoch covers.
    pub bytes: u64,
    /// Known size in bytes.
    pub size: u64,
    /// Rows: plays, rejected rows, and plays outside the dates of the run.
    pub rows: u64,
    /// Valid plays outside the dates of the run; `None` if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<u64>,
    /// Rejected rows by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Plays whose song was not in the catalog when they were read.
    pub unmatched: u64,
}

/// The catalog of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogEntry {
    /// Path of the catalog.
    pub path: String,
    /// Number of songs.
    pub songs: u64,
    /// Rejected rows by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Hash of the file.
    pub fingerprint: String,
}

/// The files of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsightEntry {
    /// Rows of all parts, without headers.
    pub rows: u64,
    /// The parts in order.
    pub parts: Vec<PartEntry>,
    /// Parquet files with the same rows. Empty unless `format.parquet` is set. The open part of a growing
    /// table has no Parquet file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parquet: Vec<PartEntry>,
    /// Time at which the table began again without its earlier rows; see [`Manifest::incomplete_since`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete_since: Option<String>,
}

/// The `_index.json` of a published period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodEntry {
    /// Path below the output folder, such as `periods/month/2025-03/_index.json`.
    pub file: String,
    /// Number of bytes.
    pub bytes: u64,
    /// XXH3-128 of the file.
    pub hash: String,
}

impl PeriodEntry {
    /// The period; `None` if the path is not the path of a period.
    pub fn period(&self) -> Option<Period> {
        Period::from_path(Path::new(&self.file).parent()?.strip_prefix(PERIODS).ok()?.to_str()?)
    }
}

/// One file of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartEntry {
    /// Name in the folder of the table.
    pub file: String,
    /// Rows without the header.
    pub rows: u64,
    /// Number of bytes that belong to this epoch. The file of an append-only table may be longer.
    pub bytes: u64,
    /// XXH3-128 of the first `bytes` bytes.
    pub hash: String,
}

impl Totals {
    /// Number of plays that count.
    pub fn plays(&self) -> u64 {
        let others = self.rejected.values().sum::<u64>() + self.outside.unwrap_or_default();
        self.rows.saturating_sub(others)
    }
}

impl CatalogEntry {
    /// The entry of a catalog with its rejected rows and the hash of its file.
    pub fn new(path: &Path, songs: u64, rejects: &[Reject], fingerprint: u128) -> Self {
        let mut rejected = ReasonCounts::new();
        count(&mut rejected, rejects);
        Self {
            path: path_text(path),
            songs,
            rejected: by_code(&rejected),
            fingerprint: hash_text(fingerprint),
        }
    }
}

impl InsightEntry {
    /// The entry of a table without Parquet files.
    pub fn new(parts: Vec<PartEntry>) -> Self {
        Self {
            rows: parts.iter().map(|part| part.rows).sum(),
            parts,
            parquet: Vec::new(),
            incomplete_since: None,
        }
    }

    /// All files of the table `name`, with their paths in the output folder.
    pub fn files(&self, output: &Path, name: &str) -> Vec<(PathBuf, &PartEntry)> {
        let csv = self.parts.iter().map(|part| (output.join(name).join(&part.file), part));
        let folder = output.join(PARQUET).join(name);
        csv.chain(self.parquet.iter().map(|part| (folder.join(&part.file), part))).collect()
    }
}

/// The text form of an XXH3-128 hash.
pub fn hash_text(hash: u128) -> String {
    format!("xxh3-128:{hash:032x}")
}

impl Manifest {
    /// The version of the manifest format that this program writes.
    pub const fn version() -> u32 {
        VERSION
    }

    /// The bytes of the manifest file of an output folder; `None` if there is no such file.
    ///
    /// # Errors
    /// The file cannot be read, exit code 66.
    pub fn text_in(disk: &SharedDisk, output: &Path) -> Result<Option<Vec<u8>>, Error> {
        let path = output.join(FILE);
        match read_small(&**disk, &path, LIMIT) {
            Ok(text) => Ok(Some(text)),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(Error::file(FileRole::Input, Op::Read, &path, cause)),
        }
    }

    /// The manifest of an output folder; `None` if there is no such file.
    ///
    /// # Errors
    /// If the file cannot be read (66), or if it is not a valid manifest (65).
    pub fn read(disk: &SharedDisk, output: &Path) -> Result<Option<Self>, Error> {
        let damaged = |cause| {
            let path = output.join(FILE);
            Error::Damaged(format!(
                "{}: not a valid manifest: {cause}; use --fresh to write the output again",
                shown(&path)
            ))
        };
        let text = Self::text_in(disk, output)?;
        text.map(|text| serde_json::from_slice(&text).map_err(damaged)).transpose()
    }

    /// The dates of the plays that count.
    pub fn dates(&self) -> DateRange {
        DateRange { from: self.from, to: self.to }
    }

    /// Whether this manifest describes the same rows as `other`. The number and time of the epoch may differ.
    /// Inputs that have no complete row yet may also differ.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let mut with_other = Self {
            epoch: other.epoch,
            generated_at: other.generated_at.clone(),
            unfinished: other.unfinished.clone(),
            now: other.now.clone(),
            ..self.clone()
        };
        with_other.totals.inputs = other.totals.inputs;
        with_other.totals.bytes = other.totals.bytes;
        with_other == *other
    }

    /// The content of the manifest file.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a manifest is plain data");
        text.push('\n');
        text
    }

    /// Durably replaces the content of the manifest file with `text`.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn publish(disk: &SharedDisk, output: &Path, text: &str) -> Result<(), Error> {
        let path = output.join(FILE);
        let (staged, mut file) = StagedFile::create(disk, &path)?;
        append(&mut *file, &path, text.as_bytes())?;
        staged.sync(&mut *file)?;
        staged.commit()?;
        sync_folder(&**disk, output)
    }
}
