//! Keys: plays that are not sorted yet, one number per play.

use crate::ledger::compact::CompactPlay;
use crate::ledger::radix;
use crate::ledger::run::Run;
use crate::model::memory::with_huge_pages;
use crate::model::{SongId, UserId};

/// Number of plays in a full buffer. The keys of a full buffer take 16 MiB, and sorting takes another 16
/// MiB of scratch space.
pub const BUFFER: usize = 2 << 20;

/// The keys of plays: one number `user << song_bits | song` per play. Shorter keys need fewer sorting passes.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    keys: Vec<u64>,
    song_bits: u32,
}

impl Keys {
    /// Appends one play per row.
    pub fn extend(&mut self, users: &[UserId], songs: &[SongId]) {
        if self.keys.capacity() == 0 {
            // Memory is taken only for the keys that are written. The last batch makes the buffer a little more
            // than full.
            self.keys = with_huge_pages(BUFFER + BUFFER / 8);
        }
        let all_bits = songs.iter().fold(0, |bits, song| bits | song.0);
        self.widen(u32::BITS - all_bits.leading_zeros());
        let song_bits = self.song_bits;
        self.keys.extend(
            users.iter().zip(songs).map(|(user, song)| u64::from(user.0) << song_bits | u64::from(song.0)),
        );
    }

    /// Appends plays of a period.
    pub(super) fn extend_compact(&mut self, plays: &[CompactPlay]) {
        if self.keys.capacity() == 0 {
            self.keys = with_huge_pages(plays.len());
        }
        let all_bits = plays.iter().fold(0, |bits, play| bits | play.song.0);
        self.widen(u32::BITS - all_bits.leading_zeros());
        let song_bits = self.song_bits;
        let key = |play: &CompactPlay| u64::from(play.user.0) << song_bits | u64::from(play.song.0);
        self.keys.extend(plays.iter().map(key));
    }

    /// Changes the keys if songs need more bits than before.
    fn widen(&mut self, song_bits: u32) {
        if song_bits > self.song_bits {
            let before = self.song_bits;
            for key in &mut self.keys {
                *key = (*key >> before) << song_bits | *key & ((1 << before) - 1);
            }
            self.song_bits = song_bits;
        }
    }

    /// Number of plays.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are no plays.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Moves all plays into a run. `scratch` is working space that the caller can reuse.
    pub fn take_run(&mut self, scratch: &mut Vec<u64>) -> Run {
        let mut run = Run::with_capacity(self.keys.len());
        radix::sort(&mut self.keys, scratch, |keys| run.append_sorted(keys, self.song_bits));
        run.shrink();
        self.keys.clear();
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_run_has_the_plays_of_all_batches(
            batches in proptest::collection::vec(
                (0_u32..3, proptest::collection::vec((0_u32..50, 0_u32..9), 0..900)),
                0..6,
            ),
        ) {
            let mut keys = Keys::default();
            let mut expected = BTreeMap::new();
            for (width, rows) in batches {
                // Later batches may have songs that need more bits.
                let songs: Vec<SongId> = rows.iter().map(|row| SongId(row.1 << (15 * width))).collect();
                let users: Vec<UserId> = rows.iter().map(|row| UserId(row.0 << 20 | row.0)).collect();
                for (user, song) in users.iter().zip(&songs) {
                    *expected.entry((*user, *song)).or_insert(0) += 1;
                }
                keys.extend(&users, &songs);
            }
            let run = keys.take_run(&mut Vec::new());
            prop_assert!(keys.is_empty());
            let pairs = run.entries().map(|(key, plays)| {
                ((UserId((key >> 32) as u32), SongId(key as u32)), plays)
            });
            prop_assert_eq!(pairs.collect::<BTreeMap<_, _>>(), expected);
        }
    }
}
