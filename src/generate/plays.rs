//! Plays: listener, song, time and duration.

use crate::generate::catalog::Catalog;
use crate::generate::ids::Ids;
use crate::generate::listeners::{Listeners, Preference};
use crate::generate::popularity::Popularity;
use crate::generate::rhythm::{Clock, DAY, Pace};
use crate::generate::rng::Rng;
use crate::generate::song_pools::{SongDraw, SongPools};

/// All parameters that determine the bytes of a catalog and its logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The seed of all random choices.
    pub seed: u64,
    /// The number of listeners, at least 1.
    pub users: u32,
    /// The number of songs in the catalog, at least 1.
    pub songs: u32,
    /// How plays are distributed over listeners and songs.
    pub popularity: Popularity,
    /// The format of user and song ids.
    pub ids: Ids,
    /// The times of the plays.
    pub pace: Pace,
}

impl Plan {
    /// The catalog of this plan.
    pub fn catalog(&self) -> Catalog {
        Catalog::new(self.seed, self.songs, self.ids)
    }
}

/// One play as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Play {
    /// The listener, from 1.
    pub user: u32,
    /// The song, from 1. Numbers above the size of the catalog are songs outside the catalog.
    pub song: u32,
    /// The time in seconds since 1970-01-01.
    pub time: u64,
    /// Whole seconds of the duration.
    pub seconds: u32,
    /// The digits after the decimal point of the duration, as a number.
    pub fraction: u16,
    /// The number of decimal places, 0 to 3.
    pub decimals: u8,
}

/// Out of 1000 plays, the number with a song that is not in the catalog.
const UNKNOWN: u64 = 10;
/// Out of 1000 plays, the number that arrive up to an hour late.
const OUT_OF_ORDER: u64 = 30;
/// Out of 1000 plays, the number that arrive up to three days late.
const LATE: u64 = 3;
/// Out of 1000 plays, the number with decimals in the duration.
const FRACTIONAL: u64 = 20;
/// Out of 1000 plays, the number that are skipped within 30 seconds.
const SKIPPED: u64 = 150;
/// Out of 1000 plays, the number that stop before the end of the song.
const CUT_SHORT: u64 = 250;

/// The number of plays in a block. Their listeners and songs are drawn together, so that cache misses
/// overlap.
///
/// A block is always drawn as a whole. So the rows do not depend on the number of rows per call.
const BLOCK: usize = 256;

/// An endless stream of plays.
#[derive(Debug)]
pub struct Plays {
    listeners: Listeners,
    songs: SongPools,
    catalog: Catalog,
    clock: Clock,
    start: u64,
    /// Random numbers for listeners and songs.
    choices: Rng,
    /// Random numbers for times and durations.
    details: Rng,
    /// Listeners and songs of the current block. The first `used` entries are consumed.
    block: Vec<(u32, u32)>,
    used: usize,
}

impl Plays {
    /// The plays of a plan, from the first.
    pub fn new(plan: &Plan) -> Self {
        let catalog = plan.catalog();
        Self {
            listeners: Listeners::new(plan.seed, plan.users, plan.popularity),
            songs: SongPools::new(&catalog, plan.popularity, &mut Rng::new(plan.seed, 0x507)),
            catalog,
            clock: Clock::new(plan.pace),
            start: plan.pace.start(),
            choices: Rng::new(plan.seed, 0xC401),
            details: Rng::new(plan.seed, 0xDE7A),
            block: vec![(0, 0); BLOCK],
            used: BLOCK,
        }
    }

    /// Draws the next play.
    #[inline]
    pub fn draw(&mut self) -> Play {
        if self.used == BLOCK {
            self.refill();
        }
        let (user, song) = self.block[self.used];
        self.used += 1;
        let time = self.time();
        let (seconds, fraction, decimals) = self.duration(song);
        Play { user, song, time, seconds, fraction, decimals }
    }

    fn refill(&mut self) {
        for (user, _) in &mut self.block {
            *user = self.listeners.draw(&mut self.choices);
        }
        let mut draws = [SongDraw::default(); BLOCK];
        for (draw, &(user, _)) in draws.iter_mut().zip(&self.block) {
            let preference = if self.choices.below(1000) < UNKNOWN {
                Preference::Unknown
            } else {
                self.listeners.preference(user, &mut self.choices)
            };
            *draw = self.songs.draw(preference, &mut self.choices);
        }
        for ((_, song), draw) in self.block.iter_mut().zip(draws) {
            *song = self.songs.resolve(draw);
        }
        self.used = 0;
    }

    #[inline]
    fn time(&mut self) -> u64 {
        let now = self.clock.tick();
        let chance = self.details.below(1000);
        if chance >= OUT_OF_ORDER + LATE {
            return now;
        }
        let longest = if chance < LATE { 3 * DAY } else { 3600 };
        // The range of delays ends at the time since the start. If longer delays were drawn and then
        // shortened, many late plays would fall into the first second.
        now - self.details.below(longest.min(now - self.start) + 1)
    }

    #[inline]
    fn duration(&mut self, song: u32) -> (u32, u16, u8) {
        let length = self.catalog.length(song);
        let chance = self.details.below(1000);
        let seconds = if chance < SKIPPED {
            3 + self.details.below(27) as u32
        } else if chance < SKIPPED + CUT_SHORT {
            30 + self.details.below(u64::from(length) - 30) as u32
        } else {
            length
        };
        if self.details.below(1000) >= FRACTIONAL {
            return (seconds, 0, 0);
        }
        let decimals = 1 + self.details.below(3) as u8;
        (seconds, self.details.below(10_u64.pow(decimals.into())) as u16, decimals)
    }
}
