//! The append-only tables `enriched_logs` and `_rejects`: CSV files that grow. At a size limit, a table
//! continues in a new part.
//!
//! A new table starts under temporary names. The output of an earlier run therefore stays complete until
//! the new table is first published. From then on, the files of the table grow in place, and the manifest
//! states their published lengths. After a crash, the files are truncated to their committed lengths.
//!
//! Files can be removed or replaced while the program runs. [`AppendOnlyWriter::check`] notices this, and
//! restores the table if no published row is lost.

use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use crate::model::error::{Error, FileRole, Op};
use crate::publish::is_part;
use crate::publish::manifest::{PartEntry, hash_text};
use crate::publish::parquet::StagedParquet;
use crate::storage::failpoint::{Bug, fail_point, planted};
use crate::storage::staged_file::StagedFile;
use crate::storage::{
    DiskFile, FileIdentity, SharedDisk, append, create_empty, create_folder, is_missing, read_through,
    remove_from, sync_file, sync_folder,
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
    /// The parts with their lengths when the table was last published.
    published: Vec<PartEntry>,
}

/// The state of the files of a table, compared with what was committed or published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableCheck {
    /// All files are in place.
    InPlace,
    /// Files were missing or replaced, but no published row is lost. The table is in place again after it is
    /// published for the next time.
    Restored,
    /// Published rows are lost, and the loss was accepted. The table begins again without these rows.
    RowsLost,
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
            published: Vec::new(),
        })
    }

    /// Starts this table again without its rows. No row of it may be published yet.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn start_over(&mut self) -> Result<(), Error> {
        // A staged file removes its temporary name when it is dropped. It is dropped now, because the new
        // table uses the same name.
        self.staged = None;
        *self = Self::begin(&self.disk, &self.folder, self.header, self.roll_bytes)?;
        Ok(())
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
            published: parts.to_vec(),
        })
    }

    /// Same as [`resume`](Self::resume), but begins the table again if files of a table without rows are
    /// missing. With `accept_loss`, also begins a table again whose rows are lost.
    ///
    /// # Errors
    /// If rows are lost and the loss is not accepted (65), or if a file system operation fails (73, 74).
    pub fn resume_or_begin(
        disk: &SharedDisk,
        folder: &Path,
        header: &'static [u8],
        roll_bytes: u64,
        parts: &[PartEntry],
        accept_loss: bool,
    ) -> Result<(Self, TableCheck), Error> {
        let loss = match Self::resume(disk, folder, header, roll_bytes, parts) {
            Err(Error::Damaged(loss)) => loss,
            resumed => return Ok((resumed?, TableCheck::InPlace)),
        };
        let rows: u64 = parts.iter().map(|part| part.rows).sum();
        if rows > 0 && !accept_loss {
            return Err(Error::Damaged(loss));
        }
        let table = Self::begin(disk, folder, header, roll_bytes)?;
        if rows == 0 {
            return Ok((table, TableCheck::Restored));
        }
        let folder = shown(folder);
        tracing::warn!("{folder}: {rows} published rows are lost; the table begins again without them");
        Ok((table, TableCheck::RowsLost))
    }

    /// Checks that the files are in place, that is, that the next row goes to the file that readers see. If
    /// not, restores the table, and keeps all rows that were appended since it was last published.
    ///
    /// # Errors
    /// If published rows are lost and the loss is not accepted (65), if rows are lost that were not published
    /// yet (74; a restart reads them again), or if a file system operation fails (73, 74).
    pub fn check(&mut self, accept_loss: bool) -> Result<TableCheck, Error> {
        if self.is_in_place() {
            return Ok(TableCheck::InPlace);
        }
        let new_rows = self.unpublished_rows();
        // A staged file removes its temporary name when it is dropped. It is dropped now, because the new
        // table uses the same name.
        self.staged = None;
        let published = std::mem::take(&mut self.published);
        let (mut table, check) = Self::resume_or_begin(
            &self.disk,
            &self.folder,
            self.header,
            self.roll_bytes,
            &published,
            accept_loss,
        )?;
        let Some(new_rows) = new_rows else {
            return Err(Error::Io(format!(
                "{}: the table was removed or replaced while rows were written to it; start again to \
                 continue from the last commit",
                shown(&self.folder)
            )));
        };
        table.append(&new_rows)?;
        *self = table;
        Ok(if check == TableCheck::InPlace { TableCheck::Restored } else { check })
    }

    /// Whether every part has at least the written length, and the last part is the file that is open. If
    /// the file system cannot tell, the answer is yes.
    fn is_in_place(&self) -> bool {
        let path = |index: usize, file: &str| match &self.staged {
            Some(staged) => staged[index].temporary().to_owned(),
            None => self.folder.join(file),
        };
        let is_there = |path: &Path, bytes: u64, identity: Option<FileIdentity>| match self.disk.stat(path) {
            Ok(stat) => stat.len >= bytes && identity.is_none_or(|identity| stat.identity == identity),
            Err(cause) => !is_missing(&cause),
        };
        let mut full = self.full.iter().enumerate();
        full.all(|(index, part)| is_there(&path(index, &part.file), part.bytes, None))
            && is_there(
                &path(self.full.len(), &part_name(self.full.len())),
                self.open.bytes,
                self.open.file.identity().ok(),
            )
    }

    /// The rows since the table was last published; `None` if they can no longer be read.
    fn unpublished_rows(&self) -> Option<Vec<u8>> {
        // The files of complete parts are closed, so only the rows of the open part can still be read.
        if self.full.len() > self.published.len().saturating_sub(1) {
            return None;
        }
        let from = self.published.last().map_or(self.header.len() as u64, |part| part.bytes);
        let mut rows = vec![0; (self.open.bytes - from) as usize];
        let read = self.open.file.read_at(&mut rows, from).ok()?;
        (read == rows.len()).then_some(rows)
    }

    /// Appends whole lines, one for each of `rows` rows.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn append_rows(&mut self, lines: &[u8], rows: u64) -> Result<(), Error> {
        if self.open.bytes + lines.len() as u64 > self.roll_bytes {
            return self.append(lines);
        }
        if planted(Bug::CommitBeforeLogs) {
            self.open.sync()?;
        }
        self.open.rows += rows;
        self.open.write(lines)
    }

    /// Appends whole lines, and counts them.
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
        self.published = self.full.iter().cloned().chain([self.open.entry()]).collect();
        Ok(self.published.clone())
    }
}

/// Bytes that are hashed and then written. With this number, they are still in the second-level cache when they
/// are written.
const PIECE: usize = 256 << 10;

/// The advice for a damaged part.
const RESTORE: &str = "restore the file, read everything again with --fresh, or continue without the earlier \
                       rows of this table with --accept-missing-output";

/// Opens a part and truncates it to its committed length. A part that is already shorter is never extended,
/// because its missing rows are lost.
fn open_truncated(disk: &SharedDisk, folder: &Path, part: &PartEntry) -> Result<Box<dyn DiskFile>, Error> {
    let path = folder.join(&part.file);
    let damaged = |detail: &str| Error::Damaged(format!("{}: {detail}; {RESTORE}", shown(&path)));
    let unusable = |cause: std::io::Error| Error::file(FileRole::Open, Op::Open, &path, cause);
    let mut file = match disk.open(&path) {
        Err(cause) if is_missing(&cause) => {
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
        for piece in text.chunks(PIECE) {
            self.hash.update(piece);
            append(&mut *self.file, &self.path, piece)?;
            self.synced = false;
            self.bytes += piece.len() as u64;
        }
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

/// The file name of a part of an append-only table.
pub fn part_name(index: usize) -> String {
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

    fn begun(folder: &Path, roll_bytes: u64) -> AppendOnlyWriter {
        AppendOnlyWriter::begin(&RealDisk::without_fsync(), folder, b"h\n", roll_bytes).unwrap()
    }

    #[test]
    fn a_check_restores_removed_and_replaced_files_with_all_new_rows() {
        for published in ["", "a\n"] {
            for copied in [false, true] {
                let place = tempfile::tempdir().unwrap();
                let folder = place.path().join("table");
                let mut table = begun(&folder, 100);
                table.append(published.as_bytes()).unwrap();
                assert_eq!(table.check(false).unwrap(), TableCheck::InPlace);
                table.publish().unwrap();
                table.append(b"new\n").unwrap();
                assert_eq!(table.check(false).unwrap(), TableCheck::InPlace);
                let copy = std::fs::read(folder.join("part-00000.csv")).unwrap();
                std::fs::remove_dir_all(&folder).unwrap();
                if copied {
                    std::fs::create_dir(&folder).unwrap();
                    std::fs::write(folder.join("part-00000.csv"), copy).unwrap();
                }
                let is_lost = !copied && !published.is_empty();
                if is_lost {
                    let message = begun_error(&mut table);
                    assert!(message.contains("--fresh") && message.contains("--accept-missing-output"));
                    continue;
                }
                assert_eq!(table.check(false).unwrap(), TableCheck::Restored);
                table.append(b"newer\n").unwrap();
                let entries = table.publish().unwrap();
                let expected = format!("h\n{published}new\nnewer\n");
                assert_eq!(parts(&folder), [expected.as_str()]);
                assert_eq!(entries[0].bytes, expected.len() as u64);
                assert_eq!(entries[0].hash, hash_text(xxhash_rust::xxh3::xxh3_128(expected.as_bytes())));
                assert_eq!(table.check(false).unwrap(), TableCheck::InPlace);
            }
        }
    }

    fn begun_error(table: &mut AppendOnlyWriter) -> String {
        match table.check(false) {
            Err(Error::Damaged(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_accepted_loss_keeps_only_new_rows() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("table");
        let mut table = begun(&folder, 6);
        table.append(b"aaa\nbbb\nc\n").unwrap();
        table.publish().unwrap();
        table.append(b"d\n").unwrap();
        std::fs::remove_file(folder.join("part-00000.csv")).unwrap();
        assert_eq!(table.check(true).unwrap(), TableCheck::RowsLost);
        table.publish().unwrap();
        assert_eq!(parts(&folder), ["h\nd\n"]);
    }

    #[test]
    fn new_rows_of_a_closed_part_cannot_be_kept() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("table");
        let mut table = begun(&folder, 6);
        table.publish().unwrap();
        table.append(b"aaa\nbbb\nc\n").unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(matches!(table.check(true), Err(Error::Io(message)) if message.contains("start again")));
    }

    #[test]
    fn a_table_that_is_not_published_yet_moves_to_a_new_folder() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("table");
        let mut table = begun(&folder, 100);
        table.append(b"a\n").unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(table.check(false).unwrap(), TableCheck::Restored);
        assert_eq!(table.check(false).unwrap(), TableCheck::InPlace);
        table.publish().unwrap();
        assert_eq!(parts(&folder), ["h\na\n"]);
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
