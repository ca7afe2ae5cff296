//! The catalog: the metadata of songs, stored in columns. Every column is indexed by the number of the
//! song.
//!
//! A catalog is immutable. When the file changes, the program loads a new catalog. The new catalog
//! replaces the old catalog between two cuts.

mod decoded;
pub mod layout;
pub mod load;
mod names;
mod records;
pub mod reload;
mod songs;

use crate::catalog::names::{Genres, Moods};
use crate::model::dictionary::Dictionaries;
use crate::model::memory::{in_huge_pages, prefetch};
use crate::model::{PADDING, SongId};
use crate::text::padded::PaddedText;
use crate::text::push_cell;

pub use crate::catalog::names::{GenreId, MoodId};
pub use crate::catalog::songs::{Song, Songs};

/// All songs that have metadata.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    genres: Vec<GenreId>,
    moods: Vec<MoodId>,
    /// One bit per song: whether the song is in the catalog. The bits of 500,000 songs fit into the
    /// second-level cache.
    known: Vec<u64>,
    /// For each song, the range of its CSV cells `,title,artist,genre,mood\n` in `cells`, and the length
    /// of its title cell. The range is empty if the song is not in the catalog.
    places: Vec<Place>,
    cells: Vec<u8>,
    genre_names: Vec<Vec<u8>>,
    /// The name of each genre as a CSV cell, with a comma in front.
    genre_cells: Vec<PaddedText>,
    mood_count: usize,
    happy: Vec<SongId>,
    songs: u64,
    fingerprint: u128,
}

/// The number of rows whose ends are looked up together.
pub const GROUP: usize = 64;

/// The place of the end of an enriched row in a catalog. The length is 0 if the song is not in the catalog.
#[derive(Clone, Copy, Debug, Default)]
pub struct RowEnd {
    start: usize,
    /// The length in bytes.
    pub len: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    start: u64,
    len: u32,
    title_len: u32,
}

impl Catalog {
    /// Builds a catalog from rows. If several rows have the same `song_id`, the last row counts.
    pub fn new(rows: &Songs, dictionaries: &Dictionaries, fingerprint: u128) -> Self {
        let ids = dictionaries.songs.intern_all(rows.iter().map(|row| row.song_id));
        let size = dictionaries.songs.read().len();
        let (genres, mut moods) = (Genres::of(rows), Moods::default());
        let mut catalog = Self {
            genres: vec![GenreId::NONE; size],
            moods: vec![MoodId::NONE; size],
            known: vec![0; size.div_ceil(64)],
            places: vec![Place::default(); size],
            fingerprint,
            ..Self::default()
        };
        for ((row, &id), &genre) in rows.iter().zip(&ids).zip(&genres.of_rows) {
            catalog.genres[id.index()] = genre;
            catalog.moods[id.index()] = moods.number(row.mood);
            catalog.known[id.index() / 64] |= 1 << (id.index() % 64);
            catalog.places[id.index()] = push_cells(&mut catalog.cells, row);
        }
        // Rows of popular and of rare songs are spread over all cells.
        let mut cells = in_huge_pages(0, catalog.cells.len() + PADDING);
        cells[..catalog.cells.len()].copy_from_slice(&catalog.cells);
        catalog.cells = cells;
        catalog.genre_cells = genres.names.iter().map(|name| after_comma(name)).collect();
        catalog.genre_names = genres.names;
        catalog.mood_count = moods.len();
        catalog.songs = catalog.known.iter().map(|word| u64::from(word.count_ones())).sum();
        let all = (0..size as u32).map(SongId);
        catalog.happy = all.filter(|song| catalog.moods[song.index()] == MoodId::HAPPY).collect();
        catalog
    }

    /// Whether a song is in the catalog.
    #[inline]
    pub fn contains(&self, song: SongId) -> bool {
        self.known.get(song.index() / 64).is_some_and(|word| word >> (song.index() % 64) & 1 == 1)
    }

    /// Counts the songs in `songs` that are not in the catalog.
    pub fn count_unknown(&self, songs: &[SongId]) -> u64 {
        if self.songs == self.places.len() as u64 {
            // The songs of the first catalog have the lowest numbers. Comparing numbers is faster than bits.
            let end = self.places.len() as u32;
            return songs.iter().map(|song| u32::from(song.0 >= end)).sum::<u32>().into();
        }
        songs.iter().map(|&song| u64::from(!self.contains(song))).sum()
    }

    /// The genre of a song.
    #[inline]
    pub fn genre(&self, song: SongId) -> GenreId {
        self.genres.get(song.index()).copied().unwrap_or(GenreId::NONE)
    }

    /// The mood of a song.
    #[inline]
    pub fn mood(&self, song: SongId) -> MoodId {
        self.moods.get(song.index()).copied().unwrap_or(MoodId::NONE)
    }

    /// The text of a genre.
    pub fn genre_name(&self, genre: GenreId) -> &[u8] {
        &self.genre_names[genre.index()]
    }

    /// The name of a genre as a CSV cell, with a comma in front.
    pub fn genre_cell(&self, genre: GenreId) -> &PaddedText {
        &self.genre_cells[genre.index()]
    }

    /// Number of genres. "No genre" counts as a genre.
    pub fn genre_count(&self) -> usize {
        self.genre_cells.len()
    }

    /// Number of moods. "No mood" counts as a mood.
    pub fn mood_count(&self) -> usize {
        self.mood_count
    }

    /// The songs with the mood Happy, in the order of their numbers.
    pub fn happy_songs(&self) -> &[SongId] {
        &self.happy
    }

    /// The end of an enriched row, and the length of this end. `None` if the song is not in the catalog.
    ///
    /// The end is `,title,artist,genre,mood` and a line feed. The returned text is padded for
    /// [`LineBuffer`](crate::text::line_buffer::LineBuffer).
    #[inline]
    pub fn row_end(&self, song: SongId) -> Option<(&[u8], usize)> {
        let place = self.places.get(song.index()).filter(|place| place.len > 0)?;
        Some((&self.cells[place.start as usize..], place.len as usize))
    }

    /// Finds the ends of the enriched rows of up to [`GROUP`] songs, and starts to load them into the cache.
    #[inline]
    pub fn row_ends(&self, songs: &[SongId]) -> [RowEnd; GROUP] {
        let mut ends = [RowEnd::default(); GROUP];
        for (end, song) in ends.iter_mut().zip(songs) {
            let Place { start, len, .. } = self.places.get(song.index()).copied().unwrap_or_default();
            *end = RowEnd { start: start as usize, len: len as usize };
            prefetch(&self.cells, end.start);
            prefetch(&self.cells, end.start + end.len);
        }
        ends
    }

    /// Starts to load the places of row ends into the cache, for a later call of [`row_ends`](Self::row_ends).
    #[inline]
    pub fn prefetch_places(&self, songs: &[SongId]) {
        for song in songs {
            prefetch(&self.places, song.index());
        }
    }

    /// The text of the end of a row, padded as in [`row_end`](Self::row_end).
    #[inline]
    pub fn text_of(&self, end: RowEnd) -> &[u8] {
        &self.cells[end.start..]
    }

    /// The title of a song as a CSV cell, with a comma in front. Empty if the song is not in the
    /// catalog.
    pub fn title_cell(&self, song: SongId) -> &[u8] {
        let place = self.places.get(song.index()).copied().unwrap_or_default();
        &self.cells[place.start as usize..][..place.title_len as usize]
    }

    /// Number of songs.
    pub fn len(&self) -> u64 {
        self.songs
    }

    /// Whether the catalog has no songs.
    pub fn is_empty(&self) -> bool {
        self.songs == 0
    }

    /// The hash of the file of this catalog and of its settings.
    pub fn fingerprint(&self) -> u128 {
        self.fingerprint
    }
}

fn after_comma(text: &[u8]) -> PaddedText {
    let mut cell = vec![b','];
    push_cell(&mut cell, text);
    PaddedText::of(&cell)
}

fn push_cells(cells: &mut Vec<u8>, row: Song<'_>) -> Place {
    let start = cells.len();
    cells.push(b',');
    push_cell(cells, row.title);
    let title_len = (cells.len() - start) as u32;
    for cell in [row.artist, row.genre, row.mood] {
        cells.push(b',');
        push_cell(cells, cell);
    }
    cells.push(b'\n');
    Place { start: start as u64, len: (cells.len() - start) as u32, title_len }
}
