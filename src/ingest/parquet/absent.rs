//! What stands in for reading Parquet in a program that was built without it.

use std::fs::File;
use std::io::{self, Read};

use crate::ingest::parquet::MISSING;
use crate::model::delimiter::Delimiter;

/// Nothing.
///
/// # Errors
/// Always: that the feature is missing.
pub fn csv_of(_file: File, _delimiter: Delimiter) -> io::Result<Box<dyn Read + Send>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, MISSING))
}
