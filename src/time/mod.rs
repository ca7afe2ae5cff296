//! Calendar dates, weeks and ranges of dates, time zones, the clock, and daily windows.

pub mod civil;
pub mod clock;
pub mod date_range;
pub mod period;
pub mod window;
pub mod zone;
