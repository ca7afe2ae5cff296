//! Arguments of `generate`.

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum, value_parser};

use crate::cli::args::settings::LoggingArgs;
use crate::generate::Plan;
use crate::generate::ids::Ids;
use crate::generate::popularity::{MAX_ITEMS, Popularity};
use crate::generate::rhythm::{DAY, Pace};
use crate::time::civil::CivilDate;

/// Number of rows if neither `--rows` nor `--rate` is given.
const ROWS: u64 = 1000;

/// The last year that `--start` accepts. Even with the maximum of `--days`, all years have four digits.
const LAST_START: i32 = 9899;

/// Arguments of `generate`.
#[derive(Clone, Debug, Args)]
pub struct GenerateCommand {
    /// The data to generate.
    #[command(flatten)]
    pub generate: GenerateArgs,
    /// Settings of messages.
    #[command(flatten)]
    pub logging: LoggingArgs,
}

/// The data to generate.
#[derive(Debug, Clone, Args)]
pub struct GenerateArgs {
    /// Total number of rows in all logs [default: 1000; no limit with --rate]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=1_000_000_000_000))]
    pub rows: Option<u64>,

    /// Number of listeners
    #[arg(long, value_name = "N", default_value = "50", value_parser = value_parser!(u32).range(1..=MAX_ITEMS as i64))]
    pub users: u32,

    /// Number of songs in the catalog; about 1 % of the plays are of songs outside the catalog
    #[arg(long, value_name = "N", default_value = "100", value_parser = value_parser!(u32).range(1..=MAX_ITEMS as i64))]
    pub songs: u32,

    /// Seed of all random choices; the same seed gives the same bytes on every machine
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,

    /// First day (UTC) as YYYY-MM-DD, or `now`: the last row is at the current time; with --rate, the first
    #[arg(long, value_name = "DATE", default_value = "2025-03-20", value_parser = parse_start)]
    pub start: Start,

    /// Number of days that the rows cover; above 366, songs and listeners come and go, and there are more and
    /// more plays
    #[arg(long, value_name = "N", default_value = "7", value_parser = value_parser!(u32).range(1..=36_500))]
    pub days: u32,

    /// Number of log files; each gets about the same number of rows
    #[arg(
        long, value_name = "N", default_value = "1", conflicts_with = "rate",
        value_parser = value_parser!(u32).range(1..=100_000)
    )]
    pub files: u32,

    /// Folder for the catalog (`songs_metadata.csv`) and the logs (`incoming/*.csv`)
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub out: PathBuf,

    /// Write a live feed at this number of rows per second; some files grow, some appear complete
    #[arg(long, value_name = "ROWS", value_parser = value_parser!(u64).range(1..=10_000_000))]
    pub rate: Option<u64>,

    /// Distribution of plays over listeners and songs
    #[arg(long, value_enum, default_value_t = Popularity::Zipf)]
    pub popularity: Popularity,

    /// Format of user and song ids
    #[arg(long, value_enum, default_value_t = Ids::Short)]
    pub ids: Ids,
}

impl ValueEnum for Popularity {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Zipf, Self::Uniform]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Zipf => {
                PossibleValue::new("zipf").help("A few are very frequent and most are rare, as in reality")
            }
            Self::Uniform => PossibleValue::new("uniform")
                .help("All are equally frequent, which is the hardest case for caches; meant for benchmarks"),
        })
    }
}

impl ValueEnum for Ids {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Short, Self::Uuid]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Short => PossibleValue::new("short").help("`user_17`, `song_42`"),
            Self::Uuid => PossibleValue::new("uuid").help("UUIDs of 36 characters"),
        })
    }
}

/// The first timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Midnight (UTC) of a day, counted from 1970-01-01.
    Day(u64),
    /// The current time.
    Now,
}

/// Parses `YYYY-MM-DD` or `now`.
fn parse_start(text: &str) -> Result<Start, String> {
    const EXPECTED: &str = "expected `now`, or a date in the form YYYY-MM-DD from 1970-01-01 on";
    if text == "now" {
        return Ok(Start::Now);
    }
    let date = CivilDate::parse(text).ok_or(EXPECTED)?;
    if date.year > LAST_START {
        return Err(format!("expected a year up to {LAST_START}"));
    }
    let day = date.to_days().and_then(|day| u64::try_from(day).ok()).ok_or(EXPECTED)?;
    Ok(Start::Day(day))
}

impl GenerateArgs {
    /// The number of rows, or `None` for an endless feed.
    pub fn total(&self) -> Option<u64> {
        self.rows.or(if self.rate.is_some() { None } else { Some(ROWS) })
    }

    /// The plan for these arguments. `now` is the current time in seconds since 1970-01-01.
    pub fn plan(&self, now: u64) -> Plan {
        let days = u64::from(self.days);
        let rhythm = |start| {
            // A feed without an end produces the rows of each day in real time, with the weekly rhythm.
            let rows = self.total().unwrap_or_else(|| self.rate.unwrap_or(1) * days * DAY);
            Pace::Rhythm { start, days, rows }
        };
        let pace = match (self.start, self.rate) {
            (Start::Day(day), _) => rhythm(day * DAY),
            // Plays in the future would be rejected, so the generated period ends at the current time.
            (Start::Now, None) => rhythm(now.saturating_sub(days * DAY)),
            (Start::Now, Some(rate)) => Pace::Steady { start: now, rate },
        };
        let Self { seed, users, songs, popularity, ids, .. } = *self;
        Plan { seed, users, songs, popularity, ids, pace }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_dates_from_1970_or_now() {
        assert_eq!(parse_start("now"), Ok(Start::Now));
        assert_eq!(parse_start("1970-01-02"), Ok(Start::Day(1)));
        assert!(parse_start("9899-12-31").is_ok());
        assert!(parse_start("9900-01-01").is_err());
        assert!(parse_start("tomorrow").is_err());
    }
}
