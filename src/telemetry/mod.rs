//! What the program tells about itself: metrics, heartbeat, service manager, messages and progress.

pub mod heartbeat;
pub mod logging;
pub mod metrics;
pub mod progress;
pub mod systemd;
