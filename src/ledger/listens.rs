//! Listens: the number of plays of each pair of user and song.
//!
//! The table is log-structured. New plays are appended to a buffer. When the buffer is full, and at
//! every cut, the buffer is sorted and sealed into an immutable [`Run`]. Appending and sorting access
//! memory in order. A hash table of pairs would instead miss the cache once per play.
//!
//! Two runs are merged when the newer run is at least half as large as the older run. Therefore there
//! are few runs, and each pair is merged only a logarithmic number of times.

use std::sync::Arc;

use crate::ledger::radix;
use crate::ledger::run::{Run, Songs};
use crate::model::{SongId, UserId};

/// Number of plays in a full buffer. The keys of a full buffer take 16 MiB, and sorting takes another 16
/// MiB of scratch space. Keys and scratch space together fit into the last-level cache of a small
/// server.
const BUFFER: usize = 2 << 20;

/// Plays by user and song.
#[derive(Clone, Debug, Default)]
pub struct Listens {
    buffer: Vec<u64>,
    /// An empty buffer. It receives new plays while the other buffer is being sealed.
    spare: Vec<u64>,
    scratch: Vec<u64>,
    is_out: bool,
    /// The runs, oldest and largest first.
    runs: Vec<Arc<Run>>,
    /// The runs sealed since the last save. `None` if the table is never saved.
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

    /// The songs that a user has played, with their plays. The same song can occur several times; add up
    /// its plays. Plays in the buffer are not included.
    pub fn of(&self, user: UserId) -> UserListens<'_> {
        UserListens::new(&self.runs, user)
    }

    /// The sealed runs, oldest and largest first.
    pub(super) fn runs(&self) -> &[Arc<Run>] {
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
    keys: Vec<u64>,
    scratch: Vec<u64>,
    runs: Vec<Arc<Run>>,
}

/// The runs after a buffer was sealed, and the empty buffers for reuse.
#[derive(Debug)]
pub struct Sealed {
    runs: Vec<Arc<Run>>,
    /// The run of the sealed buffer alone, before it was merged. `None` if the buffer was empty.
    newest: Option<Arc<Run>>,
    keys: Vec<u64>,
    scratch: Vec<u64>,
}

impl Unsealed {
    /// Sorts the buffer into a run, and merges this run with older runs that are not much larger. This
    /// can take a fraction of a second.
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

/// The songs of one user, with their plays.
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
