//! Details of one song, and the search for songs.

use std::io;

use serde::Serialize;

use crate::insights::{avg_listen_time_per_song, top_songs_this_week};
use crate::model::SongId;
use crate::serve::view::View;
use crate::serve::view::page::{Query, Row};
use crate::serve::view::search::Needle;

/// Number of songs to search each time the dictionary is locked. The number is small, so that decoders
/// do not wait long for the lock.
const SONGS_PER_LOCK: usize = 1024;

/// Id and catalog metadata of a song. If the song is not in the catalog, all fields but the id are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// Id of the song.
    pub song_id: String,
    /// Title.
    pub title: String,
    /// Artist.
    pub artist: String,
    /// Genre.
    pub genre: String,
    /// Mood.
    pub mood: String,
}

/// One song with its plays.
#[derive(Debug, Serialize)]
pub struct SongDetails {
    /// Catalog metadata.
    #[serde(flatten)]
    pub metadata: Metadata,
    /// Whether the catalog has the song.
    pub in_catalog: bool,
    /// Number of plays.
    pub plays: u64,
    /// Total listening time in seconds.
    pub seconds: f64,
    /// Mean seconds per play: the published value, or a computed value if the insight is disabled.
    pub avg_duration: Option<f64>,
    /// Plays in the week of the top songs, or in the period. `None` if the song is not among the top songs.
    pub plays_this_week: Option<u64>,
    /// Rank among the top songs, starting at 1; `None` if the song is not among them.
    pub rank_this_week: Option<u64>,
}

impl View {
    /// Id and metadata of a song.
    pub fn metadata(&self, song: SongId) -> Metadata {
        let song_id =
            String::from_utf8_lossy(self.snapshot.dictionaries.songs.read().resolve(song)).into_owned();
        let Some((cells, len)) = self.snapshot.catalog.catalog.row_end(song) else {
            return Metadata { song_id, ..Metadata::default() };
        };
        // The cells begin with a comma and end with a line feed.
        let row = Row::read(&cells[1..len - 1], false);
        let [title, artist, genre, mood] = [0, 1, 2, 3].map(|column| row.text(column));
        Metadata { song_id, title, artist, genre, mood }
    }

    /// The number of the song with this id; `None` if it was never played and is not in the catalog.
    pub fn song(&self, id: &[u8]) -> Option<SongId> {
        let song = self.snapshot.dictionaries.songs.read().get(id)?;
        self.is_known(song).then_some(song)
    }

    fn is_known(&self, song: SongId) -> bool {
        let played =
            self.snapshot.ledger.song_totals().get(song.index()).is_some_and(|total| total.plays > 0);
        played || self.snapshot.catalog.catalog.contains(song)
    }

    /// Details of the song with this id; `None` if it was never played and is not in the catalog.
    ///
    /// # Errors
    /// If a published table or the plays of the period cannot be read.
    pub fn song_details(&self, id: &[u8]) -> io::Result<Option<SongDetails>> {
        let Some(song) = self.song(id) else { return Ok(None) };
        let total = self.ledger()?.song_totals().get(song.index()).copied().unwrap_or_default();
        let mut this_week = None;
        if let Some(table) = self.table(top_songs_this_week::NAME) {
            let ranking = table.page(&Query { limit: usize::MAX, ..Query::default() })?;
            let index = ranking.rows.iter().position(|row| row.bytes(0) == id);
            this_week = index
                .map(|index| (ranking.rows[index].text(1).parse().unwrap_or_default(), index as u64 + 1));
        }
        let seconds = total.millis as f64 / 1000.0;
        let mean = (total.plays > 0).then(|| seconds / total.plays as f64);
        let published =
            self.table(avg_listen_time_per_song::NAME).map(|table| table.rows_of(id)).transpose()?;
        let published = published.as_deref().and_then(<[_]>::first).and_then(|row| row.text(1).parse().ok());
        Ok(Some(SongDetails {
            metadata: self.metadata(song),
            in_catalog: self.snapshot.catalog.catalog.contains(song),
            plays: total.plays,
            seconds,
            avg_duration: published.or(mean),
            plays_this_week: this_week.map(|(plays, _)| plays),
            rank_this_week: this_week.map(|(_, rank)| rank),
        }))
    }

    /// Songs whose id, title or artist contains `text`, ordered by id.
    pub fn search_songs(&self, text: &str, limit: usize) -> Vec<Metadata> {
        let (mut needle, mut line) = (Needle::new(text), Vec::new());
        let mut found = Vec::new();
        for songs in self.snapshot.song_order.ids().chunks(SONGS_PER_LOCK) {
            let mut candidates = Vec::new();
            let dictionaries = self.snapshot.dictionaries.songs.read();
            for &song in songs {
                line.clear();
                line.extend_from_slice(dictionaries.resolve(song));
                if let Some((cells, len)) = self.snapshot.catalog.catalog.row_end(song) {
                    line.extend_from_slice(&cells[..len]);
                }
                if needle.is_in(&line) {
                    candidates.push(song);
                }
            }
            drop(dictionaries);
            // The search also matches genres and moods, and some ids have no play in this epoch yet. The loop
            // checks both.
            for song in candidates.into_iter().filter(|&song| self.is_known(song)) {
                let metadata = self.metadata(song);
                let searched = [&metadata.song_id, &metadata.title, &metadata.artist];
                if searched.iter().any(|text| needle.is_in(text.as_bytes())) {
                    found.push(metadata);
                }
            }
            if found.len() >= limit {
                found.truncate(limit);
                break;
            }
        }
        found
    }
}
