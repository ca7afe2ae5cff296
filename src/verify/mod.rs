//! The command `verify`: recomputes all tables from the inputs, and compares them with the published
//! output. It writes no files.

pub mod committed;
pub mod committed_state;
pub mod files;
pub mod multiset;
pub mod periods;
pub mod recompute;
pub mod report;
pub mod row_comparison;
pub mod rows;
pub mod snapshots;
pub mod verifier;
