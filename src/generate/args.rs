//! What `generate` can be told on the command line.

use std::path::PathBuf;

use clap::{Args, value_parser};

use crate::generate::DAY;
use crate::generate::ids::Ids;
use crate::generate::plays::Plan;
use crate::generate::popularity::{MAX_ITEMS, Popularity};
use crate::generate::rhythm::Pace;
use crate::time::civil::CivilDate;

/// Rows if neither `--rows` nor `--rate` is given.
const ROWS: u64 = 1000;

/// The latest year of a start: a century later, years still have four digits.
const LAST_START: i32 = 9899;

/// The arguments of `generate`.
#[derive(Debug, Clone, Args)]
pub struct GenerateArgs {
    /// Rows of listening logs [default: 1000; with --rate, until stopped]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=1_000_000_000_000))]
    pub rows: Option<u64>,

    /// Users who listen
    #[arg(long, value_name = "N", default_value = "50", value_parser = value_parser!(u32).range(1..=MAX_ITEMS as i64))]
    pub users: u32,

    /// Songs in the catalog; about one play in a hundred is of a song that is not in it
    #[arg(long, value_name = "N", default_value = "100", value_parser = value_parser!(u32).range(1..=MAX_ITEMS as i64))]
    pub songs: u32,

    /// The same seed makes the same bytes, on every machine
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,

    /// First day (UTC) as YYYY-MM-DD, or `now`: the days up to now, or with --rate from now on in real time
    #[arg(long, value_name = "DATE", default_value = "2025-03-20", value_parser = parse_start)]
    pub start: Start,

    /// Days over which the rows are spread
    #[arg(long, value_name = "N", default_value = "7", value_parser = value_parser!(u32).range(1..=36_500))]
    pub days: u32,

    /// Files over which the rows are split evenly
    #[arg(
        long, value_name = "N", default_value = "1", conflicts_with = "rate",
        value_parser = value_parser!(u32).range(1..=100_000)
    )]
    pub files: u32,

    /// Folder for the catalog (`songs_metadata.csv`) and the logs (`incoming/*.csv`)
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub out: PathBuf,

    /// Live feed of so many rows per second, in files that grow and files that drop in
    #[arg(long, value_name = "ROWS", value_parser = value_parser!(u64).range(1..=10_000_000))]
    pub rate: Option<u64>,

    /// How plays spread over users and songs
    #[arg(long, value_enum, default_value_t = Popularity::Zipf)]
    pub popularity: Popularity,

    /// The look of user and song ids
    #[arg(long, value_enum, default_value_t = Ids::Short)]
    pub ids: Ids,
}

/// Where the timestamps begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At midnight (UTC) of this day since 1970-01-01.
    Day(u64),
    /// With the clock.
    Now,
}

/// Reads `YYYY-MM-DD` or `now`.
fn parse_start(text: &str) -> Result<Start, String> {
    const EXPECTED: &str = "expected a date from 1970 on as YYYY-MM-DD, or `now`";
    if text == "now" {
        return Ok(Start::Now);
    }
    let date = CivilDate::parse(text).ok_or(EXPECTED)?;
    if date.year > LAST_START {
        return Err(format!("the last year is {LAST_START}"));
    }
    let day = date.to_days().and_then(|day| u64::try_from(day).ok()).ok_or(EXPECTED)?;
    Ok(Start::Day(day))
}

impl GenerateArgs {
    /// The rows to make; `None` is an endless feed.
    pub fn total(&self) -> Option<u64> {
        self.rows.or(if self.rate.is_some() { None } else { Some(ROWS) })
    }

    /// What is to be made, if it is `now` (seconds since 1970-01-01).
    pub fn plan(&self, now: u64) -> Plan {
        let days = u64::from(self.days);
        let rhythm = |start| {
            // An endless feed goes through the days in real time, but for the rhythm.
            let rows = self.total().unwrap_or_else(|| self.rate.unwrap_or(1) * days * DAY);
            Pace::Rhythm { start, days, rows }
        };
        let pace = match (self.start, self.rate) {
            (Start::Day(day), _) => rhythm(day * DAY),
            // Plays of the future are no input, so a period that is made at once ends now.
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
    fn starts() {
        assert_eq!(parse_start("now"), Ok(Start::Now));
        assert_eq!(parse_start("1970-01-02"), Ok(Start::Day(1)));
        assert!(parse_start("9899-12-31").is_ok());
        assert!(parse_start("9900-01-01").is_err());
        assert!(parse_start("tomorrow").is_err());
    }
}
