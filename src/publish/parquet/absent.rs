//! The Parquet writer of a build without the feature `parquet`.

use std::io::{self, Write};

use crate::ingest::parquet::MISSING;
use crate::insights::Column;

/// A writer that cannot be created.
#[derive(Debug)]
pub struct ParquetWriter<W>(std::convert::Infallible, std::marker::PhantomData<W>);

impl<W: Write + Send> ParquetWriter<W> {
    /// Always fails.
    ///
    /// # Errors
    /// The feature is missing.
    pub fn new(_columns: &'static [Column], _out: W) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, MISSING))
    }

    /// Cannot be called.
    ///
    /// # Errors
    /// None.
    pub fn push(&mut self, _text: &[u8]) -> io::Result<()> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn rows(&self) -> u64 {
        match self.0 {}
    }

    /// Cannot be called.
    ///
    /// # Errors
    /// None.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {}
    }
}
