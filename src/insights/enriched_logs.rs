//! Which songs were played, when and by which listener? This is the only append-only insight.
//!
//! A play is appended as soon as its song is in the catalog. After that, its row never changes. An unmatched
//! play is stored, and appended later when its song appears in the catalog.

use std::ops::Range;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::insights::about::{About, InsightSettings};
use crate::insights::column::Column;
use crate::insights::query::{Parameter, Weeks};
use crate::model::dictionary::Dictionaries;
use crate::model::value::{ByteSize, from_text};
use crate::model::{Batch, PlayTime, SongId, UserId};
use crate::text::line_buffer::{Line, LineBuffer};
use crate::text::{TimestampWriter, push_cell, push_seconds};

/// Name of the insight.
pub const NAME: &str = "enriched_logs";

/// The insight in words, columns and SQL.
pub const ABOUT: About = About {
    name: NAME,
    title: "All plays",
    question: "Which songs were played, when and by which listener?",
    meaning: "Every play of a song in the catalog, with the title, artist, genre and mood of the song.",
    columns: &[
        Column::SONG,
        Column::USER,
        Column::time("timestamp", "Time"),
        Column::number("duration_sec", "Seconds"),
        Column::TITLE,
        Column::text("artist", "Artist"),
        Column::GENRE,
        Column::text("mood", "Mood"),
    ],
    empty: "No plays of songs in the catalog yet",
    sql: include_str!("enriched_logs.sql"),
};

/// The first line of every part.
pub const HEADER: &[u8] = b"song_id,user_id,timestamp,duration_sec,title,artist,genre,mood\n";

/// `[insights.enriched_logs]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether the insight is published.
    #[serde(deserialize_with = "from_text")]
    pub enabled: bool,
    /// The maximum size of a part in bytes; further rows go to the next part.
    #[serde(deserialize_with = "from_text")]
    pub roll_bytes: ByteSize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, roll_bytes: ByteSize(256 << 20) }
    }
}

impl InsightSettings for Settings {
    fn parameters(&self, _: Weeks) -> Vec<(&'static str, Parameter)> {
        Vec::new()
    }
}

/// A play whose song is not in the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnmatchedPlay {
    /// The listener.
    pub user: UserId,
    /// The time of the play.
    pub play_time: PlayTime,
    /// The duration in milliseconds.
    pub millis: u32,
}

/// Rendered rows that are ready to be appended.
#[derive(Debug, Default)]
pub struct EnrichedRows {
    /// The rows as CSV lines.
    pub text: LineBuffer,
    /// The number of rows.
    pub rows: u64,
}

/// Renders rows with the current catalog.
#[derive(Debug)]
pub struct EnrichedLogs {
    catalog: Arc<Catalog>,
    timestamps: TimestampWriter,
}

/// The maximum length of the commas, the timestamp and the duration in a row.
const REST: usize = 96;
/// The number of rows in a group. The metadata of a group is prefetched before the first row is copied, so
/// that cache misses overlap.
const GROUP: usize = 64;

impl EnrichedLogs {
    /// Renders rows with the catalog of the first epoch.
    pub fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog, timestamps: TimestampWriter::default() }
    }

    /// The current catalog.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Replaces the catalog. The caller must then append the unmatched plays of the new songs.
    pub fn set_catalog(&mut self, catalog: Arc<Catalog>) {
        self.catalog = catalog;
    }

    /// Renders the matched plays in a range of a batch, and passes the unmatched plays to `unmatched`.
    ///
    /// # Panics
    /// If the range is not within the batch.
    pub fn append(
        &mut self,
        batch: &Batch,
        plays: Range<usize>,
        rows: &mut EnrichedRows,
        mut unmatched: impl FnMut(SongId, UnmatchedPlay),
    ) {
        let text = batch.text.padded();
        for start in plays.clone().step_by(GROUP) {
            let songs = &batch.songs[start..plays.end.min(start + GROUP)];
            self.catalog.touch(songs);
            for (row, &song) in (start..).zip(songs) {
                let (play_time, millis) = (batch.play_times[row], batch.millis[row]);
                let Some((row_end, row_end_len)) = self.catalog.row_end(song) else {
                    unmatched(song, UnmatchedPlay { user: batch.users[row], play_time, millis });
                    continue;
                };
                let (song, user) = (batch.song_cells[row], batch.user_cells[row]);
                let mut line = rows.text.line((song.len + user.len) as usize + REST + row_end_len);
                line.push_padded(&text[song.start as usize..], song.len as usize);
                line.store(b",", 1);
                line.push_padded(&text[user.start as usize..], user.len as usize);
                line.store(b",", 1);
                push_time_and_duration(&mut line, &mut self.timestamps, play_time, millis);
                line.push_padded(row_end, row_end_len);
                line.end();
                rows.rows += 1;
            }
        }
    }

    /// Renders the stored plays of a song that is now in the catalog.
    ///
    /// # Panics
    /// If the song is not in the catalog.
    pub fn append_matched(
        &mut self,
        song: SongId,
        plays: &[UnmatchedPlay],
        dictionaries: &Dictionaries,
        rows: &mut EnrichedRows,
    ) {
        let (users, songs) = (dictionaries.users.read(), dictionaries.songs.read());
        let (row_end, row_end_len) = self.catalog.row_end(song).expect("the song is in the catalog");
        let mut cells = Vec::new();
        for play in plays {
            cells.clear();
            push_cell(&mut cells, songs.resolve(song));
            cells.push(b',');
            push_cell(&mut cells, users.resolve(play.user));
            cells.push(b',');
            let mut line = rows.text.line(cells.len() + REST + row_end_len);
            line.push_slice(&cells);
            push_time_and_duration(&mut line, &mut self.timestamps, play.play_time, play.millis);
            line.push_padded(row_end, row_end_len);
            line.end();
            rows.rows += 1;
        }
    }
}

#[inline]
fn push_time_and_duration(
    line: &mut Line<'_>,
    timestamps: &mut TimestampWriter,
    play_time: PlayTime,
    millis: u32,
) {
    timestamps.push(line, play_time);
    line.store(b",", 1);
    push_seconds(line, millis);
}
