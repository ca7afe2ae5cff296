//! Tables: sorted maps. The keys are numbers, the values are numbers or bytes. A segment consists of tables.
//!
//! An entry begins with the difference between its key and the previous key. The value follows. If the value
//! is bytes, its length comes before it. All numbers are LEB128. Tables are written and read as streams, so
//! merging needs almost no memory.

use std::io;

use crate::storage::DiskFile;

/// The tables of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Number of a listener -> `user_id`.
    Users,
    /// Number of a song -> `song_id`.
    Songs,
    /// (listener, song) -> plays since the previous commit.
    Listens,
    /// Song -> plays.
    SongPlays,
    /// Song -> milliseconds.
    SongMillis,
    /// (week, song) -> plays.
    SongWeeks,
    /// Listener -> night plays.
    Nights,
    /// Hour of the week -> plays.
    Hours,
    /// Input -> its [record](crate::state::input_record::InputRecord) as JSON.
    Inputs,
    /// Song -> offset of the last block of its unmatched plays, plus one; 0 without unmatched plays.
    UnmatchedPositions,
    /// Running number -> a song, and metadata that the song has or had.
    Metadata,
    /// Running number -> a rejected row of a catalog.
    CatalogRejects,
    /// Period -> the [places](crate::state::checkpoint::periods::PeriodTables) of its tables in the segment.
    Periods,
}

/// The rule that merges the values of one key from different segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// The values are added.
    Add,
    /// The later value replaces the earlier one.
    Last,
}

impl Table {
    /// All tables, in their order in a merged segment.
    pub const ALL: [Self; 13] = [
        Self::Users,
        Self::Songs,
        Self::Listens,
        Self::SongPlays,
        Self::SongMillis,
        Self::SongWeeks,
        Self::Nights,
        Self::Hours,
        Self::Inputs,
        Self::UnmatchedPositions,
        Self::Metadata,
        Self::CatalogRejects,
        Self::Periods,
    ];

    /// The tables of a period. They have the plays of the period since the previous commit.
    pub const OF_PERIOD: [Self; 5] =
        [Self::Listens, Self::SongPlays, Self::SongMillis, Self::Nights, Self::Hours];

    /// The name of the table in a generation.
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
            Self::UnmatchedPositions => "unmatched_positions",
            Self::Metadata => "metadata",
            Self::CatalogRejects => "catalog_rejects",
            Self::Periods => "periods",
        }
    }

    /// The table with the given name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// The rule that merges the values of one key.
    pub fn merge(self) -> Merge {
        if self == Self::Listens { Merge::Add } else { Merge::Last }
    }

    /// Whether the values are bytes, not numbers.
    pub fn holds_bytes(self) -> bool {
        matches!(
            self,
            Self::Users | Self::Songs | Self::Inputs | Self::Metadata | Self::CatalogRejects | Self::Periods
        )
    }
}

/// Maximum length of a LEB128 number in bytes.
const LONGEST: usize = 10;

/// Appends a number as LEB128.
#[inline]
pub fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a LEB128 number from the start of `bytes`.
///
/// # Errors
/// `InvalidData` if there is no such number.
pub fn next_of(bytes: &mut &[u8]) -> io::Result<u64> {
    let (number, len) = parse_number(bytes)?;
    *bytes = &bytes[len..];
    Ok(number)
}

/// The LEB128 number at the start of `bytes`, and its length.
#[inline]
fn parse_number(bytes: &[u8]) -> io::Result<(u64, usize)> {
    let mut number = 0;
    for (index, &byte) in bytes.iter().take(LONGEST).enumerate() {
        if index == LONGEST - 1 && byte > 1 {
            break;
        }
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Ok((number, index + 1));
        }
    }
    Err(damaged("a number is truncated or longer than 64 bits"))
}

/// Reads the entries of one table from a file, in ascending order of keys.
#[derive(Debug)]
pub struct TableReader<'a> {
    file: &'a dyn DiskFile,
    /// File offset of the first byte after the buffer.
    offset: u64,
    /// File offset of the end of the table.
    end: u64,
    buffer: Vec<u8>,
    /// Number of bytes in the buffer that are already used.
    read: usize,
    /// Number of entries that are not read yet.
    left: u64,
    key: u64,
    first: bool,
}

/// Number of bytes per read.
const BUFFER: usize = 128 << 10;

impl<'a> TableReader<'a> {
    /// Reads the table at `offset`. The table has `bytes` bytes and `entries` entries.
    pub fn new(file: &'a dyn DiskFile, offset: u64, bytes: u64, entries: u64) -> Self {
        let end = offset.saturating_add(bytes);
        Self { file, offset, end, buffer: Vec::new(), read: 0, left: entries, key: 0, first: true }
    }

    /// The next entry of a table of numbers; `None` at the end.
    ///
    /// # Errors
    /// A file system error, or `InvalidData` if the table is damaged.
    pub fn next_number(&mut self) -> io::Result<Option<(u64, u64)>> {
        let Some(key) = self.next_key()? else { return Ok(None) };
        Ok(Some((key, self.number()?)))
    }

    /// The key of the next entry of a table of bytes; `None` at the end. The value of the entry replaces the
    /// content of `bytes`.
    ///
    /// # Errors
    /// Same as [`next_number`](Self::next_number).
    pub fn next_bytes(&mut self, bytes: &mut Vec<u8>) -> io::Result<Option<u64>> {
        let Some(key) = self.next_key()? else { return Ok(None) };
        let len = self.number()?;
        let available = (self.buffer.len() - self.read) as u64 + (self.end - self.offset);
        if len > available {
            return Err(damaged("an entry extends beyond the end of its table"));
        }
        bytes.clear();
        while (bytes.len() as u64) < len {
            self.fill(1)?;
            let taken = (len as usize - bytes.len()).min(self.buffer.len() - self.read);
            bytes.extend_from_slice(&self.buffer[self.read..self.read + taken]);
            self.read += taken;
        }
        Ok(Some(key))
    }

    fn next_key(&mut self) -> io::Result<Option<u64>> {
        if self.left == 0 {
            if self.read < self.buffer.len() || self.offset < self.end {
                return Err(damaged("a table has bytes after its last entry"));
            }
            return Ok(None);
        }
        self.left -= 1;
        let difference = self.number()?;
        if difference == 0 && !self.first {
            return Err(damaged("a key occurs twice"));
        }
        self.first = false;
        self.key = self.key.checked_add(difference).ok_or_else(|| damaged("a key is too large"))?;
        Ok(Some(self.key))
    }

    #[inline]
    fn number(&mut self) -> io::Result<u64> {
        if self.buffer.len() - self.read < LONGEST {
            self.fill(LONGEST)?;
        }
        let (number, len) = parse_number(&self.buffer[self.read..])?;
        self.read += len;
        Ok(number)
    }

    /// Reads until the buffer has at least `needed` unread bytes, or until the end of the table.
    fn fill(&mut self, needed: usize) -> io::Result<()> {
        if self.buffer.len() - self.read >= needed || self.offset == self.end {
            return Ok(());
        }
        self.buffer.drain(..self.read);
        self.read = 0;
        let kept = self.buffer.len();
        let more = (BUFFER as u64).min(self.end - self.offset) as usize;
        self.buffer.resize(kept + more, 0);
        let got = self.file.read_at(&mut self.buffer[kept..], self.offset)?;
        self.buffer.truncate(kept + got);
        self.offset += got as u64;
        if got < more { Err(damaged("a table is truncated")) } else { Ok(()) }
    }
}

/// The error for damaged bytes.
pub fn damaged(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
