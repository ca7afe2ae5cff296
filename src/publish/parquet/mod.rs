//! Parquet files of the insights: each complete CSV part gets a Parquet file with the same rows.

#[cfg(not(feature = "parquet"))]
mod absent;
#[cfg(feature = "parquet")]
mod writer;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use crate::insights::columns;
use crate::model::error::{Error, FileRole, Op};

use crate::publish::manifest::{PartEntry, hash_text};
use crate::publish::table_folders::TableFolders;
use crate::storage::staged_file::StagedFile;
use crate::storage::{DiskFile, SharedDisk, create_folder, has_end, read_through, sync_folder};

#[cfg(not(feature = "parquet"))]
pub use absent::ParquetWriter;
#[cfg(feature = "parquet")]
pub use writer::ParquetWriter;

/// Whether `name` is the file name of a Parquet part.
pub fn is_parquet_part(name: &str) -> bool {
    name.starts_with("part-") && has_end(name, "parquet")
}

/// A Parquet part that is being written under a temporary name.
#[derive(Debug)]
pub struct ParquetPart {
    staged: StagedFile,
    path: PathBuf,
    name: String,
    writer: ParquetWriter<Sink>,
}

/// A staged Parquet part, durable under a temporary name. Dropping the value removes the file.
#[derive(Debug)]
pub struct StagedParquet {
    disk: SharedDisk,
    folder: PathBuf,
    staged: StagedFile,
    entry: PartEntry,
}

impl ParquetPart {
    /// Creates the Parquet file for the CSV part `part` of an insight.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn begin(
        disk: &SharedDisk,
        folders: &TableFolders,
        insight: &str,
        part: &str,
    ) -> Result<Self, Error> {
        let folder = &folders.parquet;
        create_folder(&**disk, folder)?;
        let name = format!("{}.parquet", part.trim_end_matches(".csv"));
        let path = folder.join(&name);
        let (staged, file) = StagedFile::create_as(disk, &path, &folders.tag)?;
        let sink = Sink { file, bytes: 0, hash: Xxh3::new() };
        let writer = ParquetWriter::new(columns(insight).unwrap_or_default(), sink);
        let writer = writer.map_err(|cause| Error::file(FileRole::Open, Op::Write, &path, cause))?;
        Ok(Self { staged, path, name, writer })
    }

    /// Adds CSV text. The first line is the header.
    ///
    /// # Errors
    /// Same as [`ParquetWriter::push`].
    pub fn push(&mut self, text: &[u8]) -> io::Result<()> {
        self.writer.push(text)
    }

    /// Completes the file and syncs it.
    ///
    /// # Errors
    /// A file system error, exit code 74.
    pub fn finish(self, disk: &SharedDisk) -> Result<StagedParquet, Error> {
        let Self { staged, path, name, writer } = self;
        let rows = writer.rows();
        let sink = writer.finish().map_err(|cause| Error::file(FileRole::Open, Op::Write, &path, cause))?;
        let Sink { mut file, bytes, hash } = sink;
        staged.sync(&mut *file)?;
        let entry = PartEntry { file: name, rows, bytes, hash: hash_text(hash.digest128()) };
        let folder = path.parent().unwrap_or(&path).to_owned();
        Ok(StagedParquet { disk: disk.clone(), folder, staged, entry })
    }
}

impl StagedParquet {
    /// Converts a complete CSV part to Parquet.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn of_part(disk: &SharedDisk, output: &Path, insight: &str, part: &PartEntry) -> Result<Self, Error> {
        let folders = TableFolders::of(output, insight);
        let csv = folders.csv.join(&part.file);
        let unreadable = |cause: io::Error| Error::file(FileRole::Open, Op::Read, &csv, cause);
        let file = disk.open(&csv).map_err(unreadable)?;
        let mut parquet = ParquetPart::begin(disk, &folders, insight, &part.file)?;
        let mut pushed = Ok(());
        let push = |text: &[u8]| {
            if pushed.is_ok() {
                pushed = parquet.push(text);
            }
        };
        read_through(&*file, part.bytes, push).map_err(unreadable)?;
        pushed.map_err(|cause| Error::file(FileRole::Open, Op::Write, &parquet.path, cause))?;
        parquet.finish(disk)
    }

    /// Leaves the file under its temporary name, for [`adopt`](Self::adopt) in another process.
    pub fn keep(self) -> PartEntry {
        self.staged.keep();
        self.entry
    }

    /// The part that another process has staged in these folders.
    pub fn adopt(disk: &SharedDisk, folders: &TableFolders, entry: PartEntry) -> Self {
        let folder = folders.parquet.clone();
        let staged = StagedFile::adopt(disk, &folder.join(&entry.file), &folders.tag);
        Self { disk: disk.clone(), folder, staged, entry }
    }

    /// The entry for the manifest.
    pub fn entry(&self) -> &PartEntry {
        &self.entry
    }

    /// Durably gives the file its final name.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn publish(self) -> Result<(), Error> {
        self.staged.commit()?;
        sync_folder(&*self.disk, &self.folder)
    }
}

/// A file that counts and hashes the bytes written to it.
struct Sink {
    file: Box<dyn DiskFile>,
    bytes: u64,
    hash: Xxh3,
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sink").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.append(bytes)?;
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
