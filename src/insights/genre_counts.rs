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

    /// The genres with at least `plays` plays, in byte order, each with its plays.
    pub fn from(&self, plays: u64) -> impl Iterator<Item = (GenreId, u64)> {
        let genres = self.tally.sorted().filter(move |&(_, of_genre)| of_genre >= plays);
        genres.map(|(genre, plays)| (GenreId::from_index(genre), plays))
    }
}
