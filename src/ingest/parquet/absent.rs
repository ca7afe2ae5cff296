//! Replaces the Parquet reader in a build without the feature `parquet`.

use std::fs::File;
use std::io::{self, Read};

use crate::ingest::parquet::MISSING;
use crate::model::dialect::columns::{ColumnName, LogColumns};
use crate::model::layout::TypedCells;

/// Always fails.
///
/// # Errors
/// `Unsupported`, because this build lacks the feature.
pub fn csv_of(_file: File, _wanted: Vec<ColumnName>) -> io::Result<Box<dyn Read + Send>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, MISSING))
}

/// The cells of a file that this build cannot read have no types.
pub fn typed_cells(_file: File, _columns: &LogColumns) -> TypedCells {
    TypedCells::default()
}
