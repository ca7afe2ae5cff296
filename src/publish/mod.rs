//! The output folder: snapshots, append-only tables, and the manifest that ties them together.

pub mod append_only;
pub mod cleanup;
pub mod epoch;
pub mod formula_escape;
pub mod manifest;
pub mod parquet;
pub mod rejects;
pub mod snapshot;

use crate::settings::Settings;
use crate::storage::has_end;

/// The only part of a snapshot, and the first part of an append-only table.
pub const FIRST_PART: &str = "part-00000.csv";
/// Folder of the rejected rows.
pub const REJECTS: &str = "_rejects";

/// The formats in which insights are written. CSV is always written.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputFormats {
    /// Whether CSV cells that look like formulas are escaped.
    pub escape_formulas: bool,
    /// Whether Parquet files are written beside the CSV files.
    pub parquet: bool,
}

impl OutputFormats {
    /// The formats of `csv.escape_formulas` and `format.parquet`.
    pub fn of(settings: &Settings) -> Self {
        Self { escape_formulas: settings.csv.escape_formulas, parquet: settings.format.parquet }
    }
}

/// Whether a file name is that of a CSV part.
pub fn is_part(name: &str) -> bool {
    name.starts_with("part-") && has_end(name, "csv")
}
