//! The state that outlives the process: input progress, unmatched plays, checkpoints.

pub mod checkpoint;
pub mod input_progress;
pub mod input_record;
mod layout_record;
pub mod unmatched;
