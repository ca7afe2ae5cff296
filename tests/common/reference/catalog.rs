//! The catalog: `songs_metadata.csv`.

use std::collections::BTreeMap;

use super::line::parse_line;
use super::lines::Line;
use super::play::check_id;
use super::rejects::Reject;
use super::table::{Table, open};

/// One song. Its id is never empty. Its other fields may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Song {
    pub title: String,
    pub artist: String,
    pub genre: String,
    pub mood: String,
}

impl Song {
    /// Comparisons of moods ignore ASCII case.
    pub fn has_mood(&self, mood: &str) -> bool {
        self.mood.eq_ignore_ascii_case(mood)
    }
}

/// The songs, keyed by `song_id`.
pub type Catalog = BTreeMap<String, Song>;

/// Reads the catalog. If several rows have the same `song_id`, the last one counts. Panics with the reason
/// if the catalog is broken.
pub fn read_catalog(path: &str, bytes: &[u8]) -> (Catalog, Vec<Reject>) {
    let table = match open(path, bytes, &["song_id", "title", "artist", "genre", "mood"]) {
        Ok(table) => table,
        Err(reject) => panic!("broken catalog: {}", reject.reason),
    };
    let mut songs = Catalog::new();
    let mut rejects = Vec::new();
    for line in &table.rows {
        match read_row(&table, line) {
            Ok((song_id, song)) => {
                songs.insert(song_id, song);
            }
            Err(_) if table.repeats_header(line) => {}
            Err(reason) => rejects.push(Reject::of_line(path, line, reason)),
        }
    }
    (songs, rejects)
}

fn read_row(table: &Table<'_>, line: &Line<'_>) -> Result<(String, Song), &'static str> {
    let fields = parse_line(line.content, line.ended)?;
    if fields.len() != table.columns.len() {
        return Err("field_count");
    }
    let field = |name: &str| fields[table.column(name)].clone();
    check_id(&field("song_id"))?;
    let song =
        Song { title: field("title"), artist: field("artist"), genre: field("genre"), mood: field("mood") };
    Ok((field("song_id"), song))
}
