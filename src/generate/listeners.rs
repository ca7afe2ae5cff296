//! Listeners and their tastes.

use crate::generate::alias::AliasTable;
use crate::generate::catalog::{GENRE_SHARES, MOOD_SHARES, SAD, share_at};
use crate::generate::popularity::Popularity;
use crate::generate::rng::{Dice, Key};

/// What a listener likes to hear; the numbers are those of [`crate::generate::catalog`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taste {
    /// Nearly only one genre.
    Loyal(usize),
    /// Mostly one mood.
    Moody(usize),
    /// A bit of everything, with a soft spot for one genre.
    Mixed(usize),
}

/// What a listener wants to hear next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Any song.
    Any,
    /// A song of this genre.
    Genre(usize),
    /// A song of this mood.
    Mood(usize),
    /// A song that the catalog does not know (which nobody wishes, but it happens).
    Unknown,
}

/// All listeners, numbered from 1.
#[derive(Debug)]
pub struct Listeners {
    table: AliasTable,
    tastes: Key,
}

impl Listeners {
    /// The listeners of a seed.
    pub fn new(seed: u64, count: u32, popularity: Popularity) -> Self {
        // The shift grows with their number, as even the greatest listener has but 24 hours a day.
        let shift = 20 + u64::from(count) / 1000;
        let weighted = popularity.weigh(count, shift, &mut Dice::new(seed, 0x0157));
        let table = AliasTable::new(&weighted).expect("there is at least one user");
        Self { table, tastes: Key::new(seed, 0x7A57) }
    }

    /// Draws the listener of the next play.
    #[inline]
    pub fn draw(&self, dice: &mut Dice) -> u32 {
        self.table.hit(self.table.aim(dice))
    }

    /// The taste of a listener: 6 in 100 are loyal to a genre, 8 sad, 10 of another or the same mood, the rest mixed.
    #[inline]
    pub fn taste(&self, user: u32) -> Taste {
        let hash = self.tastes.of(u64::from(user));
        // Favourites have the shares of the catalog, so that a rare genre has few fans and its songs are not worn out.
        let (kind, favourite) = ((hash >> 32) % 100, (hash & 0xFFFF) as u32);
        match kind {
            0..6 => Taste::Loyal(share_at(&GENRE_SHARES, favourite)),
            6..14 => Taste::Moody(SAD),
            14..24 => Taste::Moody(share_at(&MOOD_SHARES, favourite)),
            _ => Taste::Mixed(share_at(&GENRE_SHARES, favourite)),
        }
    }

    /// What a listener wants to hear next.
    #[inline]
    pub fn wish(&self, user: u32, dice: &mut Dice) -> Wish {
        let percent = dice.below(100);
        match self.taste(user) {
            Taste::Loyal(genre) if percent < 96 => Wish::Genre(genre),
            Taste::Moody(mood) if percent < 70 => Wish::Mood(mood),
            Taste::Mixed(genre) if percent < 30 => Wish::Genre(genre),
            _ => Wish::Any,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_taste_occurs_in_its_share() {
        let listeners = Listeners::new(1, 10_000, Popularity::Zipf);
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
