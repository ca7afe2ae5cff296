//! Which of a few songs each user has played, as bits.
//!
//! Everybody is recommended songs from the same head of a ranking. Whether a user has played one of
//! them is a search in that user's listens; for 200,000 users, after every change of the ranking,
//! those searches would take longer than all other work of a flush together.

use crate::ledger::listens::UserListens;
use crate::model::{SongId, UserId};

/// Songs on the list: the bits of a word.
const SONGS: usize = u64::BITS as usize;
/// As long as so many songs from the top of the ranking are on the list, it stays: songs may change
/// places for a long time before everybody's listens have to be looked through again.
const TOP: usize = 16;

/// The list.
#[derive(Debug, Default)]
pub struct Shortlist {
    /// By song: its bit, or nothing.
    bits: Vec<u64>,
    /// By user: the bits of the songs that were played.
    played: Vec<u64>,
}

impl Shortlist {
    /// Whether the list has the songs at the top of a ranking.
    pub fn serves(&self, rank: &[SongId]) -> bool {
        rank.iter().take(TOP).all(|&song| self.bit(song) != 0)
    }

    /// Makes a new list from the top of a ranking; what users have played must be noted again.
    pub fn draw_up(&mut self, rank: &[SongId]) {
        self.bits.clear();
        for (place, song) in rank.iter().take(SONGS).enumerate() {
            if song.index() >= self.bits.len() {
                self.bits.resize(song.index() + 1, 0);
            }
            self.bits[song.index()] = 1 << place;
        }
    }

    /// The bit of a song; none if it is not on the list.
    #[inline]
    pub fn bit(&self, song: SongId) -> u64 {
        self.bits.get(song.index()).copied().unwrap_or_default()
    }

    /// Notes the songs that a user has played.
    pub fn note(&mut self, user: UserId, played: u64) {
        if user.index() >= self.played.len() {
            self.played.resize(user.index() + 1, 0);
        }
        self.played[user.index()] = played;
    }

    /// Whether a user, whose listens are these, has played a song.
    pub fn has_played(&self, user: UserId, listens: UserListens<'_>, song: SongId) -> bool {
        match self.bit(song) {
            0 => listens.contains(song),
            bit => self.played[user.index()] & bit != 0,
        }
    }
}
