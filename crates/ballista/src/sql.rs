//! SQL queries with their parameters, and the queries for the manifest and `_rejects`.
//!
//! The query of an insight is in a file next to the module of the insight. The settings of the insight are parameters
//! of the query, written `$name`.

use datafusion::common::ScalarValue;

/// A query and the values of its parameters.
#[derive(Clone, Debug)]
pub struct Query {
    /// The table that the query computes, such as the name of an insight.
    pub name: &'static str,
    /// The SQL text.
    pub sql: &'static str,
    /// The values of the parameters, by name.
    pub parameters: Vec<(&'static str, Value)>,
}

/// The value of a parameter.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text.
    Text(String),
    /// A count, a limit, or a fraction in billionths.
    Number(i64),
    /// A week, as the number of days from 1970-01-01 to its Monday.
    Week(i32),
    /// A Boolean value.
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

/// The rejected rows of some inputs, in order.
pub const REJECTS: &str = "SELECT input, line, byte_offset, reason, raw FROM rejects ORDER BY input, place";

/// The number of unmatched plays.
pub const UNMATCHED: &str = "SELECT coalesce(sum(plays), 0) AS plays FROM song_weeks \
     WHERE NOT EXISTS (SELECT 1 FROM songs WHERE songs.song_id = song_weeks.song_id)";
