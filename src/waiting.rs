//! Plays of unknown songs, kept on disk until their song appears.
//!
//! With an empty catalog that is every play, so only the place of each song's last block is in
//! memory. A block holds plays of one song and the place of the song's block before it; plays are
//! gathered in memory and written as blocks, so a song that plays often has large blocks.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::failure::{Exit, Failure};
use crate::insights::enriched_logs::WaitingPlay;
use crate::model::{Moment, SongId, UserId};
use crate::output::disk::{create_empty, create_folder};

/// Plays in memory before they are written: about two megabytes.
const GATHERED: usize = 1 << 16;
/// Stands for "no block before this one".
const FIRST: u64 = u64::MAX;
/// Bytes of a block before its plays: the place of the block before, and the number of plays.
const HEAD: usize = 12;
/// Bytes of a play.
const PLAY: usize = 24;

/// The store.
#[derive(Debug)]
pub struct WaitingPlays {
    path: PathBuf,
    file: File,
    len: u64,
    last_blocks: HashMap<SongId, u64>,
    gathered: HashMap<SongId, Vec<WaitingPlay>>,
    gathered_plays: usize,
}

impl WaitingPlays {
    /// An empty store in a folder.
    ///
    /// # Errors
    /// What the file system says, exit code 73.
    pub fn create(folder: &Path) -> Result<Self, Failure> {
        create_folder(folder)?;
        let path = folder.join("waiting_plays.bin");
        create_empty(&path)?;
        let opened = File::options().read(true).append(true).open(&path);
        let file = opened.map_err(|cause| Failure::io(Exit::CannotCreate, "open", &path, &cause))?;
        Ok(Self {
            path,
            file,
            len: 0,
            last_blocks: HashMap::new(),
            gathered: HashMap::new(),
            gathered_plays: 0,
        })
    }

    /// Keeps a play.
    pub fn add(&mut self, song: SongId, play: WaitingPlay) {
        self.gathered.entry(song).or_default().push(play);
        self.gathered_plays += 1;
    }

    /// Writes what was gathered, if it is much.
    ///
    /// # Errors
    /// What the file system says, exit code 74.
    pub fn spill(&mut self) -> Result<(), Failure> {
        if self.gathered_plays < GATHERED {
            return Ok(());
        }
        let mut blocks = Vec::with_capacity(self.gathered_plays * PLAY + self.gathered.len() * HEAD);
        let mut places = Vec::with_capacity(self.gathered.len());
        for (song, plays) in self.gathered.drain() {
            places.push((song, self.len + blocks.len() as u64));
            let before = self.last_blocks.get(&song).copied().unwrap_or(FIRST);
            blocks.extend_from_slice(&before.to_le_bytes());
            blocks.extend_from_slice(&(plays.len() as u32).to_le_bytes());
            for play in &plays {
                encode(play, &mut blocks);
            }
        }
        self.file.write_all(&blocks).map_err(|cause| Failure::io(Exit::Io, "write", &self.path, &cause))?;
        self.len += blocks.len() as u64;
        self.last_blocks.extend(places);
        self.gathered_plays = 0;
        Ok(())
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
    /// What the file system or `each` says.
    pub fn take(
        &mut self,
        song: SongId,
        mut each: impl FnMut(&[WaitingPlay]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut places = Vec::new();
        let mut place = self.last_blocks.remove(&song).unwrap_or(FIRST);
        while place != FIRST {
            places.push(place);
            let head = self.read(place, HEAD)?;
            place = u64::from_le_bytes(head[..8].try_into().expect("8 bytes"));
        }
        for place in places.into_iter().rev() {
            let head = self.read(place, HEAD)?;
            let plays = u32::from_le_bytes(head[8..].try_into().expect("4 bytes"));
            let block = self.read(place + HEAD as u64, plays as usize * PLAY)?;
            let plays: Vec<WaitingPlay> = block.as_chunks::<PLAY>().0.iter().map(decode).collect();
            each(&plays)?;
        }
        if let Some(plays) = self.gathered.remove(&song) {
            self.gathered_plays -= plays.len();
            each(&plays)?;
        }
        if self.last_blocks.is_empty() && self.len > 0 {
            self.file.set_len(0).map_err(|cause| Failure::io(Exit::Io, "empty", &self.path, &cause))?;
            self.len = 0;
        }
        Ok(())
    }

    fn read(&self, place: u64, len: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = vec![0; len];
        let read = self.file.read_exact_at(&mut bytes, place);
        read.map_err(|cause| Failure::io(Exit::Io, "read", &self.path, &cause))?;
        Ok(bytes)
    }
}

fn encode(play: &WaitingPlay, out: &mut Vec<u8>) {
    let WaitingPlay { user, moment: Moment { local, offset, nanos }, millis } = play;
    out.extend_from_slice(&local.to_le_bytes());
    out.extend_from_slice(&user.0.to_le_bytes());
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&nanos.to_le_bytes());
    out.extend_from_slice(&millis.to_le_bytes());
}

fn decode(bytes: &[u8; PLAY]) -> WaitingPlay {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
    let local = i64::from_le_bytes(bytes[..8].try_into().expect("8 bytes"));
    let moment = Moment { local, offset: word(12) as i32, nanos: word(16) };
    WaitingPlay { user: UserId(word(8)), moment, millis: word(20) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(number: u32) -> WaitingPlay {
        let moment = Moment { local: -i64::from(number), offset: -3600, nanos: number };
        WaitingPlay { user: UserId(number), moment, millis: number * 2 }
    }

    #[test]
    fn plays_come_back_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut waiting = WaitingPlays::create(folder.path()).unwrap();
        let songs = 7;
        for number in 0..(3 * GATHERED as u32 + 100) {
            waiting.add(SongId(number % songs), play(number));
            waiting.spill().unwrap();
        }
        assert!(waiting.len > 0 && waiting.gathered_plays < GATHERED);
        assert_eq!(waiting.songs(), (0..songs).map(SongId).collect::<Vec<_>>());
        for song in 0..songs {
            let mut plays = Vec::new();
            let keep = |block: &[WaitingPlay]| {
                plays.extend_from_slice(block);
                Ok(())
            };
            waiting.take(SongId(song), keep).unwrap();
            let expected = (song..3 * GATHERED as u32 + 100).step_by(songs as usize).map(play);
            assert!(plays.into_iter().eq(expected));
            waiting.take(SongId(song), |_| panic!("taken twice")).unwrap();
        }
        assert_eq!((waiting.len, waiting.gathered_plays), (0, 0));
    }
}
