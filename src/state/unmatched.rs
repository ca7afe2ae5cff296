//! Plays of unknown songs, kept on disk until their song appears.
//!
//! With an empty catalog that is every play, so only the place of each song's last block is in
//! memory. A block holds plays of one song and the place of the song's block before it; plays are
//! gathered in memory and written as blocks, so a song that plays often has large blocks. The file
//! only grows, so a commit is its length and the places that have changed; when nothing waits any
//! more, the next block begins another file.

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

/// Plays in memory before they are written: about two megabytes.
const GATHERED: usize = 1 << 16;
/// Stands for "no block before this one".
const FIRST: u64 = u64::MAX;
/// Bytes of a block before its plays: the place of the block before, the number of plays, and a
/// checksum of all the rest.
const HEAD: usize = 16;
/// Bytes of a play.
const PLAY: usize = 24;

/// The store.
#[derive(Debug)]
pub struct UnmatchedPlays {
    disk: SharedDisk,
    folder: PathBuf,
    /// Where blocks are; nothing as long as there are none.
    file: Option<BlockFile>,
    /// How many files there have been.
    files: u64,
    last_blocks: HashMap<SongId, u64>,
    gathered: HashMap<SongId, Vec<UnmatchedPlay>>,
    gathered_plays: usize,
    /// Songs whose last block has changed since the last commit.
    changed: HashSet<SongId>,
}

#[derive(Debug)]
struct BlockFile {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    len: u64,
    new: bool,
}

/// How much of which file counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmatchedFile {
    /// How many files there have been, this one included; its name follows from that.
    pub number: u64,
    /// Its length; nothing waits on disk if that is 0.
    pub bytes: u64,
}

impl UnmatchedFile {
    /// Its name in the folder of the state.
    pub fn name(&self) -> String {
        format!("waiting-{:06}.bin", self.number)
    }

    /// Checks that all of it is there; blocks are checked when they are taken out.
    ///
    /// # Errors
    /// What the file system says, or `InvalidData` if it is shorter.
    pub fn check(&self, disk: &dyn Disk, folder: &Path) -> io::Result<()> {
        if self.bytes == 0 {
            return Ok(());
        }
        let len = disk.open(&folder.join(self.name()))?.len()?;
        if len < self.bytes {
            let message = format!("has {len} bytes, but {} were committed", self.bytes);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(())
    }
}

/// Whether a name is that of a file of waiting plays.
pub fn is_unmatched_name(name: &str) -> bool {
    name.starts_with("waiting-") && has_end(name, "bin")
}

/// What a commit must remember.
#[derive(Debug, Default)]
pub struct UnmatchedChanges {
    /// The file.
    pub file: UnmatchedFile,
    /// Songs, ascending, with the place of their last block, or nothing if no play waits any more.
    pub places: Vec<(SongId, Option<u64>)>,
}

impl UnmatchedPlays {
    /// What was committed, to be looked through: nothing is changed on the disk.
    ///
    /// # Errors
    /// What the file system says, exit code 65.
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
            files: committed.number,
            last_blocks,
            gathered: HashMap::new(),
            gathered_plays: 0,
            changed: HashSet::new(),
        })
    }

    /// A store in a folder, with what was committed to it.
    ///
    /// # Errors
    /// If the file is shorter than was committed (65), or what the file system says (73, 74).
    pub fn resume(
        disk: &SharedDisk,
        folder: &Path,
        committed: &UnmatchedFile,
        last_blocks: HashMap<SongId, u64>,
    ) -> Result<Self, Error> {
        create_folder(&**disk, folder)?;
        let mut store = Self::open(disk, folder, committed, last_blocks)?;
        let Self { file: Some(BlockFile { path, file, .. }), .. } = &mut store else { return Ok(store) };
        let failed = |cause: io::Error| Error::file(FileRole::Committed, Op::Open, path, cause);
        committed.check(&**disk, folder).map_err(failed)?;
        if file.len().map_err(failed)? > committed.bytes {
            file.truncate(committed.bytes)
                .map_err(|cause| Error::file(FileRole::Open, Op::Truncate, path, cause))?;
            sync_file(&mut **file, path)?;
        }
        Ok(store)
    }

    /// Looks through all blocks, checksums included; says whether they are sound.
    ///
    /// # Errors
    /// The first block that is damaged (65), or what the file system says.
    pub fn check_all(mut self) -> Result<(), Error> {
        self.songs().into_iter().try_for_each(|song| self.take(song, |_| Ok(())))
    }

    /// Keeps a play.
    pub fn add(&mut self, song: SongId, play: UnmatchedPlay) {
        self.gathered.entry(song).or_default().push(play);
        self.gathered_plays += 1;
    }

    /// Writes what was gathered, if it is much.
    ///
    /// # Errors
    /// What the file system says, exit code 73 or 74.
    pub fn spill(&mut self) -> Result<(), Error> {
        if self.gathered_plays >= GATHERED { self.write_gathered() } else { Ok(()) }
    }

    fn write_gathered(&mut self) -> Result<(), Error> {
        if self.gathered_plays == 0 {
            return Ok(());
        }
        if self.file.is_none() {
            self.files += 1;
            let path = self.folder.join(UnmatchedFile { number: self.files, bytes: 0 }.name());
            let file = create_empty(&*self.disk, &path)?;
            self.file = Some(BlockFile { path, file, len: 0, new: true });
        }
        let file = self.file.as_mut().expect("it was made just now");
        let mut blocks = Vec::with_capacity(self.gathered_plays * PLAY + self.gathered.len() * HEAD);
        let mut places = Vec::with_capacity(self.gathered.len());
        for (song, plays) in self.gathered.drain() {
            let start = blocks.len();
            places.push((song, file.len + start as u64));
            let before = self.last_blocks.get(&song).copied().unwrap_or(FIRST);
            blocks.extend_from_slice(&before.to_le_bytes());
            blocks.extend_from_slice(&(plays.len() as u32).to_le_bytes());
            blocks.extend_from_slice(&[0; 4]);
            for play in &plays {
                encode(play, &mut blocks);
            }
            let checksum = checksum(&blocks[start..]);
            blocks[start + 12..start + HEAD].copy_from_slice(&checksum);
        }
        append(&mut *file.file, &file.path, &blocks)?;
        file.len += blocks.len() as u64;
        self.changed.extend(places.iter().map(|&(song, _)| song));
        self.last_blocks.extend(places);
        self.gathered_plays = 0;
        Ok(())
    }

    /// Makes everything durable and says what has changed since the last time.
    ///
    /// # Errors
    /// What the file system says, exit code 73 or 74.
    pub fn commit(&mut self) -> Result<UnmatchedChanges, Error> {
        self.write_gathered()?;
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
        let mut places: Vec<_> = changed.map(|song| (song, self.last_blocks.get(&song).copied())).collect();
        places.sort_unstable_by_key(|&(song, _)| song);
        Ok(UnmatchedChanges { file: UnmatchedFile { number: self.files, bytes }, places })
    }

    /// The songs that plays wait for, in the order of their numbers.
    pub fn songs(&self) -> Vec<SongId> {
        let mut songs: Vec<_> = self.last_blocks.keys().chain(self.gathered.keys()).copied().collect();
        songs.sort_unstable();
        songs.dedup();
        songs
    }

    /// Takes out the plays of a song, in the order in which they came, a block at a time.
    ///
    /// # Errors
    /// If the file is damaged (65), or what the file system or `each` says.
    pub fn take(
        &mut self,
        song: SongId,
        mut each: impl FnMut(&[UnmatchedPlay]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut places = Vec::new();
        let mut place = self.last_blocks.remove(&song).unwrap_or(FIRST);
        if place != FIRST {
            self.changed.insert(song);
        }
        while place != FIRST {
            places.push(place);
            let before = u64::from_le_bytes(self.read(place, HEAD)?[..8].try_into().expect("8 bytes"));
            if before != FIRST && before >= place {
                return Err(self.damaged(place));
            }
            place = before;
        }
        for place in places.into_iter().rev() {
            let head = self.read(place, HEAD)?;
            let plays = u32::from_le_bytes(head[8..12].try_into().expect("4 bytes"));
            let block = self.read(place, HEAD + plays as usize * PLAY)?;
            if checksum(&block) != block[12..HEAD] {
                return Err(self.damaged(place));
            }
            let plays: Vec<UnmatchedPlay> = block[HEAD..].as_chunks::<PLAY>().0.iter().map(decode).collect();
            each(&plays)?;
        }
        if let Some(plays) = self.gathered.remove(&song) {
            self.gathered_plays -= plays.len();
            each(&plays)?;
        }
        if self.last_blocks.is_empty() {
            // What was committed may still be needed, so the file stays as it is.
            self.file = None;
        }
        Ok(())
    }

    fn read(&self, place: u64, len: usize) -> Result<Vec<u8>, Error> {
        let file = self.file.as_ref().filter(|file| place.saturating_add(len as u64) <= file.len);
        let file = file.ok_or_else(|| self.damaged(place))?;
        let mut bytes = vec![0; len];
        let read = file.file.read_at(&mut bytes, place);
        let read = read.map_err(|cause| Error::file(FileRole::Open, Op::Read, &file.path, cause))?;
        if read < len { Err(self.damaged(place)) } else { Ok(bytes) }
    }

    fn damaged(&self, place: u64) -> Error {
        let path = self.folder.join(UnmatchedFile { number: self.files, bytes: 0 }.name());
        let message = format!(
            "{}: the block at byte {place} is damaged; read everything again with `music-insights watch --fresh`",
            path.display()
        );
        Error::Damaged(message)
    }
}

/// Of a block, but for the place of the checksum itself.
fn checksum(block: &[u8]) -> [u8; 4] {
    let hash = xxh3_64(&block[..12]) ^ xxh3_64(&block[HEAD..]).rotate_left(32);
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
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
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
    fn plays_come_back_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::without_fsync();
        let resume = |committed: &UnmatchedFile, places| {
            UnmatchedPlays::resume(&disk, folder.path(), committed, places).unwrap()
        };
        let mut unmatched = resume(&UnmatchedFile::default(), HashMap::new());
        let songs = 7;
        for number in 0..(3 * GATHERED as u32 + 100) {
            unmatched.add(SongId(number % songs), play(number));
            unmatched.spill().unwrap();
        }
        assert!(unmatched.gathered_plays < GATHERED);
        // Gone on from a commit, with bytes behind it that do not count.
        let committed = unmatched.commit().unwrap();
        unmatched.add(SongId(3), play(7));
        unmatched.write_gathered().unwrap();
        let places = committed.places.iter().map(|&(song, place)| (song, place.unwrap())).collect();
        unmatched = resume(&committed.file, places);
        assert_eq!(unmatched.songs(), (0..songs).map(SongId).collect::<Vec<_>>());
        for song in 0..songs {
            let mut plays = Vec::new();
            let keep = |block: &[UnmatchedPlay]| {
                plays.extend_from_slice(block);
                Ok(())
            };
            unmatched.take(SongId(song), keep).unwrap();
            let expected = (song..3 * GATHERED as u32 + 100).step_by(songs as usize).map(play);
            assert!(plays.into_iter().eq(expected));
            unmatched.take(SongId(song), |_| panic!("taken twice")).unwrap();
        }
        let changes = unmatched.commit().unwrap();
        assert_eq!((changes.file.bytes, changes.places.len()), (0, songs as usize));
        assert!(changes.places.iter().all(|(_, place)| place.is_none()));
    }
}
