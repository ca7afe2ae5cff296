//! The songs: what they are called, by whom, and what they sound like.

use crate::generate::ids::{Ids, Noun};
use crate::generate::rng::{Key, scale};
use crate::generate::text::Line;
use crate::generate::words;

/// The first line of the catalog.
pub const HEADER: &[u8] = b"song_id,title,artist,genre,mood\n";

/// The genres, by number.
pub const GENRES: [&str; 10] =
    ["Pop", "Rock", "Hip-Hop", "Electronic", "R&B", "Country", "Jazz", "Classical", "Folk", "Metal"];

/// How many of 65,536 songs have each genre; the rest has none.
pub const GENRE_SHARES: [u32; 10] = [12_600, 11_500, 10_300, 7_800, 5_500, 4_500, 4_200, 3_400, 2_600, 1_800];

/// The moods, by number.
pub const MOODS: [&str; 4] = ["Happy", "Sad", "Energetic", "Chill"];

/// The number of the mood `Sad`.
pub const SAD: usize = 1;

/// How many of 65,536 songs have each mood; the rest has none.
pub const MOOD_SHARES: [u32; 4] = [18_800, 13_400, 17_400, 14_600];

/// The number of the share in which one of 65,536 points lies; the number of shares if it lies behind them all.
#[inline]
pub fn share_at(shares: &[u32], point: u32) -> usize {
    // Counting without a branch: the point is random, so that every branch would be guessed wrong.
    let (mut end, mut passed) = (0, 0);
    for share in shares {
        end += share;
        passed += usize::from(point >= end);
    }
    passed
}

/// The catalog of a seed. A song is a function of its number, whatever the size of the catalog (but for the artist).
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

    /// The genre of a song, [`GENRES`]`.len()` if it has none.
    pub fn genre(&self, song: u32) -> usize {
        share_at(&GENRE_SHARES, self.sound.of(u64::from(song)) as u32 & 0xFFFF)
    }

    /// The mood of a song, [`MOODS`]`.len()` if it has none.
    pub fn mood(&self, song: u32) -> usize {
        share_at(&MOOD_SHARES, (self.sound.of(u64::from(song)) >> 16) as u32 & 0xFFFF)
    }

    /// The length of a song in seconds, 120 to 360 and mostly around 240; songs that are not in the catalog have one too.
    #[inline]
    pub fn length(&self, song: u32) -> u32 {
        let hash = self.sound.of(u64::from(song)) >> 32;
        // The sum of two dice is more often in the middle than at its ends.
        let part = |bits: u64| (((bits & 0xFFFF) * 121) >> 16) as u32;
        120 + part(hash) + part(hash >> 16)
    }

    /// Appends the whole catalog, with its header.
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

    /// The hash from which the name of a song's artist is made: two songs and a half per artist, some with many more.
    fn artist(&self, song: u32) -> u64 {
        let artists = (u64::from(self.songs) * 2 / 5).max(1);
        let hash = self.names.of(2 * u64::from(song) + 1);
        // A quarter of the songs goes to the first tenth of the artists.
        let among = if hash.is_multiple_of(4) { artists.div_ceil(10) } else { artists };
        self.names.of(1 << 40 | scale(hash, among))
    }
}

/// Moves a field to the line, behind a comma, quoted where RFC 4180 needs it.
fn append_field(field: &mut String, out: &mut Vec<u8>) {
    out.push(b',');
    if field.contains([',', '"', '\r', '\n']) {
        out.push(b'"');
        out.extend_from_slice(field.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(field.as_bytes());
    }
    field.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_leave_a_few_songs_without() {
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

    #[test]
    fn fields_are_quoted_only_where_needed() {
        let mut out = Vec::new();
        for text in ["plain", "a, b", "say \"x\"", ""] {
            append_field(&mut text.to_owned(), &mut out);
        }
        assert_eq!(out, b",plain,\"a, b\",\"say \"\"x\"\"\",");
    }
}
