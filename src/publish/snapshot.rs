//! Snapshots: the rows of an insight become one file, which replaces the last one whole.

use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use crate::model::error::{Error, FileRole, Op};
use crate::publish::formula_escape::FormulaEscape;
use crate::publish::manifest::{InsightEntry, PartEntry, hash_text};
use crate::publish::parquet::{ParquetPart, StagedParquet};
use crate::publish::{FIRST_PART, OutputFormats};
use crate::storage::staged_file::StagedFile;
use crate::storage::{DiskFile, SharedDisk, create_folder};

/// Bytes that are gathered before a write.
const BUFFER: usize = 256 << 10;

/// Hands all rows to the function it is given, in pieces of whole lines, the header first, and returns their
/// number without the header.
pub type Render<'a> = dyn FnMut(&mut dyn FnMut(&[u8])) -> u64 + 'a;

/// A written snapshot that nobody sees yet.
#[derive(Debug)]
pub struct Snapshot {
    draft: StagedFile,
    parquet: Option<StagedParquet>,
    entry: InsightEntry,
}

impl Snapshot {
    /// Writes the rows of an insight under a temporary name, durably.
    ///
    /// # Errors
    /// What the file system says, exit code 73 or 74.
    pub fn write(
        disk: &SharedDisk,
        output: &Path,
        insight: &str,
        formats: OutputFormats,
        render: &mut Render<'_>,
    ) -> Result<Self, Error> {
        let folder = output.join(insight);
        create_folder(&**disk, &folder)?;
        let path = folder.join(FIRST_PART);
        let (draft, file) = StagedFile::create(disk, &path)?;
        let parquet = formats.parquet.then(|| ParquetPart::begin(disk, output, insight, FIRST_PART));
        let parquet = parquet.transpose()?;
        let buffer = Vec::with_capacity(BUFFER);
        let mut writer = Writer { file, buffer, bytes: 0, hash: Xxh3::new(), parquet, failed: None };
        let (guard, mut room) = (FormulaEscape::of(insight, formats.escape_formulas), Vec::new());
        let rows = render(&mut |lines| writer.push(guard.apply(lines, &mut room)));
        writer.flush();
        if let Some(cause) = writer.failed {
            return Err(Error::file(FileRole::Open, Op::Write, &path, cause));
        }
        draft.sync(&mut *writer.file)?;
        let hash = hash_text(writer.hash.digest128());
        let entry = PartEntry { file: FIRST_PART.to_owned(), rows, bytes: writer.bytes, hash };
        let parquet = writer.parquet.map(|parquet| parquet.finish(disk, rows)).transpose()?;
        let mut entry = InsightEntry::new(vec![entry]);
        entry.parquet.extend(parquet.as_ref().map(|parquet| parquet.entry().clone()));
        Ok(Self { draft, parquet, entry })
    }

    /// What the manifest says of it.
    pub fn entry(&self) -> &InsightEntry {
        &self.entry
    }

    /// Replaces the last snapshot.
    ///
    /// # Errors
    /// What the file system says, exit code 73.
    pub fn publish(self) -> Result<InsightEntry, Error> {
        self.draft.commit()?;
        self.parquet.map_or(Ok(()), StagedParquet::publish)?;
        Ok(self.entry)
    }
}

struct Writer {
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    bytes: u64,
    hash: Xxh3,
    parquet: Option<ParquetPart>,
    /// The first error; rendering knows nothing of errors and goes on.
    failed: Option<std::io::Error>,
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
        if self.failed.is_none() {
            let parquet = self.parquet.as_mut().map_or(Ok(()), |parquet| parquet.push(&self.buffer));
            self.failed = self.file.append(&self.buffer).and(parquet).err();
        }
        self.buffer.clear();
    }
}
