//! The settings `[input]` and `[catalog]`: how logs and the catalog are read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::layout::CatalogLayout;
use crate::ingest::decode::header;
use crate::ingest::source::archive::WhenDone;
use crate::ingest::source::log_names::LogNames;
use crate::ingest::source::scan::FolderRules;
use crate::model::delimiter::Delimiter;
use crate::model::dialect::columns::{CatalogColumns, ColumnName, LogColumns};
use crate::model::dialect::encoding::TextEncoding;
use crate::model::dialect::header_rule::HeaderRule;
use crate::model::dialect::timestamp_format::TimestampFormat;
use crate::model::dialect::{
    CatalogDialect, DecimalMark, Dialect, DurationUnit, LogFormat, Quoting, RowFormat,
};
use crate::model::value::{TimeSpan, from_text, from_text_or_none};
use crate::settings::Settings;

/// `[input]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Input {
    /// The columns of logs.
    pub columns: LogColumns,
    /// Where the header of a log comes from: `first_line`, `none`, or the text of the header of every log.
    #[serde(deserialize_with = "from_text")]
    pub header: HeaderRule,
    /// The form of timestamps: `iso`, `unix_s`, `unix_ms`, `unix_us`, or a pattern such as `%d.%m.%Y %H:%M`.
    #[serde(deserialize_with = "from_text")]
    pub timestamp: TimestampFormat,
    /// The unit of durations: `s` or `ms`.
    #[serde(deserialize_with = "from_text")]
    pub duration: DurationUnit,
    /// The decimal mark of durations: `.` or `,`.
    #[serde(deserialize_with = "from_text")]
    pub decimal: DecimalMark,
    /// The character that separates the fields of logs, or `tab`.
    #[serde(deserialize_with = "from_text")]
    pub delimiter: Delimiter,
    /// The encoding of logs: `utf-8`, or one with one byte per character, such as `windows-1252`.
    #[serde(deserialize_with = "from_text")]
    pub encoding: TextEncoding,
    /// Whether quotes enclose fields. If not, quotes are plain text.
    #[serde(deserialize_with = "from_text")]
    pub quoting: bool,
    /// The format of all logs but Parquet: `csv`, `jsonl`, or `auto` to go by the ending of the name.
    #[serde(deserialize_with = "from_text")]
    pub format: LogFormat,
    /// Patterns (`*`, `?`, `[…]`) for the names of logs in a folder; their compressed forms are included.
    pub names: LogNames,
    /// Whether to read subfolders, except those whose names start with `.` or `_`.
    #[serde(deserialize_with = "from_text")]
    pub recursive: bool,
    /// Whether to read a link to a file as that file; a link to a folder is never followed.
    #[serde(deserialize_with = "from_text")]
    pub follow_symlinks: bool,
    /// How far in the future the timestamp of a play may be when the play is read.
    #[serde(deserialize_with = "from_text")]
    pub max_future: TimeSpan,
    /// The number of bad lines after which the rest of a file is ignored; 0 means never.
    #[serde(deserialize_with = "from_text")]
    pub max_bad_lines: u64,
    /// How long `watch` waits before it treats a last line without a line feed as complete.
    #[serde(deserialize_with = "from_text")]
    pub last_line_wait: TimeSpan,
    /// What to do with a finished input: `keep`, `archive` or `delete`.
    #[serde(deserialize_with = "from_text")]
    pub when_done: WhenDone,
    /// The folder for finished inputs if `when_done` is `archive`.
    #[serde(deserialize_with = "from_text")]
    pub archive_dir: PathBuf,
    /// How long an input must stay unchanged before it counts as finished.
    #[serde(deserialize_with = "from_text")]
    pub done_after: TimeSpan,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            columns: LogColumns::default(),
            header: HeaderRule::default(),
            timestamp: TimestampFormat::default(),
            duration: DurationUnit::default(),
            decimal: DecimalMark::default(),
            delimiter: Delimiter::COMMA,
            encoding: TextEncoding::default(),
            quoting: true,
            format: LogFormat::default(),
            names: LogNames::default(),
            recursive: false,
            follow_symlinks: false,
            max_future: TimeSpan(Duration::from_hours(48)),
            max_bad_lines: 0,
            last_line_wait: TimeSpan(Duration::from_secs(30)),
            when_done: WhenDone::Keep,
            archive_dir: "data/archive".into(),
            done_after: TimeSpan(Duration::from_mins(1)),
        }
    }
}

impl Input {
    /// Which files in a folder are logs.
    pub fn folder_rules(&self) -> FolderRules {
        FolderRules {
            names: self.names.clone(),
            recursive: self.recursive,
            follow_symlinks: self.follow_symlinks,
        }
    }

    /// Whether a run over finished logs may read compressed logs only once, and start over if one proves damaged.
    /// With a limit of bad lines it must not: the warning that a log is given up would come before the log is
    /// known to be sound.
    pub fn may_start_over(&self) -> bool {
        self.max_bad_lines == 0
    }

    /// How the rows of logs are written.
    fn dialect(&self) -> Dialect {
        Dialect {
            columns: self.columns.clone(),
            header: self.header.clone(),
            timestamp: self.timestamp.clone(),
            duration: self.duration,
            decimal: self.decimal,
            delimiter: self.delimiter,
            encoding: self.encoding,
            quoting: Quoting(self.quoting),
            format: self.format,
        }
    }
}

/// `[catalog]`
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Catalog {
    /// The columns of the catalog.
    pub columns: CatalogColumns,
    /// Where the header of the catalog comes from: `first_line`, `none`, or the text of the header.
    #[serde(deserialize_with = "from_text")]
    pub header: HeaderRule,
    /// The character that separates the fields of the catalog, such as `;` or `tab`; if not set, as for logs.
    #[serde(deserialize_with = "from_text_or_none")]
    pub delimiter: Option<Delimiter>,
    /// The encoding of the catalog, such as `windows-1252`; if not set, as for logs.
    #[serde(deserialize_with = "from_text_or_none")]
    pub encoding: Option<TextEncoding>,
    /// Whether quotes enclose fields of the catalog, such as `true`; if not set, as for logs.
    #[serde(deserialize_with = "from_text_or_none")]
    pub quoting: Option<bool>,
}

impl Settings {
    /// How the rows of logs are written.
    pub fn dialect(&self) -> Arc<Dialect> {
        Arc::new(self.input.dialect())
    }

    /// How the rows of the catalog are written.
    pub fn catalog_dialect(&self) -> CatalogDialect {
        catalog_dialect(&self.input, &self.catalog)
    }
}

fn catalog_dialect(input: &Input, catalog: &Catalog) -> CatalogDialect {
    let Catalog { columns, header, delimiter, encoding, quoting } = catalog.clone();
    CatalogDialect {
        columns,
        header,
        delimiter: delimiter.unwrap_or(input.delimiter),
        encoding: encoding.unwrap_or(input.encoding),
        quoting: quoting.unwrap_or(input.quoting),
    }
}

/// Checks that the columns of logs and of the catalog can be found if the settings give the header.
pub(super) fn check(input: &Input, catalog: &Catalog) -> Result<(), String> {
    let dialect = input.dialect();
    match &input.header {
        HeaderRule::FirstLine => {}
        HeaderRule::None => check_places("input", input.columns.in_order().map(Some))?,
        HeaderRule::Literal(line) => {
            // The files with tabs, whose names end in `.tsv`, may be the only ones.
            let formats = [dialect.delimiter, Delimiter::TAB].map(RowFormat::Csv);
            let parse = |format| header::parse(line.as_bytes(), &dialect, format);
            if let [Err(fault), Err(_)] = formats.map(parse) {
                return Err(format!("input.header: {}", fault.detail));
            }
        }
    }
    let catalog = catalog_dialect(input, catalog);
    match &catalog.header {
        HeaderRule::FirstLine => Ok(()),
        HeaderRule::None => check_places("catalog", catalog.columns.in_order()),
        HeaderRule::Literal(line) => {
            let delimiters = [catalog.delimiter, Delimiter::TAB];
            let dialects = delimiters.map(|delimiter| CatalogDialect { delimiter, ..catalog.clone() });
            match dialects.map(|dialect| CatalogLayout::of_header(line.as_bytes(), &dialect)) {
                [Err(fault), Err(_)] => Err(format!("catalog.header: {}", fault.detail)),
                _ => Ok(()),
            }
        }
    }
}

/// Checks that columns are given by their places.
fn check_places<const N: usize>(table: &str, columns: [Option<&ColumnName>; N]) -> Result<(), String> {
    match columns.into_iter().flatten().find(|column| matches!(column, ColumnName::Name(_))) {
        None => Ok(()),
        Some(name) => Err(format!(
            "{table}.header is `none`, so there is no column `{name}`; set each of {table}.columns to a place, \
             such as `#1`"
        )),
    }
}
