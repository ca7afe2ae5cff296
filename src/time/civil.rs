//! Calendar dates as day numbers (proleptic Gregorian calendar), and ISO 8601 weeks.

use std::fmt::{self, Display};
use std::str::FromStr;

use chrono::{Datelike, NaiveDate};
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize, Serializer};

/// Seconds per day.
pub const DAY: i64 = 86_400;

/// 1970-01-01 in chrono's day count, which starts at 0001-01-01.
const EPOCH_FROM_CE: i64 = 719_163;

/// A calendar date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CivilDate {
    /// Year. In logs, it is between 0 and 9999.
    pub year: i32,
    /// Month, 1 to 12.
    pub month: u32,
    /// Day of the month, from 1.
    pub day: u32,
}

impl CivilDate {
    /// The date `days` after 1970-01-01.
    ///
    /// # Panics
    /// If the date is outside of chrono's calendar (about 260,000 years around year 0).
    pub fn from_days(days: i64) -> Self {
        let date = NaiveDate::from_num_days_from_ce_opt((days + EPOCH_FROM_CE) as i32)
            .expect("a day within the calendar");
        Self { year: date.year(), month: date.month(), day: date.day() }
    }

    /// Parses a date such as `2025-03-20`; `None` if the text is not a date.
    pub fn parse(text: &str) -> Option<Self> {
        // The check of the length is needed because chrono also accepts signs and years of any length.
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| text.len() == 10)?;
        Some(Self { year: date.year(), month: date.month(), day: date.day() })
    }

    /// Days since 1970-01-01; `None` if the date does not exist.
    pub fn to_days(self) -> Option<i64> {
        let date = NaiveDate::from_ymd_opt(self.year, self.month, self.day)?;
        Some(i64::from(date.num_days_from_ce()) - EPOCH_FROM_CE)
    }
}

impl Display for CivilDate {
    /// Prints the date as `2025-03-20`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl FromStr for CivilDate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or("expected a date such as 2025-03-21")
    }
}

impl Serialize for CivilDate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CivilDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A week from Monday to Sunday. Week 0 contains 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Week(pub i64);

impl Week {
    /// The week that contains a day. The day is a number of days since 1970-01-01, a Thursday.
    pub fn of_day(day: i64) -> Self {
        Self((day + 3).div_euclid(7))
    }

    /// The week that contains a local time, in seconds since 1970-01-01 00:00:00 local.
    pub fn of_local(local: i64) -> Self {
        Self::of_day(local.div_euclid(DAY))
    }

    /// The range of local times in this week, in seconds since 1970-01-01 00:00:00 local.
    pub fn seconds(self) -> std::ops::Range<i64> {
        let monday = (self.0 * 7 - 3) * DAY;
        monday..monday + 7 * DAY
    }

    /// The week with an ISO 8601 number, such as week 13 of 2025; `None` if the year has no such week.
    pub fn from_iso(year: i32, week: u32) -> Option<Self> {
        let monday = NaiveDate::from_isoywd_opt(year, week, chrono::Weekday::Mon)?;
        Some(Self::of_day(i64::from(monday.num_days_from_ce()) - EPOCH_FROM_CE))
    }
}

impl Display for Week {
    /// Prints the ISO 8601 week: `2025-W13`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let monday = NaiveDate::from_num_days_from_ce_opt((self.0 * 7 - 3 + EPOCH_FROM_CE) as i32);
        let week = monday.expect("a week within the calendar").iso_week();
        write!(formatter, "{:04}-W{:02}", week.year(), week.week())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse() {
        for days in [-800, -1, 0, 58, 59, 789, 11_016, 20_000, 2_932_896] {
            assert_eq!(CivilDate::from_days(days).to_days(), Some(days));
        }
        assert_eq!(CivilDate { year: 2023, month: 2, day: 29 }.to_days(), None);
    }

    #[test]
    fn weeks_follow_iso_8601_at_the_edges_of_years() {
        let week = |year, month, day| Week::of_day(CivilDate { year, month, day }.to_days().unwrap());
        assert_eq!(week(2024, 12, 30), Week::from_iso(2025, 1).unwrap());
        assert_eq!(week(2021, 1, 3), Week::from_iso(2020, 53).unwrap());
        assert_eq!(week(2021, 1, 4), Week::from_iso(2021, 1).unwrap());
        assert_eq!(Week::from_iso(2025, 53), None);
        let texts =
            [(2024, 12, 30), (2021, 1, 3)].map(|(year, month, day)| week(year, month, day).to_string());
        assert_eq!(texts, ["2025-W01", "2020-W53"]);
        assert_eq!(Week::of_local(-1), Week(0), "a Wednesday, the day before the epoch");
        let seconds = week(2025, 3, 26).seconds();
        assert_eq!([seconds.start, seconds.end - 1].map(Week::of_local), [week(2025, 3, 26); 2]);
        assert_eq!(
            [seconds.start - 1, seconds.end].map(Week::of_local),
            [week(2025, 3, 23), week(2025, 3, 31)]
        );
    }
}
