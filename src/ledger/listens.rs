//! Listens: the number of plays of each pair of user and song.
//!
//! A log-structured table. Plays are appended to a buffer. When the buffer is full, and at every cut,
//! it is sorted and sealed into an immutable [`Run`]. Appending and sorting access memory in order; a
//! hash table of pairs would miss the cache once per play. Two runs are merged when the newer one is
//! at least half as large as the older, so there are few runs, and each pair is merged a logarithmic
//! number of times.

use std::sync::Arc;

use crate::ledger::radix;
use crate::ledger::run::{Run, Songs};
use crate::model::{SongId, UserId};

/// Plays in a full buffer: 16 MiB of keys, and as much scratch space, so that sorting stays in the
/// last-level cache of a small server.
const BUFFER: usize = 2 << 20;

/// Plays by user and song.
#[derive(Clone, Debug, Default)]
pub struct Listens {
    buffer: Vec<u64>,
    /// The empty buffer that is filled while the other one is being sealed.
    spare: Vec<u64>,
    scratch: Vec<u64>,
    is_out: bool,
    /// Oldest and largest first.
    runs: Vec<Arc<Run>>,
    /// Runs sealed since the last save, if the table is saved at all.
    unsaved: Option<Vec<Arc<Run>>>,
}

impl Listens {
    /// Counts one play per row.
    pub fn add(&mut self, users: &[UserId], songs: &[SongId]) {
        self.buffer
            .extend(users.iter().zip(songs).map(|(user, song)| u64::from(user.0) << 32 | u64::from(song.0)));
    }

    /// Whether the buffer is full.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= BUFFER
    }

    /// Sorts the buffer into a run, so that its plays can be read.
    pub fn seal(&mut self) {
        let sealed = self.take_unsealed().seal();
        self.put_back(sealed);
    }

    /// Takes the buffer, to be sealed on another thread. New plays go to the second buffer. The result
    /// must be [put back](Self::put_back) before the next buffer is sealed.
    ///
    /// # Panics
    /// If the last buffer was not put back.
    pub fn take_unsealed(&mut self) -> Unsealed {
        assert!(!std::mem::replace(&mut self.is_out, true), "one buffer is sealed at a time");
        let keys = std::mem::replace(&mut self.buffer, std::mem::take(&mut self.spare));
        Unsealed { keys, scratch: std::mem::take(&mut self.scratch), runs: self.runs.clone() }
    }

    /// Puts back a sealed buffer with its runs.
    pub fn put_back(&mut self, sealed: Sealed) {
        self.is_out = false;
        (self.runs, self.spare, self.scratch) = (sealed.runs, sealed.keys, sealed.scratch);
        if let (Some(unsaved), Some(newest)) = (&mut self.unsaved, sealed.newest) {
            unsaved.push(newest);
        }
    }

    /// From now on, keeps sealed runs until [`take_unsaved`](Self::take_unsaved) takes them.
    pub fn keep_unsaved(&mut self) {
        self.unsaved.get_or_insert_default();
    }

    /// Takes the runs sealed since the last call. Their sum is the change since then.
    pub fn take_unsaved(&mut self) -> Vec<Arc<Run>> {
        self.unsaved.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Adds a saved run.
    pub fn restore(&mut self, run: Run) {
        if run.pairs() > 0 {
            self.runs.push(Arc::new(run));
        }
    }

    /// The songs that a user has played, with plays. A song can occur more than once; its plays add up.
    /// Plays in the buffer are not included.
    pub fn of(&self, user: UserId) -> UserListens<'_> {
        UserListens::new(&self.runs, user)
    }

    /// The sealed runs, oldest and largest first.
    pub(super) fn runs(&self) -> &[Arc<Run>] {
        &self.runs
    }

    /// The users with sealed plays; a user occurs once per run.
    pub fn users(&self) -> impl Iterator<Item = UserId> {
        self.runs.iter().flat_map(|run| run.users())
    }

    /// The number of sealed pairs; a pair counts once per run.
    pub fn pairs(&self) -> usize {
        self.runs.iter().map(|run| run.pairs()).sum()
    }
}

/// A buffer to be sealed, and the runs that it is merged into.
#[derive(Debug)]
pub struct Unsealed {
    keys: Vec<u64>,
    scratch: Vec<u64>,
    runs: Vec<Arc<Run>>,
}

/// The runs after sealing a buffer, and the buffers for reuse.
#[derive(Debug)]
pub struct Sealed {
    runs: Vec<Arc<Run>>,
    /// The run of the buffer alone; none if it was empty.
    newest: Option<Arc<Run>>,
    keys: Vec<u64>,
    scratch: Vec<u64>,
}

impl Unsealed {
    /// Sorts the buffer into a run and merges it with the runs that it is large enough for. Takes up to
    /// a fraction of a second.
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

/// The songs of one user, with plays.
#[derive(Clone, Copy, Debug)]
pub struct UserListens<'a> {
    runs: &'a [Arc<Run>],
    user: UserId,
}

impl<'a> UserListens<'a> {
    /// The songs of a user in these runs.
    pub(super) fn new(runs: &'a [Arc<Run>], user: UserId) -> Self {
        Self { runs, user }
    }

    fn songs(self) -> impl Iterator<Item = Songs<'a>> {
        self.runs.iter().map(move |run| run.songs_of(self.user))
    }

    /// Passes each song with its plays to `each`.
    #[inline]
    pub fn for_each(self, mut each: impl FnMut(SongId, u64)) {
        self.songs().for_each(|songs| songs.for_each(&mut each));
    }

    /// Whether the user has played a song.
    pub fn contains(self, song: SongId) -> bool {
        self.songs().any(|songs| songs.contains(song))
    }
}
