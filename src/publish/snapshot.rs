//! Snapshots. A snapshot is a complete insight table in one file. A new snapshot atomically replaces the
//! previous one.

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
        create_folder(&**disk, &folders.csv)?;
        let path = folders.csv.join(FIRST_PART);
        let (staged, file) = StagedFile::create_as(disk, &path, &folders.tag)?;
        let parquet = formats.parquet.then(|| ParquetPart::begin(disk, folders, insight, FIRST_PART));
        let parquet = parquet.transpose()?;
        let buffer = Vec::with_capacity(BUFFER);
        let mut writer = Writer { file, buffer, bytes: 0, hash: Xxh3::new(), parquet, error: None };
        let escape = FormulaEscape::of(insight, formats.escape_formulas);
        let mut escaped = Vec::new();
        let rows = render(&mut |lines| writer.push(escape.apply(lines, &mut escaped)));
        writer.flush();
        if let Some(cause) = writer.error {
            return Err(Error::file(FileRole::Open, Op::Write, &path, cause));
        }
        staged.sync(&mut *writer.file)?;
        let hash = hash_text(writer.hash.digest128());
        let entry = PartEntry { file: FIRST_PART.to_owned(), rows, bytes: writer.bytes, hash };
        let parquet = writer.parquet.map(|parquet| parquet.finish(disk)).transpose()?;
        let mut entry = InsightEntry::new(vec![entry]);
        entry.parquet.extend(parquet.as_ref().map(|parquet| parquet.entry().clone()));
        Ok(Self { staged, parquet, entry })
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

/// Buffers and hashes the lines of the CSV file, and passes them on to the Parquet file.
struct Writer {
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    bytes: u64,
    hash: Xxh3,
    parquet: Option<ParquetPart>,
    /// The first error. The callback cannot return an error, so the writer keeps it until the rendering ends.
    error: Option<std::io::Error>,
}

impl Writer {
    fn push(&mut self, lines: &[u8]) {
        if self.buffer.len() + lines.len() > BUFFER {
            self.flush();
        }
        self.buffer.extend_from_slice(lines);
    }

    fn flush(&mut self) {
        self.hash.update(&self.buffer);
        self.bytes += self.buffer.len() as u64;
        if self.error.is_none() {
            let parquet = self.parquet.as_mut().map_or(Ok(()), |parquet| parquet.push(&self.buffer));
            self.error = self.file.append(&self.buffer).and(parquet).err();
        }
        self.buffer.clear();
    }
}
