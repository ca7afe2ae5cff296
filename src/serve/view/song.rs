//! What is known of one song.

use std::io;

use serde::Serialize;

use crate::insights::{avg_listen_time_per_song, top_songs_this_week};
use crate::model::SongId;
use crate::serve::view::View;
use crate::serve::view::page::{Query, Row};
use crate::serve::view::search::Needle;

/// Songs that are looked through before the dictionary is let go for a moment.
const SEARCHED: usize = 1024;

/// A song by its id, with what the catalog says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// Its id.
    pub song_id: String,
    /// Its title; empty if it is not in the catalog.
    pub title: String,
    /// Who plays it.
    pub artist: String,
    /// Its genre.
    pub genre: String,
    /// Its mood.
    pub mood: String,
}

/// A song and its plays.
#[derive(Debug, Serialize)]
pub struct SongPage {
    /// What the catalog says.
    #[serde(flatten)]
    pub metadata: Metadata,
    /// Whether it is in the catalog.
    pub in_catalog: bool,
    /// Number of plays.
    pub plays: u64,
    /// How long it was played in all, in seconds.
    pub seconds: f64,
    /// Mean seconds of a play, as it is published.
    pub avg_duration: Option<f64>,
    /// Plays in the week of the top songs, if it is one of them.
    pub plays_this_week: Option<u64>,
    /// Its place among them, from 1.
    pub rank_this_week: Option<u64>,
}

impl View {
    /// What the catalog says of a song.
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

    /// The number of a song that was played or is in the catalog.
    pub fn song(&self, id: &[u8]) -> Option<SongId> {
        let song = self.snapshot.dictionaries.songs.read().get(id)?;
        self.is_known(song).then_some(song)
    }

    fn is_known(&self, song: SongId) -> bool {
        let played =
            self.snapshot.ledger.song_totals().get(song.index()).is_some_and(|total| total.plays > 0);
        played || self.snapshot.catalog.catalog.contains(song)
    }

    /// All that is known of a song; nothing if nothing is.
    ///
    /// # Errors
    /// If what was published cannot be read.
    pub fn song_page(&self, id: &[u8]) -> io::Result<Option<SongPage>> {
        let Some(song) = self.song(id) else { return Ok(None) };
        let total = self.snapshot.ledger.song_totals().get(song.index()).copied().unwrap_or_default();
        let mut this_week = None;
        if let Some(table) = self.table(top_songs_this_week::NAME) {
            let ranking = table.page(&Query { limit: usize::MAX, ..Query::default() })?;
            let place = ranking.rows.iter().position(|row| row.bytes(0) == id);
            this_week = place
                .map(|place| (ranking.rows[place].text(1).parse().unwrap_or_default(), place as u64 + 1));
        }
        let seconds = total.millis as f64 / 1000.0;
        let mean = (total.plays > 0).then(|| seconds / total.plays as f64);
        let published =
            self.table(avg_listen_time_per_song::NAME).map(|table| table.rows_of(id)).transpose()?;
        let published = published.as_deref().and_then(<[_]>::first).and_then(|row| row.text(1).parse().ok());
        Ok(Some(SongPage {
            metadata: self.metadata(song),
            in_catalog: self.snapshot.catalog.catalog.contains(song),
            plays: total.plays,
            seconds,
            avg_duration: published.or(mean),
            plays_this_week: this_week.map(|(plays, _)| plays),
            rank_this_week: this_week.map(|(_, rank)| rank),
        }))
    }

    /// Songs whose id, title or artist holds a text, in the order of their ids.
    pub fn songs_with(&self, text: &str, limit: usize) -> Vec<Metadata> {
        let (mut needle, mut line) = (Needle::new(text), Vec::new());
        let mut found = Vec::new();
        for songs in self.snapshot.song_order.ids().chunks(SEARCHED) {
            let mut candidates = Vec::new();
            // Decoders may want to write; they do not wait for more than a few songs.
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
            // The line has genre and mood, too, and some ids were played in no epoch yet.
            for song in candidates.into_iter().filter(|&song| self.is_known(song)) {
                let metadata = self.metadata(song);
                let sought = [&metadata.song_id, &metadata.title, &metadata.artist];
                if sought.iter().any(|text| needle.is_in(text.as_bytes())) {
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
