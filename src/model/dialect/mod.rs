//! Dialects: how the rows of logs and of the catalog are written.
//!
//! A dialect is declared in the settings, once for all logs of a run. Nothing is guessed from the content of
//! a file, apart from byte order marks. The name of a file decides only its [`RowFormat`].

pub mod columns;
pub mod encoding;
pub mod header_rule;
pub mod timestamp_format;
pub mod timestamp_pattern;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::delimiter::Delimiter;
use crate::model::dialect::columns::{CatalogColumns, LogColumns};
use crate::model::dialect::encoding::TextEncoding;
use crate::model::dialect::header_rule::HeaderRule;
use crate::model::dialect::timestamp_format::TimestampFormat;
use crate::model::layout::TypedCells;
use crate::model::value::{from_text, keywords};

keywords! {
    /// The unit of `duration_sec`.
    #[derive(Default)]
    pub enum DurationUnit {
        /// Seconds.
        #[default]
        Seconds = "s",
        /// Milliseconds.
        Millis = "ms",
    }
}

keywords! {
    /// The decimal mark of `duration_sec`.
    #[derive(Default)]
    pub enum DecimalMark {
        /// A point.
        #[default]
        Point = ".",
        /// A comma.
        Comma = ",",
    }
}

impl DecimalMark {
    /// The mark as a byte.
    pub fn byte(self) -> u8 {
        match self {
            Self::Point => b'.',
            Self::Comma => b',',
        }
    }
}

keywords! {
    /// The setting `input.format`.
    #[derive(Default)]
    pub enum LogFormat {
        /// The ending of the file name decides.
        #[default]
        Auto = "auto",
        /// All logs are CSV, apart from Parquet.
        Csv = "csv",
        /// All logs are JSON Lines, apart from Parquet.
        JsonLines = "jsonl",
    }
}

/// How the rows of one file are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// As CSV records with this delimiter.
    Csv(Delimiter),
    /// As one JSON object per line.
    JsonLines,
    /// As a Parquet table, which is read as CSV text with commas. The cells of typed columns do not follow the
    /// dialect.
    Parquet(TypedCells),
}

impl RowFormat {
    /// The delimiter of the text. That of a Parquet table, and the value for JSON Lines, is a comma.
    pub fn delimiter(self) -> Delimiter {
        match self {
            Self::Csv(delimiter) => delimiter,
            Self::JsonLines | Self::Parquet(_) => Delimiter::COMMA,
        }
    }
}

/// How the rows of logs are written. The fields have the names of the settings in `[input]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dialect {
    /// `input.columns`
    #[serde(skip_serializing_if = "is_default")]
    pub columns: LogColumns,
    /// `input.header`
    #[serde(deserialize_with = "from_text", skip_serializing_if = "is_default")]
    pub header: HeaderRule,
    /// `input.timestamp`
    #[serde(deserialize_with = "from_text", skip_serializing_if = "is_default")]
    pub timestamp: TimestampFormat,
    /// `input.duration`
    #[serde(deserialize_with = "from_text", skip_serializing_if = "is_default")]
    pub duration: DurationUnit,
    /// `input.decimal`
    #[serde(deserialize_with = "from_text", skip_serializing_if = "is_default")]
    pub decimal: DecimalMark,
    /// `input.delimiter`
    #[serde(deserialize_with = "from_text", skip_serializing_if = "is_default")]
    pub delimiter: Delimiter,
    /// `input.encoding`
    #[serde(deserialize_with = "from_text", skip_serializing_if = "is_default")]
    pub encoding: TextEncoding,
    /// `input.quoting`; absent for `true`.
    #[serde(skip_serializing_if = "is_default")]
    pub quoting: Quoting,
    /// `input.format`
    #[serde(deserialize_with = "from_text", skip_serializing_if = "is_default")]
    pub format: LogFormat,
}

/// Whether quotes enclose fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quoting(pub bool);

impl Default for Quoting {
    fn default() -> Self {
        Self(true)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Dialect {
    /// How the rows of a file are written. The ending of a compression is ignored, and so is ASCII case.
    pub fn row_format(&self, path: &Path) -> RowFormat {
        match (self.format, ending_without_compression(path).as_str()) {
            (_, "parquet") => RowFormat::Parquet(TypedCells { timestamp: true, duration: true }),
            (LogFormat::Auto, "tsv") => RowFormat::Csv(Delimiter::TAB),
            (LogFormat::Auto, "jsonl" | "ndjson") | (LogFormat::JsonLines, _) => RowFormat::JsonLines,
            (LogFormat::Auto | LogFormat::Csv, _) => RowFormat::Csv(self.delimiter),
        }
    }

    /// All settings of the dialect by name, with their values as text.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let LogColumns { user_id, song_id, timestamp, duration_sec } = &self.columns;
        vec![
            ("input.columns.user_id", user_id.to_string()),
            ("input.columns.song_id", song_id.to_string()),
            ("input.columns.timestamp", timestamp.to_string()),
            ("input.columns.duration_sec", duration_sec.to_string()),
            ("input.header", self.header.to_string()),
            ("input.timestamp", self.timestamp.to_string()),
            ("input.duration", self.duration.to_string()),
            ("input.decimal", self.decimal.to_string()),
            ("input.delimiter", self.delimiter.to_string()),
            ("input.encoding", self.encoding.to_string()),
            ("input.quoting", self.quoting.0.to_string()),
            ("input.format", self.format.to_string()),
        ]
    }
}

/// The endings of compressed files.
pub const COMPRESSED_ENDINGS: [&str; 4] = ["gz", "zst", "bz2", "xz"];

/// The ending of a file name in lower case, without the ending of a compression. Empty if there is none.
fn ending_without_compression(path: &Path) -> String {
    let ending = |path: &Path| {
        path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
    };
    let last = ending(path);
    if COMPRESSED_ENDINGS.contains(&last.as_str()) { ending(&path.with_extension("")) } else { last }
}

/// How the rows of the catalog are written. The fields have the names of the settings in `[catalog]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogDialect {
    /// `catalog.columns`
    pub columns: CatalogColumns,
    /// `catalog.header`
    pub header: HeaderRule,
    /// `catalog.delimiter`. A catalog whose name ends in `.tsv` has tabs.
    pub delimiter: Delimiter,
    /// `catalog.encoding`
    pub encoding: TextEncoding,
    /// `catalog.quoting`
    pub quoting: bool,
}

impl CatalogDialect {
    /// The dialect of the catalog file at `path`: a name that ends in `.tsv` means tabs, and the text of a
    /// Parquet file has commas.
    #[must_use]
    pub fn of_file(&self, path: &Path) -> Self {
        match ending_without_compression(path).as_str() {
            "tsv" => Self { delimiter: Delimiter::TAB, ..self.clone() },
            "parquet" => Self { columns: self.columns.clone(), ..Self::default() },
            _ => self.clone(),
        }
    }

    /// The settings that differ from the default: their names, with their values as text.
    pub fn changed_settings(&self) -> Vec<(&'static str, String)> {
        let (settings, default) = (self.settings(), Self::default().settings());
        settings
            .into_iter()
            .zip(default)
            .filter(|(here, there)| here != there)
            .map(|(here, _)| here)
            .collect()
    }

    fn settings(&self) -> [(&'static str, String); 9] {
        let CatalogColumns { song_id, title, artist, genre, mood } = &self.columns;
        [
            ("catalog.columns.song_id", song_id.to_string()),
            ("catalog.columns.title", title.to_string()),
            ("catalog.columns.artist", artist.to_string()),
            ("catalog.columns.genre", genre.to_string()),
            ("catalog.columns.mood", mood.to_string()),
            ("catalog.header", self.header.to_string()),
            ("catalog.delimiter", self.delimiter.to_string()),
            ("catalog.encoding", self.encoding.to_string()),
            ("catalog.quoting", self.quoting.to_string()),
        ]
    }
}

impl Default for CatalogDialect {
    fn default() -> Self {
        Self {
            columns: CatalogColumns::default(),
            header: HeaderRule::default(),
            delimiter: Delimiter::default(),
            encoding: TextEncoding::default(),
            quoting: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_the_name_decides_the_format_of_the_rows() {
        let dialect = Dialect::default();
        let csv = RowFormat::Csv(Delimiter::COMMA);
        for (name, format) in [
            ("a.csv", csv),
            ("a.log", csv),
            ("a", csv),
            ("a.TSV", RowFormat::Csv(Delimiter::TAB)),
            ("a.tsv.GZ", RowFormat::Csv(Delimiter::TAB)),
            ("a.jsonl.xz", RowFormat::JsonLines),
            ("b/a.ndjson", RowFormat::JsonLines),
            ("a.jsonl.csv", csv),
        ] {
            assert_eq!(dialect.row_format(Path::new(name)), format, "{name}");
        }
        let json = Dialect { format: LogFormat::JsonLines, ..Dialect::default() };
        assert_eq!(json.row_format(Path::new("a.csv")), RowFormat::JsonLines);
    }

    #[test]
    fn only_settings_that_differ_from_the_default_are_saved() {
        assert_eq!(serde_json::to_string(&Dialect::default()).unwrap(), "{}");
        let text = r##"{"columns":{"user_id":"#2"},"timestamp":"unix_ms","quoting":false,"encoding":"windows-1252"}"##;
        let dialect: Dialect = serde_json::from_str(text).unwrap();
        assert!(!dialect.quoting.0);
        let saved = serde_json::to_string(&dialect).unwrap();
        assert_eq!(serde_json::from_str::<Dialect>(&saved).unwrap(), dialect);
    }
}
