//! Snapshots. A snapshot is a complete insight table in one file. A new snapshot atomically replaces the
//! previous one.

use std::path::PathBuf;

use xxhash_rust::xxh3::Xxh3;

use crate::model::error::{Error, FileRole, Op};
use crate::publish::formula_escape::FormulaEscape;
use crate::publish::manifest::{InsightEntry, PartEntry, hash_text};
use crate::publish::parquet::{ParquetPart, StagedParquet};
use crate::publish::table_folders::TableFolders;
use crate::publish::{FIRST_PART, OutputFormats};
use crate::storage::staged_file::StagedFile;
use crate::storage::{DiskFile, SharedDisk, create_folder};

/// Number of bytes that are buffered before a write.
const BUFFER: usize = 256 << 10;
/// Number of bytes that are written without being buffered.
const LARGE: usize = BUFFER / 4;

/// A function that renders a table. It passes the header and all rows to a callback, in pieces of whole
/// lines. It returns the number of lines without the header.
pub type Render<'a> = dyn FnMut(&mut dyn FnMut(&[u8])) -> u64 + 'a;

/// A staged snapshot, durable under a temporary name. Dropping the value removes its files.
#[derive(Debug)]
pub struct Snapshot {
    staged: StagedFile,
    parquet: Option<StagedParquet>,
    entry: InsightEntry,
}

impl Snapshot {
    /// Renders an insight to a temporary file and syncs it.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn write(
        disk: &SharedDisk,
        folders: &TableFolders,
        insight: &str,
        formats: OutputFormats,
        render: &mut Render<'_>,
    ) -> Result<Self, Error> {
        SnapshotWriter::begin(disk, folders, insight, formats)?.write(render)
    }

    /// Leaves the files under their temporary names, for [`adopt`](Self::adopt) in another process.
    pub fn keep(self) -> InsightEntry {
        self.staged.keep();
        self.parquet.map(StagedParquet::keep);
        self.entry
    }

    /// The snapshot that another process has staged in these folders.
    pub fn adopt(disk: &SharedDisk, folders: &TableFolders, entry: InsightEntry) -> Self {
        let staged = StagedFile::adopt(disk, &folders.csv.join(FIRST_PART), &folders.tag);
        let parquet = entry.parquet.first().cloned();
        Self { staged, parquet: parquet.map(|part| StagedParquet::adopt(disk, folders, part)), entry }
    }

    /// The entry for the manifest.
    pub fn entry(&self) -> &InsightEntry {
        &self.entry
    }

    /// Replaces the published snapshot with this one.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn publish(self) -> Result<InsightEntry, Error> {
        self.staged.commit()?;
        self.parquet.map_or(Ok(()), StagedParquet::publish)?;
        Ok(self.entry)
    }
}

/// A snapshot that is being written. It buffers and hashes the lines of the CSV file, and passes them on to the
/// Parquet file.
pub struct SnapshotWriter {
    disk: SharedDisk,
    path: PathBuf,
    staged: StagedFile,
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    escape: FormulaEscape,
    escaped: Vec<u8>,
    bytes: u64,
    hash: Xxh3,
    parquet: Option<ParquetPart>,
    /// The first error. The callback of an insight cannot return an error, so the writer keeps it until the rendering
    /// ends.
    error: Option<std::io::Error>,
}

impl std::fmt::Debug for SnapshotWriter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SnapshotWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SnapshotWriter {
    /// Creates the temporary files.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn begin(
        disk: &SharedDisk,
        folders: &TableFolders,
        insight: &str,
        formats: OutputFormats,
    ) -> Result<Self, Error> {
        create_folder(&**disk, &folders.csv)?;
        let path = folders.csv.join(FIRST_PART);
        let (staged, file) = StagedFile::create_as(disk, &path, &folders.tag)?;
        let parquet = formats.parquet.then(|| ParquetPart::begin(disk, folders, insight, FIRST_PART));
        Ok(Self {
            disk: disk.clone(),
            path,
            staged,
            file,
            buffer: Vec::with_capacity(BUFFER),
            escape: FormulaEscape::of(insight, formats.escape_formulas),
            escaped: Vec::new(),
            bytes: 0,
            hash: Xxh3::new(),
            parquet: parquet.transpose()?,
            error: None,
        })
    }

    /// Adds the header and all rows, and syncs the files.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn write(mut self, render: &mut Render<'_>) -> Result<Snapshot, Error> {
        let rows = render(&mut |lines| self.push(lines));
        self.finish(rows)
    }

    /// Adds whole lines.
    pub fn push(&mut self, lines: &[u8]) {
        let mut escaped = std::mem::take(&mut self.escaped);
        let lines = self.escape.apply(lines, &mut escaped);
        if self.buffer.len() + lines.len() > BUFFER {
            self.flush();
        }
        if lines.len() >= LARGE {
            self.flush();
            self.append(lines);
        } else {
            self.buffer.extend_from_slice(lines);
        }
        self.escaped = escaped;
    }

    fn flush(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.append(&buffer);
        buffer.clear();
        self.buffer = buffer;
    }

    fn append(&mut self, lines: &[u8]) {
        self.hash.update(lines);
        self.bytes += lines.len() as u64;
        if self.error.is_none() && !lines.is_empty() {
            let parquet = self.parquet.as_mut().map_or(Ok(()), |parquet| parquet.push(lines));
            self.error = self.file.append(lines).and(parquet).err();
        }
    }

    /// Syncs the files. `rows` is the number of lines without the header.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn finish(mut self, rows: u64) -> Result<Snapshot, Error> {
        self.flush();
        if let Some(cause) = self.error {
            return Err(Error::file(FileRole::Open, Op::Write, &self.path, cause));
        }
        self.staged.sync(&mut *self.file)?;
        let hash = hash_text(self.hash.digest128());
        let entry = PartEntry { file: FIRST_PART.to_owned(), rows, bytes: self.bytes, hash };
        let parquet = self.parquet.map(|parquet| parquet.finish(&self.disk)).transpose()?;
        let mut entry = InsightEntry::new(vec![entry]);
        entry.parquet.extend(parquet.as_ref().map(|parquet| parquet.entry().clone()));
        Ok(Snapshot { staged: self.staged, parquet, entry })
    }
}
