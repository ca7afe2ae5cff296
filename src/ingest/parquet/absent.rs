//! Replaces the Parquet reader in a build without the feature `parquet`.

use std::fs::File;
use std::io::{self, Read};

use crate::ingest::parquet::MISSING;

/// Always fails.
///
/// # Errors
/// `Unsupported`, because this build lacks the feature.
pub fn csv_of(_file: File) -> io::Result<Box<dyn Read + Send>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, MISSING))
}
