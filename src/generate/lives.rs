//! Songs and listeners that come and go over years.
//!
//! Up to a year, all songs and listeners are there all the time. In a longer period, a song is released on a
//! day and is most popular at first; some songs stay as popular as they are. A listener joins on a day and may
//! leave again. All this depends only on the seed, the number of the song or listener, and the period.

use crate::generate::popularity::Popularity;
use crate::generate::rhythm::{DAY, Pace, STEADY_DAYS};
use crate::generate::rng::{Key, scale};

/// The number of a song and of a listener that are always there, so that every play has a song and a listener.
pub const LASTING: u32 = 1;

/// Songs were released from this number of days before the period on.
const OLDEST: u64 = 3650;
/// Popularity is an integer in units of 1 / [`USUAL`]: this is that of a song that stays.
const USUAL: u64 = 1024;
/// Popularity of a new song that fades.
const FRESH: u64 = 8 * USUAL;
/// Age in days at which the popularity of a song that fades is a quarter of that of a new song.
const FADE_DAYS: u64 = 90;
/// A listener who leaves is there for at least this number of days.
const SHORTEST_STAY: u64 = 30;
/// And for at most this number of days more.
const LONGEST_STAY: u64 = 1000;

/// The lives of the songs and listeners of a seed in a period of years. Days are counted from its start.
#[derive(Clone, Copy, Debug)]
pub struct Lives {
    start: u64,
    days: u64,
    songs: Key,
    listeners: Key,
    fades: bool,
}

/// When a song or listener is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The first day. It may be before the start of the period.
    pub from: i64,
    /// The day after the last day.
    pub to: i64,
    fades: bool,
}

impl Lives {
    /// The lives in the period of a pace; `None` if the period is short or has no end.
    pub fn new(seed: u64, pace: Pace, popularity: Popularity) -> Option<Self> {
        let Pace::Rhythm { start, days, .. } = pace else { return None };
        let fades = popularity == Popularity::Zipf;
        let (songs, listeners) = (Key::new(seed, 0x11FE), Key::new(seed, 0x10FE));
        (days > STEADY_DAYS).then_some(Self { start, days, songs, listeners, fades })
    }

    /// The day that contains a second.
    #[inline]
    pub fn day(&self, second: u64) -> i64 {
        ((second - self.start) / DAY) as i64
    }

    /// The first second of a day; of the period, if the day is before the period.
    #[inline]
    pub fn begin(&self, day: i64) -> u64 {
        self.start + day.max(0) as u64 * DAY
    }

    /// The life of a song. Four of five songs fade. Releases are spread evenly over the period and the ten years
    /// before it.
    #[inline]
    pub fn song(&self, song: u32) -> Life {
        if song == LASTING {
            return Life::LASTING;
        }
        let hash = self.songs.of(u64::from(song));
        let from = scale(hash, OLDEST + self.days) as i64 - OLDEST as i64;
        Life { from, to: i64::MAX, fades: self.fades && !hash.is_multiple_of(5) }
    }

    /// The life of a listener. A quarter of the listeners are there from the start. Half of all listeners stay
    /// until the end.
    #[inline]
    pub fn listener(&self, user: u32) -> Life {
        if user == LASTING {
            return Life::LASTING;
        }
        let hash = self.listeners.of(u64::from(user));
        let from = if hash.is_multiple_of(4) { 0 } else { scale(hash, self.days) as i64 };
        let stay = scale(hash.rotate_left(32), LONGEST_STAY) + SHORTEST_STAY;
        let to = if hash & 4 == 0 { i64::MAX } else { from + stay as i64 };
        Life::new(from, to)
    }
}

impl Life {
    const LASTING: Self = Self::new(0, i64::MAX);

    /// A life without fading, from a day to the day before `to`.
    pub const fn new(from: i64, to: i64) -> Self {
        Self { from, to, fades: false }
    }

    /// Whether the song or listener is there on a day.
    #[inline]
    pub fn contains(self, day: i64) -> bool {
        self.from <= day && day < self.to
    }

    /// The weight of the song or listener around a day, from its weight among all songs or listeners.
    pub fn weight(self, weight: u64, day: i64) -> u64 {
        if !self.fades {
            return weight;
        }
        let age = FADE_DAYS + (day - self.from).max(0) as u64;
        (weight * (FRESH * FADE_DAYS * FADE_DAYS / (age * age)) / USUAL).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::popularity::MAX_ITEMS;

    fn lives(days: u64) -> Option<Lives> {
        Lives::new(1, Pace::Rhythm { start: 20_000 * DAY, days, rows: 1000 }, Popularity::Zipf)
    }

    #[test]
    fn up_to_a_year_everything_stays() {
        assert!(lives(STEADY_DAYS).is_none() && lives(STEADY_DAYS + 1).is_some());
        assert!(Lives::new(1, Pace::Steady { start: 0, rate: 9 }, Popularity::Zipf).is_none());
    }

    #[test]
    fn lives_have_the_documented_shares() {
        let lives = lives(3650).unwrap();
        let (mut old, mut fading, mut joined, mut leaving, mut there) = (0, 0, 0, 0, [0, 0]);
        for number in 2..=10_000 {
            let (song, listener) = (lives.song(number), lives.listener(number));
            assert!((-3650..3650).contains(&song.from) && (0..3650).contains(&listener.from));
            old += u32::from(song.from < 0);
            fading += u32::from(song.fades);
            joined += u32::from(listener.from > 0);
            leaving += u32::from(listener.to < i64::MAX);
            there[0] += u32::from(listener.contains(10));
            there[1] += u32::from(listener.contains(3600));
        }
        assert!((4_800..5_200).contains(&old), "{old}");
        assert!((7_800..8_200).contains(&fading), "{fading}");
        assert!((7_300..7_700).contains(&joined), "{joined}");
        assert!((4_800..5_200).contains(&leaving), "{leaving}");
        assert!(there[1] > 3 * there[0] / 2, "{there:?}");
        for life in [lives.song(LASTING), lives.listener(LASTING)] {
            assert!(life.contains(0) && life.contains(i64::from(u32::MAX)));
        }
    }

    #[test]
    fn a_song_that_fades_is_a_hit_first_and_rare_later() {
        let life = Life { from: 100, to: i64::MAX, fades: true };
        let weights = [90, 100, 190, 465, 4000].map(|day| life.weight(1_000_000, day));
        assert!(weights.is_sorted_by(|a, b| a >= b), "{weights:?}");
        assert_eq!((weights[0], weights[2]), (8_000_000, 2_000_000));
        assert!(weights[3] < 400_000 && weights[4] > 0, "{weights:?}");
        assert_eq!(Life { fades: false, ..life }.weight(1_000_000, 4000), 1_000_000);
        assert_eq!(life.weight(1, 1_000_000), 1, "never impossible");
    }

    #[test]
    fn the_largest_table_of_hits_fits_into_64_bits() {
        // The weight of the first rank; see `Popularity` and `SongPools`.
        let most = Life { from: 0, to: 1, fades: true }.weight((1 << 40) / 11, 0);
        assert!(MAX_ITEMS.checked_mul(most).is_some());
    }
}
