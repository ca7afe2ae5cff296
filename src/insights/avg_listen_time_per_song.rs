//! How long is each song played on average?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::insights::about::{About, InsightSettings};
use crate::insights::column::Column;
use crate::insights::insight::{Cut, Insight, Once, SongTable};
use crate::insights::query::{Parameter, Weeks};
use crate::insights::rows::Rows;
use crate::ledger::song_plays::Total;
use crate::model::SongId;
use crate::model::value::{Decimals, from_text};
use crate::text::{push_cell, push_ratio};

/// Name of the insight.
pub const NAME: &str = "avg_listen_time_per_song";

/// The insight in words, columns and SQL.
pub const ABOUT: About = About {
    name: NAME,
    title: "Average listening time",
    question: "How long is each song played on average?",
    meaning: "The mean duration of all plays of a song, in seconds.",
    columns: &[Column::SONG, Column::number("avg_duration", "Seconds per play")],
    empty: "No plays yet",
    sql: include_str!("avg_listen_time_per_song.sql"),
};

/// `[insights.avg_listen_time_per_song]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether the insight is published.
    #[serde(deserialize_with = "from_text")]
    pub enabled: bool,
    /// The number of decimal places of the mean, 0 to 18.
    #[serde(deserialize_with = "from_text")]
    pub decimals: Decimals,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, decimals: Decimals(2) }
    }
}

impl InsightSettings for Settings {
    fn parameters(&self, _: Weeks) -> Vec<(&'static str, Parameter)> {
        vec![("decimals", self.decimals.into())]
    }
}

/// The mean duration of each song.
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

impl SongTable for Settings {
    fn push_row(&self, id: &[u8], total: Total, line: &mut Vec<u8>) {
        push_cell(line, id);
        line.push(b',');
        push_ratio(line, u128::from(total.millis), u128::from(total.plays) * 1000, self.decimals.0);
        line.push(b'\n');
    }
}

impl Insight for AvgListenTimePerSong {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn reads_catalog(&self) -> bool {
        false
    }

    fn refresh(&mut self, cut: &Cut) -> bool {
        let (songs, settings) = (cut.dictionaries.songs.read(), &self.settings);
        self.rows.refresh(&cut.changes.songs, cut.threads, || {
            |song, line: &mut Vec<u8>| {
                settings.push_row(songs.resolve(song), cut.ledger.song_plays().total(song), line);
            }
        })
    }

    fn render(&self, cut: &Cut, emit: &mut dyn FnMut(&[u8])) -> u64 {
        emit(ABOUT.header().as_bytes());
        self.rows.emit(cut.song_order.ids(), emit)
    }

    fn once(&mut self, _: &Cut) -> Once<'_> {
        Once::Songs(&self.settings)
    }
}
