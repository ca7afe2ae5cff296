//! The catalog: titles, artists, genres and moods of songs.

use crate::generate::ids::{Ids, Noun};
use crate::generate::line::Line;
use crate::generate::rng::{Key, scale};
use crate::generate::words;
use crate::text::push_cell;

/// The first line of the catalog.
pub const HEADER: &[u8] = b"song_id,title,artist,genre,mood\n";

/// The genres, by number.
pub const GENRES: [&str; 10] =
    ["Pop", "Rock", "Hip-Hop", "Electronic", "R&B", "Country", "Jazz", "Classical", "Folk", "Metal"];

/// Songs of each genre per 65,536 songs. The remaining songs have no genre.
pub const GENRE_SHARES: [u32; 10] = [12_600, 11_500, 10_300, 7_800, 5_500, 4_500, 4_200, 3_400, 2_600, 1_800];

/// The moods, by number.
pub const MOODS: [&str; 4] = ["Happy", "Sad", "Energetic", "Chill"];

/// The number of the mood `Sad`.
pub const SAD: usize = 1;

/// Songs of each mood per 65,536 songs. The remaining songs have no mood.
pub const MOOD_SHARES: [u32; 4] = [18_800, 13_400, 17_400, 14_600];

/// The index of the share that contains `point` (below 65,536), or `shares.len()` if no share contains it.
#[inline]
pub fn share_at(shares: &[u32], point: u32) -> usize {
    // The loop has no branches, because the processor could not predict branches on a random point.
    let (mut end, mut passed) = (0, 0);
    for share in shares {
        end += share;
        passed += usize::from(point >= end);
    }
    passed
}

/// The catalog of a seed. Only the artist of a song depends on the size of the catalog. Everything else
/// depends only on the seed and the number of the song.
#[derive(Debug, Clone, Copy)]
pub struct Catalog {
    songs: u32,
    ids: Ids,
    sound: Key,
    names: Key,
}

impl Catalog {
    /// The catalog with the songs `1..=songs`.
    pub fn new(seed: u64, songs: u32, ids: Ids) -> Self {
        Self { songs, ids, sound: Key::new(seed, 0x50D), names: Key::new(seed, 0x4A3E) }
    }

    /// The number of songs.
    pub fn songs(&self) -> u32 {
        self.songs
    }

    /// The genre of a song; [`GENRES`]`.len()` if the song has no genre.
    pub fn genre(&self, song: u32) -> usize {
        share_at(&GENRE_SHARES, self.sound.of(u64::from(song)) as u32 & 0xFFFF)
    }

    /// The mood of a song; [`MOODS`]`.len()` if the song has no mood.
    pub fn mood(&self, song: u32) -> usize {
        share_at(&MOOD_SHARES, (self.sound.of(u64::from(song)) >> 16) as u32 & 0xFFFF)
    }

    /// The length of a song in seconds: 120 to 360, mostly around 240. Songs outside the catalog also have a
    /// length.
    #[inline]
    pub fn length(&self, song: u32) -> u32 {
        let hash = self.sound.of(u64::from(song)) >> 32;
        // The sum of two random numbers is more often near the middle of its range than near the ends.
        let part = |bits: u64| (((bits & 0xFFFF) * 121) >> 16) as u32;
        120 + part(hash) + part(hash >> 16)
    }

    /// Appends the whole catalog as CSV, including the header.
    pub fn append(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(HEADER);
        let mut field = String::new();
        for song in 1..=self.songs {
            let mut line = Line::new();
            self.ids.write(Noun::Song, song, &mut line);
            out.extend_from_slice(line.bytes());
            let hash = self.names.of(2 * u64::from(song));
            words::title(hash, &mut field);
            append_field(&mut field, out);
            words::artist(self.artist(song), &mut field);
            append_field(&mut field, out);
            field.push_str(GENRES.get(self.genre(song)).unwrap_or(&""));
            append_field(&mut field, out);
            field.push_str(MOODS.get(self.mood(song)).unwrap_or(&""));
            append_field(&mut field, out);
            out.push(b'\n');
        }
    }

    /// The hash that determines the name of the artist of a song. An artist has 2.5 songs on average; some
    /// artists have many more.
    fn artist(&self, song: u32) -> u64 {
        let artists = (u64::from(self.songs) * 2 / 5).max(1);
        let hash = self.names.of(2 * u64::from(song) + 1);
        // A quarter of the songs belong to the first tenth of the artists.
        let among = if hash.is_multiple_of(4) { artists.div_ceil(10) } else { artists };
        self.names.of(1 << 40 | scale(hash, among))
    }
}

/// Appends a comma and `field`, and clears `field` for reuse.
fn append_field(field: &mut String, out: &mut Vec<u8>) {
    out.push(b',');
    push_cell(out, field.as_bytes());
    field.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_songs_have_no_genre_or_mood() {
        for shares in [&GENRE_SHARES[..], &MOOD_SHARES[..]] {
            let sum: u32 = shares.iter().sum();
            assert!((63_500..65_000).contains(&sum), "{sum}");
            assert_eq!(share_at(shares, 0), 0);
            assert_eq!(share_at(shares, shares[0] - 1), 0);
            assert_eq!(share_at(shares, shares[0]), 1);
            assert_eq!(share_at(shares, 65_535), shares.len());
        }
    }

    #[test]
    fn a_song_is_the_same_in_a_larger_catalog() {
        let (small, large) = (Catalog::new(5, 10, Ids::Short), Catalog::new(5, 1000, Ids::Short));
        for song in 1..=10 {
            assert_eq!(small.genre(song), large.genre(song));
            assert_eq!(small.mood(song), large.mood(song));
            assert!((120..=360).contains(&small.length(song)));
        }
    }
}
