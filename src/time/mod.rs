//! Time: calendar days and weeks, time zones, the clock, and the night window.

pub mod civil;
pub mod clock;
pub mod window;
pub mod zone;
