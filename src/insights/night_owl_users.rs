//! Who listens at night?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::insights::about::{About, InsightSettings};
use crate::insights::column::Column;
use crate::insights::insight::{Cut, Insight, Listener, ListenerTable, Once};
use crate::insights::query::{Parameter, Weeks};
use crate::insights::rows::Rows;
use crate::model::UserId;
use crate::model::value::from_text;
use crate::text::push_cell;
use crate::time::window::{NightWindow, TimeOfDay};

/// Name of the insight.
pub const NAME: &str = "night_owl_users";

/// The insight in words, columns and SQL.
pub const ABOUT: About = About {
    name: NAME,
    title: "Night owls",
    question: "Who listens at night?",
    meaning: "Listeners with plays at night, from {from} to {to} in {timezone}.",
    columns: &[Column::USER],
    empty: "No listener has plays at night",
    sql: include_str!("night_owl_users.sql"),
};

/// `[insights.night_owl_users]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether the insight is published.
    #[serde(deserialize_with = "from_text")]
    pub enabled: bool,
    /// How many plays at night make a listener a night owl; with 0, every listener is a night owl.
    #[serde(deserialize_with = "from_text")]
    pub min_plays: u32,
    /// The start of the night.
    #[serde(deserialize_with = "from_text")]
    pub from: TimeOfDay,
    /// The end of the night, exclusive; must differ from `from`.
    #[serde(deserialize_with = "from_text")]
    pub to: TimeOfDay,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, min_plays: 1, from: TimeOfDay(0), to: TimeOfDay(5 * 60) }
    }
}

impl Settings {
    /// The hours of the night. The ledger counts the plays in this window.
    pub fn window(&self) -> NightWindow {
        NightWindow { from: self.from, to: self.to }
    }
}

impl InsightSettings for Settings {
    fn parameters(&self, _: Weeks) -> Vec<(&'static str, Parameter)> {
        vec![("min_plays", self.min_plays.into())]
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.from == self.to { Err("`from` and `to` must differ") } else { Ok(()) }
    }
}

/// The listeners with enough plays at night.
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

impl ListenerTable for Settings {
    fn push_rows(&self, cut: &Cut, listener: &Listener<'_>, lines: &mut Vec<u8>) {
        if cut.ledger.nights().of(listener.user) >= self.min_plays {
            listener.cell.push_to(lines);
            lines.push(b'\n');
        }
    }
}

impl Insight for NightOwlUsers {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn reads_catalog(&self) -> bool {
        false
    }

    fn refresh(&mut self, cut: &Cut) -> bool {
        let users = cut.dictionaries.users.read();
        let min_plays = self.settings.min_plays;
        self.rows.refresh(&cut.changes.users, cut.threads, || {
            |user, line: &mut Vec<u8>| {
                if cut.ledger.nights().of(user) >= min_plays {
                    push_cell(line, users.resolve(user));
                    line.push(b'\n');
                }
            }
        })
    }

    fn render(&self, cut: &Cut, emit: &mut dyn FnMut(&[u8])) -> u64 {
        emit(ABOUT.header().as_bytes());
        self.rows.emit(cut.user_order.ids(), emit)
    }

    fn once(&mut self, _: &Cut) -> Once<'_> {
        Once::Listeners(&self.settings)
    }
}
