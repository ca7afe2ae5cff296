//! Compares files with the file of a tail.

use std::fs::Metadata;
use std::io;
use std::path::Path;

use crate::ingest::source::compression::Compression;
use crate::ingest::source::fingerprint::{
    FileId, FileStat, Head, has_read_content, hash_prefix, hash_whole, ranges_match,
};
use crate::ingest::source::tail::{State, Tail};
use crate::model::{Position, ReaderState};

/// How a file compares with the file of a tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The same file. It may have grown.
    Same,
    /// A different file that starts with all bytes that were read.
    Copy,
    /// The same file, but shorter than the part that was read.
    Truncated,
    /// The same file, but bytes were overwritten after they had been read.
    Rewritten,
    /// A different file.
    Different,
}

impl Tail {
    /// Compares the file at `path` with the followed file.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn compare_with(&self, path: &Path, metadata: &Metadata) -> io::Result<Comparison> {
        let id = FileId::of(metadata);
        let changed = self.last_stat != Some(FileStat::of(metadata));
        let rejected = self.state == State::Rejected;
        let size = metadata.len();
        if !id.may_be_same(&self.id) {
            let plain = self.compression == Compression::Plain;
            // A rotated log and its successor have the same header. They may differ only in the part
            // that has not been read yet.
            let comparable = match self.state {
                // What was read of a rejected file are its first bytes.
                State::Rejected if plain => self.offset() > 0 && size >= self.offset(),
                State::Rejected => self.whole != 0,
                _ => !plain || self.has_rows() && size >= self.framer.read_offset(),
            };
            // After a project was moved, even a file without rows has its size and its time.
            let moved = self.noted_stat.is_some_and(|noted| FileStat::of(metadata).is_copy_of(&noted));
            let copy = (comparable || moved)
                && self.has_same_content(path, &id)?
                && self.has_same_rest(path, &id)?;
            return Ok(if copy { Comparison::Copy } else { Comparison::Different });
        }
        if !changed {
            return Ok(Comparison::Same);
        }
        if rejected {
            // A log that was rejected because of its header stays rejected while it grows.
            let known = self.compression == Compression::Plain || self.whole != 0;
            let grown = known && self.has_same_content(path, &id)?;
            return Ok(if grown { Comparison::Same } else { Comparison::Different });
        }
        let known_size = match self.compression {
            Compression::Plain => self.framer.read_offset(),
            Compression::Utf16 if self.whole != 0 => self.whole_size,
            _ => 0,
        };
        if size < known_size {
            return Ok(Comparison::Truncated);
        }
        if self.state == State::Conflict || self.has_same_content(path, &id)? {
            return Ok(Comparison::Same);
        }
        if self.compression != Compression::Plain && self.offset() == 0 {
            // The file is still being copied.
            return Ok(Comparison::Same);
        }
        let different = !id.is_same(&self.id) && !self.has_same_head(path, &id)?;
        Ok(if different { Comparison::Different } else { Comparison::Rewritten })
    }

    /// Whether more than a header was read. A header does not identify a file, because a rotated log and
    /// its successor begin with the same header.
    pub(super) fn has_rows(&self) -> bool {
        let Position { lines, state, .. } = self.framer.position();
        match state {
            _ if self.had_rows => true,
            ReaderState::Lines(layout) => lines > u64::from(layout.has_header()),
            ReaderState::AfterEnd(_) => true,
            _ => lines > 1,
        }
    }

    /// Whether a file starts with all bytes that were read.
    pub(super) fn has_same_content(&self, path: &Path, id: &FileId) -> io::Result<bool> {
        if self.compression != Compression::Plain {
            if self.whole == 0 {
                return Ok(true);
            }
            let file = self.folder.open(path, id)?;
            return match self.compression {
                Compression::Utf16 => Ok(hash_prefix(&file, self.whole_size)? == self.whole),
                _ => Ok(hash_whole(&file)? == self.whole),
            };
        }
        let opened;
        let file = match &self.file {
            Some(file) if id.may_be_same(&self.id) => file,
            _ => {
                opened = self.folder.open(path, id)?;
                &opened
            }
        };
        has_read_content(file, self.head, self.offset(), self.hash_before_offset)
    }

    /// Whether a file also contains the unread part of the followed file. If the followed file is not
    /// open, its unread part is unknown, and the result is true.
    pub(super) fn has_same_rest(&self, path: &Path, id: &FileId) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(true) };
        ranges_match([file, &self.folder.open(path, id)?], self.offset(), file.metadata()?.len())
    }

    pub(super) fn has_same_head(&self, path: &Path, id: &FileId) -> io::Result<bool> {
        Ok(Head::read(&self.folder.open(path, id)?, self.head.len)? == self.head)
    }
}
