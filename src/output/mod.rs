//! The output folder: who may write it, and how files appear in it whole.

pub mod log;
pub mod manifest;
pub mod snapshot;

use crate::disk::has_end;

/// The only part of a snapshot, and the first of a log.
pub const FIRST_PART: &str = "part-00000.csv";
/// Folder of the rejected rows.
pub const REJECTS: &str = "_rejects";

/// Whether a name is that of a part of an insight.
pub fn is_part(name: &str) -> bool {
    name.starts_with("part-") && has_end(name, "csv")
}
