//! Parts: files of tables, written once and never changed.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::model::error::Error;
use crate::publish::manifest::hash_text;
use crate::state::checkpoint::table::{Table, TableReader, damaged, push_number};
use crate::storage::failpoint::{Bug, planted};
use crate::storage::{Disk, DiskFile, append, create_empty, has_end, hash_of, sync_file};

/// The first bytes of every part.
const MAGIC: &[u8] = b"MIPART1\n";
/// Bytes that are gathered before a write.
const BUFFER: usize = 256 << 10;

/// What a generation says of a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// Its name in the folder of the state.
    pub file: String,
    /// The first generation whose changes are in it.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// Its length.
    pub bytes: u64,
    /// XXH3-128 of all of it.
    pub hash: String,
    /// Where the tables are in it. A table may come more than once.
    pub tables: Vec<TableExtent>,
}

/// Where a table is in a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableExtent {
    /// Its name.
    pub table: String,
    /// Offset of its first byte.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Number of its entries.
    pub entries: u64,
}

/// The name of the part with the changes of some generations.
pub fn segment_name(first: u64, last: u64) -> String {
    format!("part-{first:010}-{last:010}.bin")
}

/// Whether a name is that of a part.
pub fn is_segment_name(name: &str) -> bool {
    name.starts_with("part-") && has_end(name, "bin")
}

/// Writes a part.
pub struct SegmentWriter {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    hash: Xxh3,
    written: u64,
    part: SegmentEntry,
    key: u64,
}

impl std::fmt::Debug for SegmentWriter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PartWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SegmentWriter {
    /// Begins a part in a folder.
    ///
    /// # Errors
    /// What the file system says, exit code 73.
    pub fn create(disk: &dyn Disk, folder: &Path, first: u64, last: u64) -> Result<Self, Error> {
        let name = segment_name(first, last);
        let path = folder.join(&name);
        let file = create_empty(disk, &path)?;
        let part =
            SegmentEntry { file: name, first, last, bytes: 0, hash: String::new(), tables: Vec::new() };
        let buffer = MAGIC.to_vec();
        Ok(Self { path, file, buffer, hash: Xxh3::new(), written: 0, part, key: 0 })
    }

    /// Begins a table, whose entries come next.
    ///
    /// # Errors
    /// What the file system says, exit code 74.
    pub fn begin(&mut self, table: Table) -> Result<(), Error> {
        self.end_table();
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        let offset = self.written + self.buffer.len() as u64;
        let place = TableExtent { table: table.name().to_owned(), offset, bytes: 0, entries: 0 };
        self.part.tables.push(place);
        self.key = 0;
        Ok(())
    }

    /// An entry of a table of numbers. Keys ascend.
    ///
    /// # Errors
    /// What the file system says, exit code 74.
    #[inline]
    pub fn number(&mut self, key: u64, value: u64) -> Result<(), Error> {
        self.entry(key)?;
        push_number(&mut self.buffer, value);
        Ok(())
    }

    /// An entry of a table of bytes. Keys ascend.
    ///
    /// # Errors
    /// What the file system says, exit code 74.
    pub fn bytes(&mut self, key: u64, bytes: &[u8]) -> Result<(), Error> {
        self.entry(key)?;
        push_number(&mut self.buffer, bytes.len() as u64);
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn entry(&mut self, key: u64) -> Result<(), Error> {
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        let place = self.part.tables.last_mut().expect("a table has begun");
        debug_assert!(place.entries == 0 || key > self.key, "keys ascend");
        place.entries += 1;
        push_number(&mut self.buffer, key - self.key);
        self.key = key;
        Ok(())
    }

    fn end_table(&mut self) {
        let end = self.written + self.buffer.len() as u64;
        match self.part.tables.last_mut() {
            Some(place) if place.entries == 0 => {
                self.part.tables.pop();
            }
            Some(place) => place.bytes = end - place.offset,
            None => {}
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.hash.update(&self.buffer);
        append(&mut *self.file, &self.path, &self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Ends the part, durably but for its name.
    ///
    /// # Errors
    /// What the file system says, exit code 74.
    pub fn finish(mut self) -> Result<SegmentEntry, Error> {
        self.end_table();
        self.flush()?;
        if !planted(Bug::NoPartSync) {
            sync_file(&mut *self.file, &self.path)?;
        }
        self.part.bytes = self.written;
        self.part.hash = hash_text(self.hash.digest128());
        Ok(self.part)
    }
}

/// A part that is read.
#[derive(Debug)]
pub struct SegmentReader<'a> {
    file: Box<dyn DiskFile>,
    entry: &'a SegmentEntry,
}

impl<'a> SegmentReader<'a> {
    /// Opens a part and checks all of it.
    ///
    /// # Errors
    /// What the file system says, or `InvalidData` if it is not what the generation says.
    pub fn open(disk: &dyn Disk, folder: &Path, entry: &'a SegmentEntry) -> io::Result<Self> {
        let part = Self::open_checked(disk, folder, entry)?;
        if hash_text(hash_of(&*part.file, entry.bytes)?) != entry.hash && !planted(Bug::SkipChecksum) {
            return Err(damaged("the checksum is wrong"));
        }
        Ok(part)
    }

    /// Opens a part that was checked before.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for the checksum.
    pub fn open_checked(disk: &dyn Disk, folder: &Path, entry: &'a SegmentEntry) -> io::Result<Self> {
        let file = disk.open(&folder.join(&entry.file))?;
        let len = file.len()?;
        if len != entry.bytes {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("has {len} bytes, expected {}", entry.bytes),
            ));
        }
        for place in &entry.tables {
            let end = place.offset.checked_add(place.bytes);
            if Table::named(&place.table).is_none() || end.is_none_or(|end| end > len) {
                return Err(damaged("a table stands outside of it"));
            }
        }
        Ok(Self { file, entry })
    }

    /// The readers of a table, which may have come in several pieces.
    pub fn read(&self, table: Table) -> impl Iterator<Item = TableReader<'_>> {
        let places = self.entry.tables.iter().filter(move |place| place.table == table.name());
        places.map(|place| TableReader::new(&*self.file, place.offset, place.bytes, place.entries))
    }
}
