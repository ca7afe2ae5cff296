//! The settings that influence the results, with their defaults.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::dialect::Dialect;
use super::periods::Periods;

/// The value 1 of a setting that is a fraction. Fractions are integers in billionths, never floats. This is
/// exact, because a setting has at most nine decimal places.
pub const ONE: u64 = 1_000_000_000;

/// The setting `insights.top_songs_this_week.week`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Week {
    /// The week of the latest play.
    Latest,
    /// The week of `now`.
    Current,
    /// A week with this ISO year and ISO week.
    Named(i32, u32),
}

/// All settings that influence the output of `replay`.
#[derive(Debug, Clone)]
pub struct Settings {
    pub timezone: chrono_tz::Tz,
    /// The time of reading, in Unix seconds.
    pub now: i64,
    pub max_future_seconds: i64,
    pub max_bad_lines: Option<u64>,
    /// The first local date of the plays that count.
    pub from: Option<NaiveDate>,
    /// The last local date of the plays that count.
    pub to: Option<NaiveDate>,
    /// The dialect of logs.
    pub input: Dialect,
    /// The dialect of the catalog.
    pub catalog: Dialect,
    /// Whether `user_favorite_genres.ties` is `first`.
    pub ties_first: bool,
    pub avg_decimals: u32,
    pub top_limit: usize,
    pub week: Week,
    pub per_user: usize,
    pub min_sad_plays: u64,
    /// In billionths.
    pub min_sad_share: u64,
    pub dominant: bool,
    /// In billionths.
    pub threshold: u64,
    pub loyalty_decimals: u32,
    /// The setting `night_owl_users.min_plays`.
    pub min_plays: u64,
    /// The start of the night, in minutes since midnight.
    pub night_from: u32,
    /// The end of the night, in minutes since midnight. This minute no longer belongs to the night.
    pub night_to: u32,
    pub roll_bytes: u64,
    /// The settings of periods.
    pub periods: Periods,
    /// The settings of all insights as text, such as `night_owl_users.min_plays`. Used for settings without
    /// a field above.
    pub insights: BTreeMap<String, String>,
}

impl Settings {
    /// The value of an insight setting that is a number, or `default` if the setting is missing.
    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.insights.get(name).map_or(default, |text| text.parse().unwrap())
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            timezone: chrono_tz::UTC,
            now: 1_795_392_000, // 2026-11-23T00:00:00Z
            max_future_seconds: 48 * 3600,
            max_bad_lines: None,
            from: None,
            to: None,
            input: Dialect::of_logs(),
            catalog: Dialect::of_catalog(),
            ties_first: false,
            avg_decimals: 2,
            top_limit: 10,
            week: Week::Latest,
            per_user: 3,
            min_sad_plays: 1,
            min_sad_share: 0,
            dominant: false,
            threshold: 800_000_000,
            loyalty_decimals: 4,
            min_plays: 1,
            night_from: 0,
            night_to: 5 * 60,
            roll_bytes: 256 * 1024 * 1024,
            periods: Periods::default(),
            insights: BTreeMap::new(),
        }
    }
}

/// Prints billionths as an exact decimal without trailing zeros: `0.8`, `0.85`, `1`, `0`.
pub fn format_fraction(billionths: u64) -> String {
    let text = format!("{}.{:09}", billionths / ONE, billionths % ONE);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}
