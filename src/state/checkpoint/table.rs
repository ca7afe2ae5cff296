//! Tables: sorted maps from numbers to numbers or bytes, which is all that the state consists of.
//!
//! An entry is the distance of its key to the key before it, then the value or the length of the
//! bytes and the bytes; numbers are LEB128. Tables are written and read as streams, so merging
//! takes no memory to speak of.

use std::io;

use crate::storage::DiskFile;

/// What a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Listeners: number to id.
    Users,
    /// Songs: number to id.
    Songs,
    /// (listener, song) to plays, to be added up.
    Listens,
    /// Song to plays.
    SongPlays,
    /// Song to milliseconds.
    SongMillis,
    /// (week, song) to plays.
    SongWeeks,
    /// Listener to night plays.
    Nights,
    /// Hour of the week to plays.
    Hours,
    /// Input to what was read of it.
    Inputs,
    /// Song to the place of its last block of waiting plays, plus one; 0 if none waits any more.
    WaitingPlaces,
    /// Running number to a song and the metadata that it had at some time.
    Metadata,
    /// Running number to a rejected row of a catalog.
    CatalogRejects,
}

/// What becomes of two values of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// They are added.
    Add,
    /// The later one stands.
    Last,
}

impl Table {
    /// All of them, in the order in which they stand in a part.
    pub const ALL: [Self; 12] = [
        Self::Users,
        Self::Songs,
        Self::Listens,
        Self::SongPlays,
        Self::SongMillis,
        Self::SongWeeks,
        Self::Nights,
        Self::Hours,
        Self::Inputs,
        Self::WaitingPlaces,
        Self::Metadata,
        Self::CatalogRejects,
    ];

    /// Its name in a generation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Songs => "songs",
            Self::Listens => "listens",
            Self::SongPlays => "song_plays",
            Self::SongMillis => "song_millis",
            Self::SongWeeks => "song_weeks",
            Self::Nights => "nights",
            Self::Hours => "hours",
            Self::Inputs => "inputs",
            Self::WaitingPlaces => "waiting_places",
            Self::Metadata => "metadata",
            Self::CatalogRejects => "catalog_rejects",
        }
    }

    /// The table of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// What becomes of two values of one key.
    pub fn merge(self) -> Merge {
        if self == Self::Listens { Merge::Add } else { Merge::Last }
    }

    /// Whether its values are bytes.
    pub fn holds_bytes(self) -> bool {
        matches!(self, Self::Users | Self::Songs | Self::Inputs | Self::Metadata | Self::CatalogRejects)
    }
}

/// Bytes of the longest number.
const LONGEST: usize = 10;

/// Appends a number.
#[inline]
pub fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads the entries of one table in a file, in the order of their keys.
#[derive(Debug)]
pub struct TableReader<'a> {
    file: &'a dyn DiskFile,
    /// Offset of the first byte that is not in `buffer`, and of the end of the table.
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    read: usize,
    left: u64,
    key: u64,
    first: bool,
}

/// Bytes that are read at once.
const BUFFER: usize = 128 << 10;

impl<'a> TableReader<'a> {
    /// A reader of a table that stands in a file from an offset on.
    pub fn new(file: &'a dyn DiskFile, offset: u64, bytes: u64, entries: u64) -> Self {
        let end = offset.saturating_add(bytes);
        Self { file, at: offset, end, buffer: Vec::new(), read: 0, left: entries, key: 0, first: true }
    }

    /// The next entry of a table of numbers.
    ///
    /// # Errors
    /// What the file system says, or `InvalidData` if this is no table.
    pub fn next_number(&mut self) -> io::Result<Option<(u64, u64)>> {
        let Some(key) = self.next_key()? else { return Ok(None) };
        Ok(Some((key, self.number()?)))
    }

    /// The next entry of a table of bytes, which are put into `bytes`.
    ///
    /// # Errors
    /// As [`next_number`](Self::next_number).
    pub fn next_bytes(&mut self, bytes: &mut Vec<u8>) -> io::Result<Option<u64>> {
        let Some(key) = self.next_key()? else { return Ok(None) };
        let len = self.number()?;
        let there = (self.buffer.len() - self.read) as u64 + (self.end - self.at);
        if len > there {
            return Err(damaged("an entry is longer than its table"));
        }
        bytes.clear();
        while (bytes.len() as u64) < len {
            self.fill(1)?;
            let wanted = (len as usize - bytes.len()).min(self.buffer.len() - self.read);
            bytes.extend_from_slice(&self.buffer[self.read..self.read + wanted]);
            self.read += wanted;
        }
        Ok(Some(key))
    }

    fn next_key(&mut self) -> io::Result<Option<u64>> {
        if self.left == 0 {
            if self.read < self.buffer.len() || self.at < self.end {
                return Err(damaged("there are bytes behind the last entry of a table"));
            }
            return Ok(None);
        }
        self.left -= 1;
        let distance = self.number()?;
        if distance == 0 && !self.first {
            return Err(damaged("a key comes twice"));
        }
        self.first = false;
        self.key = self.key.checked_add(distance).ok_or_else(|| damaged("a key is too large"))?;
        Ok(Some(self.key))
    }

    #[inline]
    fn number(&mut self) -> io::Result<u64> {
        if self.buffer.len() - self.read < LONGEST {
            self.fill(LONGEST)?;
        }
        let mut number = 0;
        for (index, &byte) in self.buffer[self.read..].iter().take(LONGEST).enumerate() {
            if index == LONGEST - 1 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.read += index + 1;
                return Ok(number);
            }
        }
        Err(damaged("a number has no end"))
    }

    /// Sees to it that so many bytes are in the buffer, if the table has as many.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.buffer.len() - self.read >= wanted || self.at == self.end {
            return Ok(());
        }
        self.buffer.drain(..self.read);
        self.read = 0;
        let kept = self.buffer.len();
        let more = (BUFFER as u64).min(self.end - self.at) as usize;
        self.buffer.resize(kept + more, 0);
        let got = self.file.read_at(&mut self.buffer[kept..], self.at)?;
        self.buffer.truncate(kept + got);
        self.at += got as u64;
        if got < more { Err(damaged("a table is cut short")) } else { Ok(()) }
    }
}

/// What is wrong with bytes that are no table.
pub fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
