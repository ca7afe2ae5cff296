//! Songs at hand for every wish.

use crate::generate::alias::{self, AliasTable};
use crate::generate::catalog::{Catalog, GENRES, MOODS};
use crate::generate::listeners::Wish;
use crate::generate::popularity::Popularity;
use crate::generate::rng::Dice;

/// The flattening of song popularity: in a catalog of a hundred, the first has some 4 % of the plays.
const SHIFT: u64 = 10;

/// The tables from which songs are drawn: all songs, those of each genre, of each mood, and those that the catalog
/// does not know.
#[derive(Debug)]
pub struct Shelves(Vec<AliasTable>);

/// A song that has been decided, but not looked up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Aim {
    shelf: usize,
    aim: alias::Aim,
}

impl Shelves {
    /// The songs of a catalog, and a twentieth as many beyond it.
    pub fn new(catalog: &Catalog, popularity: Popularity, dice: &mut Dice) -> Self {
        let weighted = popularity.weigh(catalog.songs(), SHIFT, dice);
        let any = AliasTable::new(&weighted).expect("there is at least one song");
        let mut genres = vec![Vec::new(); GENRES.len()];
        let mut moods = vec![Vec::new(); MOODS.len()];
        for &(song, weight) in &weighted {
            // A song without a genre or mood stands on no shelf but the first.
            if let Some(shelf) = genres.get_mut(catalog.genre(song)) {
                shelf.push((song, weight));
            }
            if let Some(shelf) = moods.get_mut(catalog.mood(song)) {
                shelf.push((song, weight));
            }
        }
        let unknown = (1..=catalog.songs() / 20 + 5).map(|nth| (catalog.songs() + nth, 1)).collect();
        let mut shelves = vec![any];
        for shelf in genres.into_iter().chain(moods).chain([unknown]) {
            // A small catalog may have no song of a genre or mood; then any song will do.
            shelves.push(AliasTable::new(&shelf).unwrap_or_else(|| shelves[0].clone()));
        }
        Self(shelves)
    }

    /// Decides on a song without looking it up; see [`AliasTable::aim`].
    #[inline]
    pub fn aim(&self, wish: Wish, dice: &mut Dice) -> Aim {
        let number = match wish {
            Wish::Genre(genre) if genre < GENRES.len() => 1 + genre,
            Wish::Mood(mood) if mood < MOODS.len() => 1 + GENRES.len() + mood,
            Wish::Unknown => 1 + GENRES.len() + MOODS.len(),
            // Who likes songs without a genre or mood hears any song.
            Wish::Any | Wish::Genre(_) | Wish::Mood(_) => 0,
        };
        Aim { shelf: number, aim: self.0[number].aim(dice) }
    }

    /// The song that was decided on.
    #[inline]
    pub fn hit(&self, aim: Aim) -> u32 {
        self.0[aim.shelf].hit(aim.aim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::ids::Ids;

    #[test]
    fn wishes_come_true_if_they_can() {
        let catalog = Catalog::new(1, 300, Ids::Short);
        let mut dice = Dice::new(1, 1);
        let shelves = Shelves::new(&catalog, Popularity::Zipf, &mut dice);
        let mut draw = |wish| shelves.hit(shelves.aim(wish, &mut dice));
        for _ in 0..100 {
            assert_eq!(catalog.genre(draw(Wish::Genre(3))), 3);
            assert_eq!(catalog.mood(draw(Wish::Mood(1))), 1);
            assert!((1..=300).contains(&draw(Wish::Any)));
            assert!((1..=300).contains(&draw(Wish::Genre(GENRES.len()))));
            assert!((301..=320).contains(&draw(Wish::Unknown)));
        }
        let tiny = Catalog::new(1, 1, Ids::Short);
        let shelves = Shelves::new(&tiny, Popularity::Zipf, &mut dice);
        assert!((0..GENRES.len()).all(|genre| shelves.hit(shelves.aim(Wish::Genre(genre), &mut dice)) == 1));
    }
}
