//! Unmatched plays: plays of songs that are not in the catalog. Such plays stay on disk until the catalog
//! contains their song.
//!
//! With an empty catalog, every play is unmatched. Memory therefore holds only the offset of the last
//! block of each song. A block contains plays of one song and the offset of the previous block of that
//! song. Plays are buffered and written as blocks, so a song with many plays has large blocks. The file
//! only grows, so a commit needs only the length of the file and the changed offsets. Once no play is
//! unmatched any more, the next block begins a new file.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::insights::enriched_logs::UnmatchedPlay;
use crate::model::error::{Error, FileRole, Op};
use crate::model::{PlayTime, SongId, UserId};
use crate::storage::failpoint::{Bug, planted};
use crate::storage::{
    Disk, DiskFile, SharedDisk, append, create_empty, create_folder, has_end, sync_file, sync_folder,
};
use crate::text::shown;

/// Number of plays to buffer before a write. The buffer takes about two megabytes.
const BUFFERED: usize = 1 << 16;
/// The value in the first block of a song, in place of the offset of a previous block.
const NO_PREVIOUS: u64 = u64::MAX;
/// Number of bytes before the plays of a block: the offset of the previous block (8), the number of plays
/// (4), and a checksum of all other bytes of the block (4).
const HEADER: usize = 16;
/// Number of bytes per play.
const PLAY: usize = 24;

/// The unmatched plays, in memory and on disk.
#[derive(Debug)]
pub struct UnmatchedPlays {
    disk: SharedDisk,
    folder: PathBuf,
    /// The current file of blocks; `None` before the first block.
    file: Option<BlockFile>,
    /// The number of the current or last file.
    file_number: u64,
    /// The offset of the last block of each song.
    last_blocks: HashMap<SongId, u64>,
    buffered: HashMap<SongId, Vec<UnmatchedPlay>>,
    buffered_plays: usize,
    /// Songs whose last block has changed since the last commit.
    changed: HashSet<SongId>,
}

#[derive(Debug)]
struct BlockFile {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    len: u64,
    /// Whether the folder must still be synced to make the name of the file durable.
    new: bool,
}

/// The committed part of a file with unmatched plays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmatchedFile {
    /// The number in the name of the file. The first file has number 1.
    pub number: u64,
    /// The committed length in bytes; 0 if there are no unmatched plays and therefore no file.
    pub bytes: u64,
}

impl UnmatchedFile {
    /// The file name in the folder of the state.
    pub fn name(&self) -> String {
        format!("unmatched-{:06}.bin", self.number)
    }

    /// Checks that the file has its committed length. Blocks are checked when they are read.
    ///
    /// # Errors
    /// A file system error, or `InvalidData` if the file is shorter.
    pub fn check(&self, disk: &dyn Disk, folder: &Path) -> io::Result<()> {
        if self.bytes == 0 {
            return Ok(());
        }
        let len = disk.open(&folder.join(self.name()))?.len()?;
        if len < self.bytes {
            let message = format!("the file has {len} bytes, but {} were committed", self.bytes);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(())
    }
}

/// Whether `name` is the name of a file with unmatched plays.
pub fn is_unmatched_name(name: &str) -> bool {
    name.starts_with("unmatched-") && has_end(name, "bin")
}

/// The changes to the unmatched plays since the previous commit.
#[derive(Debug, Default)]
pub struct UnmatchedChanges {
    /// The file and its length.
    pub file: UnmatchedFile,
    /// Songs in ascending order, each with the offset of its last block; `None` for a song without unmatched
    /// plays.
    pub last_blocks: Vec<(SongId, Option<u64>)>,
}

impl UnmatchedPlays {
    /// Opens the committed plays for reading. Does not change the disk.
    ///
    /// # Errors
    /// A file system error, exit code 65.
    pub fn open(
        disk: &SharedDisk,
        folder: &Path,
        committed: &UnmatchedFile,
        last_blocks: HashMap<SongId, u64>,
    ) -> Result<Self, Error> {
        let mut file = None;
        if committed.bytes > 0 {
            let path = folder.join(committed.name());
            let opened =
                disk.open(&path).map_err(|cause| Error::file(FileRole::Committed, Op::Open, &path, cause))?;
            file = Some(BlockFile { path, file: opened, len: committed.bytes, new: false });
        }
        Ok(Self {
            disk: disk.clone(),
            folder: folder.to_owned(),
            file,
            file_number: committed.number,
            last_blocks,
            buffered: HashMap::new(),
            buffered_plays: 0,
            changed: HashSet::new(),
        })
    }

    /// Opens the committed plays for reading and writing. Truncates the file to its committed length.
    ///
    /// # Errors
    /// If the file is shorter than its committed length (65), or if a file system operation fails (73, 74).
    pub fn resume(
        disk: &SharedDisk,
        folder: &Path,
        committed: &UnmatchedFile,
        last_blocks: HashMap<SongId, u64>,
    ) -> Result<Self, Error> {
        create_folder(&**disk, folder)?;
        let mut plays = Self::open(disk, folder, committed, last_blocks)?;
        let Self { file: Some(BlockFile { path, file, .. }), .. } = &mut plays else { return Ok(plays) };
        let failed = |cause: io::Error| Error::file(FileRole::Committed, Op::Open, path, cause);
        committed.check(&**disk, folder).map_err(failed)?;
        if file.len().map_err(failed)? > committed.bytes {
            file.truncate(committed.bytes)
                .map_err(|cause| Error::file(FileRole::Open, Op::Truncate, path, cause))?;
            sync_file(&mut **file, path)?;
        }
        Ok(plays)
    }

    /// Reads all blocks and checks them.
    ///
    /// # Errors
    /// The first damaged block (65), or a file system error.
    pub fn check_all(mut self) -> Result<(), Error> {
        self.songs().into_iter().try_for_each(|song| self.take(song, |_| Ok(())))
    }

    /// Adds a play of a song.
    pub fn add(&mut self, song: SongId, play: UnmatchedPlay) {
        self.buffered.entry(song).or_default().push(play);
        self.buffered_plays += 1;
    }

    /// Writes the buffer if it is full.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn spill(&mut self) -> Result<(), Error> {
        if self.buffered_plays >= BUFFERED { self.write_buffered() } else { Ok(()) }
    }

    fn write_buffered(&mut self) -> Result<(), Error> {
        if self.buffered_plays == 0 {
            return Ok(());
        }
        if self.file.is_none() {
            self.file_number += 1;
            let path = self.current_path();
            let file = create_empty(&*self.disk, &path)?;
            self.file = Some(BlockFile { path, file, len: 0, new: true });
        }
        let file = self.file.as_mut().expect("the file was created above");
        let mut blocks = Vec::with_capacity(self.buffered_plays * PLAY + self.buffered.len() * HEADER);
        let mut last_blocks = Vec::with_capacity(self.buffered.len());
        for (song, plays) in self.buffered.drain() {
            let start = blocks.len();
            last_blocks.push((song, file.len + start as u64));
            let previous = self.last_blocks.get(&song).copied().unwrap_or(NO_PREVIOUS);
            blocks.extend_from_slice(&previous.to_le_bytes());
            blocks.extend_from_slice(&(plays.len() as u32).to_le_bytes());
            blocks.extend_from_slice(&[0; 4]);
            for play in &plays {
                encode(play, &mut blocks);
            }
            let checksum = checksum(&blocks[start..]);
            blocks[start + 12..start + HEADER].copy_from_slice(&checksum);
        }
        append(&mut *file.file, &file.path, &blocks)?;
        file.len += blocks.len() as u64;
        self.changed.extend(last_blocks.iter().map(|&(song, _)| song));
        self.last_blocks.extend(last_blocks);
        self.buffered_plays = 0;
        Ok(())
    }

    /// Writes and syncs all plays, and returns the changes since the last call.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn commit(&mut self) -> Result<UnmatchedChanges, Error> {
        self.write_buffered()?;
        let mut bytes = 0;
        if let Some(file) = &mut self.file {
            bytes = file.len;
            if !planted(Bug::NoWaitingSync) {
                sync_file(&mut *file.file, &file.path)?;
            }
            if std::mem::take(&mut file.new) {
                sync_folder(&*self.disk, &self.folder)?;
            }
        }
        let changed = self.changed.drain();
        let mut last_blocks: Vec<_> =
            changed.map(|song| (song, self.last_blocks.get(&song).copied())).collect();
        last_blocks.sort_unstable_by_key(|&(song, _)| song);
        let file = UnmatchedFile { number: self.file_number, bytes };
        Ok(UnmatchedChanges { file, last_blocks })
    }

    /// The songs with unmatched plays, in ascending order.
    pub fn songs(&self) -> Vec<SongId> {
        let mut songs: Vec<_> = self.last_blocks.keys().chain(self.buffered.keys()).copied().collect();
        songs.sort_unstable();
        songs.dedup();
        songs
    }

    /// Removes the plays of a song. Passes the plays to `each` one block at a time, in the order of the calls
    /// of [`add`](Self::add).
    ///
    /// # Errors
    /// A damaged block (65), a file system error, or an error that `each` returns.
    pub fn take(
        &mut self,
        song: SongId,
        mut each: impl FnMut(&[UnmatchedPlay]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // Each block links to the previous block, but the oldest plays must come first. So the first pass
        // reads only the headers and collects the offsets. The second pass reads the blocks in reverse order.
        // Only one block is in memory at a time.
        let mut offsets = Vec::new();
        let mut offset = self.last_blocks.remove(&song).unwrap_or(NO_PREVIOUS);
        if offset != NO_PREVIOUS {
            self.changed.insert(song);
        }
        while offset != NO_PREVIOUS {
            offsets.push(offset);
            let header = self.read(offset, HEADER)?;
            let previous = u64::from_le_bytes(header[..8].try_into().expect("8 bytes"));
            // A damaged link must not lead to an endless loop.
            if previous != NO_PREVIOUS && previous >= offset {
                return Err(self.damaged(offset));
            }
            offset = previous;
        }
        for offset in offsets.into_iter().rev() {
            let header = self.read(offset, HEADER)?;
            let plays = u32::from_le_bytes(header[8..12].try_into().expect("4 bytes"));
            let block = self.read(offset, HEADER + plays as usize * PLAY)?;
            if checksum(&block) != block[12..HEADER] {
                return Err(self.damaged(offset));
            }
            let plays: Vec<UnmatchedPlay> =
                block[HEADER..].as_chunks::<PLAY>().0.iter().map(decode).collect();
            each(&plays)?;
        }
        if let Some(plays) = self.buffered.remove(&song) {
            self.buffered_plays -= plays.len();
            each(&plays)?;
        }
        if self.last_blocks.is_empty() {
            // A rollback may still need the file, so new blocks go to a new file.
            self.file = None;
        }
        Ok(())
    }

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
        let file = self.file.as_ref().filter(|file| offset.saturating_add(len as u64) <= file.len);
        let file = file.ok_or_else(|| self.damaged(offset))?;
        let mut bytes = vec![0; len];
        let read = file.file.read_at(&mut bytes, offset);
        let read = read.map_err(|cause| Error::file(FileRole::Open, Op::Read, &file.path, cause))?;
        if read < len { Err(self.damaged(offset)) } else { Ok(bytes) }
    }

    fn current_path(&self) -> PathBuf {
        self.folder.join(UnmatchedFile { number: self.file_number, bytes: 0 }.name())
    }

    fn damaged(&self, offset: u64) -> Error {
        Error::Damaged(format!(
            "{}: the block at byte {offset} is damaged; read everything again with `music-insights watch --fresh`",
            shown(&self.current_path())
        ))
    }
}

/// The checksum of all bytes of a block except the checksum itself.
fn checksum(block: &[u8]) -> [u8; 4] {
    let hash = xxh3_64(&block[..12]) ^ xxh3_64(&block[HEADER..]).rotate_left(32);
    ((hash ^ hash >> 32) as u32).to_le_bytes()
}

fn encode(play: &UnmatchedPlay, out: &mut Vec<u8>) {
    let UnmatchedPlay { user, play_time: PlayTime { local, offset, nanos }, millis } = play;
    out.extend_from_slice(&local.to_le_bytes());
    out.extend_from_slice(&user.0.to_le_bytes());
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&nanos.to_le_bytes());
    out.extend_from_slice(&millis.to_le_bytes());
}

fn decode(bytes: &[u8; PLAY]) -> UnmatchedPlay {
    let word = |start: usize| u32::from_le_bytes(bytes[start..start + 4].try_into().expect("4 bytes"));
    let local = i64::from_le_bytes(bytes[..8].try_into().expect("8 bytes"));
    let play_time = PlayTime { local, offset: word(12) as i32, nanos: word(16) };
    UnmatchedPlay { user: UserId(word(8)), play_time, millis: word(20) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::real::RealDisk;

    fn play(number: u32) -> UnmatchedPlay {
        let play_time = PlayTime { local: -i64::from(number), offset: -3600, nanos: number };
        UnmatchedPlay { user: UserId(number), play_time, millis: number * 2 }
    }

    #[test]
    fn each_play_is_taken_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::without_fsync();
        let resume = |committed: &UnmatchedFile, last_blocks| {
            UnmatchedPlays::resume(&disk, folder.path(), committed, last_blocks).unwrap()
        };
        let mut unmatched = resume(&UnmatchedFile::default(), HashMap::new());
        let songs = 7;
        for number in 0..(3 * BUFFERED as u32 + 100) {
            unmatched.add(SongId(number % songs), play(number));
            unmatched.spill().unwrap();
        }
        assert!(unmatched.buffered_plays < BUFFERED);
        // Resume from a commit. The file has uncommitted bytes after the committed ones.
        let committed = unmatched.commit().unwrap();
        unmatched.add(SongId(3), play(7));
        unmatched.write_buffered().unwrap();
        let last_blocks = committed.last_blocks.iter().map(|&(song, offset)| (song, offset.unwrap()));
        unmatched = resume(&committed.file, last_blocks.collect());
        assert_eq!(unmatched.songs(), (0..songs).map(SongId).collect::<Vec<_>>());
        for song in 0..songs {
            let mut plays = Vec::new();
            let keep = |block: &[UnmatchedPlay]| {
                plays.extend_from_slice(block);
                Ok(())
            };
            unmatched.take(SongId(song), keep).unwrap();
            let expected = (song..3 * BUFFERED as u32 + 100).step_by(songs as usize).map(play);
            assert!(plays.into_iter().eq(expected));
            unmatched.take(SongId(song), |_| panic!("taken twice")).unwrap();
        }
        let changes = unmatched.commit().unwrap();
        assert_eq!((changes.file.bytes, changes.last_blocks.len()), (0, songs as usize));
        assert!(changes.last_blocks.iter().all(|(_, offset)| offset.is_none()));
    }
}
