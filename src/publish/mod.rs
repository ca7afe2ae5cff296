//! The output folder: snapshots, append-only tables, and the manifest that ties them together.

pub mod append_only;
pub mod cleanup;
pub mod epoch;
pub mod formula_escape;
pub mod manifest;
pub mod parquet;
pub mod periods;
pub mod rejects;
pub mod snapshot;
pub mod staged_part;
pub mod table_folders;

use serde::{Deserialize, Serialize};

use crate::settings::Settings;
use crate::storage::has_end;

/// Name of the only part of a snapshot, and of the first part of an append-only table.
pub const FIRST_PART: &str = "part-00000.csv";
/// Name of the folder with the table of rejected rows.
pub const REJECTS: &str = "_rejects";

/// The output formats of insights. The program always writes CSV.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFormats {
    /// Whether CSV cells that look like formulas are escaped.
    pub escape_formulas: bool,
    /// Whether Parquet files are written beside the CSV files.
    pub parquet: bool,
}

impl OutputFormats {
    /// The formats that the settings `csv.escape_formulas` and `format.parquet` select.
    pub fn of(settings: &Settings) -> Self {
        Self { escape_formulas: settings.csv.escape_formulas, parquet: settings.format.parquet }
    }
}

/// Whether `name` is the file name of a CSV part.
pub fn is_part(name: &str) -> bool {
    name.starts_with("part-") && has_end(name, "csv")
}
