//! Segments: immutable files that contain tables.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::model::error::Error;
use crate::publish::manifest::hash_text;
use crate::state::checkpoint::pace::MergePace;
use crate::state::checkpoint::table::{Table, TableReader, damaged, push_number};
use crate::storage::failpoint::{Bug, planted};
use crate::storage::{Disk, DiskFile, append, create_empty, has_end, hash_of, sync_file};

/// The first bytes of every segment.
const MAGIC: &[u8] = b"MISEGM1\n";
/// Number of bytes that are buffered before a write.
const BUFFER: usize = 256 << 10;

/// The entry of a segment in a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// The file name in the folder of the state.
    pub file: String,
    /// The first generation that has changes in this segment.
    pub first: u64,
    /// The last generation that has changes in this segment.
    pub last: u64,
    /// The length in bytes.
    pub bytes: u64,
    /// XXH3-128 of the whole file.
    pub hash: String,
    /// The positions of the tables. A table may occur more than once.
    pub tables: Vec<TableExtent>,
}

/// The position of a table in a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableExtent {
    /// The name of the table.
    pub table: String,
    /// Offset of the first byte.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// Number of entries.
    pub entries: u64,
}

/// The file name of the segment with the changes of the generations `first` to `last`.
pub fn segment_name(first: u64, last: u64) -> String {
    format!("segment-{first:010}-{last:010}.bin")
}

/// Whether `name` is the file name of a segment.
pub fn is_segment_name(name: &str) -> bool {
    name.starts_with("segment-") && has_end(name, "bin")
}

/// Writes a segment, table by table.
pub struct SegmentWriter {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    hash: Xxh3,
    written: u64,
    entry: SegmentEntry,
    /// Whether a table has begun and not ended.
    in_table: bool,
    /// The key of the last entry of the current table.
    key: u64,
    /// The pace of a merge.
    pace: Option<MergePace>,
}

impl std::fmt::Debug for SegmentWriter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SegmentWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SegmentWriter {
    /// Creates the file of a segment in a folder.
    ///
    /// # Errors
    /// A file system error, exit code 73.
    pub fn create(disk: &dyn Disk, folder: &Path, first: u64, last: u64) -> Result<Self, Error> {
        let mut writer = Self::create_at(disk, &folder.join(segment_name(first, last)))?;
        (writer.entry.first, writer.entry.last) = (first, last);
        Ok(writer)
    }

    /// Creates a segment that belongs to no generation.
    ///
    /// # Errors
    /// A file system error, exit code 73.
    pub fn create_at(disk: &dyn Disk, path: &Path) -> Result<Self, Error> {
        let file = create_empty(disk, path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (first, last, bytes, hash, tables) = (0, 0, 0, String::new(), Vec::new());
        let entry = SegmentEntry { file: name, first, last, bytes, hash, tables };
        let (path, buffer, hash) = (path.to_owned(), MAGIC.to_vec(), Xxh3::new());
        Ok(Self { path, file, buffer, hash, written: 0, entry, in_table: false, key: 0, pace: None })
    }

    /// Writes no faster than a merge may.
    #[must_use]
    pub fn paced(self, pace: MergePace) -> Self {
        Self { pace: Some(pace), ..self }
    }

    /// Begins a table. The entries written after this call belong to the table. A table without entries is
    /// left out.
    ///
    /// # Errors
    /// A file system error, exit code 74.
    pub fn begin(&mut self, table: Table) -> Result<(), Error> {
        self.end_table();
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        let offset = self.written + self.buffer.len() as u64;
        let extent = TableExtent { table: table.name().to_owned(), offset, bytes: 0, entries: 0 };
        self.entry.tables.push(extent);
        (self.in_table, self.key) = (true, 0);
        Ok(())
    }

    /// Writes tables, and returns their extents. The list of tables in the entry of the segment leaves them out.
    ///
    /// # Errors
    /// The errors of `write`.
    pub fn unlisted(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<Vec<TableExtent>, Error> {
        self.end_table();
        let first = self.entry.tables.len();
        write(self)?;
        self.end_table();
        Ok(self.entry.tables.split_off(first))
    }

    /// Writes an entry to a table of numbers. Keys must ascend.
    ///
    /// # Errors
    /// A file system error, exit code 74.
    #[inline]
    pub fn number(&mut self, key: u64, value: u64) -> Result<(), Error> {
        self.key(key)?;
        push_number(&mut self.buffer, value);
        Ok(())
    }

    /// Writes an entry to a table of bytes. Keys must ascend.
    ///
    /// # Errors
    /// A file system error, exit code 74.
    pub fn bytes(&mut self, key: u64, bytes: &[u8]) -> Result<(), Error> {
        self.key(key)?;
        push_number(&mut self.buffer, bytes.len() as u64);
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn key(&mut self, key: u64) -> Result<(), Error> {
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        let extent = self.entry.tables.last_mut().expect("a table has begun");
        debug_assert!(extent.entries == 0 || key > self.key, "keys ascend");
        extent.entries += 1;
        push_number(&mut self.buffer, key - self.key);
        self.key = key;
        Ok(())
    }

    fn end_table(&mut self) {
        let end = self.written + self.buffer.len() as u64;
        match self.entry.tables.last_mut().filter(|_| std::mem::take(&mut self.in_table)) {
            Some(extent) if extent.entries == 0 => {
                self.entry.tables.pop();
            }
            Some(extent) => extent.bytes = end - extent.offset,
            None => {}
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        if let Some(pace) = &mut self.pace {
            pace.wait();
        }
        self.hash.update(&self.buffer);
        append(&mut *self.file, &self.path, &self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Ends the segment and syncs the file. The name of the file is durable once the folder is synced.
    ///
    /// # Errors
    /// A file system error, exit code 74.
    pub fn finish(mut self) -> Result<SegmentEntry, Error> {
        self.end_table();
        self.flush()?;
        if !planted(Bug::NoPartSync) {
            sync_file(&mut *self.file, &self.path)?;
        }
        self.entry.bytes = self.written;
        self.entry.hash = hash_text(self.hash.digest128());
        Ok(self.entry)
    }
}

/// An open segment.
#[derive(Debug)]
pub struct SegmentReader<'a> {
    file: Box<dyn DiskFile>,
    entry: &'a SegmentEntry,
}

impl<'a> SegmentReader<'a> {
    /// Opens a segment and checks its hash.
    ///
    /// # Errors
    /// A file system error, or `InvalidData` if the file differs from its entry.
    pub fn open(disk: &dyn Disk, folder: &Path, entry: &'a SegmentEntry) -> io::Result<Self> {
        let segment = Self::open_checked(disk, folder, entry)?;
        if hash_text(hash_of(&*segment.file, entry.bytes)?) != entry.hash && !planted(Bug::SkipChecksum) {
            return Err(damaged("the checksum is wrong"));
        }
        Ok(segment)
    }

    /// Opens a segment and does not check its hash. The caller must have checked the hash before.
    ///
    /// # Errors
    /// Same as [`open`](Self::open), except that the hash is not checked.
    pub fn open_checked(disk: &dyn Disk, folder: &Path, entry: &'a SegmentEntry) -> io::Result<Self> {
        let file = disk.open(&folder.join(&entry.file))?;
        let len = file.len()?;
        if len != entry.bytes {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the file has {len} bytes instead of {}", entry.bytes),
            ));
        }
        for extent in &entry.tables {
            if Table::named(&extent.table).is_none() {
                return Err(damaged("the file has an unknown table"));
            }
            let end = extent.offset.checked_add(extent.bytes);
            if end.is_none_or(|end| end > len) {
                return Err(damaged("a table extends beyond the end of the file"));
            }
        }
        Ok(Self { file, entry })
    }

    /// The readers of a table, one for each occurrence of the table in the segment.
    pub fn read(&self, table: Table) -> impl Iterator<Item = TableReader<'_>> {
        let extents = self.entry.tables.iter().filter(move |extent| extent.table == table.name());
        extents.map(|extent| TableReader::new(&*self.file, extent.offset, extent.bytes, extent.entries))
    }

    /// The file.
    pub fn file(&self) -> &dyn DiskFile {
        &*self.file
    }

    /// The file, without the segment's list of tables.
    pub fn into_file(self) -> Box<dyn DiskFile> {
        self.file
    }
}

/// Calls `take` with each entry of a table that holds bytes.
///
/// # Errors
/// An error while reading, or an error that `take` returns.
pub fn each_bytes(
    segment: &SegmentReader<'_>,
    table: Table,
    mut take: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    for mut reader in segment.read(table) {
        while let Some(key) = reader.next_bytes(&mut bytes)? {
            take(key, &bytes)?;
        }
    }
    Ok(())
}
