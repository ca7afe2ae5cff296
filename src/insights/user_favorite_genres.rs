//! Which genre does each listener play most?

use std::fmt::{self, Display};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::insights::about::{About, InsightSettings};
use crate::insights::column::Column;
use crate::insights::insight::{Cut, Insight, Listener, ListenerTable, Once};
use crate::insights::query::{Parameter, Weeks};
use crate::insights::rows::Rows;
use crate::insights::rows_by_genres::refresh_by_genres;
use crate::model::UserId;
use crate::model::value::{from_text, written_as};
use crate::text::push_integer;

/// Name of the insight.
pub const NAME: &str = "user_favorite_genres";

/// The insight in words, columns and SQL.
pub const ABOUT: About = About {
    name: NAME,
    title: "Favourite genres",
    question: "Which genre does each listener play most?",
    meaning: "The genre that each listener plays most, or several genres in case of a tie.",
    columns: &[Column::USER, Column::GENRE, Column::integer("play_count", "Plays")],
    empty: "No plays of songs with a genre yet",
    sql: include_str!("user_favorite_genres.sql"),
};

/// `[insights.user_favorite_genres]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether the insight is published.
    #[serde(deserialize_with = "from_text")]
    pub enabled: bool,
    /// Which genres to publish if several genres tie: `all`, or only the `first` in byte order.
    #[serde(deserialize_with = "from_text")]
    pub ties: Ties,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, ties: Ties::All }
    }
}

/// The rows of a listener whose favourite genres tie, as a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ties {
    /// One row for each favourite genre.
    All,
    /// One row, for the first favourite genre in byte order.
    First,
}

impl FromStr for Ties {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            "first" => Ok(Self::First),
            _ => Err("expected `all` or `first`"),
        }
    }
}

impl Display for Ties {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::All => "all",
            Self::First => "first",
        })
    }
}

written_as!(Ties, "enum": ["all", "first"]);

impl InsightSettings for Settings {
    fn parameters(&self, _: Weeks) -> Vec<(&'static str, Parameter)> {
        vec![("ties", Parameter::Text(self.ties.to_string()))]
    }
}

/// The genres with the most plays, by listener.
#[derive(Debug)]
pub struct UserFavoriteGenres {
    settings: Settings,
    rows: Rows<UserId>,
}

impl UserFavoriteGenres {
    /// An insight without rows.
    pub fn new(settings: Settings) -> Self {
        Self { settings, rows: Rows::default() }
    }
}

impl ListenerTable for Settings {
    fn push_rows(&self, cut: &Cut, listener: &Listener<'_>, lines: &mut Vec<u8>) {
        let mut limit = if self.ties == Ties::First { 1 } else { usize::MAX };
        listener.genres.each_from(listener.genres.most(), |genre, plays| {
            if limit > 0 {
                limit -= 1;
                listener.cell.push_to(lines);
                cut.catalog.genre_cell(genre).push_to(lines);
                lines.push(b',');
                push_integer(lines, plays);
                lines.push(b'\n');
            }
        });
    }
}

impl Insight for UserFavoriteGenres {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn refresh(&mut self, cut: &Cut) -> bool {
        refresh_by_genres(&mut self.rows, &self.settings, cut)
    }

    fn render(&self, cut: &Cut, emit: &mut dyn FnMut(&[u8])) -> u64 {
        emit(ABOUT.header().as_bytes());
        self.rows.emit(cut.user_order.ids(), emit)
    }

    fn once(&mut self, _: &Cut) -> Once<'_> {
        Once::Listeners(&self.settings)
    }
}
