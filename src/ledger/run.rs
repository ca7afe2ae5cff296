//! A run: an immutable, sorted piece of the listens table. It takes five bytes per pair.

use std::ops::Range;

use crate::model::memory::{prefetch, with_huge_pages};
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
#[derive(Clone, Debug)]
pub struct Songs<'a> {
    run: &'a Run,
    pairs: Range<usize>,
}

impl Songs<'_> {
    /// Passes each song with its plays to `each`, in ascending order.
    #[inline]
    pub fn for_each(&self, mut each: impl FnMut(SongId, u64)) {
        let plays = &self.run.plays[self.pairs.clone()];
        for ((pair, &song), &plays) in self.pairs.clone().zip(&self.run.songs[self.pairs.clone()]).zip(plays)
        {
            let plays = if plays == MANY { self.run.plays_of(pair) } else { u64::from(plays) };
            each(SongId(song), plays);
        }
    }

    /// The number of songs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether the run contains no song of this user.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Whether the run contains the song for this user.
    pub fn contains(&self, song: SongId) -> bool {
        self.run.songs[self.pairs.clone()].binary_search(&song.0).is_ok()
    }
}

impl Run {
    /// An empty run with room for `pairs` pairs.
    pub fn with_capacity(pairs: usize) -> Self {
        Self { songs: with_huge_pages(pairs), plays: with_huge_pages(pairs), ..Self::default() }
    }

    /// Frees the room that no pair uses.
    pub fn shrink(&mut self) {
        self.songs.shrink_to_fit();
        self.plays.shrink_to_fit();
    }

    /// Appends sorted keys `user << song_bits | song`, one per play. The first key must be larger than the
    /// keys of all pairs in the run.
    ///
    /// # Panics
    /// If the run gets 2^32 pairs or more.
    pub fn append_sorted(&mut self, keys: &[u64], song_bits: u32) {
        let Some(&first) = keys.first() else { return };
        // A user whose pairs continue gets a new end.
        self.users.pop_if(|(user, _)| *user == (first >> song_bits) as u32);
        let start = self.grow(keys.len());
        let (songs, plays) = (&mut self.songs[start..], &mut self.plays[start..]);
        let song_mask = (1 << song_bits) - 1;
        let (mut last, mut pair, mut plays_of_pair) = (first, 0, 0);
        for &key in keys {
            // The processor cannot predict which plays repeat a pair, so the code does not branch on it.
            let is_new = key != last;
            pair += usize::from(is_new);
            plays_of_pair = if is_new { 1 } else { plays_of_pair + 1 };
            songs[pair] = (key & song_mask) as u32;
            plays[pair] = plays_of_pair as u8;
            if plays_of_pair >= u64::from(MANY) {
                plays[pair] = MANY;
                self.many.pop_if(|(many, _)| *many == (start + pair) as u32);
                self.many.push(((start + pair) as u32, plays_of_pair));
            }
            if (key ^ last) >> song_bits != 0 {
                self.users.push(((last >> song_bits) as u32, (start + pair) as u32));
            }
            last = key;
        }
        self.truncate(start + pair + 1);
        self.users.push(((last >> song_bits) as u32, (start + pair + 1) as u32));
    }

    /// Appends pairs of one user: sorted numbers `song << 32 | plays`. The plays of equal songs are summed.
    pub(super) fn append_summed(&mut self, user: u32, entries: &[u64]) {
        let Some(&first) = entries.first() else { return };
        let start = self.grow(entries.len());
        let (songs, plays) = (&mut self.songs[start..], &mut self.plays[start..]);
        let (mut last, mut pair, mut plays_of_pair) = (first >> 32, 0, 0);
        for &entry in entries {
            let song = entry >> 32;
            let is_new = song != last;
            pair += usize::from(is_new);
            plays_of_pair = if is_new { 0 } else { plays_of_pair } + u64::from(entry as u32);
            songs[pair] = song as u32;
            plays[pair] = plays_of_pair as u8;
            if plays_of_pair >= u64::from(MANY) {
                plays[pair] = MANY;
                self.many.pop_if(|(many, _)| *many == (start + pair) as u32);
                self.many.push(((start + pair) as u32, plays_of_pair));
            }
            last = song;
        }
        self.truncate(start + pair + 1);
        self.users.push((user, (start + pair + 1) as u32));
    }

    /// Appends the pairs of the user at `index` in another run.
    pub(super) fn append_user(&mut self, run: &Self, index: usize) {
        let pairs = run.pairs_of(index);
        let start = self.songs.len() as u32;
        self.songs.extend_from_slice(&run.songs[pairs.clone()]);
        self.plays.extend_from_slice(&run.plays[pairs.clone()]);
        let many = run.many_of(&pairs).iter();
        self.many.extend(many.map(|&(pair, plays)| (start + pair - pairs.start as u32, plays)));
        self.users.push((run.users[index].0, self.last_pair() + 1));
    }

    /// Appends unused pairs, and returns the index of the first one.
    fn grow(&mut self, pairs: usize) -> usize {
        let start = self.songs.len();
        self.songs.resize(start + pairs, 0);
        self.plays.resize(start + pairs, 0);
        self.last_pair();
        start
    }

    fn truncate(&mut self, pairs: usize) {
        self.songs.truncate(pairs);
        self.plays.truncate(pairs);
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
            let key = move |pair: usize| u64::from(user) << 32 | u64::from(self.songs[pair]);
            self.pairs_of(index).map(move |pair| (key(pair), self.plays_of(pair)))
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

    /// The number of the user at `index`. `None` beyond the last user.
    #[inline]
    pub(super) fn user_at(&self, index: usize) -> Option<u32> {
        self.users.get(index).map(|&(user, _)| user)
    }

    /// The songs of the user at `index`.
    #[inline]
    pub(super) fn songs_at(&self, index: usize) -> Songs<'_> {
        Songs { run: self, pairs: self.pairs_of(index) }
    }

    /// The indices of the first pairs of all users up to the last one, by the number of the user. The pairs of a user
    /// end where those of the next number begin.
    pub(super) fn starts(&self) -> Vec<u32> {
        let Some(&(last, pairs)) = self.users.last() else { return Vec::new() };
        let mut starts = Vec::with_capacity(last as usize + 2);
        let mut end = 0;
        for &(user, next) in &self.users {
            starts.resize(user as usize + 1, end);
            end = next;
        }
        starts.push(pairs);
        starts
    }

    /// The songs of the pairs of one user.
    #[inline]
    pub(super) fn songs_between(&self, pairs: Range<u32>) -> Songs<'_> {
        Songs { run: self, pairs: pairs.start as usize..pairs.end as usize }
    }

    /// Starts to load the songs of some pairs into the cache.
    #[inline]
    pub(super) fn prefetch(&self, pair: u32) {
        prefetch(&self.songs, pair as usize);
        prefetch(&self.plays, pair as usize);
    }

    /// The songs of a user. Empty if the user is not in the run.
    pub fn songs_of(&self, user: UserId) -> Songs<'_> {
        let place = self.place_of(user);
        if self.user_at(place) == Some(user.0) {
            self.songs_at(place)
        } else {
            Songs { run: self, pairs: 0..0 }
        }
    }

    /// Same as [`place_of`](Self::place_of). It is faster if the user is at `place` or at the next index.
    #[inline]
    pub(super) fn place_near(&self, user: UserId, place: usize) -> usize {
        let is_before = |index: usize| self.users.get(index).is_some_and(|&(other, _)| other < user.0);
        if is_before(place) {
            return if is_before(place + 1) { self.place_of(user) } else { place + 1 };
        }
        if place == 0 || is_before(place - 1) { place } else { self.place_of(user) }
    }

    /// The index of the first user that is not smaller than `user`.
    ///
    /// Users are numbered in the order of their first play, so the numbers of the users in a run are
    /// spread evenly. The search starts at the expected index and doubles its step each time.
    pub(super) fn place_of(&self, user: UserId) -> usize {
        let Some(&(last, _)) = self.users.last() else { return 0 };
        if user.0 > last {
            return self.users.len();
        }
        let at = |index: usize| self.users[index].0;
        let guess = (u64::from(user.0) * self.users.len() as u64 / (u64::from(last) + 1)) as usize;
        let mut step = 1;
        let near = if at(guess) < user.0 {
            while guess + step < self.users.len() && at(guess + step) < user.0 {
                step *= 2;
            }
            guess + step / 2..self.users.len().min(guess + step + 1)
        } else {
            while step <= guess && at(guess - step) >= user.0 {
                step *= 2;
            }
            guess.saturating_sub(step)..guess - step / 2 + 1
        };
        near.start + self.users[near].partition_point(|&(other, _)| other < user.0)
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

    /// The pairs that belong to the user at `index`.
    fn pairs_of(&self, index: usize) -> Range<usize> {
        let from = if index == 0 { 0 } else { self.users[index - 1].1 };
        from as usize..self.users[index].1 as usize
    }

    /// The entries of `many` for some pairs.
    fn many_of(&self, pairs: &Range<usize>) -> &[(u32, u64)] {
        let place = |pair: usize| self.many.partition_point(|&(other, _)| (other as usize) < pair);
        if self.many.is_empty() { &[] } else { &self.many[place(pairs.start)..place(pairs.end)] }
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

    proptest! {
        #[test]
        fn whoever_is_in_a_run_is_found_and_nobody_else(
            users in proptest::collection::btree_set(prop_oneof![0_u32..60, 0_u32..5000, any::<u32>()], 0..80),
            others in proptest::collection::vec(prop_oneof![0_u32..60, 0_u32..5000, any::<u32>()], 0..80),
            places in proptest::collection::vec(0_usize..90, 160),
        ) {
            let keys: Vec<u64> = users.iter().map(|&user| u64::from(user) << 32 | 7).collect();
            let mut run = Run::default();
            run.append_sorted(&keys, 32);
            for (user, place) in users.iter().copied().chain(others).zip(places) {
                let found = run.songs_of(UserId(user));
                prop_assert_eq!((found.len(), found.contains(SongId(7))), {
                    let is_user = users.contains(&user);
                    (usize::from(is_user), is_user)
                });
                prop_assert_eq!(run.place_of(UserId(user)), users.range(..user).count());
                prop_assert_eq!(run.place_near(UserId(user), place), run.place_of(UserId(user)));
            }
        }
    }
}
