//! Pools of songs, one for each preference.

use crate::generate::alias::{self, AliasTable};
use crate::generate::catalog::{Catalog, GENRES, MOODS};
use crate::generate::listeners::Preference;
use crate::generate::popularity::Popularity;
use crate::generate::rng::Rng;

/// Makes the popularity of songs more even. In a catalog of 100 songs, the top song has about 4 % of the
/// plays.
const SHIFT: u64 = 10;

/// Tables for drawing songs: all songs, the songs of each genre, the songs of each mood, and songs outside
/// the catalog.
#[derive(Debug)]
pub struct SongPools(Vec<AliasTable>);

/// A random choice of a song before the lookup of the song.
#[derive(Debug, Clone, Copy, Default)]
pub struct SongDraw {
    pool: usize,
    draw: alias::Draw,
}

impl SongPools {
    /// All songs of a catalog with their weights.
    pub fn weigh(catalog: &Catalog, popularity: Popularity, rng: &mut Rng) -> Vec<(u32, u64)> {
        popularity.weigh(catalog.songs(), SHIFT, rng)
    }

    /// The pools of some songs of a catalog with their weights. There must be at least one song. The pool of
    /// songs outside the catalog has about 5 % of the size of the catalog.
    pub fn of(catalog: &Catalog, weighted: &[(u32, u64)]) -> Self {
        let any = AliasTable::new(weighted).expect("there is at least one song");
        let mut genres = vec![Vec::new(); GENRES.len()];
        let mut moods = vec![Vec::new(); MOODS.len()];
        for &(song, weight) in weighted {
            // A song without a genre is in no genre pool, and a song without a mood is in no mood pool.
            if let Some(pool) = genres.get_mut(catalog.genre(song)) {
                pool.push((song, weight));
            }
            if let Some(pool) = moods.get_mut(catalog.mood(song)) {
                pool.push((song, weight));
            }
        }
        let unknown = (1..=catalog.songs() / 20 + 5).map(|nth| (catalog.songs() + nth, 1)).collect();
        let mut pools = vec![any];
        for pool in genres.into_iter().chain(moods).chain([unknown]) {
            // A small catalog may have no song of a genre or mood. The pool of that genre or mood then has
            // all songs.
            pools.push(AliasTable::new(&pool).unwrap_or_else(|| pools[0].clone()));
        }
        Self(pools)
    }

    /// Chooses a song without looking it up; see [`AliasTable::draw`].
    #[inline]
    pub fn draw(&self, preference: Preference, rng: &mut Rng) -> SongDraw {
        let pool = match preference {
            Preference::Genre(genre) if genre < GENRES.len() => 1 + genre,
            Preference::Mood(mood) if mood < MOODS.len() => 1 + GENRES.len() + mood,
            Preference::Unknown => 1 + GENRES.len() + MOODS.len(),
            // A preference for songs without a genre or mood gets any song.
            Preference::Any | Preference::Genre(_) | Preference::Mood(_) => 0,
        };
        SongDraw { pool, draw: self.0[pool].draw(rng) }
    }

    /// Chooses again from the same pool.
    #[inline]
    pub fn again(&self, draw: SongDraw, rng: &mut Rng) -> SongDraw {
        SongDraw { draw: self.0[draw.pool].draw(rng), ..draw }
    }

    /// Looks up the song of a draw.
    #[inline]
    pub fn resolve(&self, draw: SongDraw) -> u32 {
        self.0[draw.pool].resolve(draw.draw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::ids::Ids;

    #[test]
    fn preferences_are_met_if_the_catalog_has_such_songs() {
        let catalog = Catalog::new(1, 300, Ids::Short);
        let mut rng = Rng::new(1, 1);
        let pools = SongPools::of(&catalog, &SongPools::weigh(&catalog, Popularity::Zipf, &mut rng));
        let mut draw = |preference| pools.resolve(pools.draw(preference, &mut rng));
        for _ in 0..100 {
            assert_eq!(catalog.genre(draw(Preference::Genre(3))), 3);
            assert_eq!(catalog.mood(draw(Preference::Mood(1))), 1);
            assert!((1..=300).contains(&draw(Preference::Any)));
            assert!((1..=300).contains(&draw(Preference::Genre(GENRES.len()))));
            assert!((301..=320).contains(&draw(Preference::Unknown)));
        }
        let tiny = Catalog::new(1, 1, Ids::Short);
        let pools = SongPools::of(&tiny, &SongPools::weigh(&tiny, Popularity::Zipf, &mut rng));
        let mut draw = |genre| pools.resolve(pools.draw(Preference::Genre(genre), &mut rng));
        assert!((0..GENRES.len()).all(|genre| draw(genre) == 1));
    }
}
