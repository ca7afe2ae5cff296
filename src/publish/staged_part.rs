//! Writes one part of `enriched_logs` whose rows are known, under a temporary name.

use xxhash_rust::xxh3::Xxh3;

use crate::model::error::{Error, FileRole, Op};
use crate::publish::append_only::part_name;
use crate::publish::manifest::{PartEntry, hash_text};
use crate::publish::parquet::{ParquetPart, StagedParquet};
use crate::publish::table_folders::TableFolders;
use crate::storage::staged_file::StagedFile;
use crate::storage::{DiskFile, SharedDisk, append, create_folder};

/// Writes a part.
pub struct PartWriter {
    disk: SharedDisk,
    staged: StagedFile,
    file: Box<dyn DiskFile>,
    entry: PartEntry,
    hash: Xxh3,
    parquet: Option<ParquetPart>,
}

impl std::fmt::Debug for PartWriter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PartWriter").field("entry", &self.entry).finish_non_exhaustive()
    }
}

/// A part under temporary names. Dropping the value removes the files.
#[derive(Debug)]
pub struct StagedPart {
    csv: StagedFile,
    parquet: Option<StagedParquet>,
}

impl PartWriter {
    /// Starts the part with this number with its header. It is also written as Parquet if `parquet` names its insight.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn begin(
        disk: &SharedDisk,
        folders: &TableFolders,
        number: usize,
        header: &[u8],
        parquet: Option<&str>,
    ) -> Result<Self, Error> {
        create_folder(&**disk, &folders.csv)?;
        let name = part_name(number);
        let (staged, file) = StagedFile::create_as(disk, &folders.csv.join(&name), &folders.tag)?;
        let parquet = parquet.map(|insight| ParquetPart::begin(disk, folders, insight, &name)).transpose()?;
        let entry = PartEntry { file: name, rows: 0, bytes: 0, hash: String::new() };
        let mut part = Self { disk: disk.clone(), staged, file, entry, hash: Xxh3::new(), parquet };
        part.write(header)?;
        part.entry.rows = 0;
        Ok(part)
    }

    /// Appends whole lines.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn write(&mut self, lines: &[u8]) -> Result<(), Error> {
        self.hash.update(lines);
        self.entry.rows += memchr::memchr_iter(b'\n', lines).count() as u64;
        self.entry.bytes += lines.len() as u64;
        let path = self.staged.temporary();
        if let Some(parquet) = &mut self.parquet {
            parquet.push(lines).map_err(|cause| Error::file(FileRole::Open, Op::Write, path, cause))?;
        }
        append(&mut *self.file, path, lines)
    }

    /// Completes the part. The files stay under their temporary names; [`StagedPart::adopt`] finds them again.
    /// Returns their entries as CSV and as Parquet.
    ///
    /// # Errors
    /// A file system error, exit code 74.
    pub fn finish(mut self) -> Result<(PartEntry, Option<PartEntry>), Error> {
        self.staged.sync(&mut *self.file)?;
        let parquet = self.parquet.map(|parquet| parquet.finish(&self.disk)).transpose()?;
        self.entry.hash = hash_text(self.hash.digest128());
        self.staged.keep();
        Ok((self.entry, parquet.map(StagedParquet::keep)))
    }
}

impl StagedPart {
    /// The part that another process has staged in these folders.
    pub fn adopt(
        disk: &SharedDisk,
        folders: &TableFolders,
        csv: &PartEntry,
        parquet: Option<PartEntry>,
    ) -> Self {
        Self {
            csv: StagedFile::adopt(disk, &folders.csv.join(&csv.file), &folders.tag),
            parquet: parquet.map(|entry| StagedParquet::adopt(disk, folders, entry)),
        }
    }

    /// Gives the CSV file its final name. Returns the Parquet file, which is published later.
    ///
    /// # Errors
    /// A file system error, exit code 73.
    pub fn publish(self) -> Result<Option<StagedParquet>, Error> {
        self.csv.commit()?;
        Ok(self.parquet)
    }
}
