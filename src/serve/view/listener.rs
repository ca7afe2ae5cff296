//! What is known of one listener.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io;

use serde::Serialize;

use crate::catalog::GenreId;
use crate::insights::tally::Tally;
use crate::insights::user_favorite_genres::{self, count_genres};
use crate::insights::{genre_loyalty_scores, happy_recommendations, night_owl_users};
use crate::model::SongId;
use crate::serve::view::View;
use crate::serve::view::page::Row;
use crate::serve::view::song::Metadata;

/// Songs that are shown of a listener.
const TOP: usize = 10;

/// A listener.
#[derive(Debug, Serialize)]
pub struct ListenerPage {
    /// The id.
    pub user_id: String,
    /// Number of plays.
    pub plays: u64,
    /// Plays of songs that are in the catalog.
    pub matched: u64,
    /// Different songs.
    pub songs: u64,
    /// Plays at night.
    pub night_plays: u64,
    /// Whether that makes a night owl; nothing if the insight is disabled, as with those below.
    pub night_owl: Option<bool>,
    /// Plays by genre, most first.
    pub genres: Vec<GenreShare>,
    /// The favourite genres.
    pub favorites: Option<Vec<String>>,
    /// Genres that this listener is loyal to.
    pub loyal: Option<Vec<Loyalty>>,
    /// Happy songs for a sad listener.
    pub recommendations: Option<Vec<Metadata>>,
    /// The songs that were played most.
    pub top_songs: Vec<SongPlays>,
}

/// A part of somebody's plays.
#[derive(Debug, Serialize)]
pub struct GenreShare {
    /// The genre.
    pub genre: String,
    /// Plays.
    pub plays: u64,
    /// Their share in all plays of songs with a genre, from 0 to 1.
    pub share: f64,
}

/// Loyalty to a genre.
#[derive(Debug, Serialize)]
pub struct Loyalty {
    /// The genre.
    pub genre: String,
    /// The score as it is published.
    pub loyalty_score: f64,
}

/// A song and somebody's plays of it.
#[derive(Debug, Serialize)]
pub struct SongPlays {
    /// The song.
    #[serde(flatten)]
    pub song: Metadata,
    /// The plays.
    pub plays: u64,
}

impl View {
    /// All that is known of a listener; nothing if there is none of that id.
    ///
    /// # Errors
    /// If what was published cannot be read.
    pub fn listener_page(&self, id: &[u8]) -> io::Result<Option<ListenerPage>> {
        let Some(user) = self.snapshot.dictionaries.users.read().get(id) else { return Ok(None) };
        let catalog = &self.snapshot.catalog.catalog;
        let mut songs: HashMap<SongId, u64> = HashMap::new();
        self.snapshot
            .ledger
            .listens_of(user)
            .for_each(|song, plays| *songs.entry(song).or_default() += plays);
        if songs.is_empty() {
            // Known to the dictionary only: the first play is in no epoch yet.
            return Ok(None);
        }
        let plays = songs.values().sum();
        let matched = songs.iter().filter(|&(&song, _)| catalog.contains(song)).map(|(_, plays)| plays).sum();
        let mut tally = Tally::default();
        let with_genre = count_genres(&mut tally, self.snapshot.ledger.listens_of(user), catalog);
        let mut shares: Vec<GenreShare> = tally
            .sorted()
            .map(|(genre, plays)| GenreShare {
                genre: String::from_utf8_lossy(catalog.genre_name(GenreId::from_index(genre))).into_owned(),
                plays,
                share: plays as f64 / with_genre as f64,
            })
            .collect();
        shares.sort_by_key(|share| Reverse(share.plays));
        let top_songs = self.most_played(&songs);
        let rows = |insight: &str| self.table(insight).map(|table| table.rows_of(id)).transpose();
        let loyalty = |row: &Row| Loyalty {
            genre: row.text(1),
            loyalty_score: row.text(4).parse().unwrap_or_default(),
        };
        let song = |row: &Row| self.song(row.bytes(1)).map(|song| self.metadata(song));
        Ok(Some(ListenerPage {
            user_id: String::from_utf8_lossy(id).into_owned(),
            plays,
            matched,
            songs: songs.len() as u64,
            night_plays: u64::from(self.snapshot.ledger.nights().of(user)),
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

    fn most_played(&self, songs: &HashMap<SongId, u64>) -> Vec<SongPlays> {
        let mut most: Vec<(u64, SongId)> = songs.iter().map(|(&song, &plays)| (plays, song)).collect();
        {
            let dictionaries = self.snapshot.dictionaries.songs.read();
            most.sort_unstable_by(|a, b| {
                b.0.cmp(&a.0).then_with(|| dictionaries.resolve(a.1).cmp(dictionaries.resolve(b.1)))
            });
        }
        most.truncate(TOP);
        most.into_iter().map(|(plays, song)| SongPlays { song: self.metadata(song), plays }).collect()
    }
}
