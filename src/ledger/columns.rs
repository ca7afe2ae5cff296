//! Plays as columns, without any order. A ledger is made of them when its sums are needed.

use crate::ledger::stretches::LocalHour;
use crate::model::{Batch, PlayTime, SongId, UserId};

/// Plays as columns. A play takes 14 bytes.
#[derive(Clone, Debug, Default)]
pub struct PlayColumns {
    pub(super) users: Vec<UserId>,
    pub(super) songs: Vec<SongId>,
    pub(super) millis: Vec<u32>,
    /// The local time of each play, in minutes since Monday 00:00.
    pub(super) minutes: Vec<u16>,
}

impl PlayColumns {
    /// The number of plays.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there are no plays.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Appends some rows of a batch.
    pub(super) fn extend(&mut self, batch: &Batch, rows: std::ops::Range<usize>) {
        self.users.extend_from_slice(&batch.users[rows.clone()]);
        self.songs.extend_from_slice(&batch.songs[rows.clone()]);
        self.millis.extend_from_slice(&batch.millis[rows.clone()]);
        self.minutes.extend(batch.play_times[rows].iter().map(minute_of_week));
    }
}

fn minute_of_week(time: &PlayTime) -> u16 {
    let hour = LocalHour::of(time.local);
    (hour.of_week() as u16) * 60 + ((time.local - hour.start()) / 60) as u16
}
