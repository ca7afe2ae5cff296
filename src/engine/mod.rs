//! The run of a `replay` or `watch`: pipeline, coordinator, workers, and recovery at start.

pub mod coordinator;
pub mod decoding;
pub mod epoch;
pub mod pipeline;
pub mod recovery;
pub mod run_mode;
pub mod workers;
