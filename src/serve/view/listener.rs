//! Details of one listener.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io;

use serde::Serialize;

use crate::insights::genre_counts::GenreCounts;
use crate::insights::{genre_loyalty_scores, happy_recommendations, night_owl_users, user_favorite_genres};
use crate::model::SongId;
use crate::serve::view::View;
use crate::serve::view::page::Row;
use crate::serve::view::song::Metadata;

/// Maximum number of most played songs in the details.
const TOP_SONGS: usize = 10;

/// One listener: counts from the ledger, and rows of the published tables.
#[derive(Debug, Serialize)]
pub struct ListenerDetails {
    /// Id of the listener.
    pub user_id: String,
    /// Number of plays.
    pub plays: u64,
    /// Number of plays whose song is in the catalog.
    pub matched: u64,
    /// Number of distinct songs that the listener has played.
    pub songs: u64,
    /// Number of plays that started in the night window.
    pub night_plays: u64,
    /// Whether `night_owl_users` lists the listener; `None` if that insight is disabled.
    pub night_owl: Option<bool>,
    /// Plays by genre, most played genre first.
    pub genres: Vec<GenreShare>,
    /// Favourite genres, more than one if they tie; `None` if the insight is disabled.
    pub favorites: Option<Vec<String>>,
    /// Genres that the listener is loyal to; `None` if the insight is disabled.
    pub loyal: Option<Vec<Loyalty>>,
    /// Recommended happy songs; `None` if the insight is disabled.
    pub recommendations: Option<Vec<Metadata>>,
    /// The most played songs.
    pub top_songs: Vec<SongPlays>,
}

/// The share of one genre in a listener's plays.
#[derive(Debug, Serialize)]
pub struct GenreShare {
    /// Name of the genre.
    pub genre: String,
    /// Number of plays.
    pub plays: u64,
    /// Plays of this genre, divided by the listener's plays of all songs that have a genre. From 0 to 1.
    pub share: f64,
}

/// Loyalty to one genre.
#[derive(Debug, Serialize)]
pub struct Loyalty {
    /// Name of the genre.
    pub genre: String,
    /// The published score.
    pub loyalty_score: f64,
}

/// A song, and how often the listener has played it.
#[derive(Debug, Serialize)]
pub struct SongPlays {
    /// Metadata of the song.
    #[serde(flatten)]
    pub song: Metadata,
    /// Number of plays.
    pub plays: u64,
}

impl View {
    /// Details of the listener with this id; `None` if there is no play by this listener.
    ///
    /// # Errors
    /// If a published table or the plays of the period cannot be read.
    pub fn listener_details(&self, id: &[u8]) -> io::Result<Option<ListenerDetails>> {
        let Some(user) = self.snapshot.dictionaries.users.read().get(id) else { return Ok(None) };
        let catalog = &self.snapshot.catalog.catalog;
        let mut songs: HashMap<SongId, u64> = HashMap::new();
        let ledger = self.ledger()?;
        ledger.listens_of(user).for_each(|song, plays| *songs.entry(song).or_default() += plays);
        if songs.is_empty() {
            // The dictionary already has the id, but the play belongs to a later epoch or another period.
            return Ok(None);
        }
        let plays = songs.values().sum();
        let matched = songs.iter().filter(|&(&song, _)| catalog.contains(song)).map(|(_, plays)| plays).sum();
        let mut counts = GenreCounts::default();
        counts.count(&songs.iter().map(|(&song, &plays)| (song, plays)).collect::<Vec<_>>(), catalog);
        let mut shares = Vec::new();
        counts.each_from(0, |genre, plays| {
            shares.push(GenreShare {
                genre: String::from_utf8_lossy(catalog.genre_name(genre)).into_owned(),
                plays,
                share: plays as f64 / counts.total() as f64,
            });
        });
        shares.sort_by_key(|share| Reverse(share.plays));
        let top_songs = self.most_played_songs(&songs);
        let rows = |insight: &str| self.table(insight).map(|table| table.rows_of(id)).transpose();
        let loyalty = |row: &Row| Loyalty {
            genre: row.text(1),
            loyalty_score: row.text(4).parse().unwrap_or_default(),
        };
        let song = |row: &Row| self.song(row.bytes(1)).map(|song| self.metadata(song));
        Ok(Some(ListenerDetails {
            user_id: String::from_utf8_lossy(id).into_owned(),
            plays,
            matched,
            songs: songs.len() as u64,
            night_plays: u64::from(ledger.nights().of(user)),
            night_owl: rows(night_owl_users::NAME)?.map(|rows| !rows.is_empty()),
            genres: shares,
            favorites: rows(user_favorite_genres::NAME)?
                .map(|rows| rows.iter().map(|row| row.text(1)).collect()),
            loyal: rows(genre_loyalty_scores::NAME)?.map(|rows| rows.iter().map(loyalty).collect()),
            recommendations: rows(happy_recommendations::NAME)?
                .map(|rows| rows.iter().filter_map(song).collect()),
            top_songs,
        }))
    }

    fn most_played_songs(&self, songs: &HashMap<SongId, u64>) -> Vec<SongPlays> {
        let mut most: Vec<(u64, SongId)> = songs.iter().map(|(&song, &plays)| (plays, song)).collect();
        {
            let dictionaries = self.snapshot.dictionaries.songs.read();
            most.sort_unstable_by(|a, b| {
                b.0.cmp(&a.0).then_with(|| dictionaries.resolve(a.1).cmp(dictionaries.resolve(b.1)))
            });
        }
        most.truncate(TOP_SONGS);
        most.into_iter().map(|(plays, song)| SongPlays { song: self.metadata(song), plays }).collect()
    }
}
