//! Finds the songs of users in any order. A search in each run would take longer than reading the songs.

use std::ops::Range;

use crate::ledger::grouped::GroupedPlays;
use crate::ledger::listens::Listens;
use crate::ledger::run::Run;
use crate::model::bit_set::BitSet;
use crate::model::memory::prefetch;
use crate::model::{SongId, UserId};

/// The places of the songs of all users.
#[derive(Debug)]
pub enum UserIndex<'a> {
    /// In runs, each with the starts of its users.
    Runs(Vec<(&'a Run, Vec<u32>)>),
    /// In grouped plays.
    Grouped(&'a GroupedPlays),
}

impl<'a> UserIndex<'a> {
    /// The places in all runs. Plays in the buffer are not included.
    pub fn of_listens(listens: &'a Listens) -> Self {
        Self::Runs(listens.runs().iter().map(|run| (&**run, run.starts())).collect())
    }

    /// The users with plays.
    pub fn users(&self) -> BitSet {
        let mut users = BitSet::default();
        let mut insert = |user: UserId| _ = users.insert(user.index());
        match self {
            Self::Runs(runs) => runs.iter().for_each(|(run, _)| run.users().for_each(&mut insert)),
            Self::Grouped(plays) => plays.users().for_each(&mut insert),
        }
        users
    }

    /// Starts to load the songs of some users into the cache.
    pub fn prefetch(&self, users: &[UserId]) {
        match self {
            Self::Runs(runs) => {
                for (run, starts) in runs {
                    for user in users {
                        prefetch(starts, user.index());
                    }
                    for &user in users {
                        run.prefetch(pairs_of(starts, user).start);
                    }
                }
            }
            Self::Grouped(plays) => plays.prefetch(users),
        }
    }

    /// Replaces `found` with the songs of a user, each with a number of plays. A song can occur several times.
    #[inline]
    pub fn read(&self, user: UserId, found: &mut Vec<(SongId, u64)>) {
        found.clear();
        match self {
            Self::Runs(runs) => {
                for (run, starts) in runs {
                    run.songs_between(pairs_of(starts, user))
                        .for_each(|song, plays| found.push((song, plays)));
                }
            }
            Self::Grouped(plays) => found.extend(plays.songs_of(user).iter().map(|&song| (song, 1))),
        }
    }
}

/// The pairs of a user.
#[inline]
fn pairs_of(starts: &[u32], user: UserId) -> Range<u32> {
    starts.get(user.index()..user.index() + 2).map_or(0..0, |ends| ends[0]..ends[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::compact::{CompactPlay, plays_of};
    use crate::ledger::grouped::UserCounts;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn users_have_the_same_songs_in_any_order(
            batches in proptest::collection::vec(proptest::collection::vec((0_u32..40, 0_u32..9), 1..40), 0..4),
            users in proptest::collection::vec(0_u32..40, 0..60),
        ) {
            let (mut listens, mut counts) = (Listens::default(), UserCounts::default());
            let batches: Vec<Vec<CompactPlay>> = batches.iter().map(|rows| plays_of(rows)).collect();
            for plays in &batches {
                listens.add_compact(plays);
                listens.seal();
                counts.add(plays);
            }
            let mut grouped = counts.room();
            for plays in &batches {
                grouped.add(plays);
            }
            let mut found = Vec::new();
            for index in [UserIndex::of_listens(&listens), UserIndex::Grouped(&grouped)] {
                for user in users.iter().copied().map(UserId) {
                    let mut expected: BTreeMap<SongId, u64> = BTreeMap::new();
                    listens.of(user).for_each(|song, plays| *expected.entry(song).or_default() += plays);
                    prop_assert_eq!(index.users().contains(user.index()), !expected.is_empty());
                    if !expected.is_empty() {
                        index.read(user, &mut found);
                        let mut songs: BTreeMap<SongId, u64> = BTreeMap::new();
                        for &(song, plays) in &found {
                            *songs.entry(song).or_default() += plays;
                        }
                        prop_assert_eq!(songs, expected);
                    }
                }
            }
        }
    }
}
