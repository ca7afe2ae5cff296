//! One query per insight, one for `_rejects`, and one for a total of the manifest.
//!
//! The settings of an insight are parameters of its query, written `$name`.

use datafusion::common::ScalarValue;

/// A query and the values of its parameters.
#[derive(Clone, Debug)]
pub struct Query {
    /// The table that the query computes, such as the name of an insight.
    pub name: &'static str,
    /// The SQL text.
    pub sql: &'static str,
    /// Values by name.
    pub parameters: Vec<(&'static str, Value)>,
}

/// The value of a parameter.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text.
    Text(String),
    /// A count, a limit, or a fraction in billionths.
    Number(i64),
    /// Days from 1970-01-01 to the Monday of a week.
    Week(i32),
    /// A switch.
    Flag(bool),
}

impl Value {
    pub(crate) fn scalar(&self) -> ScalarValue {
        match self {
            Self::Text(text) => ScalarValue::Utf8(Some(text.clone())),
            Self::Number(number) => ScalarValue::Int64(Some(*number)),
            Self::Week(week) => ScalarValue::Int32(Some(*week)),
            Self::Flag(flag) => ScalarValue::Boolean(Some(*flag)),
        }
    }
}

macro_rules! of_file {
    ($($constant:ident = $name:literal;)*) => {
        $(
            #[doc = concat!("The query of `", $name, "`.")]
            pub const $constant: &str = include_str!(concat!("../sql/", $name, ".sql"));
        )*
    };
}

of_file! {
    USER_FAVORITE_GENRES = "user_favorite_genres";
    AVG_LISTEN_TIME_PER_SONG = "avg_listen_time_per_song";
    TOP_SONGS_THIS_WEEK = "top_songs_this_week";
    HAPPY_RECOMMENDATIONS = "happy_recommendations";
    GENRE_LOYALTY_SCORES = "genre_loyalty_scores";
    NIGHT_OWL_USERS = "night_owl_users";
    ENRICHED_LOGS = "enriched_logs";
}

/// The rejects of some inputs, in order.
pub const REJECTS: &str = "SELECT input, line, byte_offset, reason, raw FROM rejects ORDER BY input, place";

/// The number of unmatched plays.
pub const UNMATCHED: &str = "SELECT coalesce(sum(plays), 0) AS plays FROM song_weeks \
     WHERE NOT EXISTS (SELECT 1 FROM songs WHERE songs.song_id = song_weeks.song_id)";
