//! What stands in for writing Parquet in a program that was built without it.

use std::io::{self, Write};

use crate::ingest::parquet::MISSING;
use crate::insights::Column;

/// Writes nothing.
#[derive(Debug)]
pub struct ParquetWriter<W>(std::convert::Infallible, std::marker::PhantomData<W>);

impl<W: Write + Send> ParquetWriter<W> {
    /// Begins nothing.
    ///
    /// # Errors
    /// Always: that the feature is missing.
    pub fn new(_columns: &'static [Column], _out: W) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, MISSING))
    }

    /// Takes nothing.
    ///
    /// # Errors
    /// None, for there is no writer.
    pub fn push(&mut self, _text: &[u8]) -> io::Result<()> {
        match self.0 {}
    }

    /// Ends nothing.
    ///
    /// # Errors
    /// None, for there is no writer.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {}
    }
}
