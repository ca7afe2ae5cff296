//! The names of all settings, as serde has them, and which of them somebody may have meant.

use serde_json::Value;
use strsim::jaro_winkler;

use crate::settings::Settings;

/// From here on two names are so alike that one may be a slip of the other.
const ALIKE: f64 = 0.82;
/// What is left of the likeness if a setting stands in another table.
const ELSEWHERE: f64 = 0.95;

/// All settings by their full names, in the order in which they are declared. What is not set is
/// null.
pub fn values_of(settings: &Settings) -> Vec<(String, Value)> {
    let settings = serde_json::to_value(settings).expect("settings are text, numbers and truth values");
    let mut values = Vec::new();
    flatten(None, settings, &mut values);
    values
}

fn flatten(name: Option<String>, value: Value, into: &mut Vec<(String, Value)>) {
    match (name, value) {
        (name, Value::Object(table)) => {
            for (key, value) in table {
                flatten(Some(below(name.as_deref(), &key)), value, into);
            }
        }
        (name, value) => into.extend(name.map(|name| (name, value))),
    }
}

/// The full name of what stands in a table.
pub(super) fn below(table: Option<&str>, key: &str) -> String {
    table.map_or_else(|| key.to_owned(), |table| format!("{table}.{key}"))
}

/// The names of the settings that differ.
pub fn differences(one: &Settings, other: &Settings) -> Vec<String> {
    let pairs = values_of(one).into_iter().zip(values_of(other));
    pairs.filter(|(one, other)| one != other).map(|((name, _), _)| name).collect()
}

/// What there is by a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Setting,
    Table,
}

/// The names of all settings and tables.
#[derive(Debug)]
pub(super) struct Keys(Vec<(String, Kind)>);

impl Keys {
    pub(super) fn all() -> Self {
        let settings = values_of(&Settings::default());
        let tables = settings.iter().flat_map(|(name, _)| {
            name.match_indices('.').map(|(dot, _)| (name[..dot].to_owned(), Kind::Table)).collect::<Vec<_>>()
        });
        let mut keys: Vec<_> = tables.collect();
        keys.dedup();
        keys.extend(settings.iter().map(|(name, _)| (name.clone(), Kind::Setting)));
        Self(keys)
    }

    /// What has this name, if anything.
    pub(super) fn kind(&self, name: &str) -> Option<Kind> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, kind)| *kind)
    }

    /// The part of an unknown name up to where it becomes unknown.
    pub(super) fn unknown_part<'a>(&self, name: &'a str) -> Option<&'a str> {
        let ends = name.match_indices('.').map(|(dot, _)| dot).chain([name.len()]);
        ends.map(|end| &name[..end]).find(|part| self.kind(part).is_none())
    }

    /// What somebody may have meant by a name that is unknown.
    pub(super) fn nearest(&self, unknown: &str) -> Option<&str> {
        let split = |name: &str| {
            let (table, last) = name.rsplit_once('.').unwrap_or(("", name));
            (table.to_owned(), last.replace('-', "_").to_lowercase())
        };
        let (table, last) = split(unknown);
        let likeness = |known: &str| {
            let (known_table, known_last) = split(known);
            let share = if known_table == table { 1.0 } else { ELSEWHERE };
            jaro_winkler(&last, &known_last) * share
        };
        let known = self.0.iter().map(|(known, _)| (likeness(known), known.as_str()));
        known
            .filter(|(likeness, _)| *likeness >= ALIKE)
            .max_by(|(one, _), (other, _)| one.total_cmp(other))
            .map(|(_, known)| known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_where_there_is_one() {
        let keys = Keys::all();
        for (unknown, meant) in [
            ("insights.top_songs_this_week.limt", Some("insights.top_songs_this_week.limit")),
            ("insights.top_songs", Some("insights.top_songs_this_week")),
            ("flush-interval", Some("flush_interval")),
            ("limit", Some("insights.top_songs_this_week.limit")),
            ("input.archive", Some("input.archive_dir")),
            ("night_owls", Some("insights.night_owl_users")),
            ("logging.colour", None),
            ("insights.nonsense", None),
        ] {
            assert_eq!(keys.nearest(unknown), meant, "{unknown}");
            assert!(keys.unknown_part(unknown).is_some());
        }
        assert_eq!(keys.unknown_part("insights.top_songs.limit"), Some("insights.top_songs"));
        assert_eq!(keys.unknown_part("insights.top_songs_this_week.limit"), None);
        assert_eq!(keys.unknown_part("output.x"), Some("output.x"));
        assert_eq!((keys.kind("input"), keys.kind("threads")), (Some(Kind::Table), Some(Kind::Setting)));
    }

    #[test]
    fn only_what_differs_is_named() {
        let mut other = Settings::default();
        assert!(differences(&Settings::default(), &other).is_empty());
        other.threads = Some(2);
        other.insights.top_songs_this_week.limit = 3;
        let names = ["threads", "insights.top_songs_this_week.limit"];
        assert_eq!(differences(&Settings::default(), &other), names);
    }
}
