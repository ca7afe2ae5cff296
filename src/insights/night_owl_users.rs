//! Who listens at night?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::insights::rows::Rows;
use crate::insights::{Cut, Insight};
use crate::model::UserId;
use crate::model::value::from_text;
use crate::text::push_cell;
use crate::time::window::{NightWindow, TimeOfDay};

/// Name of the insight.
pub const NAME: &str = "night_owl_users";

/// `[insights.night_owl_users]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether it is published.
    #[serde(deserialize_with = "from_text")]
    pub enabled: bool,
    /// The fewest night plays of a night owl.
    #[serde(deserialize_with = "from_text")]
    pub min_plays: u32,
    /// The first minute of the night.
    #[serde(deserialize_with = "from_text")]
    pub from: TimeOfDay,
    /// The minute after the last of the night.
    #[serde(deserialize_with = "from_text")]
    pub to: TimeOfDay,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, min_plays: 1, from: TimeOfDay(0), to: TimeOfDay(5 * 60) }
    }
}

impl Settings {
    /// The window in which the ledger counts night plays.
    pub fn window(&self) -> NightWindow {
        NightWindow { from: self.from, to: self.to }
    }
}

/// The insight.
#[derive(Debug)]
pub struct NightOwlUsers {
    settings: Settings,
    rows: Rows<UserId>,
}

impl NightOwlUsers {
    /// An insight without rows.
    pub fn new(settings: Settings) -> Self {
        Self { settings, rows: Rows::default() }
    }
}

impl Insight for NightOwlUsers {
    fn name(&self) -> &'static str {
        NAME
    }

    fn refresh(&mut self, cut: &Cut) -> bool {
        let users = cut.dictionaries.users.read();
        let min_plays = self.settings.min_plays;
        self.rows.refresh(cut.changes.users.iter().copied(), |user, line| {
            if cut.ledger.nights().of(user) >= min_plays {
                push_cell(line, users.resolve(user));
                line.push(b'\n');
            }
        })
    }

    fn render(&self, cut: &Cut, emit: &mut dyn FnMut(&[u8])) -> u64 {
        emit(b"user_id\n");
        self.rows.emit(cut.user_order.ids(), emit)
    }
}
