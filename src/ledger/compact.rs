//! Plays of a period in 12 bytes each, without any order. A ledger is made of them when its sums are needed.

use std::ops::Range;

use crate::ledger::hours::Hours;
use crate::ledger::stretches::LocalHour;
use crate::model::{Batch, SongId, UserId};
use crate::time::window::NightWindow;

/// A play of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactPlay {
    pub(super) user: UserId,
    pub(super) song: SongId,
    /// The duration in milliseconds, and in the lowest bit whether the play lies in the night. A play lasts at most
    /// a day, so its duration needs 27 bits.
    rest: u32,
}

impl CompactPlay {
    /// The number of [bytes](Self::to_bytes).
    pub const BYTES: usize = 12;

    fn new((user, song, millis): (&UserId, &SongId, &u32), is_at_night: bool) -> Self {
        Self { user: *user, song: *song, rest: millis << 1 | u32::from(is_at_night) }
    }

    #[inline]
    pub(super) fn millis(self) -> u32 {
        self.rest >> 1
    }

    #[inline]
    pub(super) fn is_at_night(self) -> bool {
        self.rest & 1 == 1
    }

    /// The play as bytes.
    #[inline]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.user.0.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.song.0.to_le_bytes());
        bytes[8..].copy_from_slice(&self.rest.to_le_bytes());
        bytes
    }

    /// The play with these [bytes](Self::to_bytes).
    #[inline]
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes;
        let number = u32::from_le_bytes;
        Self {
            user: UserId(number([a, b, c, d])),
            song: SongId(number([e, f, g, h])),
            rest: number([i, j, k, l]),
        }
    }
}

/// Plays of a period without any order, and their number by hour of the week.
#[derive(Clone, Debug, Default)]
pub struct CompactPlays {
    plays: Vec<CompactPlay>,
    hours: Hours,
}

impl CompactPlays {
    /// The number of plays.
    pub fn len(&self) -> usize {
        self.plays.len()
    }

    /// Whether there are no plays.
    pub fn is_empty(&self) -> bool {
        self.plays.is_empty()
    }

    /// The plays.
    pub fn plays(&self) -> &[CompactPlay] {
        &self.plays
    }

    /// The number of plays by hour of the week.
    pub fn hours(&self) -> &Hours {
        &self.hours
    }

    /// Adds rows of a batch that lie in one hour.
    pub(super) fn extend(&mut self, batch: &Batch, hour: LocalHour, rows: Range<usize>, night: NightWindow) {
        self.hours.add(hour.of_week(), rows.len());
        let columns = batch.users[rows.clone()].iter().zip(&batch.songs[rows.clone()]);
        let columns =
            columns.zip(&batch.millis[rows.clone()]).map(|((user, song), millis)| (user, song, millis));
        if night.divides_hour(hour.start()) {
            let times = columns.zip(&batch.play_times[rows]);
            self.plays.extend(times.map(|(row, time)| CompactPlay::new(row, night.contains(time.local))));
        } else {
            let is_at_night = night.contains(hour.start());
            self.plays.extend(columns.map(|row| CompactPlay::new(row, is_at_night)));
        }
    }

    /// Adds one row of a batch.
    #[inline]
    pub(super) fn push(&mut self, batch: &Batch, row: usize, night: NightWindow) {
        let local = batch.play_times[row].local;
        self.hours.add(LocalHour::of(local).of_week(), 1);
        let columns = (&batch.users[row], &batch.songs[row], &batch.millis[row]);
        self.plays.push(CompactPlay::new(columns, night.contains(local)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_play_survives_its_bytes() {
        for (user, song, millis, is_at_night) in
            [(0, 0, 0, false), (u32::MAX, u32::MAX - 1, 86_400_000, true), (1 << 30, 77, 1, false)]
        {
            let play = CompactPlay::new((&UserId(user), &SongId(song), &millis), is_at_night);
            let read = CompactPlay::from_bytes(&play.to_bytes());
            assert_eq!(read, play);
            let fields = (read.user, read.song, read.millis(), read.is_at_night());
            assert_eq!(fields, (UserId(user), SongId(song), millis, is_at_night));
        }
    }
}
