//! Which songs are played most this week?

use std::cmp::Reverse;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::insights::{Cut, Insight};
use crate::model::value::{WeekChoice, from_text};
use crate::text::{push_cell, push_integer};
use crate::time::civil::Week;

/// Name of the insight.
pub const NAME: &str = "top_songs_this_week";

/// `[insights.top_songs_this_week]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether it is published.
    #[serde(deserialize_with = "from_text")]
    pub enabled: bool,
    /// Number of songs.
    #[serde(deserialize_with = "from_text")]
    pub limit: usize,
    /// Which week: `latest` (that of the latest play), `current` (that of now), or one such as `2025-W13`.
    #[serde(deserialize_with = "from_text")]
    pub week: WeekChoice,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, limit: 10, week: WeekChoice::Latest }
    }
}

/// The insight.
#[derive(Debug)]
pub struct TopSongsThisWeek {
    settings: Settings,
    lines: Vec<u8>,
    count: u64,
}

impl TopSongsThisWeek {
    /// An insight without rows.
    pub fn new(settings: Settings) -> Self {
        Self { settings, lines: Vec::new(), count: 0 }
    }
}

impl Settings {
    /// The week that is looked at, if the latest play is of this local time and now is in that week.
    pub fn week_of(&self, latest_local: Option<i64>, current: Week) -> Option<Week> {
        match self.week {
            WeekChoice::Latest => latest_local.map(Week::of_local),
            WeekChoice::Current => Some(current),
            WeekChoice::Named(week) => Some(week),
        }
    }
}

impl Insight for TopSongsThisWeek {
    fn name(&self) -> &'static str {
        NAME
    }

    fn refresh(&mut self, cut: &Cut) -> bool {
        let songs = cut.dictionaries.songs.read();
        let week = self.settings.week_of(cut.ledger.latest_local(), cut.current_week);
        let played = week.into_iter().flat_map(|week| cut.ledger.song_plays().of_week(week));
        let mut top: Vec<_> = played.map(|(song, plays)| (Reverse(plays), songs.resolve(song))).collect();
        if top.len() > self.settings.limit {
            top.select_nth_unstable(self.settings.limit);
            top.truncate(self.settings.limit);
        }
        top.sort_unstable();
        let mut lines = Vec::new();
        for (Reverse(plays), song) in &top {
            push_cell(&mut lines, song);
            lines.push(b',');
            push_integer(&mut lines, *plays);
            lines.push(b'\n');
        }
        self.count = top.len() as u64;
        let changed = lines != self.lines;
        self.lines = lines;
        changed
    }

    fn render(&self, _: &Cut, emit: &mut dyn FnMut(&[u8])) -> u64 {
        emit(b"song_id,plays\n");
        emit(&self.lines);
        self.count
    }
}
