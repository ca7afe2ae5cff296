//! A run: an immutable, sorted piece of the listens table. It takes five bytes per pair.

use std::ops::Range;

use crate::model::{SongId, UserId};

/// Pairs of user and song, with their plays. The pairs are sorted, and each pair occurs once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// (user, index after the last pair of this user), ascending.
    users: Vec<(u32, u32)>,
    songs: Vec<u32>,
    /// The plays of each pair, or [`MANY`].
    plays: Vec<u8>,
    /// Pairs with [`MANY`] or more plays: (index of the pair, plays), ascending.
    many: Vec<(u32, u64)>,
}

/// Stands in `plays` for a number of plays that does not fit into a byte. `many` has the number itself.
/// Nearly all pairs have few plays, so one byte per pair is usually enough, instead of four or eight.
const MANY: u8 = u8::MAX;

/// The songs of one user in one run.
#[derive(Clone, Copy, Debug)]
pub struct Songs<'a> {
    run: &'a Run,
    from: usize,
    to: usize,
}

impl Songs<'_> {
    /// Passes each song with its plays to `each`, in ascending order.
    #[inline]
    pub fn for_each(self, mut each: impl FnMut(SongId, u64)) {
        let pairs = self.from..self.to;
        let plays = &self.run.plays[pairs.clone()];
        for ((pair, &song), &plays) in pairs.clone().zip(&self.run.songs[pairs]).zip(plays) {
            let plays = if plays == MANY { self.run.plays_of(pair) } else { u64::from(plays) };
            each(SongId(song), plays);
        }
    }

    /// Whether the run contains the song for this user.
    pub fn contains(self, song: SongId) -> bool {
        self.run.songs[self.from..self.to].binary_search(&song.0).is_ok()
    }
}

impl Run {
    /// Builds a run from the sorted keys `user << 32 | song`, one per play.
    pub fn from_sorted(keys: &[u64]) -> Self {
        let mut run = Self::default();
        run.songs.reserve_exact(keys.len());
        run.plays.reserve_exact(keys.len());
        for same in keys.chunk_by(|a, b| a == b) {
            run.push((same[0] >> 32) as u32, same[0] as u32, same.len() as u64);
        }
        run
    }

    /// Appends a pair. Its key must be larger than the keys of all pairs in the run.
    ///
    /// # Panics
    /// If the run already has 2^32 - 1 pairs.
    #[inline]
    pub fn append(&mut self, key: u64, plays: u64) {
        self.push((key >> 32) as u32, key as u32, plays);
    }

    /// All pairs as keys `user << 32 | song` with their plays, ascending.
    pub fn entries(&self) -> impl Iterator<Item = (u64, u64)> {
        self.users.iter().enumerate().flat_map(move |(index, &(user, _))| {
            let (from, to) = self.pairs_of(index);
            let key = move |pair: usize| u64::from(user) << 32 | u64::from(self.songs[pair]);
            (from..to).map(move |pair| (key(pair), self.plays_of(pair)))
        })
    }

    /// Number of pairs.
    pub fn pairs(&self) -> usize {
        self.songs.len()
    }

    /// The users of the run, ascending.
    pub fn users(&self) -> impl Iterator<Item = UserId> {
        self.users.iter().map(|&(user, _)| UserId(user))
    }

    /// The songs of a user. Empty if the user is not in the run.
    pub fn songs_of(&self, user: UserId) -> Songs<'_> {
        let (from, to) = self.place_of(user.0).map_or((0, 0), |index| self.pairs_of(index));
        Songs { run: self, from, to }
    }

    /// The index of a user in `users`. `None` if the user is not in the run.
    ///
    /// Users are numbered in the order of their first play, so the numbers of the users in a run are
    /// spread evenly. The search starts at the expected index and doubles its step each time.
    fn place_of(&self, user: u32) -> Option<usize> {
        let (last, _) = *self.users.last()?;
        if user > last {
            return None;
        }
        let at = |index: usize| self.users[index].0;
        let guess = (u64::from(user) * self.users.len() as u64 / (u64::from(last) + 1)) as usize;
        let mut step = 1;
        let near = if at(guess) < user {
            while guess + step < self.users.len() && at(guess + step) < user {
                step *= 2;
            }
            guess + step / 2..self.users.len().min(guess + step + 1)
        } else {
            while step <= guess && at(guess - step) > user {
                step *= 2;
            }
            guess.saturating_sub(step)..guess - step / 2 + 1
        };
        let found = self.users[near.clone()].binary_search_by_key(&user, |&(user, _)| user);
        found.ok().map(|index| near.start + index)
    }

    /// The sum of two runs.
    pub fn merge(left: &Self, right: &Self) -> Self {
        let mut sum = Self::default();
        sum.songs.reserve_exact(left.pairs() + right.pairs());
        sum.plays.reserve_exact(left.pairs() + right.pairs());
        let (mut l, mut r) = (0, 0);
        while l < left.users.len() || r < right.users.len() {
            let left_user = left.users.get(l).map_or(u64::MAX, |&(user, _)| u64::from(user));
            let right_user = right.users.get(r).map_or(u64::MAX, |&(user, _)| u64::from(user));
            let user = left_user.min(right_user);
            let take = |run: &Self, index: &mut usize, present: bool| {
                if !present {
                    return (0, 0);
                }
                *index += 1;
                run.pairs_of(*index - 1)
            };
            let left_pairs = take(left, &mut l, left_user == user);
            let right_pairs = take(right, &mut r, right_user == user);
            sum.push_merged(user as u32, (left, left_pairs), (right, right_pairs));
        }
        sum.songs.shrink_to_fit();
        sum.plays.shrink_to_fit();
        sum
    }

    /// Appends the sum of the pairs of one user in two runs.
    fn push_merged(&mut self, user: u32, left: (&Self, (usize, usize)), right: (&Self, (usize, usize))) {
        let (left, (mut l, left_end)) = left;
        let (right, (mut r, right_end)) = right;
        while l < left_end && r < right_end {
            // The processor cannot predict which of two songs is smaller, so the code does not branch on
            // it.
            let (left_song, right_song) = (left.songs[l], right.songs[r]);
            let (from_left, from_right) = (left_song <= right_song, right_song <= left_song);
            let few = |plays: u8, taken: bool| u32::from(plays) * u32::from(taken);
            let plays = few(left.plays[l], from_left) + few(right.plays[r], from_right);
            self.songs.push(left_song.min(right_song));
            self.plays.push(plays.min(MANY.into()) as u8);
            if plays >= MANY.into() {
                let of = |run: &Self, pair, taken: bool| if taken { run.plays_of(pair) } else { 0 };
                self.many.push((self.last_pair(), of(left, l, from_left) + of(right, r, from_right)));
            }
            l += usize::from(from_left);
            r += usize::from(from_right);
        }
        self.extend(left, l..left_end);
        self.extend(right, r..right_end);
        self.users.push((user, self.last_pair() + 1));
    }

    /// Appends pairs from a different run.
    fn extend(&mut self, run: &Self, pairs: Range<usize>) {
        self.songs.extend_from_slice(&run.songs[pairs.clone()]);
        for pair in pairs {
            self.plays.push(run.plays[pair]);
            if run.plays[pair] == MANY {
                let index = self.plays.len() as u32 - 1;
                self.many.push((index, run.plays_of(pair)));
            }
        }
    }

    /// The index of the last pair.
    ///
    /// # Panics
    /// If the run has 2^32 pairs or more.
    fn last_pair(&self) -> u32 {
        u32::try_from(self.songs.len()).expect("fewer than 2^32 pairs in a run") - 1
    }

    fn push(&mut self, user: u32, song: u32, plays: u64) {
        self.songs.push(song);
        let pair = self.last_pair();
        if plays < u64::from(MANY) {
            self.plays.push(plays as u8);
        } else {
            self.plays.push(MANY);
            self.many.push((pair, plays));
        }
        match self.users.last_mut() {
            Some((last, end)) if *last == user => *end = pair + 1,
            _ => self.users.push((user, pair + 1)),
        }
    }

    /// The range of the pairs that belong to the user at `index`.
    fn pairs_of(&self, index: usize) -> (usize, usize) {
        let from = if index == 0 { 0 } else { self.users[index - 1].1 };
        (from as usize, self.users[index].1 as usize)
    }

    fn plays_of(&self, pair: usize) -> u64 {
        match self.plays[pair] {
            MANY => {
                let index = self.many.binary_search_by_key(&(pair as u32), |&(pair, _)| pair);
                self.many[index.expect("a pair with many plays")].1
            }
            few => u64::from(few),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn keys() -> impl Strategy<Value = Vec<u64>> {
        let pair = (0_u64..6, 0_u64..6, prop_oneof![4 => Just(1_usize), 1 => 250_usize..260]);
        proptest::collection::vec(pair, 0..20).prop_map(|pairs| {
            let mut keys: Vec<u64> = pairs
                .into_iter()
                .flat_map(|(user, song, plays)| std::iter::repeat_n(user << 32 | song, plays))
                .collect();
            keys.sort_unstable();
            keys
        })
    }

    fn table(run: &Run) -> BTreeMap<u64, u64> {
        let mut table = BTreeMap::new();
        for user in run.users() {
            run.songs_of(user).for_each(|song, plays| {
                table.insert(u64::from(user.0) << 32 | u64::from(song.0), plays);
            });
        }
        table
    }

    fn count(keys: &[u64]) -> BTreeMap<u64, u64> {
        let mut counts = BTreeMap::new();
        for &key in keys {
            *counts.entry(key).or_default() += 1;
        }
        counts
    }

    proptest! {
        #[test]
        fn whoever_is_in_a_run_is_found_and_nobody_else(
            users in proptest::collection::btree_set(prop_oneof![0_u32..60, 0_u32..5000, any::<u32>()], 0..80),
            others in proptest::collection::vec(prop_oneof![0_u32..60, 0_u32..5000, any::<u32>()], 0..80),
        ) {
            let keys: Vec<u64> = users.iter().map(|&user| u64::from(user) << 32 | 7).collect();
            let run = Run::from_sorted(&keys);
            for user in users.iter().copied().chain(others) {
                prop_assert_eq!(run.songs_of(UserId(user)).contains(SongId(7)), users.contains(&user));
            }
        }

        #[test]
        fn a_run_counts_plays_and_merging_adds(a in keys(), b in keys()) {
            let (left, right) = (Run::from_sorted(&a), Run::from_sorted(&b));
            prop_assert_eq!(table(&left), count(&a));
            let both: Vec<u64> = a.into_iter().chain(b).collect();
            prop_assert_eq!(table(&Run::merge(&left, &right)), count(&both));
            prop_assert_eq!(Run::merge(&left, &right), Run::merge(&right, &left));
            prop_assert_eq!(Run::merge(&left, &Run::default()), left);
        }
    }
}
