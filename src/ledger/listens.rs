//! Listens: how often each user has played each song.
//!
//! A log-structured table. Plays are appended to a buffer; a full buffer, and every cut, is sorted
//! and sealed into an immutable [`Run`]. Appending and sorting touch memory in order, where a hash
//! table of pairs would miss the cache once per play. Runs are merged when the newer of two has
//! grown to half of the older, so there are at most a few of them and each pair is merged a
//! logarithmic number of times.

use std::sync::Arc;

use crate::ledger::radix;
use crate::ledger::run::{Run, Songs};
use crate::model::{SongId, UserId};

/// Plays in the buffer before it is sealed: 16 MiB of keys (and as much scratch), which sort in
/// the last-level cache of a small server.
const BUFFER: usize = 2 << 20;

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Listens {
    buffer: Vec<u64>,
    /// An empty buffer, to be filled while the other is out to be sealed.
    spare: Vec<u64>,
    scratch: Vec<u64>,
    is_out: bool,
    /// Oldest and largest first.
    runs: Vec<Arc<Run>>,
    /// Runs as they were sealed since they were last taken to be saved, if anybody takes them.
    unsaved: Option<Vec<Arc<Run>>>,
}

impl Listens {
    /// Counts one play per row.
    pub fn add(&mut self, users: &[UserId], songs: &[SongId]) {
        self.buffer
            .extend(users.iter().zip(songs).map(|(user, song)| u64::from(user.0) << 32 | u64::from(song.0)));
    }

    /// Whether it is time to seal the buffer.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= BUFFER
    }

    /// Sorts what was appended since the last time into a run, so that it can be read.
    pub fn seal(&mut self) {
        let sealed = self.take_unsealed().seal();
        self.put_back(sealed);
    }

    /// Takes the buffer out, to be sealed wherever there is time; what is appended meanwhile goes to
    /// another. What is sealed must be [put back](Self::put_back) before anything else is sealed.
    ///
    /// # Panics
    /// If what was taken last was not put back.
    pub fn take_unsealed(&mut self) -> Unsealed {
        assert!(!std::mem::replace(&mut self.is_out, true), "one buffer is sealed at a time");
        let keys = std::mem::replace(&mut self.buffer, std::mem::take(&mut self.spare));
        Unsealed { keys, scratch: std::mem::take(&mut self.scratch), runs: self.runs.clone() }
    }

    /// Puts back what was taken out and sealed.
    pub fn put_back(&mut self, sealed: Sealed) {
        self.is_out = false;
        (self.runs, self.spare, self.scratch) = (sealed.runs, sealed.keys, sealed.scratch);
        if let (Some(unsaved), Some(newest)) = (&mut self.unsaved, sealed.newest) {
            unsaved.push(newest);
        }
    }

    /// From now on, keeps what is sealed until it is taken by [`take_unsaved`](Self::take_unsaved).
    pub fn keep_unsaved(&mut self) {
        self.unsaved.get_or_insert_default();
    }

    /// What was sealed since the last time; its sum is what has been added.
    pub fn take_unsaved(&mut self) -> Vec<Arc<Run>> {
        self.unsaved.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Adds a run that was saved.
    pub fn restore(&mut self, run: Run) {
        if run.pairs() > 0 {
            self.runs.push(Arc::new(run));
        }
    }

    /// The songs that a user has played, with plays; a song may come more than once, and its plays
    /// add up. Only what is sealed is seen.
    pub fn of(&self, user: UserId) -> UserListens<'_> {
        UserListens::new(&self.runs, user)
    }

    /// What is sealed, oldest and largest first.
    pub(super) fn runs(&self) -> &[Arc<Run>] {
        &self.runs
    }

    /// The users that have sealed plays; one that is in several runs comes for each.
    pub fn users(&self) -> impl Iterator<Item = UserId> {
        self.runs.iter().flat_map(|run| run.users())
    }

    /// Number of sealed pairs; one that is in several runs counts in each.
    pub fn pairs(&self) -> usize {
        self.runs.iter().map(|run| run.pairs()).sum()
    }
}

/// A buffer that was taken out to be sealed, and the runs that it goes to.
#[derive(Debug)]
pub struct Unsealed {
    keys: Vec<u64>,
    scratch: Vec<u64>,
    runs: Vec<Arc<Run>>,
}

/// The runs with what was in a buffer, and the buffers to use again.
#[derive(Debug)]
pub struct Sealed {
    runs: Vec<Arc<Run>>,
    /// What came of the buffer alone; nothing if it was empty.
    newest: Option<Arc<Run>>,
    keys: Vec<u64>,
    scratch: Vec<u64>,
}

impl Unsealed {
    /// Sorts the buffer into a run and merges it with those that it has outgrown: a part of a
    /// second if there are many plays.
    pub fn seal(self) -> Sealed {
        let Self { mut keys, mut scratch, mut runs } = self;
        if keys.is_empty() {
            return Sealed { runs, newest: None, keys, scratch };
        }
        radix::sort(&mut keys, &mut scratch);
        let newest = Arc::new(Run::from_sorted(&keys));
        keys.clear();
        let mut merged = Arc::clone(&newest);
        while let Some(older) = runs.pop_if(|older| older.pairs() / 2 <= merged.pairs()) {
            merged = Arc::new(Run::merge(&older, &merged));
        }
        runs.push(merged);
        Sealed { runs, newest: Some(newest), keys, scratch }
    }
}

/// What one user has played.
#[derive(Clone, Copy, Debug)]
pub struct UserListens<'a> {
    runs: &'a [Arc<Run>],
    user: UserId,
}

impl<'a> UserListens<'a> {
    /// What a user has played in these runs.
    pub(super) fn new(runs: &'a [Arc<Run>], user: UserId) -> Self {
        Self { runs, user }
    }

    fn songs(self) -> impl Iterator<Item = Songs<'a>> {
        self.runs.iter().map(move |run| run.songs_of(self.user))
    }

    /// Hands each song with its plays to `each`.
    #[inline]
    pub fn for_each(self, mut each: impl FnMut(SongId, u64)) {
        self.songs().for_each(|songs| songs.for_each(&mut each));
    }

    /// Whether the user has ever played a song.
    pub fn contains(self, song: SongId) -> bool {
        self.songs().any(|songs| songs.contains(song))
    }
}
