//! The ledger: sums over all plays, independent of the catalog.
//!
//! Every table is a commutative monoid: neither the order of the plays nor their division into batches
//! changes a sum. Genre and mood are looked up only when the rows of an insight are computed. A
//! corrected genre therefore applies to all earlier plays at once.

pub mod hours;
pub mod listens;
pub mod nights;
pub mod radix;
pub mod run;
pub mod song_plays;

use std::sync::Arc;

use crate::ledger::hours::Hours;
use crate::ledger::listens::{Listens, UserListens};
use crate::ledger::nights::Nights;
use crate::ledger::run::Run;
use crate::ledger::song_plays::{SongPlays, Total};
use crate::model::dictionary::Id;
use crate::model::{Batch, SongId, UserId};
use crate::time::window::NightWindow;

/// The tables, and the users and songs with new plays since the last cut.
#[derive(Clone, Debug)]
pub struct Ledger {
    listens: Listens,
    song_plays: SongPlays,
    nights: Nights,
    hours: Hours,
    /// The latest play: its instant in seconds since 1970-01-01T00:00:00Z, and its local time.
    latest: Option<(i64, i64)>,
    plays: u64,
    touched_users: Touched,
    touched_songs: Touched,
}

/// The users and songs with new plays since the last cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The users, ascending.
    pub users: Vec<UserId>,
    /// The songs, ascending.
    pub songs: Vec<SongId>,
}

/// The tables of a ledger.
#[derive(Debug)]
pub struct TablesMut<'a> {
    /// Plays by user and song.
    pub listens: &'a mut Listens,
    /// Plays and duration of each song, and its plays by week.
    pub song_plays: &'a mut SongPlays,
    /// Plays in the night window, by user.
    pub nights: &'a mut Nights,
    /// Plays by hour of the week.
    pub hours: &'a mut Hours,
}

impl Ledger {
    /// An empty ledger that counts night plays within `window`.
    pub fn new(window: NightWindow) -> Self {
        Self {
            listens: Listens::default(),
            song_plays: SongPlays::default(),
            nights: Nights::new(window),
            hours: Hours::default(),
            latest: None,
            plays: 0,
            touched_users: Touched::default(),
            touched_songs: Touched::default(),
        }
    }

    /// Adds a batch. Seals the listens if their buffer is full.
    pub fn observe(&mut self, batch: &Batch) {
        self.append(batch);
        if self.listens.is_full() {
            self.listens.seal();
        }
    }

    /// Adds a batch. The caller must seal the listens when their buffer is full.
    pub fn append(&mut self, batch: &Batch) {
        self.listens.add(&batch.users, &batch.songs);
        self.song_plays.add(&batch.songs, &batch.play_times, &batch.millis);
        self.nights.add(&batch.users, &batch.play_times);
        self.hours.add(&batch.play_times);
        self.latest = batch
            .play_times
            .iter()
            .map(|play_time| (play_time.instant(), play_time.local))
            .chain(self.latest)
            .max();
        self.plays += batch.plays() as u64;
        self.touched_users.add(&batch.users);
        self.touched_songs.add(&batch.songs);
    }

    /// Makes all added plays readable, and returns the changes since the last cut.
    pub fn cut(&mut self) -> Changes {
        self.listens.seal();
        Changes { users: self.touched_users.take(), songs: self.touched_songs.take() }
    }

    /// Changes that contain every user and every song, for insights that start without rows.
    pub fn everything(&self) -> Changes {
        let mut users = Touched::default();
        self.listens.users().for_each(|user| users.add(&[user]));
        Changes { users: users.take(), songs: self.song_plays.songs().collect() }
    }

    /// A copy of the tables as of the last cut, for readers on other threads.
    pub fn reading(&self) -> LedgerReader {
        LedgerReader {
            runs: self.listens.runs().to_vec(),
            totals: self.song_plays.totals().to_vec(),
            nights: self.nights.clone(),
            hours: self.hours.clone(),
            plays: self.plays,
        }
    }

    /// Plays by user and song.
    pub fn listens(&self) -> &Listens {
        &self.listens
    }

    /// Plays and duration of each song, and its plays by week.
    pub fn song_plays(&self) -> &SongPlays {
        &self.song_plays
    }

    /// Plays in the night window, by user.
    pub fn nights(&self) -> &Nights {
        &self.nights
    }

    /// Plays by hour of the week.
    pub fn hours(&self) -> &Hours {
        &self.hours
    }

    /// The tables, for saving and restoring them.
    pub fn tables_mut(&mut self) -> TablesMut<'_> {
        let Self { listens, song_plays, nights, hours, .. } = self;
        TablesMut { listens, song_plays, nights, hours }
    }

    /// Restores the saved values that are not in a table.
    pub fn restore(&mut self, plays: u64, latest: Option<(i64, i64)>) {
        (self.plays, self.latest) = (plays, latest);
    }

    /// The latest play: its instant in seconds since 1970-01-01T00:00:00Z, and its local time.
    pub fn latest(&self) -> Option<(i64, i64)> {
        self.latest
    }

    /// The local time of the latest play, in seconds. The latest play is the one with the latest
    /// instant.
    pub fn latest_local(&self) -> Option<i64> {
        self.latest.map(|(_, local)| local)
    }

    /// Number of plays.
    pub fn plays(&self) -> u64 {
        self.plays
    }
}

/// A copy of the tables as of a cut, without the plays by week. For a million listeners, a copy takes
/// only a few megabytes, because it shares the runs with the ledger.
#[derive(Clone, Debug)]
pub struct LedgerReader {
    runs: Vec<Arc<Run>>,
    totals: Vec<Total>,
    nights: Nights,
    hours: Hours,
    plays: u64,
}

impl LedgerReader {
    /// The songs that a user has played. See [`Listens::of`].
    pub fn listens_of(&self, user: UserId) -> UserListens<'_> {
        UserListens::new(&self.runs, user)
    }

    /// Plays and duration of each song. The index is the number of the song. Songs beyond the end have
    /// no plays.
    pub fn song_totals(&self) -> &[Total] {
        &self.totals
    }

    /// Plays in the night window, by user.
    pub fn nights(&self) -> &Nights {
        &self.nights
    }

    /// Plays by hour of the week.
    pub fn hours(&self) -> &Hours {
        &self.hours
    }

    /// Number of plays.
    pub fn plays(&self) -> u64 {
        self.plays
    }
}

/// A set of ids with one bit per id. Counting a row sets one bit, and a cut scans all bits.
#[derive(Clone, Debug, Default)]
struct Touched {
    words: Vec<u64>,
}

impl Touched {
    fn add<I: Id>(&mut self, ids: &[I]) {
        for id in ids {
            let id = id.to_u32() as usize;
            if id / 64 >= self.words.len() {
                self.words.resize(id / 64 + 1, 0);
            }
            self.words[id / 64] |= 1 << (id % 64);
        }
    }

    fn take<I: Id>(&mut self) -> Vec<I> {
        let mut ids = Vec::new();
        for (index, word) in self.words.iter_mut().enumerate() {
            let mut bits = std::mem::take(word);
            while bits != 0 {
                ids.push(I::from_u32(index as u32 * 64 + bits.trailing_zeros()));
                bits &= bits - 1;
            }
        }
        ids
    }
}
