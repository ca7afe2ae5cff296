//! Which songs were played, when and by which listener? This is the only append-only insight.
//!
//! A play is appended as soon as its song is in the catalog. After that, its row never changes. An unmatched
//! play is stored, and appended later when its song appears in the catalog.

use std::ops::Range;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, GROUP};
use crate::insights::about::{About, InsightSettings};
use crate::insights::column::Column;
use crate::insights::query::{Parameter, Weeks};
use crate::model::dictionary::Dictionaries;
use crate::model::value::{ByteSize, from_text};
use crate::model::{Batch, PADDING, PlayTime, SongId, UserId};
use crate::text::line_buffer::{LineBuffer, Pieces, SHORT_LINE};
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
        let catalog = &*self.catalog;
        for start in plays.clone().step_by(GROUP) {
            let group = start..plays.end.min(start + GROUP);
            let songs = &batch.songs[group.clone()];
            let ends = catalog.row_ends(songs);
            let times = batch.play_times[group.clone()].iter().zip(&batch.millis[group.clone()]);
            let cells = batch.song_cells[group.clone()].iter().zip(&batch.user_cells[group]);
            for ((((row, end), &song), (&play_time, &millis)), (&song_cell, &user_cell)) in
                (start..).zip(ends).zip(songs).zip(times).zip(cells)
            {
                if end.len == 0 {
                    unmatched(song, UnmatchedPlay { user: batch.users[row], play_time, millis });
                    continue;
                }
                let cells =
                    [song_cell, user_cell].map(|cell| (&text[cell.start as usize..], cell.len as usize));
                let end = (catalog.text_of(end), end.len);
                let times = (&mut self.timestamps, play_time, millis);
                let longest = cells[0].1.max(cells[1].1).max(end.1);
                if longest <= PADDING {
                    let mut line = rows.text.short_line();
                    push_row(&mut line, cells, times, end);
                    line.end();
                } else {
                    let mut line = rows.text.line(cells[0].1 + cells[1].1 + REST + end.1);
                    push_row(&mut line, cells, times, end);
                    line.end();
                }
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
            push_time_and_duration(&mut line, (&mut self.timestamps, play.play_time, play.millis));
            line.push_padded(row_end, row_end_len);
            line.end();
            rows.rows += 1;
        }
    }
}

/// A text with padding, and its length.
type Padded<'a> = (&'a [u8], usize);

/// Appends the pieces of a row: the cells of song and user, the time, the duration, and the end.
#[inline]
fn push_row(
    line: &mut impl Pieces,
    [song, user]: [Padded<'_>; 2],
    times: (&mut TimestampWriter, PlayTime, u32),
    end: Padded<'_>,
) {
    line.push_padded(song.0, song.1);
    line.store(b",", 1);
    line.push_padded(user.0, user.1);
    line.store(b",", 1);
    push_time_and_duration(line, times);
    line.push_padded(end.0, end.1);
}

#[inline]
fn push_time_and_duration(
    line: &mut impl Pieces,
    (timestamps, play_time, millis): (&mut TimestampWriter, PlayTime, u32),
) {
    timestamps.push(line, play_time);
    line.store(b",", 1);
    push_seconds(line, millis);
}
