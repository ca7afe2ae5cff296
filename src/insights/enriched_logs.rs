//! Every play of a known song, with the song's metadata: the one insight that only appends.
//!
//! A play is appended the first time that it is matched, and stays as it was written. A play of an
//! unknown song waits, and is appended when its song appears.

use std::sync::Arc;

use serde::Deserialize;

use crate::catalog::Catalog;
use crate::model::{Batch, Moment, SongId, UserId};
use crate::names::Names;
use crate::text::{TimestampWriter, push_cell, push_seconds};
use crate::values::{ByteSize, from_text};

/// Name of the insight.
pub const NAME: &str = "enriched_logs";

/// The first line of every part.
pub const HEADER: &[u8] = b"song_id,user_id,timestamp,duration_sec,title,artist,genre,mood\n";

/// `[insights.enriched_logs]`
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether it is published.
    #[serde(deserialize_with = "from_text")]
    pub enabled: bool,
    /// The longest part, in bytes.
    #[serde(deserialize_with = "from_text")]
    pub roll_bytes: ByteSize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, roll_bytes: ByteSize(256 << 20) }
    }
}

/// A play whose song is not in the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingPlay {
    /// Who listened.
    pub user: UserId,
    /// When.
    pub moment: Moment,
    /// For how long.
    pub millis: u32,
}

/// Lines that are ready to be appended, and where each ends.
#[derive(Debug, Default)]
pub struct EnrichedRows {
    /// The lines.
    pub text: Vec<u8>,
    /// How many there are.
    pub rows: u64,
}

/// The insight.
#[derive(Debug)]
pub struct EnrichedLogs {
    catalog: Arc<Catalog>,
    timestamps: TimestampWriter,
}

/// Typical length of a row in bytes, to reserve room.
const TYPICAL_ROW: usize = 96;

impl EnrichedLogs {
    /// The insight, with the catalog of the first epoch.
    pub fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog, timestamps: TimestampWriter::default() }
    }

    /// The catalog in force.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Takes another catalog; the caller hands in the plays that waited for its new songs.
    pub fn set_catalog(&mut self, catalog: Arc<Catalog>) {
        self.catalog = catalog;
    }

    /// Renders the plays of a batch whose songs are known and gives those that are not to `wait`.
    pub fn append(
        &mut self,
        batch: &Batch,
        rows: &mut EnrichedRows,
        mut wait: impl FnMut(SongId, WaitingPlay),
    ) {
        let out = &mut rows.text;
        out.reserve(batch.plays() * TYPICAL_ROW);
        for row in 0..batch.plays() {
            let (song, moment, millis) = (batch.songs[row], batch.moments[row], batch.millis[row]);
            let Some(row_end) = self.catalog.row_end(song) else {
                wait(song, WaitingPlay { user: batch.users[row], moment, millis });
                continue;
            };
            out.extend_from_slice(batch.text.field(batch.song_cells[row]));
            out.push(b',');
            out.extend_from_slice(batch.text.field(batch.user_cells[row]));
            out.push(b',');
            self.timestamps.push(out, moment);
            out.push(b',');
            push_seconds(out, millis);
            out.extend_from_slice(row_end);
            rows.rows += 1;
        }
    }

    /// Renders plays that have waited for a song, which must now be known.
    pub fn append_waiting(
        &mut self,
        song: SongId,
        plays: &[WaitingPlay],
        names: &Names,
        rows: &mut EnrichedRows,
    ) {
        let (users, songs) = (names.users.read(), names.songs.read());
        let row_end = self.catalog.row_end(song).expect("a song that has appeared");
        let out = &mut rows.text;
        for play in plays {
            push_cell(out, songs.text(song));
            out.push(b',');
            push_cell(out, users.text(play.user));
            out.push(b',');
            self.timestamps.push(out, play.moment);
            out.push(b',');
            push_seconds(out, play.millis);
            out.extend_from_slice(row_end);
            rows.rows += 1;
        }
    }
}
