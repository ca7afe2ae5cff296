//! The output folder: who may write it, and how files appear in it whole.

pub mod disk;
pub mod lock;
pub mod log;
pub mod manifest;
pub mod snapshot;

/// The only part of a snapshot, and the first of a log.
pub const FIRST_PART: &str = "part-00000.csv";
/// Folder of the rejected rows.
pub const REJECTS: &str = "_rejects";
