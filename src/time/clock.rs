//! The current time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A source of the current time.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The clock of the system.
    System,
    /// A fixed instant in seconds since 1970-01-01T00:00:00Z, for `replay --now`.
    Stopped(i64),
    /// An instant in seconds since 1970-01-01T00:00:00Z that a test moves.
    Moved(&'static AtomicI64),
}

impl Clock {
    /// The current time in seconds since 1970-01-01T00:00:00Z.
    pub fn now(self) -> i64 {
        match self {
            Self::System => {
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
            }
            Self::Stopped(now) => now,
            Self::Moved(now) => now.load(Ordering::SeqCst),
        }
    }
}
