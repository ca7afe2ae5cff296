//! The insights, one file each, and their registry. An insight answers a question about all plays.
//!
//! A snapshot implements [`Insight`]. It is computed from the ledger and the catalog. [`enriched_logs`] is
//! append-only and has its own worker. The smallest example is `night_owl_users`.
//!
//! # Add an insight
//!
//! 1. Write `<name>.rs` with `ABOUT`, `Settings` and the computation. Write `<name>.sql` in the same folder.
//! 2. Add one line to the registry below. Settings, engine, `verify`, report, API, dashboard and
//!    cluster read the registry.
//! 3. Add a golden case in `tests/cases` and a section in `docs/reference/insights.md`.

pub mod about;
pub mod column;
pub mod genre_counts;
pub mod insight;
pub mod pass;
pub mod query;
pub mod ranges;
pub mod rows;
pub mod rows_by_genres;
pub mod shortlist;
pub mod tally;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::insights::about::{About, InsightSettings};
pub use crate::insights::column::{Column, ColumnType};
pub use crate::insights::insight::{Cut, Insight, MESSAGE, Once};

use crate::insights::query::{Query, Weeks};

/// Declares the modules of the insights, and generates all code that lists the insights.
macro_rules! insights {
    (
        snapshots { $($snapshot:ident: $insight:ident,)* }
        append_only { $($append_only:ident,)* }
    ) => {
        $(pub mod $snapshot;)*
        $(pub mod $append_only;)*

        /// The insights that are snapshots, in the order of the documentation.
        pub const SNAPSHOTS: [&About; [$(stringify!($snapshot)),*].len()] = [$(&$snapshot::ABOUT),*];

        /// The insights that are append-only tables.
        pub const APPEND_ONLY: [&About; [$(stringify!($append_only)),*].len()] =
            [$(&$append_only::ABOUT),*];

        /// The names of all insights: snapshots, then append-only tables.
        pub const NAMES: [&str; [$(stringify!($snapshot),)* $(stringify!($append_only),)*].len()] =
            [$($snapshot::NAME,)* $($append_only::NAME,)*];

        /// `[insights.<name>]`
        #[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
        #[serde(default, deny_unknown_fields)]
        #[allow(missing_docs, reason = "each table is described by the question of its insight")]
        pub struct Settings {
            $(
                #[schemars(description = $snapshot::ABOUT.question)]
                pub $snapshot: $snapshot::Settings,
            )*
            $(
                #[schemars(description = $append_only::ABOUT.question)]
                pub $append_only: $append_only::Settings,
            )*
        }

        impl Settings {
            /// The enabled snapshots, still without rows.
            pub fn enabled_snapshots(&self) -> Vec<Box<dyn Insight>> {
                let mut enabled: Vec<Box<dyn Insight>> = Vec::new();
                $(
                    if self.$snapshot.enabled {
                        enabled.push(Box::new($snapshot::$insight::new(self.$snapshot.clone())));
                    }
                )*
                enabled
            }

            /// The queries of the enabled snapshots.
            pub fn queries(&self, weeks: Weeks) -> Vec<Query> {
                let mut queries = Vec::new();
                $(
                    if self.$snapshot.enabled {
                        let About { name, sql, .. } = $snapshot::ABOUT;
                        queries.push(Query { name, sql, parameters: self.$snapshot.parameters(weeks) });
                    }
                )*
                queries
            }

            /// The settings of the insight with this name, if there is one.
            fn of(&self, name: &str) -> Option<&dyn InsightSettings> {
                $(if name == $snapshot::ABOUT.name { return Some(&self.$snapshot); })*
                $(if name == $append_only::ABOUT.name { return Some(&self.$append_only); })*
                None
            }
        }
    };
}

// `cargo fmt` does not find these modules: run `rustfmt --edition 2024 src/insights/*.rs`.
insights! {
    snapshots {
        user_favorite_genres: UserFavoriteGenres,
        avg_listen_time_per_song: AvgListenTimePerSong,
        top_songs_this_week: TopSongsThisWeek,
        happy_recommendations: HappyRecommendations,
        genre_loyalty_scores: GenreLoyaltyScores,
        night_owl_users: NightOwlUsers,
    }
    append_only {
        enriched_logs,
    }
}

impl Settings {
    /// The content of the CSV file of an insight without rows. With `None`, such a file has only a header.
    pub fn message(&self, name: &str) -> Option<String> {
        self.of(name).and_then(InsightSettings::message)
    }

    /// Checks values that depend on each other.
    ///
    /// # Errors
    /// The first table of settings with wrong values, and the values that it allows.
    pub fn check(&self) -> Result<(), String> {
        NAMES.iter().try_for_each(|name| {
            let checked = self.of(name).map_or(Ok(()), InsightSettings::check);
            checked.map_err(|message| format!("insights.{name}: {message}"))
        })
    }
}

/// All insights: snapshots, then append-only tables.
pub fn all() -> impl Iterator<Item = &'static About> {
    SNAPSHOTS.into_iter().chain(APPEND_ONLY)
}

/// The description of the insight with this name, if there is one.
pub fn about(name: &str) -> Option<&'static About> {
    all().find(|about| about.name == name)
}

/// The name of the table of a period that answers the question of an insight.
pub fn name_in_period(name: &'static str) -> &'static str {
    if name == top_songs_this_week::NAME { top_songs_this_week::NAME_IN_PERIOD } else { name }
}

/// The columns of the insight with this name in the order of its header, if there is such an insight.
///
/// ```
/// use music_insights::insights::{ColumnType, columns};
/// let [song, plays] = columns("top_songs_this_week").unwrap() else { panic!() };
/// assert_eq!((song.kind, plays.kind), (ColumnType::Text, ColumnType::Integer));
/// ```
pub fn columns(name: &str) -> Option<&'static [Column]> {
    about(name).map(|about| about.columns)
}

/// The first line of a file of an insight; empty if there is no insight of this name.
pub fn header(name: &str) -> String {
    about(name).map(About::header).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::time::civil::Week;

    /// The name after each `$` in the text of a query. Comments are ignored.
    fn parameters_of(sql: &str) -> BTreeSet<&str> {
        let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
        let words = lines.flat_map(|line| line.split('$').skip(1));
        words
            .map(|word| word.split(|char: char| !char.is_alphanumeric() && char != '_').next().unwrap())
            .collect()
    }

    #[test]
    fn every_query_gets_the_parameters_that_it_names() {
        let weeks = Weeks { latest: None, current: Week(0) };
        let queries = Settings::default().queries(weeks);
        assert_eq!(queries.len(), SNAPSHOTS.len());
        for Query { name, sql, parameters } in queries {
            let given: BTreeSet<&str> = parameters.iter().map(|(name, _)| *name).collect();
            assert_eq!(given, parameters_of(sql), "{name}");
        }
    }

    #[test]
    fn placeholders_of_meanings_are_settings() {
        let settings = serde_json::to_value(Settings::default()).unwrap();
        for about in all() {
            let value = |key: &str| match key {
                "timezone" | "published_week" => Some(String::new()),
                _ => settings[about.name].get(key).map(ToString::to_string),
            };
            assert!(!about.meaning(value).contains('{'), "{}: {}", about.name, about.meaning);
        }
    }
}
