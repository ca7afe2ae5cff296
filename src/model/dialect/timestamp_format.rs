//! The setting `input.timestamp`: how timestamps are written.

use std::fmt::{self, Display};
use std::str::FromStr;

pub use crate::model::dialect::timestamp_pattern::TimestampPattern;
use crate::model::value::written_as;

/// How timestamps are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TimestampFormat {
    /// `YYYY-MM-DD HH:MM[:SS[.fraction]]` with or without an offset.
    #[default]
    Iso,
    /// Seconds, milliseconds or microseconds since 1970-01-01T00:00:00Z.
    Unix(UnixUnit),
    /// A pattern in the syntax of `chrono`.
    Pattern(TimestampPattern),
}

/// The unit of a Unix timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnixUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
}

impl FromStr for TimestampFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "iso" => Self::Iso,
            "unix_s" => Self::Unix(UnixUnit::Seconds),
            "unix_ms" => Self::Unix(UnixUnit::Millis),
            "unix_us" => Self::Unix(UnixUnit::Micros),
            pattern => Self::Pattern(pattern.parse()?),
        })
    }
}

impl Display for TimestampFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Iso => "iso",
            Self::Unix(UnixUnit::Seconds) => "unix_s",
            Self::Unix(UnixUnit::Millis) => "unix_ms",
            Self::Unix(UnixUnit::Micros) => "unix_us",
            Self::Pattern(pattern) => pattern.as_str(),
        })
    }
}

written_as!(TimestampFormat, "examples": ["iso", "unix_s", "unix_ms", "unix_us", "%d.%m.%Y %H:%M"]);
