//! The columns that a log or a catalog must have, and how their names are compared.

use std::fmt::{self, Display};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::value::{from_text, written_as};

/// The column that holds a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnName {
    /// The column with this name. In JSON Lines, dots separate the keys of nested objects.
    Name(String),
    /// The column at this index, whatever its name. It is written as `#1` for index 0.
    Index(usize),
}

/// How well a column matches a [`ColumnName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameMatch {
    /// The names are equal, but for ASCII case, spaces, `_` and `-`.
    Relaxed,
    /// The names are equal.
    Exact,
}

/// Compares the name of a column with a wanted name. `None` if they differ.
pub fn compare_names(found: &[u8], wanted: &[u8]) -> Option<NameMatch> {
    if found == wanted {
        return Some(NameMatch::Exact);
    }
    let significant = |name: &&u8| !matches!(**name, b' ' | b'_' | b'-');
    let relaxed = |name| <[u8]>::iter(name).filter(significant).map(u8::to_ascii_lowercase);
    relaxed(found).eq(relaxed(wanted)).then_some(NameMatch::Relaxed)
}

impl FromStr for ColumnName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err("expected the name of a column, or its place such as `#3`");
        }
        let digits = text.strip_prefix('#').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        match digits.filter(|digits| !digits.is_empty()) {
            None => Ok(Self::Name(text.to_owned())),
            Some(digits) => match digits.parse::<usize>() {
                Ok(place @ 1..=MAX_PLACE) => Ok(Self::Index(place - 1)),
                _ => Err("columns are counted from `#1` to `#65536`"),
            },
        }
    }
}

/// The largest place of a column.
const MAX_PLACE: usize = 1 << 16;

impl Display for ColumnName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Index(index) => write!(formatter, "#{}", index + 1),
        }
    }
}

written_as!(ColumnName, "examples": ["user_id", "#3"]);

impl ColumnName {
    fn named(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

/// A column that a catalog may lack. Written as an empty text if the catalog lacks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionalColumn(pub Option<ColumnName>);

impl FromStr for OptionalColumn {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() { Ok(Self(None)) } else { text.parse().map(|name| Self(Some(name))) }
    }
}

impl Display for OptionalColumn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |name| name.fmt(formatter))
    }
}

written_as!(OptionalColumn, "examples": ["title", "#3", ""]);

/// `[input.columns]`: the columns of logs. A name matches a column exactly, or else ignoring ASCII case,
/// spaces, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogColumns {
    /// The column with the id of the listener: its name, or its place such as `#3`.
    #[serde(deserialize_with = "from_text")]
    pub user_id: ColumnName,
    /// The column with the id of the song: its name, or its place such as `#3`.
    #[serde(deserialize_with = "from_text")]
    pub song_id: ColumnName,
    /// The column with the time of the play: its name, or its place such as `#3`.
    #[serde(deserialize_with = "from_text")]
    pub timestamp: ColumnName,
    /// The column with the duration of the play: its name, or its place such as `#3`.
    #[serde(deserialize_with = "from_text")]
    pub duration_sec: ColumnName,
}

impl Default for LogColumns {
    fn default() -> Self {
        let [user_id, song_id, timestamp, duration_sec] = LOG_FIELDS.map(ColumnName::named);
        Self { user_id, song_id, timestamp, duration_sec }
    }
}

/// The fields of a play.
pub const LOG_FIELDS: [&str; 4] = ["user_id", "song_id", "timestamp", "duration_sec"];

impl LogColumns {
    /// The columns in the order of [`LOG_FIELDS`].
    pub fn in_order(&self) -> [&ColumnName; 4] {
        [&self.user_id, &self.song_id, &self.timestamp, &self.duration_sec]
    }

    /// The columns as a list.
    pub fn wanted(&self) -> Vec<ColumnName> {
        self.in_order().map(Clone::clone).to_vec()
    }
}

/// `[catalog.columns]`: the columns of the catalog. An empty text means that the catalog has no such column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogColumns {
    /// The column with the id of the song: its name, or its place such as `#3`.
    #[serde(deserialize_with = "from_text")]
    pub song_id: ColumnName,
    /// The column with the title: its name, its place such as `#3`, or `""` if there is none.
    #[serde(deserialize_with = "from_text")]
    pub title: OptionalColumn,
    /// The column with the artist: its name, its place such as `#3`, or `""` if there is none.
    #[serde(deserialize_with = "from_text")]
    pub artist: OptionalColumn,
    /// The column with the genre: its name, its place such as `#3`, or `""` if there is none.
    #[serde(deserialize_with = "from_text")]
    pub genre: OptionalColumn,
    /// The column with the mood: its name, its place such as `#3`, or `""` if there is none.
    #[serde(deserialize_with = "from_text")]
    pub mood: OptionalColumn,
}

/// The fields of a song.
pub const CATALOG_FIELDS: [&str; 5] = ["song_id", "title", "artist", "genre", "mood"];

impl Default for CatalogColumns {
    fn default() -> Self {
        let [song_id, ..] = CATALOG_FIELDS.map(ColumnName::named);
        let [_, title, artist, genre, mood] =
            CATALOG_FIELDS.map(|field| OptionalColumn(Some(ColumnName::named(field))));
        Self { song_id, title, artist, genre, mood }
    }
}

impl CatalogColumns {
    /// The columns in the order of [`CATALOG_FIELDS`]. `None` if the catalog has no such column.
    pub fn in_order(&self) -> [Option<&ColumnName>; 5] {
        let Self { song_id, title, artist, genre, mood } = self;
        let [title, artist, genre, mood] = [title, artist, genre, mood].map(|column| column.0.as_ref());
        [Some(song_id), title, artist, genre, mood]
    }

    /// The columns that the catalog has, as a list.
    pub fn wanted(&self) -> Vec<ColumnName> {
        self.in_order().into_iter().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_names_or_places() {
        for (text, column) in [
            ("uid", ColumnName::named("uid")),
            ("#1", ColumnName::Index(0)),
            ("#65536", ColumnName::Index(65_535)),
            ("#", ColumnName::named("#")),
            ("#x", ColumnName::named("#x")),
        ] {
            assert_eq!(text.parse(), Ok(column.clone()));
            assert_eq!(column.to_string(), text);
        }
        for text in ["", "#0", "#65537", "#99999999999999999999"] {
            assert!(text.parse::<ColumnName>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_match_exactly_or_relaxed() {
        for (found, expected) in [
            ("user_id", Some(NameMatch::Exact)),
            ("UserID", Some(NameMatch::Relaxed)),
            (" user id ", Some(NameMatch::Relaxed)),
            ("USER-ID", Some(NameMatch::Relaxed)),
            ("user.id", None),
            ("users_id", None),
            ("", None),
        ] {
            assert_eq!(compare_names(found.as_bytes(), b"user_id"), expected, "{found}");
        }
    }
}
