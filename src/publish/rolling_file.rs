//! Logs that only grow: `enriched_logs` and `_rejects`, in parts of bounded length.
//!
//! A log starts under temporary names, so that what an earlier run has published stays whole until
//! the new log is published for the first time. From then on it grows in place, and the manifest
//! says how much of it counts. After a crash it is cut back to what was committed, and goes on.

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

/// A log in parts.
#[derive(Debug)]
pub struct RollingFile {
    disk: SharedDisk,
    folder: PathBuf,
    header: &'static [u8],
    roll_bytes: u64,
    /// Parts that will not grow any more.
    full: Vec<PartEntry>,
    open: OpenPart,
    /// Parts that wait for their real names; nothing once the log was published.
    drafts: Option<Vec<StagedFile>>,
    /// Whether there are names in the folder that are not durable.
    new_names: bool,
}

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

impl RollingFile {
    /// Begins a log in a folder, with a header in each part; a row that would make a part longer
    /// than `roll_bytes` opens the next.
    ///
    /// # Errors
    /// If the folder or the file cannot be made, exit code 73 or 74.
    pub fn begin(
        disk: &SharedDisk,
        folder: &Path,
        header: &'static [u8],
        roll_bytes: u64,
    ) -> Result<Self, Error> {
        create_folder(&**disk, folder)?;
        let path = folder.join(part_name(0));
        let (draft, file) = StagedFile::create(disk, &path)?;
        let open = OpenPart::start(path, file, header)?;
        Ok(Self {
            disk: disk.clone(),
            folder: folder.to_owned(),
            header,
            roll_bytes,
            full: Vec::new(),
            open,
            drafts: Some(vec![draft]),
            new_names: true,
        })
    }

    /// Goes on with a log of which `parts` were committed: whatever was written after that is cut
    /// off. Without parts it begins anew.
    ///
    /// # Errors
    /// If a part is shorter than was committed or the last one holds something else (65), or what
    /// the file system says (73, 74).
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
            cut_to_committed(disk, folder, part)?;
        }
        let mut file = cut_to_committed(disk, folder, last)?;
        let path = folder.join(&last.file);
        let mut hash = Xxh3::new();
        read_through(&*file, last.bytes, |bytes| hash.update(bytes))
            .map_err(|cause| Error::file(FileRole::Open, Op::Read, &path, cause))?;
        if hash_text(hash.digest128()) != last.hash {
            let message = format!(
                "{}: the first {} bytes are not those that were committed; {BRING_BACK}",
                path.display(),
                last.bytes
            );
            return Err(Error::Damaged(message));
        }
        sync_file(&mut *file, &path)?;
        let ours: Vec<&str> = parts.iter().map(|part| part.file.as_str()).collect();
        remove_from(&**disk, folder, |name| is_part(name) && !ours.contains(&name))?;
        sync_folder(&**disk, folder)?;
        let open = OpenPart { path, file, bytes: last.bytes, rows: last.rows, hash, synced: true };
        Ok(Self {
            disk: disk.clone(),
            folder: folder.to_owned(),
            header,
            roll_bytes,
            full: full.to_vec(),
            open,
            drafts: None,
            new_names: false,
        })
    }

    /// Appends whole lines.
    ///
    /// # Errors
    /// What the file system says, exit code 73 or 74.
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
            // A part holds a row at least, however long the row is.
            let len = match fitting {
                0 if self.open.rows == 0 => memchr::memchr(b'\n', lines).map_or(lines.len(), |end| end + 1),
                fitting => fitting,
            };
            let (now, later) = lines.split_at(len);
            if !now.is_empty() {
                self.open.write(now)?;
                self.open.rows += memchr::memchr_iter(b'\n', now).count() as u64;
            }
            if !later.is_empty() {
                self.roll()?;
            }
            lines = later;
        }
        Ok(())
    }

    /// Writes one of the parts as Parquet, too, where nobody sees it yet.
    ///
    /// # Errors
    /// What the file system says, exit code 73 or 74.
    pub fn parquet_of(&self, insight: &str, part: &PartEntry) -> Result<StagedParquet, Error> {
        let output = self.folder.parent().unwrap_or(&self.folder);
        StagedParquet::of_part(&self.disk, output, insight, part)
    }

    fn roll(&mut self) -> Result<(), Error> {
        let path = self.folder.join(part_name(self.full.len() + 1));
        let file = match &mut self.drafts {
            Some(drafts) => {
                let (draft, file) = StagedFile::create(&self.disk, &path)?;
                drafts.push(draft);
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

    /// Makes all that was appended durable and visible under its real names, and says what there is.
    ///
    /// # Errors
    /// What the file system says, exit code 73 or 74.
    pub fn publish(&mut self) -> Result<Vec<PartEntry>, Error> {
        if !planted(Bug::CommitBeforeLogs) {
            self.open.sync()?;
        }
        if let Some(drafts) = self.drafts.take() {
            for draft in drafts {
                draft.commit()?;
            }
            let ours: Vec<String> = (0..=self.full.len()).map(part_name).collect();
            remove_from(&*self.disk, &self.folder, |name| {
                is_part(name) && !ours.iter().any(|part| part == name)
            })?;
        }
        if std::mem::take(&mut self.new_names) {
            sync_folder(&*self.disk, &self.folder)?;
        }
        Ok(self.full.iter().cloned().chain([self.open.entry()]).collect())
    }
}

const BRING_BACK: &str = "bring back the file as it was, or read everything again with --fresh";

/// Opens a part and cuts off what is behind its committed length; it is never extended.
fn cut_to_committed(disk: &SharedDisk, folder: &Path, part: &PartEntry) -> Result<Box<dyn DiskFile>, Error> {
    let path = folder.join(&part.file);
    let damaged = |detail: &str| Error::Damaged(format!("{}: {detail}; {BRING_BACK}", path.display()));
    let failed = |cause: std::io::Error| Error::file(FileRole::Open, Op::Open, &path, cause);
    let mut file = match disk.open(&path) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            return Err(damaged(&format!("the file is gone, of which {} bytes were committed", part.bytes)));
        }
        other => other.map_err(failed)?,
    };
    let len = file.len().map_err(failed)?;
    if len < part.bytes {
        if planted(Bug::ExtendShortLog) {
            append(&mut *file, &path, &vec![0; (part.bytes - len) as usize])?;
            return Ok(file);
        }
        return Err(damaged(&format!("has {len} bytes, but {} were committed", part.bytes)));
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
    fn parts_roll_before_a_row_that_would_not_fit_however_rows_come() {
        let rows = ["aaa\n", "bb\n", "c\n", "a-row-longer-than-a-part\n", "dd\n", "ee\n"];
        let expected = ["h\naaa\nbb\n", "h\nc\n", "h\na-row-longer-than-a-part\n", "h\ndd\nee\n"];
        for per_call in 1..=rows.len() {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("part-00009.csv"), "old").unwrap();
            let mut log = RollingFile::begin(&RealDisk::without_fsync(), folder.path(), b"h\n", 9).unwrap();
            for rows in rows[..3].chunks(per_call) {
                log.append(rows.concat().as_bytes()).unwrap();
            }
            assert!(
                folder.path().join("part-00009.csv").exists()
                    && !folder.path().join("part-00000.csv").exists()
            );
            log.publish().unwrap();
            for rows in rows[3..].chunks(per_call) {
                log.append(rows.concat().as_bytes()).unwrap();
            }
            assert_eq!(parts(folder.path()), expected, "{per_call} rows a call");
            let entries = log.publish().unwrap();
            let counts: Vec<_> = entries.iter().map(|entry| (entry.rows, entry.bytes)).collect();
            assert_eq!(counts, [(2, 9), (1, 4), (1, 27), (2, 8)]);
            for (entry, text) in entries.iter().zip(expected) {
                assert_eq!(entry.hash, hash_text(xxhash_rust::xxh3::xxh3_128(text.as_bytes())));
            }
        }
    }

    #[test]
    fn a_log_that_was_never_published_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = RollingFile::begin(&RealDisk::without_fsync(), folder.path(), b"h\n", 3).unwrap();
        log.append(b"a\nb\n").unwrap();
        drop(log);
        assert_eq!(parts(folder.path()), [""; 0]);
    }
}
