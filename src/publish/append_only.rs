//! The append-only tables `enriched_logs` and `_rejects`: CSV files that grow. At a size limit, a table
//! continues in a new part.
//!
//! A new table starts under temporary names. The output of an earlier run therefore stays complete until
//! the new table is first published. From then on, the files of the table grow in place, and the manifest
//! states their published lengths. After a crash, the files are truncated to their committed lengths.

use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use crate::model::error::{Error, FileRole, Op};
use crate::publish::is_part;
use crate::publish::manifest::{PartEntry, hash_text};
use crate::publish::parquet::StagedParquet;
use crate::storage::failpoint::{Bug, fail_point, planted};
use crate::storage::staged_file::StagedFile;
use crate::storage::{
    DiskFile, SharedDisk, append, create_empty, create_folder, read_through, remove_from, sync_file,
    sync_folder,
};
use crate::text::shown;

/// An append-only table in parts.
#[derive(Debug)]
pub struct AppendOnlyWriter {
    disk: SharedDisk,
    folder: PathBuf,
    header: &'static [u8],
    roll_bytes: u64,
    /// Complete parts.
    full: Vec<PartEntry>,
    open: OpenPart,
    /// Parts under temporary names; `None` once the table is published.
    staged: Option<Vec<StagedFile>>,
    /// Whether the folder has new file names that are not synced yet.
    new_names: bool,
}

/// The last part, which still grows.
struct OpenPart {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    bytes: u64,
    rows: u64,
    hash: Xxh3,
    synced: bool,
}

impl std::fmt::Debug for OpenPart {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("OpenPart")
            .field("path", &self.path)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl AppendOnlyWriter {
    /// Starts an empty table. Each part starts with `header`. A row that would make a part longer than
    /// `roll_bytes` goes to a new part.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn begin(
        disk: &SharedDisk,
        folder: &Path,
        header: &'static [u8],
        roll_bytes: u64,
    ) -> Result<Self, Error> {
        create_folder(&**disk, folder)?;
        let path = folder.join(part_name(0));
        let (staged, file) = StagedFile::create(disk, &path)?;
        let open = OpenPart::start(path, file, header)?;
        Ok(Self {
            disk: disk.clone(),
            folder: folder.to_owned(),
            header,
            roll_bytes,
            full: Vec::new(),
            open,
            staged: Some(vec![staged]),
            new_names: true,
        })
    }

    /// Continues a table from its committed `parts`. Removes all rows that were written after that commit.
    /// Without parts, the table starts empty.
    ///
    /// # Errors
    /// If a part is shorter than its committed length or the content of the last part differs (65), or if a
    /// file system operation fails (73, 74).
    pub fn resume(
        disk: &SharedDisk,
        folder: &Path,
        header: &'static [u8],
        roll_bytes: u64,
        parts: &[PartEntry],
    ) -> Result<Self, Error> {
        let Some((last, full)) = parts.split_last() else {
            return Self::begin(disk, folder, header, roll_bytes);
        };
        create_folder(&**disk, folder)?;
        for part in full {
            open_truncated(disk, folder, part)?;
        }
        let mut file = open_truncated(disk, folder, last)?;
        let path = folder.join(&last.file);
        let mut hash = Xxh3::new();
        read_through(&*file, last.bytes, |bytes| hash.update(bytes))
            .map_err(|cause| Error::file(FileRole::Open, Op::Read, &path, cause))?;
        if hash_text(hash.digest128()) != last.hash {
            let message = format!(
                "{}: the first {} bytes have changed since they were committed; {RESTORE}",
                shown(&path),
                last.bytes
            );
            return Err(Error::Damaged(message));
        }
        sync_file(&mut *file, &path)?;
        let committed: Vec<&str> = parts.iter().map(|part| part.file.as_str()).collect();
        remove_from(&**disk, folder, |name| is_part(name) && !committed.contains(&name))?;
        sync_folder(&**disk, folder)?;
        let open = OpenPart { path, file, bytes: last.bytes, rows: last.rows, hash, synced: true };
        Ok(Self {
            disk: disk.clone(),
            folder: folder.to_owned(),
            header,
            roll_bytes,
            full: full.to_vec(),
            open,
            staged: None,
            new_names: false,
        })
    }

    /// Appends whole lines.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn append(&mut self, mut lines: &[u8]) -> Result<(), Error> {
        if planted(Bug::CommitBeforeLogs) {
            self.open.sync()?;
        }
        while !lines.is_empty() {
            let room = self.roll_bytes.saturating_sub(self.open.bytes) as usize;
            let fitting = if lines.len() <= room {
                lines.len()
            } else {
                memchr::memrchr(b'\n', &lines[..room]).map_or(0, |last| last + 1)
            };
            // A part holds at least one row, even if that row is longer than the limit.
            let len = match fitting {
                0 if self.open.rows == 0 => memchr::memchr(b'\n', lines).map_or(lines.len(), |end| end + 1),
                fitting => fitting,
            };
            let (head, tail) = lines.split_at(len);
            if !head.is_empty() {
                self.open.write(head)?;
                self.open.rows += memchr::memchr_iter(b'\n', head).count() as u64;
            }
            if !tail.is_empty() {
                self.roll()?;
            }
            lines = tail;
        }
        Ok(())
    }

    /// Stages a complete part as Parquet.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn parquet_of(&self, insight: &str, part: &PartEntry) -> Result<StagedParquet, Error> {
        let output = self.folder.parent().unwrap_or(&self.folder);
        StagedParquet::of_part(&self.disk, output, insight, part)
    }

    /// Starts the next part.
    fn roll(&mut self) -> Result<(), Error> {
        let path = self.folder.join(part_name(self.full.len() + 1));
        let file = match &mut self.staged {
            Some(staged) => {
                let (part, file) = StagedFile::create(&self.disk, &path)?;
                staged.push(part);
                file
            }
            None => create_empty(&*self.disk, &path)?,
        };
        self.new_names = true;
        let next = OpenPart::start(path, file, self.header)?;
        let mut full = std::mem::replace(&mut self.open, next);
        full.sync()?;
        self.full.push(full.entry());
        Ok(())
    }

    /// Makes all appended rows durable, gives new parts their final names, and returns the entries of all
    /// parts for the manifest.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn publish(&mut self) -> Result<Vec<PartEntry>, Error> {
        if !planted(Bug::CommitBeforeLogs) {
            self.open.sync()?;
        }
        if let Some(staged) = self.staged.take() {
            for part in staged {
                part.commit()?;
            }
            let current: Vec<String> = (0..=self.full.len()).map(part_name).collect();
            remove_from(&*self.disk, &self.folder, |name| {
                is_part(name) && !current.iter().any(|part| part == name)
            })?;
        }
        if std::mem::take(&mut self.new_names) {
            sync_folder(&*self.disk, &self.folder)?;
        }
        Ok(self.full.iter().cloned().chain([self.open.entry()]).collect())
    }
}

/// The advice for a damaged part.
const RESTORE: &str = "restore the file, or read everything again with --fresh";

/// Opens a part and truncates it to its committed length. A part that is already shorter is never extended,
/// because its missing rows are lost.
fn open_truncated(disk: &SharedDisk, folder: &Path, part: &PartEntry) -> Result<Box<dyn DiskFile>, Error> {
    let path = folder.join(&part.file);
    let damaged = |detail: &str| Error::Damaged(format!("{}: {detail}; {RESTORE}", shown(&path)));
    let unusable = |cause: std::io::Error| Error::file(FileRole::Open, Op::Open, &path, cause);
    let mut file = match disk.open(&path) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            return Err(damaged(&format!("the file is gone, but {} bytes were committed", part.bytes)));
        }
        other => other.map_err(unusable)?,
    };
    let len = file.len().map_err(unusable)?;
    if len < part.bytes {
        if planted(Bug::ExtendShortLog) {
            append(&mut *file, &path, &vec![0; (part.bytes - len) as usize])?;
            return Ok(file);
        }
        return Err(damaged(&format!("the file has {len} bytes, but {} were committed", part.bytes)));
    }
    if len > part.bytes && !planted(Bug::KeepLogTail) {
        file.truncate(part.bytes).map_err(|cause| Error::file(FileRole::Open, Op::Truncate, &path, cause))?;
        sync_file(&mut *file, &path)?;
        fail_point("recover.log_cut");
    }
    Ok(file)
}

impl OpenPart {
    fn start(path: PathBuf, file: Box<dyn DiskFile>, header: &[u8]) -> Result<Self, Error> {
        let mut part = Self { path, file, bytes: 0, rows: 0, hash: Xxh3::new(), synced: false };
        part.write(header)?;
        Ok(part)
    }

    fn write(&mut self, text: &[u8]) -> Result<(), Error> {
        append(&mut *self.file, &self.path, text)?;
        self.synced = false;
        self.bytes += text.len() as u64;
        self.hash.update(text);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        if !self.synced && !planted(Bug::NoLogSync) {
            sync_file(&mut *self.file, &self.path)?;
            self.synced = true;
        }
        Ok(())
    }

    fn entry(&self) -> PartEntry {
        let file = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        PartEntry { file, rows: self.rows, bytes: self.bytes, hash: hash_text(self.hash.digest128()) }
    }
}

fn part_name(index: usize) -> String {
    format!("part-{index:05}.csv")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::real::RealDisk;

    fn parts(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }

    #[test]
    fn a_row_that_does_not_fit_starts_a_part_however_rows_are_appended() {
        let rows = ["aaa\n", "bb\n", "c\n", "a-row-longer-than-a-part\n", "dd\n", "ee\n"];
        let expected = ["h\naaa\nbb\n", "h\nc\n", "h\na-row-longer-than-a-part\n", "h\ndd\nee\n"];
        for per_call in 1..=rows.len() {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("part-00009.csv"), "old").unwrap();
            let mut table =
                AppendOnlyWriter::begin(&RealDisk::without_fsync(), folder.path(), b"h\n", 9).unwrap();
            for rows in rows[..3].chunks(per_call) {
                table.append(rows.concat().as_bytes()).unwrap();
            }
            assert!(
                folder.path().join("part-00009.csv").exists()
                    && !folder.path().join("part-00000.csv").exists()
            );
            table.publish().unwrap();
            for rows in rows[3..].chunks(per_call) {
                table.append(rows.concat().as_bytes()).unwrap();
            }
            assert_eq!(parts(folder.path()), expected, "{per_call} rows a call");
            let entries = table.publish().unwrap();
            let counts: Vec<_> = entries.iter().map(|entry| (entry.rows, entry.bytes)).collect();
            assert_eq!(counts, [(2, 9), (1, 4), (1, 27), (2, 8)]);
            for (entry, text) in entries.iter().zip(expected) {
                assert_eq!(entry.hash, hash_text(xxhash_rust::xxh3::xxh3_128(text.as_bytes())));
            }
        }
    }

    #[test]
    fn a_table_that_was_never_published_leaves_no_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut table =
            AppendOnlyWriter::begin(&RealDisk::without_fsync(), folder.path(), b"h\n", 3).unwrap();
        table.append(b"a\nb\n").unwrap();
        drop(table);
        assert_eq!(parts(folder.path()), [""; 0]);
    }
}
