//! The query that computes an insight: its second definition, for tests.

use crate::model::value::{Decimals, Fraction};
use crate::time::civil::Week;

/// The weeks that a query may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weeks {
    /// The week of the latest play; `None` if there are no plays.
    pub latest: Option<Week>,
    /// The week that contains the current time.
    pub current: Week,
}

impl Weeks {
    /// The week of the latest play and the current week. `latest_local` is the local time of the latest play
    /// in seconds.
    pub fn new(latest_local: Option<i64>, current: Week) -> Self {
        Self { latest: latest_local.map(Week::of_local), current }
    }
}

/// A query with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The name of the insight.
    pub name: &'static str,
    /// The text. Parameters are written as `$name`.
    pub sql: &'static str,
    /// The values of the parameters, by name.
    pub parameters: Vec<(&'static str, Parameter)>,
}

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// Text.
    Text(String),
    /// A count, a limit, or a fraction in billionths.
    Number(i64),
    /// The days from 1970-01-01 to the Monday of a week.
    Week(i32),
    /// A truth value.
    Flag(bool),
}

impl From<u64> for Parameter {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Parameter {
    fn from(number: usize) -> Self {
        Self::from(number as u64)
    }
}

impl From<u32> for Parameter {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<Decimals> for Parameter {
    fn from(decimals: Decimals) -> Self {
        Self::from(decimals.0)
    }
}

impl From<Fraction> for Parameter {
    fn from(fraction: Fraction) -> Self {
        Self::from(fraction.billionths())
    }
}

impl From<bool> for Parameter {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<Option<Week>> for Parameter {
    fn from(week: Option<Week>) -> Self {
        // If there is no week, the query gets a week that has no plays, so the result has no rows.
        Self::Week(week.map_or(i32::MIN, |week| (week.seconds().start / 86_400) as i32))
    }
}
