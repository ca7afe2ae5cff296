//! The settings `[periods]`: which calendar periods the snapshots are kept for.

use std::fmt::{self, Display};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::insights::{self, Insight, SNAPSHOTS};
use crate::model::period_rules::{Kept, LatestPeriod, PeriodRules};
use crate::model::text_list::{list_or_text, texts_of};
use crate::model::value::{expected_one_of, from_text};

/// `[periods]`
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Periods {
    /// How many of the latest days to keep tables for, or `all`.
    #[serde(deserialize_with = "from_text")]
    pub day: Kept,
    /// How many of the latest ISO 8601 weeks to keep tables for, or `all`.
    #[serde(deserialize_with = "from_text")]
    pub week: Kept,
    /// How many of the latest months to keep tables for, or `all`.
    #[serde(deserialize_with = "from_text")]
    pub month: Kept,
    /// How many of the latest quarters to keep tables for, or `all`.
    #[serde(deserialize_with = "from_text")]
    pub quarter: Kept,
    /// How many of the latest years to keep tables for, or `all`.
    #[serde(deserialize_with = "from_text")]
    pub year: Kept,
    /// What decides which period is the latest: `data` (the last play in calendar order) or `now`.
    #[serde(deserialize_with = "from_text")]
    pub latest: LatestPeriod,
    /// The names of the insights to publish for each period. An insight that is not enabled is left out.
    pub insights: PeriodInsights,
}

impl Periods {
    /// The part of the settings that decides which plays are kept.
    pub fn rules(&self) -> PeriodRules {
        // With `#[serde(flatten)]` instead of these fields, an error would not name the line of a wrong value.
        let Self { day, week, month, quarter, year, latest, .. } = *self;
        PeriodRules { day, week, month, quarter, year, latest }
    }
}

/// Names of snapshot insights, in the order of the documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodInsights(Vec<&'static str>);

impl PeriodInsights {
    /// The enabled insights among the named ones, still without rows.
    pub fn enabled(&self, insights: &insights::Settings) -> Vec<Box<dyn Insight>> {
        let enabled = insights.enabled_snapshots().into_iter();
        enabled.filter(|insight| self.0.contains(&insight.name())).collect()
    }

    fn new(names: &[String]) -> Result<Self, String> {
        let known = || SNAPSHOTS.iter().map(|about| about.name);
        let mut found = Vec::new();
        for name in names {
            let Some(name) = known().find(|known| *known == name) else {
                let known: Vec<&str> = known().collect();
                return Err(format!("`{name}`: {}", expected_one_of(&known)));
            };
            found.push(name);
        }
        if found.is_empty() {
            return Err("expected at least one insight; to keep no period, set their numbers to 0".to_owned());
        }
        Ok(Self(known().filter(|name| found.contains(name)).collect()))
    }
}

impl Default for PeriodInsights {
    fn default() -> Self {
        Self(SNAPSHOTS.iter().map(|about| about.name).collect())
    }
}

impl FromStr for PeriodInsights {
    type Err = String;

    /// Reads a list in TOML, or names separated by commas.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(&texts_of(text)?)
    }
}

impl Display for PeriodInsights {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join(","))
    }
}

impl<'de> Deserialize<'de> for PeriodInsights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&list_or_text(deserializer)?).map_err(D::Error::custom)
    }
}

impl Serialize for PeriodInsights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for PeriodInsights {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PeriodInsights".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = SNAPSHOTS.iter().map(|about| about.name).collect();
        json_schema!({
            "type": ["array", "string"],
            "items": { "enum": names },
            "minItems": 1,
            "minLength": 1,
            "examples": ["night_owl_users"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insights_are_named_in_any_order() {
        let both = "night_owl_users, user_favorite_genres";
        for text in [both, r#"["night_owl_users", "user_favorite_genres"]"#] {
            assert_eq!(
                text.parse::<PeriodInsights>().unwrap().to_string(),
                "user_favorite_genres,night_owl_users"
            );
        }
        for wrong in ["enriched_logs", "", "[]", "[1]"] {
            assert!(wrong.parse::<PeriodInsights>().is_err(), "{wrong}");
        }
        let table = r#"insights = ["top_songs_this_week"]"#;
        let one = toml::from_str::<Periods>(table).unwrap().insights;
        assert_eq!(one.enabled(&insights::Settings::default()).len(), 1);
        assert!(toml::from_str::<Periods>("insights = [\"top_songs\"]").is_err());
    }
}
