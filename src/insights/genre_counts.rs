//! Counts the plays of one listener by genre.

use crate::catalog::{Catalog, GenreId};
use crate::insights::tally::Tally;
use crate::model::SongId;

/// The plays of one listener by genre. Songs without a genre do not count.
#[derive(Clone, Debug, Default)]
pub struct GenreCounts {
    tally: Tally,
    total: u64,
    most: u64,
}

impl GenreCounts {
    /// Replaces the counts with some plays of a listener.
    pub fn count(&mut self, plays: &[(SongId, u64)], catalog: &Catalog) {
        self.tally.reset(catalog.genre_count());
        let mut total = 0;
        let mut add = self.tally.adder();
        for &(song, plays) in plays {
            add(catalog.genre(song).index(), plays);
            total += plays;
        }
        drop(add);
        self.total = total - self.tally.take(GenreId::NONE.index());
        self.most = self.tally.most();
    }

    /// The number of plays of songs with a genre.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The number of plays of a favourite genre; 0 without plays.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// Passes the genres with at least `plays` plays to `each`, in byte order, each with its plays.
    #[inline]
    pub fn each_from(&self, plays: u64, mut each: impl FnMut(GenreId, u64)) {
        self.tally.for_each(|genre, plays_of_genre| {
            if plays_of_genre >= plays {
                each(GenreId::from_index(genre), plays_of_genre);
            }
        });
    }
}
