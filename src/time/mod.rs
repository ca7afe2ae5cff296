//! Calendar dates and weeks, time zones, the clock, and daily windows.

pub mod civil;
pub mod clock;
pub mod period;
pub mod window;
pub mod zone;
