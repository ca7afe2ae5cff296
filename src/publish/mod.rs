//! The output folder: who may write it, and how files appear in it whole.

pub mod cleanup;
pub mod formula_escape;
pub mod manifest;
pub mod parquet;
pub mod rolling_file;
pub mod snapshot;

use crate::settings::Settings;
use crate::storage::has_end;

/// The only part of a snapshot, and the first of a log.
pub const FIRST_PART: &str = "part-00000.csv";
/// Folder of the rejected rows.
pub const REJECTS: &str = "_rejects";

/// In which forms the rows of insights are written.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputFormats {
    /// Whether CSV is guarded against formulas.
    pub escape_formulas: bool,
    /// Whether there is Parquet beside it.
    pub parquet: bool,
}

impl OutputFormats {
    /// Those that are set.
    pub fn of(settings: &Settings) -> Self {
        Self { escape_formulas: settings.csv.escape_formulas, parquet: settings.format.parquet }
    }
}

/// Whether a name is that of a part of an insight.
pub fn is_part(name: &str) -> bool {
    name.starts_with("part-") && has_end(name, "csv")
}
