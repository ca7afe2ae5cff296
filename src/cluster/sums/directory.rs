//! The directory of a file of sums.

use std::io;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use crate::cluster::sums::{damaged, take_text};
use crate::state::checkpoint::table::{next_of, push_number};
use crate::time::civil::Week;

/// The last bytes of a file.
const MAGIC: &[u8; 8] = b"MI-SUMS1";
/// The length of the trailer: the offset, the length and the hash of the directory, and the magic bytes.
pub const TRAILER: u64 = 32;

/// The place of a section in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Section {
    offset: u64,
    len: u64,
    hash: u64,
}

/// A block of listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) section: Section,
    pub(super) first: Vec<u8>,
}

/// The sections of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    pub(super) blocks: Vec<Block>,
    /// The songs.
    pub songs: Section,
    pub(super) weeks: Vec<(Week, Section)>,
}

impl Section {
    /// The section with this content at an offset of the file.
    pub(super) fn of(offset: u64, bytes: &[u8]) -> Self {
        Self { offset, len: bytes.len() as u64, hash: xxh3_64(bytes) }
    }

    /// The bytes of the file that the section covers.
    pub fn range(self) -> Range<u64> {
        self.offset..self.offset + self.len
    }

    /// Checks the bytes of the section.
    ///
    /// # Errors
    /// `InvalidData` if the bytes differ from those that were written.
    pub fn check(self, bytes: &[u8]) -> io::Result<&[u8]> {
        if xxh3_64(bytes) == self.hash { Ok(bytes) } else { Err(damaged()) }
    }

    fn push(self, out: &mut Vec<u8>) {
        for number in [self.offset, self.len, self.hash] {
            push_number(out, number);
        }
    }

    fn take(bytes: &mut &[u8]) -> io::Result<Self> {
        Ok(Self { offset: next_of(bytes)?, len: next_of(bytes)?, hash: next_of(bytes)? })
    }
}

impl Directory {
    /// The section of a week; `None` if the file has no plays in the week.
    pub fn week(&self, week: Week) -> Option<Section> {
        self.weeks.iter().find(|(other, _)| *other == week).map(|(_, section)| *section)
    }

    /// All weeks with plays, ascending.
    pub fn weeks(&self) -> impl Iterator<Item = Week> {
        self.weeks.iter().map(|(week, _)| *week)
    }

    /// The blocks that may have listeners from `from` on and before `to`.
    pub fn blocks(&self, from: &[u8], to: Option<&[u8]>) -> Vec<Section> {
        let end = to
            .map_or(self.blocks.len(), |to| self.blocks.partition_point(|block| block.first.as_slice() < to));
        // The block before the first one that begins at `from` or later may reach beyond `from`.
        let begin = self.blocks.partition_point(|block| block.first.as_slice() <= from).saturating_sub(1);
        self.blocks[begin.min(end)..end].iter().map(|block| block.section).collect()
    }

    /// Appends the directory and the trailer to a file.
    pub(super) fn push(&self, file: &mut Vec<u8>) {
        let offset = file.len() as u64;
        push_number(file, self.blocks.len() as u64);
        for block in &self.blocks {
            block.section.push(file);
            push_number(file, block.first.len() as u64);
            file.extend_from_slice(&block.first);
        }
        self.songs.push(file);
        push_number(file, self.weeks.len() as u64);
        for (week, section) in &self.weeks {
            push_number(file, week.0 as u64);
            section.push(file);
        }
        let Section { offset, len, hash } = Section::of(offset, &file[offset as usize..]);
        for number in [offset, len, hash] {
            file.extend_from_slice(&number.to_le_bytes());
        }
        file.extend_from_slice(MAGIC);
    }

    /// The place of the directory, from the last [`TRAILER`] bytes of a file.
    ///
    /// # Errors
    /// `InvalidData` if these are not the last bytes of a file of sums.
    pub fn place(trailer: &[u8]) -> io::Result<Section> {
        let numbers = trailer.strip_suffix(MAGIC).ok_or_else(damaged)?;
        let mut numbers = numbers.chunks_exact(8).map(|bytes| {
            let bytes = bytes.try_into().expect("eight bytes");
            u64::from_le_bytes(bytes)
        });
        let mut next = || numbers.next().ok_or_else(damaged);
        Ok(Section { offset: next()?, len: next()?, hash: next()? })
    }

    /// Parses the bytes of a directory.
    ///
    /// # Errors
    /// `InvalidData` if the bytes are not a directory.
    pub fn parse(mut bytes: &[u8]) -> io::Result<Self> {
        let bytes = &mut bytes;
        let mut directory = Self::default();
        for _ in 0..next_of(bytes)? {
            let section = Section::take(bytes)?;
            directory.blocks.push(Block { section, first: take_text(bytes)?.to_vec() });
        }
        directory.songs = Section::take(bytes)?;
        for _ in 0..next_of(bytes)? {
            let week = Week(next_of(bytes)? as i64);
            directory.weeks.push((week, Section::take(bytes)?));
        }
        Ok(directory)
    }
}
