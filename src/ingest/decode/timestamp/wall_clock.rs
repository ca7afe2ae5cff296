//! The meaning of a timestamp before the time zone is applied.

/// A parsed cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WallClock {
    /// Seconds since 1970-01-01 00:00:00, on a clock that is `offset` seconds ahead of UTC.
    pub(super) local: i64,
    /// Nanoseconds within the second.
    pub(super) nanos: u32,
    /// How many seconds the clock is ahead of UTC. `None` for a clock in the zone of the settings.
    pub(super) offset: Option<i32>,
}
