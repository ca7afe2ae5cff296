//! Listens: the number of plays of each pair of user and song.
//!
//! The table is log-structured. New plays are appended to a buffer. When the buffer is full, and at
//! every cut, the buffer is sorted and sealed into an immutable [`Run`]. Appending and sorting access
//! memory in order. A hash table of pairs would instead miss the cache once per play.
//!
//! If there are too many runs, each older run that is at most twice as large as all newer runs together is
//! merged with them. Therefore there are few runs, and each pair is merged only a logarithmic number of times.

use std::sync::Arc;

use crate::ledger::compact::CompactPlay;
use crate::ledger::keys::{BUFFER, Keys};
use crate::ledger::merge::merge;
use crate::ledger::run::{Run, Songs};
use crate::model::bit_set::BitSet;
use crate::model::{SongId, UserId};

/// Number of runs that are not merged if the table is never saved. Such a table is read only once, at the end,
/// and a table of 20 million plays then needs no merging.
const UNMERGED: usize = 16;

/// Plays by user and song.
#[derive(Clone, Debug, Default)]
pub struct Listens {
    buffer: Keys,
    /// An empty buffer. It receives new plays while the other buffer is being sealed.
    spare: Keys,
    scratch: Vec<u64>,
    is_out: bool,
    /// The runs, oldest and largest first.
    runs: Vec<Arc<Run>>,
    /// The users of the runs that were sealed since the last cut.
    changed: BitSet,
    /// The runs sealed since the last save. `None` if the table is never saved.
    unsaved: Option<Vec<Arc<Run>>>,
}

impl Listens {
    /// Counts one play per row.
    pub fn add(&mut self, users: &[UserId], songs: &[SongId]) {
        self.buffer.extend(users, songs);
    }

    /// Counts plays of a period.
    pub(super) fn add_compact(&mut self, plays: &[CompactPlay]) {
        self.buffer.extend_compact(plays);
    }

    /// Number of plays in the buffer.
    pub fn unsealed(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the buffer is full.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= BUFFER
    }

    /// Sorts the buffer into a run. Then the plays of the buffer can be read.
    pub fn seal(&mut self) {
        let sealed = self.take_unsealed().seal();
        self.put_back(sealed);
    }

    /// Takes the buffer, so that another thread can seal it. New plays go to the spare buffer. The
    /// caller must [put back](Self::put_back) the result before it takes the next buffer.
    ///
    /// # Panics
    /// If the last buffer was not put back.
    pub fn take_unsealed(&mut self) -> Unsealed {
        assert!(!std::mem::replace(&mut self.is_out, true), "one buffer is sealed at a time");
        let keys = std::mem::replace(&mut self.buffer, std::mem::take(&mut self.spare));
        let unmerged = if self.unsaved.is_some() { 1 } else { UNMERGED };
        Unsealed { keys, scratch: std::mem::take(&mut self.scratch), runs: self.runs.clone(), unmerged }
    }

    /// Puts back a sealed buffer with its runs.
    pub fn put_back(&mut self, sealed: Sealed) {
        self.is_out = false;
        (self.runs, self.spare, self.scratch) = (sealed.runs, sealed.keys, sealed.scratch);
        let Some(newest) = sealed.newest else { return };
        for user in newest.users() {
            self.changed.insert(user.index());
        }
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.push(newest);
        }
    }

    /// Adds the pairs of a run. They can be read at once, and do not count as changed or unsaved.
    pub fn absorb(&mut self, run: Arc<Run>) {
        if run.pairs() > 0 {
            self.runs.push(run);
            merge_similar(&mut self.runs, 1);
        }
    }

    /// The users of the runs that were sealed since the last call, ascending.
    pub fn take_changed(&mut self) -> Vec<UserId> {
        std::mem::take(&mut self.changed).iter().map(|user| UserId(user as u32)).collect()
    }

    /// From now on, keeps each sealed run until [`take_unsaved`](Self::take_unsaved) takes it.
    pub fn keep_unsaved(&mut self) {
        self.unsaved.get_or_insert_default();
    }

    /// Takes the runs sealed since the last call. Their sum is the change of the table since that call.
    pub fn take_unsaved(&mut self) -> Vec<Arc<Run>> {
        self.unsaved.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Adds a saved run.
    pub fn restore(&mut self, run: Run) {
        if run.pairs() > 0 {
            self.runs.push(Arc::new(run));
        }
    }

    /// The songs that a user has played, with their plays. Plays in the buffer are not included. To read many
    /// users, use a [reader](Self::reader).
    pub fn of(&self, user: UserId) -> UserListens<'_> {
        UserListens::new(&self.runs, user)
    }

    /// A reader that is fast if the users are read in ascending order. Plays in the buffer are not included.
    pub fn reader(&self) -> ListensReader<'_> {
        ListensReader { runs: &self.runs, places: vec![0; self.runs.len()], found: UserListens::default() }
    }

    /// The sealed runs, oldest and largest first.
    pub fn runs(&self) -> &[Arc<Run>] {
        &self.runs
    }

    /// The users with sealed plays. A user occurs once for each run that contains the user.
    pub fn users(&self) -> impl Iterator<Item = UserId> {
        self.runs.iter().flat_map(|run| run.users())
    }

    /// The number of sealed pairs. A pair counts once for each run that contains the pair.
    pub fn pairs(&self) -> usize {
        self.runs.iter().map(|run| run.pairs()).sum()
    }
}

/// A buffer that is not sealed yet, and the runs to merge it with.
#[derive(Debug)]
pub struct Unsealed {
    keys: Keys,
    scratch: Vec<u64>,
    runs: Vec<Arc<Run>>,
    /// Number of runs that need no merging.
    unmerged: usize,
}

/// The runs after a buffer was sealed, and the empty buffers for reuse.
#[derive(Debug)]
pub struct Sealed {
    runs: Vec<Arc<Run>>,
    /// The run of the sealed buffer alone, before it was merged. `None` if the buffer was empty.
    newest: Option<Arc<Run>>,
    keys: Keys,
    scratch: Vec<u64>,
}

impl Unsealed {
    /// Sorts the buffer into a run. If there are too many runs, merges this run with older runs that are not
    /// much larger. This can take a fraction of a second.
    pub fn seal(self) -> Sealed {
        let Self { mut keys, mut scratch, mut runs, unmerged } = self;
        if keys.is_empty() {
            return Sealed { runs, newest: None, keys, scratch };
        }
        let newest = Arc::new(keys.take_run(&mut scratch));
        runs.push(Arc::clone(&newest));
        merge_similar(&mut runs, unmerged);
        Sealed { runs, newest: Some(newest), keys, scratch }
    }
}

/// If there are more than `unmerged` runs, merges the newest run with older runs that are not much larger.
fn merge_similar(runs: &mut Vec<Arc<Run>>, unmerged: usize) {
    if runs.len() > unmerged {
        let similar = runs.split_off(first_similar(runs));
        runs.push(if similar.len() > 1 { Arc::new(merge(&similar)) } else { Arc::clone(&similar[0]) });
    }
}

/// The index of the first run that is at most twice as large as all newer runs together. All newer runs are
/// merged with it, even if they are larger than the sum of those after them.
fn first_similar(runs: &[Arc<Run>]) -> usize {
    let Some((last, older)) = runs.split_last() else { return 0 };
    let mut pairs = last.pairs();
    let mut first = older.len();
    while first > 0 && older[first - 1].pairs() / 2 <= pairs {
        first -= 1;
        pairs += older[first].pairs();
    }
    first
}

/// The songs of one user, with their plays. The same song can occur several times; add up its plays.
#[derive(Clone, Debug, Default)]
pub struct UserListens<'a>(Vec<Songs<'a>>);

impl<'a> UserListens<'a> {
    /// The songs of a user in these runs.
    pub(super) fn new(runs: &'a [Arc<Run>], user: UserId) -> Self {
        Self(runs.iter().map(|run| run.songs_of(user)).collect())
    }

    /// Passes each song with its plays to `each`.
    #[inline]
    pub fn for_each(&self, mut each: impl FnMut(SongId, u64)) {
        self.0.iter().for_each(|songs| songs.for_each(&mut each));
    }

    /// Replaces `plays` with all songs, each with its plays.
    pub fn read(&self, plays: &mut Vec<(SongId, u64)>) {
        plays.clear();
        self.for_each(|song, plays_of_song| plays.push((song, plays_of_song)));
    }

    /// Whether the user has played a song.
    pub fn contains(&self, song: SongId) -> bool {
        self.0.iter().any(|songs| songs.contains(song))
    }
}

/// Reads the songs of one user after the other. It remembers its place in each run.
#[derive(Debug)]
pub struct ListensReader<'a> {
    runs: &'a [Arc<Run>],
    /// For each run, the index of the first user that is not smaller than the last user.
    places: Vec<usize>,
    found: UserListens<'a>,
}

impl<'a> ListensReader<'a> {
    /// The songs that a user has played, with their plays.
    #[inline]
    pub fn of(&mut self, user: UserId) -> &UserListens<'a> {
        self.found.0.clear();
        for (run, place) in self.runs.iter().zip(&mut self.places) {
            *place = run.place_near(user, *place);
            if run.user_at(*place) == Some(user.0) {
                self.found.0.push(run.songs_at(*place));
            }
        }
        &self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn add(listens: &mut Listens, rows: &[(u32, u32)]) {
        let (users, songs): (Vec<_>, Vec<_>) =
            rows.iter().map(|&(user, song)| (UserId(user), SongId(song))).unzip();
        listens.add(&users, &songs);
        listens.seal();
    }

    fn plays(listens: &UserListens<'_>) -> Vec<(u32, u64)> {
        let mut plays = std::collections::BTreeMap::new();
        listens.for_each(|song, more| *plays.entry(song.0).or_default() += more);
        plays.into_iter().collect()
    }

    proptest! {
        #[test]
        fn the_order_of_reading_and_the_number_of_runs_do_not_matter(
            seals in proptest::collection::vec(proptest::collection::vec((0_u32..20, 0_u32..5), 0..40), 0..40),
            users in proptest::collection::vec(0_u32..22, 0..60),
        ) {
            let (mut few, mut many) = (Listens::default(), Listens::default());
            few.keep_unsaved();
            for rows in &seals {
                add(&mut few, rows);
                add(&mut many, rows);
            }
            prop_assert!(many.runs.len() <= UNMERGED + 10);
            let mut reader = many.reader();
            for user in users.into_iter().map(UserId) {
                let expected = plays(&few.of(user));
                prop_assert_eq!(&plays(reader.of(user)), &expected);
                prop_assert_eq!(plays(&many.of(user)), expected);
            }
            let mut changed: Vec<u32> = seals.iter().flatten().map(|&(user, _)| user).collect();
            changed.sort_unstable();
            changed.dedup();
            prop_assert_eq!(many.take_changed(), changed.into_iter().map(UserId).collect::<Vec<_>>());
            prop_assert_eq!(many.take_changed(), []);
        }
    }

    #[test]
    fn the_number_of_runs_grows_with_the_logarithm_of_the_plays() {
        let mut listens = Listens::default();
        listens.keep_unsaved();
        for seal in 0..300 {
            add(&mut listens, &[(seal, 0)]);
            assert!(listens.runs.len() <= 9, "{} runs after {seal} seals", listens.runs.len());
            assert_eq!(listens.pairs(), seal as usize + 1);
        }
    }
}
