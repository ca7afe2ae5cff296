//! What stands in for Parquet in a program that was built without it.

use std::fs::File;
use std::io::{self, Read};

use crate::delimiter::Delimiter;

/// Nothing.
///
/// # Errors
/// Always: that the feature is missing.
pub fn csv_of(_file: File, _delimiter: Delimiter) -> io::Result<Box<dyn Read + Send>> {
    Err(missing())
}

fn missing() -> io::Error {
    let message = "this program was built without the feature `parquet`";
    io::Error::new(io::ErrorKind::Unsupported, message)
}
