//! Listeners and their tastes.

use crate::generate::alias::AliasTable;
use crate::generate::catalog::{GENRE_SHARES, MOOD_SHARES, SAD, share_at};
use crate::generate::popularity::Popularity;
use crate::generate::rng::{Key, Rng};

/// What a listener likes. Genres and moods have the numbers from [`crate::generate::catalog`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taste {
    /// Almost exclusively one genre.
    Loyal(usize),
    /// Mostly one mood.
    Moody(usize),
    /// All genres, with one favourite.
    Mixed(usize),
}

/// The kind of song that the next play should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preference {
    /// Any song.
    Any,
    /// A song of this genre.
    Genre(usize),
    /// A song of this mood.
    Mood(usize),
    /// A song that is not in the catalog.
    Unknown,
}

/// All listeners, numbered from 1.
#[derive(Debug)]
pub struct Listeners {
    table: AliasTable,
    tastes: Key,
}

impl Listeners {
    /// The listeners `1..=count` of a seed, with their weights.
    pub fn weigh(seed: u64, count: u32, popularity: Popularity) -> Vec<(u32, u64)> {
        // The shift grows with the number of listeners. Otherwise the most active listener would play more
        // than 24 hours of music a day.
        let shift = 20 + u64::from(count) / 1000;
        popularity.weigh(count, shift, &mut Rng::new(seed, 0x0157))
    }

    /// Some listeners of a seed with their weights. There must be at least one.
    pub fn of(seed: u64, weighted: &[(u32, u64)]) -> Self {
        Self { table: table_of(weighted), tastes: Key::new(seed, 0x7A57) }
    }

    /// Replaces the listeners by other listeners of the same seed. There must be at least one.
    pub fn replace(&mut self, weighted: &[(u32, u64)]) {
        self.table = table_of(weighted);
    }

    /// Draws the listener of the next play.
    #[inline]
    pub fn draw(&self, rng: &mut Rng) -> u32 {
        self.table.resolve(self.table.draw(rng))
    }

    /// The taste of a listener. Of all listeners, 6 % are loyal to a genre, 8 % prefer sad songs, 10 % prefer
    /// a random mood, and the others have a mixed taste.
    #[inline]
    pub fn taste(&self, user: u32) -> Taste {
        let hash = self.tastes.of(u64::from(user));
        // Favourites follow the shares in the catalog. So a rare genre has few fans, and its few songs do not
        // get too many plays.
        let (kind, favourite) = ((hash >> 32) % 100, (hash & 0xFFFF) as u32);
        match kind {
            0..6 => Taste::Loyal(share_at(&GENRE_SHARES, favourite)),
            6..14 => Taste::Moody(SAD),
            14..24 => Taste::Moody(share_at(&MOOD_SHARES, favourite)),
            _ => Taste::Mixed(share_at(&GENRE_SHARES, favourite)),
        }
    }

    /// Draws the kind of song that a listener plays next.
    #[inline]
    pub fn preference(&self, user: u32, rng: &mut Rng) -> Preference {
        let percent = rng.below(100);
        match self.taste(user) {
            Taste::Loyal(genre) if percent < 96 => Preference::Genre(genre),
            Taste::Moody(mood) if percent < 70 => Preference::Mood(mood),
            Taste::Mixed(genre) if percent < 30 => Preference::Genre(genre),
            _ => Preference::Any,
        }
    }
}

fn table_of(weighted: &[(u32, u64)]) -> AliasTable {
    AliasTable::new(weighted).expect("there is at least one listener")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tastes_have_the_documented_shares() {
        let listeners = Listeners::of(1, &Listeners::weigh(1, 10_000, Popularity::Zipf));
        let (mut loyal, mut sad, mut mixed) = (0, 0, 0);
        for user in 1..=10_000 {
            match listeners.taste(user) {
                Taste::Loyal(_) => loyal += 1,
                Taste::Moody(SAD) => sad += 1,
                Taste::Moody(_) => {}
                Taste::Mixed(_) => mixed += 1,
            }
        }
        assert!((500..700).contains(&loyal), "{loyal}");
        assert!((850..1200).contains(&sad), "{sad}");
        assert!((7400..7800).contains(&mixed), "{mixed}");
    }
}
