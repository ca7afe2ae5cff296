//! The tables of listeners and songs for each season of a long period.
//!
//! A season is four weeks. Its tables contain the songs and listeners that are there on any of its days, with
//! their weights in the middle of the season. Each draw then checks the exact day, and few draws have to be
//! repeated.

use std::ops::Range;

use crate::generate::catalog::Catalog;
use crate::generate::listeners::Listeners;
use crate::generate::lives::{LASTING, Life, Lives};
use crate::generate::rng::Rng;
use crate::generate::song_pools::{SongDraw, SongPools};

/// The number of days in a season. A shorter season would take more time to make tables.
const DAYS: i64 = 28;

/// The number of draws before the song or listener that is always there is taken. More than one draw is rare,
/// unless a pool has few songs.
const DRAWS: u32 = 20;

/// The songs and listeners of a long period, and the current season.
#[derive(Debug)]
pub struct Seasons {
    lives: Lives,
    /// All listeners and songs with their weights.
    listeners: Vec<(u32, u64)>,
    songs: Vec<(u32, u64)>,
    /// The number of the season whose tables are in use; `None` before the first one.
    current: Option<i64>,
}

impl Seasons {
    /// The seasons of a period, before the first one.
    pub fn new(lives: Lives, listeners: Vec<(u32, u64)>, songs: Vec<(u32, u64)>) -> Self {
        Self { lives, listeners, songs, current: None }
    }

    /// The lives of all songs and listeners.
    pub fn lives(&self) -> &Lives {
        &self.lives
    }

    /// The number of the season that contains a second.
    pub fn number(&self, second: u64) -> i64 {
        self.lives.day(second) / DAYS
    }

    /// Makes the tables of a season, unless they are in use.
    pub fn enter(
        &mut self,
        season: i64,
        listeners: &mut Listeners,
        songs: &mut SongPools,
        catalog: &Catalog,
    ) {
        if self.current.replace(season) == Some(season) {
            return;
        }
        let days = season * DAYS..(season + 1) * DAYS;
        listeners.replace(&there(&self.listeners, &days, |user| self.lives.listener(user)));
        *songs = SongPools::of(catalog, &there(&self.songs, &days, |song| self.lives.song(song)));
    }

    /// Draws a listener who is there at a second.
    #[inline]
    pub fn listener(&self, listeners: &Listeners, second: u64, rng: &mut Rng) -> u32 {
        let day = self.lives.day(second);
        let mut draws = (0..DRAWS).map(|_| listeners.draw(rng));
        draws.find(|&user| self.lives.listener(user).contains(day)).unwrap_or(LASTING)
    }

    /// The song of a draw, if it is there at a second. Otherwise draws again.
    #[inline]
    pub fn song(
        &self,
        pools: &SongPools,
        catalog: &Catalog,
        draw: SongDraw,
        second: u64,
        rng: &mut Rng,
    ) -> u32 {
        let day = self.lives.day(second);
        let first = pools.resolve(draw);
        let draws = (0..DRAWS).map(|_| pools.resolve(pools.again(draw, rng)));
        // Songs outside the catalog have no life.
        let mut songs = std::iter::once(first).chain(draws);
        songs.find(|&song| song > catalog.songs() || self.lives.song(song).contains(day)).unwrap_or(LASTING)
    }
}

/// The items that are there on any of the days, with their weights in the middle.
fn there(all: &[(u32, u64)], days: &Range<i64>, life: impl Fn(u32) -> Life) -> Vec<(u32, u64)> {
    let middle = i64::midpoint(days.start, days.end);
    let there = all.iter().filter_map(|&(number, weight)| {
        let life = life(number);
        let is_there = life.from < days.end && days.start < life.to;
        is_there.then(|| (number, life.weight(weight, middle)))
    });
    there.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_season_has_what_is_there_on_any_of_its_days() {
        let lives = [(0, 28), (28, 29), (55, 90), (56, 90), (0, 90)];
        let life = |number: u32| {
            let (from, to) = lives[number as usize];
            Life::new(from, to)
        };
        let all: Vec<(u32, u64)> = (0..5).map(|number| (number, 7)).collect();
        assert_eq!(there(&all, &(28..56), life), [(1, 7), (2, 7), (4, 7)]);
    }
}
