//! The engine of `replay` and `watch`: pipeline, coordinator, workers, and recovery at the start.

pub mod coordinator;
pub mod decoding;
pub mod epoch;
pub mod periods;
pub mod pipeline;
pub mod recovery;
pub mod rendering;
pub mod run_mode;
pub mod tally;
pub mod workers;
