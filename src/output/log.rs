//! Logs that only grow: `enriched_logs` and `_rejects`, in parts of bounded length.
//!
//! A log starts under temporary names, so that what an earlier run has published stays whole until
//! the new log is published for the first time. From then on it grows in place, and the manifest
//! says how much of it counts.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use crate::failure::{Exit, Failure};
use crate::output::disk::{Draft, create_empty, create_folder, is_part, remove_from};
use crate::output::manifest::{PartEntry, hash_text};

/// A log in parts.
#[derive(Debug)]
pub struct PartedLog {
    folder: PathBuf,
    header: &'static [u8],
    roll_bytes: u64,
    /// Parts that will not grow any more.
    full: Vec<PartEntry>,
    open: OpenPart,
    /// Parts that wait for their real names; nothing once the log was published.
    drafts: Option<Vec<Draft>>,
}

struct OpenPart {
    path: PathBuf,
    file: File,
    bytes: u64,
    rows: u64,
    hash: Xxh3,
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

impl PartedLog {
    /// Begins a log in a folder, with a header in each part; a row that would make a part longer
    /// than `roll_bytes` opens the next.
    ///
    /// # Errors
    /// If the folder or the file cannot be made, exit code 73 or 74.
    pub fn begin(folder: &Path, header: &'static [u8], roll_bytes: u64) -> Result<Self, Failure> {
        create_folder(folder)?;
        let path = folder.join(part_name(0));
        let (draft, file) = Draft::create(&path)?;
        let open = OpenPart::start(path, file, header)?;
        Ok(Self {
            folder: folder.to_owned(),
            header,
            roll_bytes,
            full: Vec::new(),
            open,
            drafts: Some(vec![draft]),
        })
    }

    /// Appends whole lines.
    ///
    /// # Errors
    /// What the file system says, exit code 73 or 74.
    pub fn append(&mut self, mut lines: &[u8]) -> Result<(), Failure> {
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

    fn roll(&mut self) -> Result<(), Failure> {
        let path = self.folder.join(part_name(self.full.len() + 1));
        let file = match &mut self.drafts {
            Some(drafts) => {
                let (draft, file) = Draft::create(&path)?;
                drafts.push(draft);
                file
            }
            None => create_empty(&path)?,
        };
        let next = OpenPart::start(path, file, self.header)?;
        let full = std::mem::replace(&mut self.open, next);
        self.full.push(full.entry());
        Ok(())
    }

    /// Makes all that was appended visible under its real names, and says what there is.
    ///
    /// # Errors
    /// What the file system says, exit code 73.
    pub fn publish(&mut self) -> Result<Vec<PartEntry>, Failure> {
        if let Some(drafts) = self.drafts.take() {
            for draft in drafts {
                draft.publish()?;
            }
            let ours: Vec<String> = (0..=self.full.len()).map(part_name).collect();
            remove_from(&self.folder, |name| is_part(name) && !ours.iter().any(|part| part == name))?;
        }
        Ok(self.full.iter().cloned().chain([self.open.entry()]).collect())
    }
}

impl OpenPart {
    fn start(path: PathBuf, file: File, header: &[u8]) -> Result<Self, Failure> {
        let mut part = Self { path, file, bytes: 0, rows: 0, hash: Xxh3::new() };
        part.write(header)?;
        Ok(part)
    }

    fn write(&mut self, text: &[u8]) -> Result<(), Failure> {
        self.file.write_all(text).map_err(|cause| Failure::io(Exit::Io, "write", &self.path, &cause))?;
        self.bytes += text.len() as u64;
        self.hash.update(text);
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
            let mut log = PartedLog::begin(folder.path(), b"h\n", 9).unwrap();
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
        let mut log = PartedLog::begin(folder.path(), b"h\n", 3).unwrap();
        log.append(b"a\nb\n").unwrap();
        drop(log);
        assert_eq!(parts(folder.path()), [""; 0]);
    }
}
