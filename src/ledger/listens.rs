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
    scratch: Vec<u64>,
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
        if self.buffer.len() >= BUFFER {
            self.seal();
        }
    }

    /// Sorts what was appended since the last time into a run, so that it can be read.
    pub fn seal(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        radix::sort(&mut self.buffer, &mut self.scratch);
        let mut newest = Arc::new(Run::from_sorted(&self.buffer));
        self.buffer.clear();
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.push(Arc::clone(&newest));
        }
        while let Some(older) = self.runs.pop_if(|older| older.pairs() / 2 <= newest.pairs()) {
            newest = Arc::new(Run::merge(&older, &newest));
        }
        self.runs.push(newest);
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
        UserListens { runs: &self.runs, user }
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

/// What one user has played.
#[derive(Clone, Copy, Debug)]
pub struct UserListens<'a> {
    runs: &'a [Arc<Run>],
    user: UserId,
}

impl<'a> UserListens<'a> {
    fn songs(self) -> impl Iterator<Item = Songs<'a>> {
        self.runs.iter().map(move |run| run.songs_of(self.user))
    }

    /// Songs with plays.
    pub fn iter(self) -> impl Iterator<Item = (SongId, u64)> + 'a {
        self.songs().flat_map(Songs::iter)
    }

    /// Whether the user has ever played a song.
    pub fn contains(self, song: SongId) -> bool {
        self.songs().any(|songs| songs.contains(song))
    }
}
