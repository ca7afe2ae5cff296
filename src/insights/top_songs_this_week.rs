//! Which songs are played most in one week?

use std::cmp::Reverse;
use std::fmt::{self, Display};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::insights::about::{About, InsightSettings};
use crate::insights::column::Column;
use crate::insights::insight::{Cut, Insight, Once};
use crate::insights::query::{Parameter, Weeks};
use crate::model::value::{from_text, written_as};
use crate::text::{push_cell, push_integer};
use crate::time::civil::Week;

/// Name of the insight.
pub const NAME: &str = "top_songs_this_week";

/// Name of the table of a period, which ranks the songs of that period.
pub const NAME_IN_PERIOD: &str = "top_songs";

/// The insight in words, columns and SQL.
pub const ABOUT: About = About {
    name: NAME,
    title: "Top songs of the week",
    question: "Which songs are played most in one week?",
    meaning: "The {limit} most played songs of one week, Monday to Sunday: {published_week}.",
    columns: &[Column::SONG, Column::integer("plays", "Plays")],
    empty: "No plays in this week",
    sql: include_str!("top_songs_this_week.sql"),
};

/// `[insights.top_songs_this_week]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether the insight is published.
    #[serde(deserialize_with = "from_text")]
    pub enabled: bool,
    /// The maximum number of songs.
    #[serde(deserialize_with = "from_text")]
    pub limit: usize,
    /// The week: `latest` (with the latest play), `current`, or an ISO week such as `2025-W13`.
    #[serde(deserialize_with = "from_text")]
    pub week: WeekChoice,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, limit: 10, week: WeekChoice::Latest }
    }
}

/// The week to count, as a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeekChoice {
    /// The week of the latest play.
    Latest,
    /// The week of the current time.
    Current,
    /// A fixed ISO 8601 week such as `2025-W13`.
    Named(Week),
}

impl FromStr for WeekChoice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected `latest`, `current` or an ISO-8601 week such as 2025-W13";
        match text {
            "latest" => Ok(Self::Latest),
            "current" => Ok(Self::Current),
            _ => {
                let (year, week) = text.split_once("-W").ok_or(EXPECTED)?;
                let digits = year.bytes().chain(week.bytes()).all(|byte| byte.is_ascii_digit());
                if year.len() != 4 || week.len() != 2 || !digits {
                    return Err(EXPECTED);
                }
                let (year, week) = (year.parse().map_err(|_| EXPECTED)?, week.parse().map_err(|_| EXPECTED)?);
                Week::from_iso(year, week).map(Self::Named).ok_or("there is no such ISO-8601 week")
            }
        }
    }
}

impl Display for WeekChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => formatter.write_str("latest"),
            Self::Current => formatter.write_str("current"),
            Self::Named(week) => write!(formatter, "{week}"),
        }
    }
}

written_as!(WeekChoice, "pattern": "^(latest|current|[0-9]{4}-W[0-9]{2})$");

/// The ranking of one week.
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

impl WeekChoice {
    /// The chosen week; `None` for [`Self::Latest`] if there are no plays.
    pub fn resolve(self, weeks: Weeks) -> Option<Week> {
        match self {
            Self::Latest => weeks.latest,
            Self::Current => Some(weeks.current),
            Self::Named(week) => Some(week),
        }
    }
}

impl InsightSettings for Settings {
    fn parameters(&self, weeks: Weeks) -> Vec<(&'static str, Parameter)> {
        vec![("limit", self.limit.into()), ("week", self.week.resolve(weeks).into())]
    }
}

impl Insight for TopSongsThisWeek {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn reads_catalog(&self) -> bool {
        false
    }

    fn refresh(&mut self, cut: &Cut) -> bool {
        let songs = cut.dictionaries.songs.read();
        let song_plays = cut.ledger.song_plays();
        let ranked = |(song, plays)| (Reverse(plays), songs.resolve(song));
        let mut top: Vec<_> = if cut.period.is_some() {
            song_plays.songs().map(|song| ranked((song, song_plays.total(song).plays))).collect()
        } else {
            let week = self.settings.week.resolve(cut.weeks());
            week.into_iter().flat_map(|week| song_plays.of_week(week)).map(ranked).collect()
        };
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
        emit(ABOUT.header().as_bytes());
        emit(&self.lines);
        self.count
    }

    fn once(&mut self, cut: &Cut) -> Once<'_> {
        self.refresh(cut);
        Once::Table(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn week_choices_are_parsed_as_written() {
        for text in ["latest", "current", "2025-W13", "0001-W01"] {
            assert_eq!(text.parse::<WeekChoice>().unwrap().to_string(), text);
        }
        assert_eq!("2025-W13".parse(), Ok(WeekChoice::Named(Week::from_iso(2025, 13).unwrap())));
        assert!("2025-W53".parse::<WeekChoice>().is_err() && "2025-13".parse::<WeekChoice>().is_err());
    }
}
