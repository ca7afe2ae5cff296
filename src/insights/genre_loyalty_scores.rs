//! Which listeners play one genre almost exclusively?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::insights::about::{About, InsightSettings};
use crate::insights::column::Column;
use crate::insights::insight::{Cut, Insight, Listener, ListenerTable, MESSAGE, Once};
use crate::insights::query::{Parameter, Weeks};
use crate::insights::rows::Rows;
use crate::insights::rows_by_genres::refresh_by_genres;
use crate::model::UserId;
use crate::model::value::{Decimals, Fraction, from_text};
use crate::text::{push_integer, push_ratio};

/// Name of the insight.
pub const NAME: &str = "genre_loyalty_scores";

/// The insight in words, columns and SQL.
pub const ABOUT: About = About {
    name: NAME,
    title: "Loyal listeners",
    question: "Which listeners play one genre almost exclusively?",
    meaning: "Listeners for whom one genre makes up more than {threshold} of their plays.",
    columns: &[
        Column::USER,
        Column::GENRE,
        Column::integer("genre_plays", "Plays in the genre"),
        Column::integer("total_plays", "All plays"),
        Column::number("loyalty_score", "Share"),
    ],
    empty: "No listener is loyal enough to one genre",
    sql: include_str!("genre_loyalty_scores.sql"),
};

/// `[insights.genre_loyalty_scores]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether the insight is published.
    #[serde(deserialize_with = "from_text")]
    pub enabled: bool,
    /// The share of a listener's plays that a genre must exceed, from 0 to 1.
    #[serde(deserialize_with = "from_text")]
    pub threshold: Fraction,
    /// The number of decimal places of the score, 0 to 18.
    #[serde(deserialize_with = "from_text")]
    pub decimals: Decimals,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, threshold: Fraction::from_billionths(800_000_000), decimals: Decimals(4) }
    }
}

impl InsightSettings for Settings {
    fn parameters(&self, _: Weeks) -> Vec<(&'static str, Parameter)> {
        vec![("threshold", self.threshold.into()), ("decimals", self.decimals.into())]
    }

    fn message(&self) -> Option<String> {
        Some(format!("{MESSAGE}\nNo users found with genre loyalty score above {}.\n", self.threshold))
    }
}

/// The genres above the threshold, by listener.
#[derive(Debug)]
pub struct GenreLoyaltyScores {
    settings: Settings,
    rows: Rows<UserId>,
}

impl GenreLoyaltyScores {
    /// An insight without rows.
    pub fn new(settings: Settings) -> Self {
        Self { settings, rows: Rows::default() }
    }
}

impl ListenerTable for Settings {
    fn push_rows(&self, cut: &Cut, listener: &Listener<'_>, lines: &mut Vec<u8>) {
        let (genres, total) = (listener.genres, listener.genres.total());
        let is_loyal = |plays| self.threshold.compare(plays, total).is_gt();
        if !is_loyal(genres.most()) {
            return;
        }
        genres.each_from(0, |genre, plays| {
            if is_loyal(plays) {
                listener.cell.push_to(lines);
                cut.catalog.genre_cell(genre).push_to(lines);
                lines.push(b',');
                push_integer(lines, plays);
                lines.push(b',');
                push_integer(lines, total);
                lines.push(b',');
                push_ratio(lines, u128::from(plays), u128::from(total), self.decimals.0);
                lines.push(b'\n');
            }
        });
    }

    fn message(&self) -> Option<String> {
        InsightSettings::message(self)
    }
}

impl Insight for GenreLoyaltyScores {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn refresh(&mut self, cut: &Cut) -> bool {
        refresh_by_genres(&mut self.rows, &self.settings, cut)
    }

    fn render(&self, cut: &Cut, emit: &mut dyn FnMut(&[u8])) -> u64 {
        if self.rows.is_empty()
            && let Some(message) = InsightSettings::message(&self.settings)
        {
            emit(message.as_bytes());
            return 1;
        }
        emit(ABOUT.header().as_bytes());
        self.rows.emit(cut.user_order.ids(), emit)
    }

    fn once(&mut self, _: &Cut) -> Once<'_> {
        Once::Listeners(&self.settings)
    }
}
