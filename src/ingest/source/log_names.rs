//! The setting `input.names`: patterns that tell which files in a folder are logs.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use glob::{MatchOptions, Pattern};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::text_list::{list_or_text, texts_of};

/// The default patterns.
const DEFAULT: [&str; 5] = ["*.csv", "*.tsv", "*.jsonl", "*.ndjson", "*.parquet"];
/// Endings of compressed files. A compressed file is a log if its name without this ending is.
const COMPRESSED: [&[u8]; 4] = [b".gz", b".zst", b".bz2", b".xz"];
/// Endings of files that are still being written. Such files are never logs.
const UNFINISHED: [&[u8]; 2] = [b".tmp", b".part"];
/// How names are compared with patterns.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: false,
    require_literal_separator: false,
    require_literal_leading_dot: false,
};

/// Patterns for the names of logs. A name is the last part of a path. ASCII case does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogNames(Vec<NamePattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct NamePattern {
    text: String,
    matcher: Matcher,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Matcher {
    /// `*` and then this literal ending. This form needs no general matching, which keeps scans cheap.
    Ending(Vec<u8>),
    General(Pattern),
}

impl LogNames {
    /// Whether a file with this name in a folder is a log.
    pub fn is_log(&self, name: &OsStr) -> bool {
        let bytes = name.as_bytes();
        if is_temporary_name(name) {
            return false;
        }
        let stem = COMPRESSED.iter().find_map(|ending| without_ending(bytes, ending));
        self.0.iter().any(|pattern| pattern.matches(bytes) || stem.is_some_and(|stem| pattern.matches(stem)))
    }

    /// Builds the patterns.
    ///
    /// # Errors
    /// If there is no pattern, or one of them is invalid.
    pub fn new(patterns: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, String> {
        let patterns: Result<Vec<_>, _> =
            patterns.into_iter().map(|text| NamePattern::new(text.as_ref())).collect();
        match patterns? {
            patterns if patterns.is_empty() => {
                Err("expected at least one pattern such as `*.csv`".to_owned())
            }
            patterns => Ok(Self(patterns)),
        }
    }
}

impl Default for LogNames {
    fn default() -> Self {
        Self::new(DEFAULT).expect("the default patterns are valid")
    }
}

impl NamePattern {
    fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a pattern is empty".to_owned());
        }
        if text.contains('/') {
            let advice = "a pattern is for the last part of a path; to read subfolders, set input.recursive";
            return Err(format!("`{text}`: {advice}"));
        }
        let pattern =
            Pattern::new(text).map_err(|cause| format!("`{text}`: not a valid pattern: {cause}"))?;
        let ending = text.strip_prefix('*').filter(|ending| !ending.contains(['*', '?', '[', ']']));
        let matcher = match ending {
            Some(ending) => Matcher::Ending(ending.as_bytes().to_vec()),
            None => Matcher::General(pattern),
        };
        Ok(Self { text: text.to_owned(), matcher })
    }

    fn matches(&self, name: &[u8]) -> bool {
        match &self.matcher {
            Matcher::Ending(ending) => without_ending(name, ending).is_some(),
            Matcher::General(pattern) => pattern.matches_with(&String::from_utf8_lossy(name), OPTIONS),
        }
    }
}

/// Whether a name marks a temporary file. It starts with a dot, or says that the file is still being
/// written. Such a file in a folder is never a log.
pub fn is_temporary_name(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    bytes.starts_with(b".") || UNFINISHED.iter().any(|ending| without_ending(bytes, ending).is_some())
}

/// A name without an ending; `None` if the name has a different ending. ASCII case does not matter.
/// Whether a file may be a compressed log under a name that is not the name of a log, such as `a.csv.1.gz`. It
/// is read only if it contains a log that is known.
pub fn may_be_rolled(name: &OsStr) -> bool {
    let has_ending = |ending: &&[u8]| without_ending(name.as_bytes(), ending).is_some();
    !is_temporary_name(name) && COMPRESSED.iter().any(has_ending)
}

fn without_ending<'a>(name: &'a [u8], ending: &[u8]) -> Option<&'a [u8]> {
    let (stem, end) = name.split_at_checked(name.len().checked_sub(ending.len())?)?;
    end.eq_ignore_ascii_case(ending).then_some(stem)
}

impl FromStr for LogNames {
    type Err = String;

    /// Reads a list in TOML, or patterns separated by commas.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(texts_of(text)?)
    }
}

impl Display for LogNames {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.0.iter().map(|pattern| pattern.text.as_str()).collect();
        formatter.write_str(&texts.join(","))
    }
}

impl Serialize for LogNames {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|pattern| &pattern.text))
    }
}

impl<'de> Deserialize<'de> for LogNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(list_or_text(deserializer)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for LogNames {
    fn schema_name() -> Cow<'static, str> {
        "LogNames".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["array", "string"], "items": { "type": "string", "minLength": 1 }, "minItems": 1 })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn are_logs(names: &LogNames, of: &[&str]) -> Vec<bool> {
        of.iter().map(|name| names.is_log(name.as_ref())).collect()
    }

    #[test]
    fn the_default_names_and_their_compressed_forms_are_logs() {
        let names = LogNames::default();
        for name in
            ["a.csv", "A.CSV", "b.tsv.Gz", "c.jsonl.zst", "d.ndjson.bz2", "e.csv.XZ", "f.parquet", "a.b.csv"]
        {
            assert!(names.is_log(name.as_ref()), "{name}");
        }
        for name in
            [".a.csv", "a.csv.tmp", "a.csv.PART", "a.csv.1", "a.csv.gz.gz", "a.gz", "csv", "a.txt", ""]
        {
            assert!(!names.is_log(name.as_ref()), "{name}");
        }
    }

    #[test]
    fn patterns_know_wildcards_and_ignore_case() {
        let names = LogNames::new(["plays-[0-9]?.log", "*"]).unwrap();
        assert_eq!(are_logs(&names, &["x", ".x", "x.tmp", "x.part"]), [true, false, false, false]);
        let names = LogNames::new(["Plays-[0-9a-c]?.log", "*.2025*"]).unwrap();
        assert_eq!(
            are_logs(&names, &["plays-1x.LOG", "plays-Bx.log.gz", "plays-x1.log", "a.2025", "a.2025-03.xz"]),
            [true, true, false, true, true]
        );
        assert!(LogNames::new(["*.csv", "?.x"]).unwrap().is_log(OsStr::from_bytes(b"\xff.csv")));
        assert!(LogNames::new(["?.x"]).unwrap().is_log(OsStr::from_bytes(b"\xff.x")));
    }

    #[test]
    fn a_list_may_be_text() {
        for text in ["*.csv,*.log", "*.csv, *.log", r#"["*.csv", "*.log"]"#, "['*.csv','*.log']"] {
            let names: LogNames = text.parse().unwrap();
            assert_eq!(names, LogNames::new(["*.csv", "*.log"]).unwrap(), "{text}");
            assert_eq!(names.to_string(), "*.csv,*.log");
        }
        let bracket: LogNames = "[ab].csv".parse().unwrap();
        assert!(bracket.is_log("A.csv".as_ref()) && !bracket.is_log("c.csv".as_ref()));
        for wrong in ["", "*.csv,", "[]", "[1]", "a/*.csv", "[a", "a**"] {
            assert!(wrong.parse::<LogNames>().is_err(), "{wrong}");
        }
    }
}
