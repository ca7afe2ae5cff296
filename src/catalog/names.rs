//! The numbers of genres and moods.

use std::collections::HashMap;

use crate::catalog::songs::Songs;

/// The number of a genre. Genres are numbered in the byte order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GenreId(u32);

/// The number of a mood. Moods that differ only in ASCII case, or in spaces and tabs around them, have the same
/// number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoodId(u32);

impl GenreId {
    /// No genre: the song is not in the catalog, or its genre is empty.
    pub const NONE: Self = Self(0);

    /// The genre with this index.
    pub fn from_index(index: usize) -> Self {
        Self(index as u32)
    }

    /// The id as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl MoodId {
    /// No mood: the song is not in the catalog, or its mood is empty.
    pub const NONE: Self = Self(0);
    /// The mood Happy.
    pub const HAPPY: Self = Self(1);
    /// The mood Sad.
    pub const SAD: Self = Self(2);

    /// The id as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The genres of a catalog.
pub(super) struct Genres {
    /// All names, including that of no genre, in the order of their numbers.
    pub(super) names: Vec<Vec<u8>>,
    /// The genre of each row.
    pub(super) of_rows: Vec<GenreId>,
}

impl Genres {
    /// Numbers the genres in the byte order of their names.
    pub(super) fn of(rows: &Songs) -> Self {
        // There are few genres, so rows are numbered in the order of their first use, and only names are sorted.
        let mut first_use: HashMap<&[u8], u32> = HashMap::from([(&b""[..], 0)]);
        let used: Vec<u32> = rows
            .iter()
            .map(|row| {
                let next = first_use.len() as u32;
                *first_use.entry(row.genre).or_insert(next)
            })
            .collect();
        let mut names: Vec<(&[u8], u32)> = first_use.into_iter().collect();
        names.sort_unstable();
        let mut numbers = vec![GenreId::NONE; names.len()];
        for (index, (_, use_number)) in names.iter().enumerate() {
            numbers[*use_number as usize] = GenreId::from_index(index);
        }
        Self {
            names: names.into_iter().map(|(name, _)| name.to_vec()).collect(),
            of_rows: used.into_iter().map(|use_number| numbers[use_number as usize]).collect(),
        }
    }
}

/// The numbers of moods.
pub(super) struct Moods<'a> {
    /// By the form in which moods are compared.
    comparable: HashMap<Vec<u8>, MoodId>,
    /// By the text in the catalog.
    written: HashMap<&'a [u8], MoodId>,
}

impl Default for Moods<'_> {
    fn default() -> Self {
        let comparable = HashMap::from([
            (b"".to_vec(), MoodId::NONE),
            (b"happy".to_vec(), MoodId::HAPPY),
            (b"sad".to_vec(), MoodId::SAD),
        ]);
        Self { comparable, written: HashMap::new() }
    }
}

impl<'a> Moods<'a> {
    /// The number of a mood.
    pub(super) fn number(&mut self, mood: &'a [u8]) -> MoodId {
        let Self { comparable, written } = self;
        *written.entry(mood).or_insert_with(|| {
            let next = MoodId(comparable.len() as u32);
            *comparable.entry(comparable_mood(mood)).or_insert(next)
        })
    }

    /// Number of moods.
    pub(super) fn len(&self) -> usize {
        self.comparable.len()
    }
}

/// A mood in the form in which moods are compared.
fn comparable_mood(mood: &[u8]) -> Vec<u8> {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let start = mood.iter().position(is_text).unwrap_or(mood.len());
    let end = mood.iter().rposition(is_text).map_or(start, |last| last + 1);
    mood[start..end].to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn genres_are_numbered_in_the_order_of_their_names() {
        let mut rows = Songs::default();
        for genre in ["Rock", "", "Pop", "Rock", "A"] {
            rows.push([b"s", b"", b"", genre.as_bytes(), b""]);
        }
        let genres = Genres::of(&rows);
        assert_eq!(genres.names, [&b""[..], b"A", b"Pop", b"Rock"]);
        assert_eq!(genres.of_rows, [3, 0, 2, 3, 1].map(GenreId::from_index));
    }

    #[test]
    fn moods_are_compared_without_case_and_spaces() {
        let mut moods = Moods::default();
        let numbers = ["Calm", " SAD\t", "sad", "happy ", " ", "calm", "Dark"]
            .map(|mood| moods.number(mood.as_bytes()));
        let (calm, dark) = (MoodId(3), MoodId(4));
        assert_eq!(numbers, [calm, MoodId::SAD, MoodId::SAD, MoodId::HAPPY, MoodId::NONE, calm, dark]);
        assert_eq!(moods.len(), 5);
    }
}
