//! The ledger: all that is remembered of plays, as sums that know nothing of the catalog.
//!
//! Every table is a commutative monoid: the order of plays and how they are split into batches
//! change nothing. Genre and mood are joined when rows are made, so that a corrected genre
//! corrects history at once.

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

/// The tables, and what changed in them since the last cut.
#[derive(Clone, Debug)]
pub struct Ledger {
    listens: Listens,
    song_plays: SongPlays,
    nights: Nights,
    hours: Hours,
    /// The latest instant of any play, in seconds since 1970-01-01T00:00:00Z, with its local time.
    latest: Option<(i64, i64)>,
    plays: u64,
    touched_users: Touched,
    touched_songs: Touched,
}

/// What has new plays since the last cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Users, ascending.
    pub users: Vec<UserId>,
    /// Songs, ascending.
    pub songs: Vec<SongId>,
}

/// The tables of a ledger.
#[derive(Debug)]
pub struct TablesMut<'a> {
    /// How often users have played songs.
    pub listens: &'a mut Listens,
    /// Plays and durations of songs.
    pub song_plays: &'a mut SongPlays,
    /// Plays in the night window.
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

    /// Takes in a batch, and seals the listens when it is time to.
    pub fn observe(&mut self, batch: &Batch) {
        self.append(batch);
        if self.listens.is_full() {
            self.listens.seal();
        }
    }

    /// Takes in a batch. The caller seals the listens when they are full.
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

    /// Makes all that was observed readable and says what changed since the last time.
    pub fn cut(&mut self) -> Changes {
        self.listens.seal();
        Changes { users: self.touched_users.take(), songs: self.touched_songs.take() }
    }

    /// As if everything that was ever observed had changed: for those who have seen nothing yet.
    pub fn everything(&self) -> Changes {
        let mut users = Touched::default();
        self.listens.users().for_each(|user| users.add(&[user]));
        Changes { users: users.take(), songs: self.song_plays.songs().collect() }
    }

    /// What was observed up to the last cut, to be read by those who take their time.
    pub fn reading(&self) -> LedgerReader {
        LedgerReader {
            runs: self.listens.runs().to_vec(),
            totals: self.song_plays.totals().to_vec(),
            nights: self.nights.clone(),
            hours: self.hours.clone(),
            plays: self.plays,
        }
    }

    /// How often users have played songs.
    pub fn listens(&self) -> &Listens {
        &self.listens
    }

    /// Plays and durations of songs.
    pub fn song_plays(&self) -> &SongPlays {
        &self.song_plays
    }

    /// Plays in the night window.
    pub fn nights(&self) -> &Nights {
        &self.nights
    }

    /// Plays by hour of the week.
    pub fn hours(&self) -> &Hours {
        &self.hours
    }

    /// The tables, to take from them what is to be saved, or to put back what was saved.
    pub fn tables_mut(&mut self) -> TablesMut<'_> {
        let Self { listens, song_plays, nights, hours, .. } = self;
        TablesMut { listens, song_plays, nights, hours }
    }

    /// Sets what is not in a table, as it was saved.
    pub fn restore(&mut self, plays: u64, latest: Option<(i64, i64)>) {
        (self.plays, self.latest) = (plays, latest);
    }

    /// The latest play: seconds since 1970-01-01T00:00:00Z, and the local time.
    pub fn latest(&self) -> Option<(i64, i64)> {
        self.latest
    }

    /// The local time (seconds) of the latest play by instant.
    pub fn latest_local(&self) -> Option<i64> {
        self.latest.map(|(_, local)| local)
    }

    /// Number of plays.
    pub fn plays(&self) -> u64 {
        self.plays
    }
}

/// The tables as they were at a cut, but for the plays by week, to be read while the ledger goes on:
/// for a million listeners a copy of a few megabytes.
#[derive(Clone, Debug)]
pub struct LedgerReader {
    runs: Vec<Arc<Run>>,
    totals: Vec<Total>,
    nights: Nights,
    hours: Hours,
    plays: u64,
}

impl LedgerReader {
    /// The songs that a user has played, as [`Listens::of`].
    pub fn listens_of(&self, user: UserId) -> UserListens<'_> {
        UserListens::new(&self.runs, user)
    }

    /// All plays of each song, by number; songs of later numbers were never played.
    pub fn song_totals(&self) -> &[Total] {
        &self.totals
    }

    /// Plays in the night window.
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

/// A set of ids as bits: one bit set per row, and a scan per cut.
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
