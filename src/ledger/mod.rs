//! The ledger: sums over all plays, independent of the catalog.
//!
//! Every table is a commutative monoid: neither the order of the plays nor their division into batches
//! changes a sum. Genre and mood are looked up only when the rows of an insight are computed. A
//! corrected genre therefore applies to all earlier plays at once.

pub mod compact;
pub mod grouped;
pub mod hours;
pub mod keys;
pub mod listens;
pub mod merge;
pub mod nights;
mod period_slots;
pub mod periods;
pub mod radix;
pub mod run;
pub mod song_plays;
pub mod stretches;
pub mod user_index;

use std::ops::Range;
use std::sync::Arc;

use crate::ledger::compact::{CompactPlay, CompactPlays};
use crate::ledger::hours::Hours;
use crate::ledger::keys::Keys;
use crate::ledger::listens::{Listens, UserListens};
use crate::ledger::nights::Nights;
use crate::ledger::run::Run;
use crate::ledger::song_plays::{SongPlays, Total};
use crate::ledger::stretches::{LocalHour, STRETCH, next_stretch};
use crate::model::bit_set::BitSet;
use crate::model::{Batch, SongId, UserId};
use crate::time::civil::Week;
use crate::time::window::NightWindow;

/// The tables. They also know the users and songs with new plays since the last cut.
#[derive(Clone, Debug)]
pub struct Ledger {
    listens: Listens,
    song_plays: SongPlays,
    nights: Nights,
    hours: Hours,
    /// The latest play: its instant in seconds since 1970-01-01T00:00:00Z, and its local time.
    latest: Option<(i64, i64)>,
    plays: u64,
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
        let mut first = 0;
        while let Some((hour, rows)) = next_stretch(&batch.play_times[first..]) {
            self.append_stretch(batch, hour, first..first + rows);
            first += rows;
        }
        self.plays += batch.plays() as u64;
    }

    /// Adds a stretch of rows to all tables except the listens.
    fn append_stretch(&mut self, batch: &Batch, hour: Option<LocalHour>, rows: Range<usize>) {
        let (users, songs) = (&batch.users[rows.clone()], &batch.songs[rows.clone()]);
        let (play_times, millis) = (&batch.play_times[rows.clone()], &batch.millis[rows]);
        if let Some(hour) = hour {
            self.hours.add(hour.of_week(), songs.len());
            self.nights.add(hour, users, play_times);
            self.song_plays.add(hour.week(), songs, millis);
        } else {
            let mut weeks = [Week(0); STRETCH];
            for (week, time) in weeks.iter_mut().zip(play_times) {
                let hour = LocalHour::of(time.local);
                self.hours.add(hour.of_week(), 1);
                *week = hour.week();
            }
            self.nights.add_mixed(users, play_times);
            self.song_plays.add_mixed(&weeks, songs, millis);
        }
        let latest = play_times.iter().map(|time| time.instant()).max();
        if self.latest.map(|(instant, _)| instant) < latest {
            // In the configured zone, an instant has one local time.
            let latest = play_times.iter().rfind(|time| Some(time.instant()) == latest);
            self.latest = latest.map(|time| (time.instant(), time.local));
        }
    }

    /// The ledger of some plays of a period, without plays by week. They can be read at once.
    pub fn of_plays(plays: &CompactPlays, window: NightWindow) -> Self {
        let mut ledger = Self::new(window);
        let mut keys = Keys::default();
        keys.extend_compact(plays.plays());
        ledger.listens.absorb(Arc::new(keys.take_run(&mut Vec::new())));
        ledger.add_sums(plays.plays());
        ledger.hours.absorb(plays.hours());
        ledger
    }

    /// Adds plays of a period to the listens alone. They can be read after [`seal`](Self::seal).
    pub fn add_listens(&mut self, plays: &[CompactPlay]) {
        self.listens.add_compact(plays);
        if self.listens.is_full() {
            self.listens.seal();
        }
    }

    /// Adds plays of a period to all tables but the listens and the hours, without plays by week.
    pub fn add_sums(&mut self, plays: &[CompactPlay]) {
        self.song_plays.add_compact(plays);
        self.nights.add_compact(plays);
        self.plays += plays.len() as u64;
    }

    /// Makes all added plays readable.
    pub fn seal(&mut self) {
        self.listens.seal();
    }

    /// Adds the plays of another ledger, but for its plays by week. All plays of `other` must be readable.
    pub fn absorb(&mut self, other: &Self) {
        other.listens.runs().iter().for_each(|run| self.listens.absorb(Arc::clone(run)));
        self.song_plays.absorb_totals(&other.song_plays);
        self.nights.absorb(&other.nights);
        self.hours.absorb(&other.hours);
        self.plays += other.plays;
    }

    /// Makes all added plays readable, and returns the changes since the last cut.
    pub fn cut(&mut self) -> Changes {
        self.listens.seal();
        Changes { users: self.listens.take_changed(), songs: self.song_plays.take_changed() }
    }

    /// Changes that contain every user and every song, for insights that start without rows.
    pub fn everything(&self) -> Changes {
        let mut users = BitSet::default();
        for user in self.listens.users() {
            users.insert(user.index());
        }
        let users = users.iter().map(|user| UserId(user as u32)).collect();
        Changes { users, songs: self.song_plays.songs().collect() }
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
