//! What time it is.

use std::time::{SystemTime, UNIX_EPOCH};

/// A clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// That of the system.
    System,
    /// One that stands at an instant, in seconds since 1970-01-01T00:00:00Z: `replay --now`.
    Stopped(i64),
}

impl Clock {
    /// Seconds since 1970-01-01T00:00:00Z, now.
    pub fn now(self) -> i64 {
        match self {
            Self::System => {
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
            }
            Self::Stopped(now) => now,
        }
    }
}
