//! Which songs were played, when and by which listener? This is the only append-only insight.
//!
//! A play is appended as soon as its song is in the catalog. After that, its row never changes. An unmatched
//! play is stored, and appended later when its song appears in the catalog.

use std::ops::Range;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, GROUP, RowEnd};
use crate::insights::about::{About, InsightSettings};
use crate::insights::column::Column;
use crate::insights::query::{Parameter, Weeks};
use crate::model::dictionary::Dictionaries;
use crate::model::value::{ByteSize, from_text};
use crate::model::{Batch, PADDING, PlayTime, SongId, UserId};
use crate::text::line_buffer::{Line, LineBuffer, SHORT_LINE};
use crate::text::{MINUTE, TimestampWriter, push_cell, push_seconds, whole_seconds};

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

impl UnmatchedPlay {
    fn of(batch: &Batch, row: usize) -> Self {
        Self { user: batch.users[row], play_time: batch.play_times[row], millis: batch.millis[row] }
    }
}

/// Rendered rows that are ready to be appended.
#[derive(Debug, Default)]
pub struct EnrichedRows {
    /// The rows as CSV lines.
    pub text: LineBuffer,
    /// The number of rows.
    pub rows: u64,
}

impl EnrichedRows {
    /// Removes the rows and keeps the allocation.
    pub fn clear(&mut self) {
        self.text.clear();
        self.rows = 0;
    }
}

/// Renders rows with the current catalog.
#[derive(Debug)]
pub struct EnrichedLogs {
    catalog: Arc<Catalog>,
    timestamps: TimestampWriter,
}

/// The maximum length of the commas, the timestamp and the duration in a row. With three pieces of up to
/// [`PADDING`] bytes, a row is a short line.
const REST: usize = 60;
const _: () = assert!(3 * PADDING + REST < SHORT_LINE);

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
        let catalog = Arc::clone(&self.catalog);
        let group_at = |start: usize| &batch.songs[start.min(plays.end)..plays.end.min(start + GROUP)];
        // The ends of each group are loaded while the group before is rendered, and their places one group earlier.
        let mut next_ends = catalog.row_ends(group_at(plays.start));
        catalog.prefetch_places(group_at(plays.start + GROUP));
        for start in plays.clone().step_by(GROUP) {
            let group = start..plays.end.min(start + GROUP);
            let songs = &batch.songs[group.clone()];
            let ends = std::mem::replace(&mut next_ends, catalog.row_ends(group_at(start + GROUP)));
            catalog.prefetch_places(group_at(start + 2 * GROUP));
            let song_cells = &batch.song_cells[group.clone()][..songs.len()];
            let user_cells = &batch.user_cells[group.clone()][..songs.len()];
            let play_times = &batch.play_times[group.clone()][..songs.len()];
            let millis = &batch.millis[group][..songs.len()];
            rows.rows += songs.len() as u64;
            for row in 0..songs.len() {
                let end = ends[row % GROUP];
                let (song, user) = (song_cells[row], user_cells[row]);
                // The bitwise or is below a power of two if all lengths are.
                let is_short = (song.len as usize | user.len as usize | end.len) < PADDING;
                if is_short
                    && end.len > 0
                    && play_times[row].nanos == 0
                    && let Some(seconds) = whole_seconds(millis[row])
                {
                    let PlayTime { local, offset, .. } = play_times[row];
                    let second = self.timestamps.turn_to(local, offset);
                    let mut line = rows.text.short_line();
                    line.push_padded(&text[song.start as usize..], song.len as usize);
                    line.store(b",", 1);
                    line.push_padded(&text[user.start as usize..], user.len as usize);
                    line.store(b",", 1);
                    line.store(self.timestamps.minute(), MINUTE);
                    line.store(&second.0, second.1);
                    line.store(b",", 1);
                    line.store(&seconds.0, seconds.1);
                    line.push_padded(catalog.text_of(end), end.len);
                    line.end();
                } else if end.len > 0 {
                    self.push_row(&mut rows.text, batch, start + row, end);
                } else {
                    rows.rows -= 1;
                    unmatched(songs[row], UnmatchedPlay::of(batch, start + row));
                }
            }
        }
    }

    /// Appends a row that has a long text or a fraction of a second.
    #[inline(never)]
    fn push_row(&mut self, rows: &mut LineBuffer, batch: &Batch, row: usize, end: RowEnd) {
        let (song, user) = (batch.song_cells[row], batch.user_cells[row]);
        let text = batch.text.padded();
        let mut line = rows.line((song.len + user.len) as usize + REST + end.len);
        line.push_padded(&text[song.start as usize..], song.len as usize);
        line.store(b",", 1);
        line.push_padded(&text[user.start as usize..], user.len as usize);
        line.store(b",", 1);
        push_time_and_duration(&mut line, &mut self.timestamps, batch.play_times[row], batch.millis[row]);
        line.push_padded(self.catalog.text_of(end), end.len);
        line.end();
    }

    /// Passes the unmatched plays of a batch to `unmatched`.
    pub fn unmatched(&self, batch: &Batch, mut unmatched: impl FnMut(SongId, UnmatchedPlay)) {
        for (row, &song) in batch.songs.iter().enumerate().filter(|&(_, &song)| !self.catalog.contains(song))
        {
            unmatched(song, UnmatchedPlay::of(batch, row));
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
