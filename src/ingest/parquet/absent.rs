//! Replaces the Parquet reader in a build without the feature `parquet`.

use std::fs::File;
use std::io::{self, Read};

use crate::ingest::parquet::MISSING;
use crate::model::delimiter::Delimiter;

/// Always fails.
///
/// # Errors
/// `Unsupported`, because this build lacks the feature.
pub fn csv_of(_file: File, _delimiter: Delimiter) -> io::Result<Box<dyn Read + Send>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, MISSING))
}
