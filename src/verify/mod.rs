//! `verify`: recomputes everything from the inputs and compares it with the published output. It
//! writes nothing.

pub mod committed;
pub mod committed_state;
pub mod files;
pub mod multiset;
pub mod recompute;
pub mod report;
pub mod row_comparison;
pub mod rows;
pub mod snapshots;
pub mod verifier;
