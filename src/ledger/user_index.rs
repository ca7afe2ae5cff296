//! Finds the songs of users in any order. A search in each run would take longer than reading the songs.

use std::ops::Range;
use std::sync::Arc;

use crate::ledger::listens::{Listens, UserListens};
use crate::ledger::run::Run;
use crate::model::UserId;
use crate::model::bit_set::BitSet;
use crate::model::memory::prefetch;

/// For each run, the places of all users. Plays in the buffer are not included.
#[derive(Debug)]
pub struct UserIndex<'a> {
    runs: Vec<(&'a Run, Vec<u32>)>,
}

impl<'a> UserIndex<'a> {
    /// The places in all runs.
    pub fn new(listens: &'a Listens) -> Self {
        Self { runs: listens.runs().iter().map(|run: &Arc<Run>| (&**run, run.starts())).collect() }
    }

    /// The users with plays.
    pub fn users(&self) -> BitSet {
        let mut users = BitSet::default();
        for user in self.runs.iter().flat_map(|(run, _)| run.users()) {
            users.insert(user.index());
        }
        users
    }

    /// Starts to load the songs of some users into the cache.
    pub fn prefetch(&self, users: &[UserId]) {
        for (run, starts) in &self.runs {
            for user in users {
                prefetch(starts, user.index());
            }
            for &user in users {
                run.prefetch(pairs_of(starts, user).start);
            }
        }
    }

    /// Replaces `found` with the songs of a user.
    #[inline]
    pub fn read(&self, user: UserId, found: &mut UserListens<'a>) {
        found.0.clear();
        for (run, starts) in &self.runs {
            let pairs = pairs_of(starts, user);
            if !pairs.is_empty() {
                found.0.push(run.songs_between(pairs));
            }
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
    use crate::model::SongId;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn users_have_the_same_songs_in_any_order(
            runs in proptest::collection::vec(proptest::collection::vec((0_u32..40, 0_u32..9), 1..40), 0..4),
            users in proptest::collection::vec(0_u32..45, 0..60),
        ) {
            let mut listens = Listens::default();
            for rows in &runs {
                let users: Vec<UserId> = rows.iter().map(|row| UserId(row.0)).collect();
                let songs: Vec<SongId> = rows.iter().map(|row| SongId(row.1)).collect();
                listens.add(&users, &songs);
                listens.seal();
            }
            let index = UserIndex::new(&listens);
            let mut found = UserListens::default();
            let pairs = |listens: &UserListens<'_>| {
                let mut pairs = Vec::new();
                listens.for_each(|song, plays| pairs.push((song, plays)));
                pairs
            };
            for user in users.into_iter().map(UserId) {
                index.read(user, &mut found);
                prop_assert_eq!(pairs(&found), pairs(&listens.of(user)));
                prop_assert_eq!(index.users().contains(user.index()), !pairs(&found).is_empty());
            }
        }
    }
}
