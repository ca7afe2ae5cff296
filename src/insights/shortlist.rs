//! For each user and each song at the top of a ranking, one bit: whether the user has played the song.
//!
//! All recommendations come from the top of one ranking. Without the bits, every change of the ranking would
//! need a search in the listens of every user. For 200,000 users, this search would take longer than the rest
//! of a flush.

use crate::ledger::listens::ListensReader;
use crate::model::{SongId, UserId};

/// The number of songs on the list, which is the number of bits in a word.
const SONGS: usize = u64::BITS as usize;
/// Number of songs from the top of the ranking that the list must contain to stay valid. A rebuild reads the
/// listens of all users, but most changes of the ranking need no rebuild.
const TOP: usize = 16;

/// The songs on the list, and the bits of each user.
#[derive(Debug, Default)]
pub struct Shortlist {
    /// The bit of each song; 0 if the song is not on the list.
    bits: Vec<u64>,
    /// The bits of the songs that each user has played.
    played: Vec<u64>,
}

impl Shortlist {
    /// Whether the list holds the first songs of a ranking.
    pub fn covers(&self, rank: &[SongId]) -> bool {
        rank.iter().take(TOP).all(|&song| self.bit(song) != 0)
    }

    /// Replaces the list with the top of a ranking. The caller must then call
    /// [`set_played`](Self::set_played) for all users.
    pub fn rebuild(&mut self, rank: &[SongId]) {
        self.bits.clear();
        for (place, song) in rank.iter().take(SONGS).enumerate() {
            if song.index() >= self.bits.len() {
                self.bits.resize(song.index() + 1, 0);
            }
            self.bits[song.index()] = 1 << place;
        }
    }

    /// The bit of a song; 0 if the song is not on the list.
    #[inline]
    pub fn bit(&self, song: SongId) -> u64 {
        self.bits.get(song.index()).copied().unwrap_or_default()
    }

    /// Sets the bits of the songs that a user has played.
    pub fn set_played(&mut self, user: UserId, played: u64) {
        if user.index() >= self.played.len() {
            self.played.resize(user.index() + 1, 0);
        }
        self.played[user.index()] = played;
    }

    /// Whether a user has played a song. Only the listens of songs outside the list are read.
    pub fn has_played(&self, user: UserId, listens: &mut ListensReader<'_>, song: SongId) -> bool {
        match self.bit(song) {
            0 => listens.of(user).contains(song),
            bit => self.played[user.index()] & bit != 0,
        }
    }
}
