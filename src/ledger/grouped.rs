//! The plays of a period, grouped by user, for tables that are rendered only once.
//!
//! A [`Run`](crate::ledger::run::Run) is sorted by user and song, and counts the plays of each pair. Most tables need
//! only the plays of one user after the other. Grouping takes a third of the time of sorting.

use std::ops::Range;

use crate::ledger::compact::CompactPlay;
use crate::model::memory::{in_huge_pages, prefetch};
use crate::model::{SongId, UserId};

/// The songs of each user. A song occurs once for each play.
#[derive(Debug, Default)]
pub struct GroupedPlays {
    /// The end of the songs of each user, by the number of the user. They begin at the end of the previous user.
    ends: Vec<u32>,
    songs: Vec<SongId>,
}

/// Counts the plays of each user, before the plays are grouped.
#[derive(Debug, Default)]
pub struct UserCounts(Vec<u32>);

impl UserCounts {
    /// Counts plays.
    ///
    /// # Panics
    /// If there are 2^32 plays or more.
    pub fn add(&mut self, plays: &[CompactPlay]) {
        let last = plays.iter().map(|play| play.user.index()).max();
        if let Some(last) = last.filter(|last| *last >= self.0.len()) {
            self.0.resize(last + 1, 0);
        }
        for play in plays {
            self.0[play.user.index()] += 1;
        }
    }

    /// Makes room for the counted plays, which must be [added](GroupedPlays::add) next.
    ///
    /// # Panics
    /// If there are 2^32 plays or more.
    pub fn room(self) -> GroupedPlays {
        let mut ends = self.0;
        let mut start = 0_u32;
        for count in &mut ends {
            let next = start.checked_add(*count).expect("fewer than 2^32 plays");
            *count = start;
            start = next;
        }
        GroupedPlays { ends, songs: in_huge_pages(SongId(0), start as usize) }
    }
}

impl GroupedPlays {
    /// Adds plays that were counted.
    pub fn add(&mut self, plays: &[CompactPlay]) {
        let Self { ends, songs } = self;
        for play in plays {
            let end = &mut ends[play.user.index()];
            songs[*end as usize] = play.song;
            *end += 1;
        }
    }

    /// The users with plays, ascending.
    pub fn users(&self) -> impl Iterator<Item = UserId> {
        let users = (0..self.ends.len() as u32).map(UserId);
        users.filter(|user| !self.places_of(*user).is_empty())
    }

    /// Starts to load the songs of some users into the cache.
    pub(super) fn prefetch(&self, users: &[UserId]) {
        for user in users {
            prefetch(&self.ends, user.index());
        }
        for &user in users {
            prefetch(&self.songs, self.places_of(user).start);
        }
    }

    /// The songs of a user.
    #[inline]
    pub(super) fn songs_of(&self, user: UserId) -> &[SongId] {
        &self.songs[self.places_of(user)]
    }

    #[inline]
    fn places_of(&self, user: UserId) -> Range<usize> {
        let start = user.index().checked_sub(1).map_or(0, |before| self.ends[before]);
        start as usize..self.ends[user.index()] as usize
    }
}
