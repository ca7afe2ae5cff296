//! Plays: who hears what, when and for how long.

use crate::generate::DAY;
use crate::generate::catalog::Catalog;
use crate::generate::ids::Ids;
use crate::generate::listeners::{Listeners, Wish};
use crate::generate::popularity::Popularity;
use crate::generate::rhythm::{Clock, Pace};
use crate::generate::rng::Dice;
use crate::generate::song_pools::{Aim, Shelves};

/// Everything on which the bytes of a catalog and its logs depend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Another seed is another world.
    pub seed: u64,
    /// The number of listeners, at least 1.
    pub users: u32,
    /// The number of songs in the catalog, at least 1.
    pub songs: u32,
    /// How plays spread over both.
    pub popularity: Popularity,
    /// The look of their ids.
    pub ids: Ids,
    /// When plays happen.
    pub pace: Pace,
}

impl Plan {
    /// The catalog of this plan.
    pub fn catalog(&self) -> Catalog {
        Catalog::new(self.seed, self.songs, self.ids)
    }
}

/// One play, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Play {
    /// The listener, from 1.
    pub user: u32,
    /// The song, from 1; numbers beyond the catalog are songs that it does not know.
    pub song: u32,
    /// Seconds since 1970-01-01.
    pub time: u64,
    /// Whole seconds heard.
    pub seconds: u32,
    /// The decimals of the duration as a number, and how many there are (none to three).
    pub fraction: u16,
    /// The number of decimals.
    pub decimals: u8,
}

/// Of 1000 plays, so many are of a song that the catalog does not know,
const UNKNOWN: u64 = 10;
/// so many arrive up to an hour late,
const OUT_OF_ORDER: u64 = 30;
/// so many up to three days,
const LATE: u64 = 3;
/// so many last a fraction of a second,
const FRACTIONAL: u64 = 20;
/// so many are skipped before half a minute is over,
const SKIPPED: u64 = 150;
/// and so many end somewhere before the end of the song.
const CUT_SHORT: u64 = 250;

/// Plays whose users and songs are drawn together, so that the memory works on many at once.
///
/// A block is always drawn whole, whoever asks for how many rows; therefore the rows do not depend on that.
const BLOCK: usize = 256;

/// Draws one play after the other, without end.
#[derive(Debug)]
pub struct Plays {
    listeners: Listeners,
    shelves: Shelves,
    catalog: Catalog,
    clock: Clock,
    start: u64,
    /// Who hears what.
    choices: Dice,
    /// When and for how long.
    details: Dice,
    /// Users and songs of the current block, and how many of them are used up.
    block: Vec<(u32, u32)>,
    used: usize,
}

impl Plays {
    /// The plays of a plan, at the first.
    pub fn new(plan: &Plan) -> Self {
        let catalog = plan.catalog();
        Self {
            listeners: Listeners::new(plan.seed, plan.users, plan.popularity),
            shelves: Shelves::new(&catalog, plan.popularity, &mut Dice::new(plan.seed, 0x507)),
            catalog,
            clock: Clock::new(plan.pace),
            start: plan.pace.start(),
            choices: Dice::new(plan.seed, 0xC401),
            details: Dice::new(plan.seed, 0xDE7A),
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
        let mut aims = [Aim::default(); BLOCK];
        for (aim, &(user, _)) in aims.iter_mut().zip(&self.block) {
            let wish = if self.choices.below(1000) < UNKNOWN {
                Wish::Unknown
            } else {
                self.listeners.wish(user, &mut self.choices)
            };
            *aim = self.shelves.aim(wish, &mut self.choices);
        }
        for ((_, song), aim) in self.block.iter_mut().zip(aims) {
            *song = self.shelves.hit(aim);
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
        // Nothing is earlier than the start, and the first second is no heap of all that would be.
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
