//! The names of all settings, taken from serde, and suggestions for unknown names.

use serde_json::Value;
use strsim::jaro_winkler;

use crate::settings::Settings;

/// The minimum similarity of a name that is suggested.
const MIN_SIMILARITY: f64 = 0.82;
/// The factor that reduces the similarity of a name in a different table.
const OTHER_TABLE: f64 = 0.95;

/// All settings by their full names, in the order of their declaration. A setting without a value
/// is null.
pub fn values_of(settings: &Settings) -> Vec<(String, Value)> {
    let settings = serde_json::to_value(settings).expect("settings are text, numbers and booleans");
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

/// The full name of a key in a table.
pub(super) fn below(table: Option<&str>, key: &str) -> String {
    table.map_or_else(|| key.to_owned(), |table| format!("{table}.{key}"))
}

/// The full names of the settings that differ between `one` and `other`.
pub fn differences(one: &Settings, other: &Settings) -> Vec<String> {
    let pairs = values_of(one).into_iter().zip(values_of(other));
    pairs.filter(|(one, other)| one != other).map(|((name, _), _)| name).collect()
}

/// What a name refers to.
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

    /// Whether a name is a setting or a table; `None` if it is unknown.
    pub(super) fn kind(&self, name: &str) -> Option<Kind> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, kind)| *kind)
    }

    /// The shortest unknown prefix of a name, up to a dot or the end.
    pub(super) fn unknown_part<'a>(&self, name: &'a str) -> Option<&'a str> {
        let ends = name.match_indices('.').map(|(dot, _)| dot).chain([name.len()]);
        ends.map(|end| &name[..end]).find(|part| self.kind(part).is_none())
    }

    /// The known name that is most similar to an unknown name; `None` if no known name is similar enough.
    pub(super) fn nearest(&self, unknown: &str) -> Option<&str> {
        let split = |name: &str| {
            let (table, last) = name.rsplit_once('.').unwrap_or(("", name));
            (table.to_owned(), last.replace('-', "_").to_lowercase())
        };
        let (table, last) = split(unknown);
        let similarity = |known: &str| {
            let (known_table, known_last) = split(known);
            let share = if known_table == table { 1.0 } else { OTHER_TABLE };
            jaro_winkler(&last, &known_last) * share
        };
        let known = self.0.iter().map(|(known, _)| (similarity(known), known.as_str()));
        known
            .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
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
        for (unknown, suggested) in [
            ("insights.top_songs_this_week.limt", Some("insights.top_songs_this_week.limit")),
            ("insights.top_songs", Some("insights.top_songs_this_week")),
            ("flush-interval", Some("flush_interval")),
            ("limit", Some("insights.top_songs_this_week.limit")),
            ("input.archive", Some("input.archive_dir")),
            ("night_owls", Some("insights.night_owl_users")),
            ("logging.colour", None),
            ("insights.nonsense", None),
        ] {
            assert_eq!(keys.nearest(unknown), suggested, "{unknown}");
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
