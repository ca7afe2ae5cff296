//! How long is each song listened to, on average?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::insights::rows::Rows;
use crate::insights::{Cut, Insight};
use crate::model::SongId;
use crate::model::value::{Decimals, from_text};
use crate::text::{push_cell, push_ratio};

/// Name of the insight.
pub const NAME: &str = "avg_listen_time_per_song";

/// `[insights.avg_listen_time_per_song]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether it is published.
    #[serde(deserialize_with = "from_text")]
    pub enabled: bool,
    /// Decimals of the mean.
    #[serde(deserialize_with = "from_text")]
    pub decimals: Decimals,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, decimals: Decimals(2) }
    }
}

/// The insight.
#[derive(Debug)]
pub struct AvgListenTimePerSong {
    settings: Settings,
    rows: Rows<SongId>,
}

impl AvgListenTimePerSong {
    /// An insight without rows.
    pub fn new(settings: Settings) -> Self {
        Self { settings, rows: Rows::default() }
    }
}

impl Insight for AvgListenTimePerSong {
    fn name(&self) -> &'static str {
        NAME
    }

    fn refresh(&mut self, cut: &Cut) -> bool {
        let songs = cut.dictionaries.songs.read();
        let decimals = self.settings.decimals.0;
        self.rows.refresh(cut.changes.songs.iter().copied(), |song, line| {
            let total = cut.ledger.song_plays().total(song);
            push_cell(line, songs.resolve(song));
            line.push(b',');
            push_ratio(line, u128::from(total.millis), u128::from(total.plays) * 1000, decimals);
            line.push(b'\n');
        })
    }

    fn render(&self, cut: &Cut, emit: &mut dyn FnMut(&[u8])) -> u64 {
        emit(b"song_id,avg_duration\n");
        self.rows.emit(cut.song_order.ids(), emit)
    }
}
