//! The run: tasks and channels, the coordinator, the workers of the insights, recovery.

pub mod coordinator;
pub mod epoch;
pub mod pipeline;
pub mod recovery;
pub mod workers;
