//! Reports about the running program: metrics, heartbeat, systemd notification, messages and progress.

pub mod heartbeat;
pub mod logging;
pub mod metrics;
pub mod progress;
pub mod systemd;
