//! The rules that say which periods are kept and published.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

use crate::model::value::{from_text, keywords};
use crate::time::period::{Length, Period};

keywords! {
    /// What decides which period is the latest one.
    #[derive(Default)]
    pub enum LatestPeriod {
        /// The last play in calendar order.
        #[default]
        Data = "data",
        /// The current time.
        Now = "now",
    }
}

/// How many periods of one length are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// This number of the latest periods. Zero means none.
    Latest(u32),
    /// Every period with a play.
    All,
}

impl Default for Kept {
    fn default() -> Self {
        Self::NONE
    }
}

impl Kept {
    /// No period.
    pub const NONE: Self = Self::Latest(0);

    /// Whether `other` keeps at least the same periods.
    fn is_within(self, other: Self) -> bool {
        match (self, other) {
            (_, Self::All) => true,
            (Self::All, Self::Latest(_)) => false,
            (Self::Latest(one), Self::Latest(other)) => one <= other,
        }
    }
}

impl FromStr for Kept {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            _ => text.parse().map(Self::Latest).map_err(|_| "expected a number of periods or `all`"),
        }
    }
}

impl Display for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest(periods) => write!(formatter, "{periods}"),
            Self::All => formatter.write_str("all"),
        }
    }
}

impl Serialize for Kept {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Latest(periods) => serializer.serialize_u32(*periods),
            Self::All => serializer.serialize_str("all"),
        }
    }
}

impl JsonSchema for Kept {
    fn schema_name() -> Cow<'static, str> {
        "Kept".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "minimum": 0, "pattern": r"^(\+?[0-9]+|all)$" })
    }
}

/// How many periods of each length are kept, and which period is the latest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeriodRules {
    /// `periods.day`
    #[serde(deserialize_with = "from_text")]
    pub day: Kept,
    /// `periods.week`
    #[serde(deserialize_with = "from_text")]
    pub week: Kept,
    /// `periods.month`
    #[serde(deserialize_with = "from_text")]
    pub month: Kept,
    /// `periods.quarter`
    #[serde(deserialize_with = "from_text")]
    pub quarter: Kept,
    /// `periods.year`
    #[serde(deserialize_with = "from_text")]
    pub year: Kept,
    /// `periods.latest`
    #[serde(deserialize_with = "from_text")]
    pub latest: LatestPeriod,
}

impl PeriodRules {
    /// How many periods of a length are kept.
    pub fn kept(&self, length: Length) -> Kept {
        match length {
            Length::Day => self.day,
            Length::Week => self.week,
            Length::Month => self.month,
            Length::Quarter => self.quarter,
            Length::Year => self.year,
        }
    }

    /// The lengths of which any period is kept.
    pub fn lengths(&self) -> impl Iterator<Item = Length> {
        Length::ALL.into_iter().filter(|&length| self.kept(length) != Kept::NONE)
    }

    /// Whether no period is kept.
    pub fn is_empty(&self) -> bool {
        self.lengths().next().is_none()
    }

    /// Whether the current time decides which periods are published.
    pub fn follows_clock(&self) -> bool {
        let is_limited = |length| matches!(self.kept(length), Kept::Latest(_));
        self.latest == LatestPeriod::Now && self.lengths().any(is_limited)
    }

    /// Whether the current time belongs to the description of a cut.
    pub fn states_now(&self) -> bool {
        self.latest == LatestPeriod::Now && !self.is_empty()
    }

    /// Whether the plays of a period are published now, or will be published when a later period is the latest.
    /// `latest_day` is a day in the latest period of every length, as a number of days since 1970-01-01; `None`
    /// without plays.
    pub fn needs(&self, period: Period, latest_day: Option<i64>) -> bool {
        match self.kept(period.length) {
            Kept::All => true,
            Kept::Latest(0) => false,
            Kept::Latest(periods) => latest_day
                .is_none_or(|day| period >= Period::of_day(period.length, day).back(i64::from(periods) - 1)),
        }
    }

    /// Whether a period is published if it has a play. `latest_day` as in [`needs`](Self::needs).
    pub fn publishes(&self, period: Period, latest_day: Option<i64>) -> bool {
        let is_reached = || latest_day.is_some_and(|day| period <= Period::of_day(period.length, day));
        self.kept(period.length) == Kept::All || self.needs(period, latest_day) && is_reached()
    }

    /// Whether a state with the rules `other` has all plays that these rules need.
    pub fn is_within(&self, other: &Self) -> bool {
        self.differences(other).next().is_none()
    }

    /// The settings that need plays which a state with the rules `other` does not have: name, value of `other`,
    /// own value.
    pub fn differences(&self, other: &Self) -> impl Iterator<Item = (String, String, String)> {
        let more = Length::ALL.into_iter().filter(|&length| !self.kept(length).is_within(other.kept(length)));
        let more = more.map(|length| {
            let name = format!("periods.{}", length.name());
            (name, other.kept(length).to_string(), self.kept(length).to_string())
        });
        let differs = self.latest != other.latest && !(self.is_empty() && other.is_empty());
        let latest = ("periods.latest".to_owned(), other.latest.to_string(), self.latest.to_string());
        more.chain(differs.then_some(latest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::civil::CivilDate;

    fn day(text: &str) -> Option<i64> {
        CivilDate::parse(text).unwrap().to_days()
    }

    fn period(text: &str) -> Period {
        text.parse().unwrap()
    }

    #[test]
    fn the_latest_periods_are_counted_in_the_calendar() {
        let rules = PeriodRules { month: Kept::Latest(3), year: Kept::All, ..PeriodRules::default() };
        let latest = day("2025-03-21");
        for (name, needed, published) in [
            ("2024-12", false, false),
            ("2025-01", true, true),
            ("2025-03", true, true),
            ("2025-04", true, false),
            ("1999", true, true),
            ("2026", true, true),
            ("2025-W12", false, false),
        ] {
            assert_eq!(rules.needs(period(name), latest), needed, "{name}");
            assert_eq!(rules.publishes(period(name), latest), published, "{name}");
        }
        assert!(!rules.publishes(period("2025-03"), None), "without a play, no period is the latest");
        assert!(rules.needs(period("2025-03"), None));
    }

    #[test]
    fn a_state_serves_rules_that_keep_less() {
        let rules = |month, year| PeriodRules { month, year, ..PeriodRules::default() };
        let state = rules(Kept::Latest(3), Kept::All);
        assert!(rules(Kept::Latest(2), Kept::Latest(9)).is_within(&state));
        assert!(rules(Kept::NONE, Kept::NONE).is_within(&state));
        let more = rules(Kept::Latest(4), Kept::All);
        let differences: Vec<_> = more.differences(&state).collect();
        assert_eq!(differences, [("periods.month".to_owned(), "3".to_owned(), "4".to_owned())]);
        let other = PeriodRules { latest: LatestPeriod::Now, ..state };
        assert_eq!(other.differences(&state).count(), 1);
        let none = PeriodRules { latest: LatestPeriod::Now, ..PeriodRules::default() };
        assert!(none.is_within(&PeriodRules::default()));
    }
}
