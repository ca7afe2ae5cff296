//! Which users play one genre far more than all others?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::GenreId;
use crate::insights::rows::Rows;
use crate::insights::tally::Tally;
use crate::insights::user_favorite_genres::count_genres;
use crate::insights::{Cut, Insight, MESSAGE};
use crate::model::UserId;
use crate::model::value::{Decimals, Fraction, from_text};
use crate::text::{push_cell, push_integer, push_ratio};

/// Name of the insight.
pub const NAME: &str = "genre_loyalty_scores";

/// `[insights.genre_loyalty_scores]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether it is published.
    #[serde(deserialize_with = "from_text")]
    pub enabled: bool,
    /// The share that a genre must exceed.
    #[serde(deserialize_with = "from_text")]
    pub threshold: Fraction,
    /// Decimals of the score.
    #[serde(deserialize_with = "from_text")]
    pub decimals: Decimals,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, threshold: Fraction::from_billionths(800_000_000), decimals: Decimals(4) }
    }
}

/// The file of an insight without rows: a header and a row that says so.
pub fn message(threshold: Fraction) -> String {
    format!("{MESSAGE}\nNo users found with genre loyalty score above {threshold}.\n")
}

/// The insight.
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

impl Insight for GenreLoyaltyScores {
    fn name(&self) -> &'static str {
        NAME
    }

    fn refresh(&mut self, cut: &Cut) -> bool {
        let users = cut.dictionaries.users.read();
        let Settings { threshold, decimals, .. } = self.settings;
        let mut tally = Tally::default();
        self.rows.refresh(cut.users_to_refresh(), |user, lines| {
            let total = count_genres(&mut tally, cut.ledger.listens().of(user), &cut.catalog);
            for (genre, plays) in tally.sorted().filter(|&(_, plays)| threshold.compare(plays, total).is_gt())
            {
                push_cell(lines, users.resolve(user));
                lines.push(b',');
                push_cell(lines, cut.catalog.genre_name(GenreId::from_index(genre)));
                lines.push(b',');
                push_integer(lines, plays);
                lines.push(b',');
                push_integer(lines, total);
                lines.push(b',');
                push_ratio(lines, u128::from(plays), u128::from(total), decimals.0);
                lines.push(b'\n');
            }
        })
    }

    fn render(&self, cut: &Cut, emit: &mut dyn FnMut(&[u8])) -> u64 {
        if self.rows.is_empty() {
            emit(message(self.settings.threshold).as_bytes());
            return 1;
        }
        emit(b"user_id,genre,genre_plays,total_plays,loyalty_score\n");
        self.rows.emit(cut.user_order.ids(), emit)
    }
}
