//! Parquet: files of others as CSV text, and rows of insights as files for others.
//!
//! CSV is what everything else in this program reads and writes, so every rule of it stands for
//! Parquet, too: a file is a log of which row 1 is line 2.

#[cfg(not(feature = "parquet"))]
mod absent;
#[cfg(feature = "parquet")]
mod cell;
#[cfg(feature = "parquet")]
mod read;

#[cfg(not(feature = "parquet"))]
pub use absent::csv_of;
#[cfg(feature = "parquet")]
pub use read::csv_of;

/// Whether this program can read and write Parquet.
pub const AVAILABLE: bool = cfg!(feature = "parquet");
/// What is said if it cannot.
pub const MISSING: &str = "this program was built without the feature `parquet`";
