//! Plays: listener, song, time and duration.

use std::ops::Range;

use crate::generate::catalog::Catalog;
use crate::generate::ids::Ids;
use crate::generate::listeners::{Listeners, Preference};
use crate::generate::lives::Lives;
use crate::generate::popularity::Popularity;
use crate::generate::rhythm::{Clock, DAY, Pace};
use crate::generate::rng::Rng;
use crate::generate::seasons::Seasons;
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
    block: Vec<Choice>,
    used: usize,
    /// The seasons of a long period; `None` if all songs and listeners are there all the time.
    seasons: Option<Seasons>,
}

/// The listener and the song of a play, and its time before delays.
#[derive(Debug, Clone, Copy, Default)]
struct Choice {
    user: u32,
    song: u32,
    now: u64,
}

impl Plays {
    /// The plays of a plan, from the first.
    pub fn new(plan: &Plan) -> Self {
        let catalog = plan.catalog();
        let users = Listeners::weigh(plan.seed, plan.users, plan.popularity);
        let songs = SongPools::weigh(&catalog, plan.popularity, &mut Rng::new(plan.seed, 0x507));
        let lives = Lives::new(plan.seed, plan.pace, plan.popularity);
        Self {
            listeners: Listeners::of(plan.seed, &users),
            songs: SongPools::of(&catalog, &songs),
            seasons: lives.map(|lives| Seasons::new(lives, users, songs)),
            catalog,
            clock: Clock::new(plan.pace),
            start: plan.pace.start(),
            choices: Rng::new(plan.seed, 0xC401),
            details: Rng::new(plan.seed, 0xDE7A),
            block: vec![Choice::default(); BLOCK],
            used: BLOCK,
        }
    }

    /// Draws the next play.
    #[inline]
    pub fn draw(&mut self) -> Play {
        if self.used == BLOCK {
            self.refill();
        }
        let choice = self.block[self.used];
        self.used += 1;
        let time = self.time(choice);
        let Choice { user, song, .. } = choice;
        let (seconds, fraction, decimals) = self.duration(song);
        Play { user, song, time, seconds, fraction, decimals }
    }

    fn refill(&mut self) {
        for choice in &mut self.block {
            choice.now = self.clock.tick();
        }
        let mut rows = 0..BLOCK;
        while let Some(first) = self.block.get(rows.start) {
            if let Some(seasons) = &mut self.seasons {
                let season = seasons.number(first.now);
                let is_later = |choice: &Choice| seasons.number(choice.now) > season;
                rows.end = self.block.partition_point(|choice| !is_later(choice));
                seasons.enter(season, &mut self.listeners, &mut self.songs, &self.catalog);
            }
            self.choose(rows.clone());
            rows = rows.end..BLOCK;
        }
        self.used = 0;
    }

    /// Draws listeners and songs for rows of the block. All rows are in one season.
    fn choose(&mut self, rows: Range<usize>) {
        let Self { block, listeners, songs, catalog, choices, seasons, .. } = self;
        let block = &mut block[rows];
        for Choice { user, now, .. } in &mut *block {
            *user = match seasons {
                None => listeners.draw(choices),
                Some(seasons) => seasons.listener(listeners, *now, choices),
            };
        }
        let mut draws = [SongDraw::default(); BLOCK];
        for (draw, choice) in draws.iter_mut().zip(&*block) {
            let preference = if choices.below(1000) < UNKNOWN {
                Preference::Unknown
            } else {
                listeners.preference(choice.user, choices)
            };
            *draw = songs.draw(preference, choices);
        }
        for (Choice { song, now, .. }, draw) in block.iter_mut().zip(draws) {
            *song = match seasons {
                None => songs.resolve(draw),
                Some(seasons) => seasons.song(songs, catalog, draw, *now, choices),
            };
        }
    }

    /// The first second at which a listener can play a song.
    fn earliest(&self, Choice { user, song, .. }: Choice) -> u64 {
        let Some(seasons) = &self.seasons else { return self.start };
        let lives = seasons.lives();
        let released = if song > self.catalog.songs() { 0 } else { lives.song(song).from };
        lives.begin(released.max(lives.listener(user).from))
    }

    #[inline]
    fn time(&mut self, choice: Choice) -> u64 {
        let now = choice.now;
        let chance = self.details.below(1000);
        if chance >= OUT_OF_ORDER + LATE {
            return now;
        }
        let longest = if chance < LATE { 3 * DAY } else { 3600 };
        // The range of delays ends at the time since the start. If longer delays were drawn and then
        // shortened, many late plays would fall into the first second.
        now - self.details.below(longest.min(now - self.earliest(choice)) + 1)
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
