//! `_manifest.json`: what belongs together. It is written last.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::error::{Error, FileRole, Op};
use crate::storage::staged_file::StagedFile;
use crate::storage::{SharedDisk, append, read_small, sync_folder};

/// Name of the file.
pub const FILE: &str = "_manifest.json";
/// Folder of the Parquet files, below the output, with a folder for each insight.
pub const PARQUET: &str = "parquet";
/// Version of its format.
const VERSION: u32 = 1;
/// No manifest is longer: a million unfinished inputs would be a tenth of it.
const LIMIT: u64 = 4 << 30;

/// Everything that is published in one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub version: u32,
    /// `replay` or `watch`.
    pub producer: String,
    /// Number of the cut.
    pub epoch: u64,
    /// When it was published, RFC 3339 in UTC.
    pub generated_at: String,
    /// Sums over all inputs.
    pub totals: Totals,
    /// The inputs of which a part was not yet read.
    pub unfinished: Vec<InputEntry>,
    /// The catalog in force.
    pub catalog: CatalogEntry,
    /// The insights that are published, by name.
    pub insights: BTreeMap<String, InsightEntry>,
    /// The rejected rows.
    pub rejects: InsightEntry,
    /// Whether inputs are deleted when they were read, so that not everything can be read again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inputs_deleted: bool,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Number of inputs.
    pub inputs: u64,
    /// Bytes (of the decompressed text).
    pub bytes: u64,
    /// Rows: plays and rejected ones.
    pub rows: u64,
    /// Rejected rows by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Plays of songs that are not in the catalog of this epoch.
    pub unmatched: u64,
}

/// What was read of an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputEntry {
    /// Its path.
    pub path: String,
    /// Bytes that are in this epoch.
    pub bytes: u64,
    /// Bytes that it was known to have.
    pub size: u64,
    /// Rows: plays and rejected ones.
    pub rows: u64,
    /// Rejected rows by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Plays whose song was unknown when they were read.
    pub unmatched: u64,
}

/// The catalog in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogEntry {
    /// Its path.
    pub path: String,
    /// Number of songs.
    pub songs: u64,
    /// Rejected rows by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Hash of its file.
    pub fingerprint: String,
}

/// The files of an insight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsightEntry {
    /// Rows in all parts, without headers.
    pub rows: u64,
    /// The parts in order.
    pub parts: Vec<PartEntry>,
    /// The same rows as Parquet, as far as they are; nothing unless that is wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parquet: Vec<PartEntry>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartEntry {
    /// Its name in the folder of the insight.
    pub file: String,
    /// Rows without the header.
    pub rows: u64,
    /// Length; a log may be longer by rows of epochs to come.
    pub bytes: u64,
    /// XXH3-128 of so many bytes.
    pub hash: String,
}

impl InsightEntry {
    /// The entry of an insight with these parts.
    pub fn new(parts: Vec<PartEntry>) -> Self {
        Self { rows: parts.iter().map(|part| part.rows).sum(), parts, parquet: Vec::new() }
    }

    /// All files of an insight of this name, with their paths.
    pub fn files(&self, output: &Path, name: &str) -> Vec<(PathBuf, &PartEntry)> {
        let csv = self.parts.iter().map(|part| (output.join(name).join(&part.file), part));
        let folder = output.join(PARQUET).join(name);
        csv.chain(self.parquet.iter().map(|part| (folder.join(&part.file), part))).collect()
    }
}

/// How a hash is written.
pub fn hash_text(hash: u128) -> String {
    format!("xxh3-128:{hash:032x}")
}

impl Manifest {
    /// The version that is written.
    pub const fn version() -> u32 {
        VERSION
    }

    /// The text of the manifest of an output folder; nothing if there is none.
    ///
    /// # Errors
    /// If it cannot be read, exit code 66.
    pub fn text_in(disk: &SharedDisk, output: &Path) -> Result<Option<Vec<u8>>, Error> {
        let path = output.join(FILE);
        match read_small(&**disk, &path, LIMIT) {
            Ok(text) => Ok(Some(text)),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(Error::file(FileRole::Input, Op::Read, &path, cause)),
        }
    }

    /// The manifest of an output folder; nothing if there is none.
    ///
    /// # Errors
    /// If it cannot be read (66) or is none (65).
    pub fn read(disk: &SharedDisk, output: &Path) -> Result<Option<Self>, Error> {
        let broken = |cause| {
            let path = output.join(FILE);
            Error::Damaged(format!(
                "{}: not a manifest: {cause}; --fresh makes the output anew",
                path.display()
            ))
        };
        let text = Self::text_in(disk, output)?;
        text.map(|text| serde_json::from_slice(&text).map_err(broken)).transpose()
    }

    /// Whether it says the same of the rows as another, whatever epoch and time they are of, and
    /// whatever files without rows have come meanwhile.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let mut with_other = Self {
            epoch: other.epoch,
            generated_at: other.generated_at.clone(),
            unfinished: other.unfinished.clone(),
            ..self.clone()
        };
        with_other.totals.inputs = other.totals.inputs;
        with_other.totals.bytes = other.totals.bytes;
        with_other == *other
    }

    /// Its text.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a manifest is plain data");
        text.push('\n');
        text
    }

    /// Publishes its text, durably.
    ///
    /// # Errors
    /// What the file system says, exit code 73 or 74.
    pub fn publish(disk: &SharedDisk, output: &Path, text: &str) -> Result<(), Error> {
        let path = output.join(FILE);
        let (draft, mut file) = StagedFile::create(disk, &path)?;
        append(&mut *file, &path, text.as_bytes())?;
        draft.sync(&mut *file)?;
        draft.commit()?;
        sync_folder(&**disk, output)
    }
}
