//! Reads Parquet files as CSV text.
//!
//! Therefore, all rules for CSV also apply to Parquet. Line 1 of the text is the header, so row 1 of a
//! file is line 2.

#[cfg(not(feature = "parquet"))]
mod absent;
#[cfg(feature = "parquet")]
mod cell;
#[cfg(feature = "parquet")]
mod choose;
#[cfg(feature = "parquet")]
mod read;

#[cfg(not(feature = "parquet"))]
pub use absent::{csv_of, typed_cells};
#[cfg(feature = "parquet")]
pub use read::{csv_of, typed_cells};

/// Whether this build can read and write Parquet.
pub const AVAILABLE: bool = cfg!(feature = "parquet");
/// The error message of a build without Parquet.
pub const MISSING: &str = "this program was built without the feature `parquet`";
