//! Plays of a period in 12 bytes each, without any order. A ledger is made of them when its sums are needed.

use std::ops::Range;

use crate::ledger::hours::{HOURS, Hours};
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
        let ([user, song, rest], _) = bytes.as_chunks() else {
            unreachable!("twelve bytes are three numbers")
        };
        let [user, song, rest] = [user, song, rest].map(|bytes| u32::from_le_bytes(*bytes));
        Self { user: UserId(user), song: SongId(song), rest }
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

    /// Adds rows of a batch.
    #[inline]
    pub(super) fn extend(&mut self, batch: &Batch, rows: Range<usize>, night: &NightHours) {
        let Self { plays, hours } = self;
        let columns = batch.users[rows.clone()].iter().zip(&batch.songs[rows.clone()]);
        let columns = columns.zip(&batch.millis[rows.clone()]).zip(&batch.play_times[rows]);
        plays.extend(columns.map(|(((user, song), millis), time)| {
            let hour = LocalHour::of(time.local).of_week();
            hours.add(hour, 1);
            CompactPlay::new((user, song, millis), night.contains(hour, time.local))
        }));
    }
}

/// The hours of the week that lie in the night.
#[derive(Clone, Debug)]
pub(super) struct NightHours {
    window: NightWindow,
    hours: [bool; HOURS],
    /// Whether the night begins or ends within an hour.
    divides_hours: bool,
}

impl NightHours {
    pub(super) fn new(window: NightWindow) -> Self {
        let start = |hour: usize| hour as i64 * 3600;
        let hours = std::array::from_fn(|hour| window.contains(start(hour)));
        Self { window, hours, divides_hours: (0..HOURS).any(|hour| window.divides_hour(start(hour))) }
    }

    /// Whether the night contains a local time, which lies in an hour of the week.
    #[inline]
    fn contains(&self, hour: usize, local: i64) -> bool {
        if self.divides_hours { self.window.contains(local) } else { self.hours[hour] }
    }
}

/// One play of ten milliseconds for each pair of user and song.
#[cfg(test)]
pub(super) fn plays_of(pairs: &[(u32, u32)]) -> Vec<CompactPlay> {
    let play = |&(user, song): &(u32, u32)| CompactPlay::new((&UserId(user), &SongId(song), &10), false);
    pairs.iter().map(play).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::window::TimeOfDay;

    #[test]
    fn the_night_has_the_same_minutes_in_every_week() {
        for (from, to) in [(0, 300), (1320, 120), (1, 299), (15, 45)] {
            let window = NightWindow { from: TimeOfDay(from), to: TimeOfDay(to) };
            let night = NightHours::new(window);
            for local in (-90_000..700_000).step_by(60) {
                let hour = LocalHour::of(local).of_week();
                assert_eq!(night.contains(hour, local), window.contains(local), "{from} to {to}: {local}");
            }
        }
    }

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
