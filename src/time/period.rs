//! Calendar periods: days, ISO 8601 weeks, months, quarters and years of the local calendar.

use std::fmt::{self, Display};
use std::ops::Range;
use std::str::FromStr;

use crate::time::civil::{CivilDate, DAY, Week};

/// The length of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Length {
    /// A calendar day.
    Day,
    /// An ISO 8601 week, from Monday to Sunday.
    Week,
    /// A calendar month.
    Month,
    /// Three months: the first quarter begins in January.
    Quarter,
    /// A calendar year.
    Year,
}

impl Length {
    /// All lengths, the shortest first.
    pub const ALL: [Self; 5] = [Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// The name in settings, paths and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// The index in [`ALL`](Self::ALL).
    pub fn index(self) -> usize {
        self as usize
    }
}

/// One period of the local calendar, such as March 2025.
///
/// ```
/// use music_insights::time::period::{Length, Period};
/// let march: Period = "2025-03".parse().unwrap();
/// assert_eq!((march.length, march.to_string()), (Length::Month, "2025-03".to_owned()));
/// assert_eq!(march.back(3).to_string(), "2024-12");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    /// The length.
    pub length: Length,
    /// The number of the period. The next period of this length has the next number.
    number: i64,
}

/// Added to the number of a period, so that [`Period::code`] is never negative.
const SHIFT: i64 = 1 << 40;

impl Period {
    /// The period of a length that contains a day, which is a number of days since 1970-01-01.
    pub fn of_day(length: Length, day: i64) -> Self {
        let months = || {
            let date = CivilDate::from_days(day);
            i64::from(date.year) * 12 + i64::from(date.month) - 1
        };
        let number = match length {
            Length::Day => day,
            Length::Week => Week::of_day(day).0,
            Length::Month => months(),
            Length::Quarter => months().div_euclid(3),
            Length::Year => months().div_euclid(12),
        };
        Self { length, number }
    }

    /// The period of a length that contains a local time, in seconds since 1970-01-01 00:00:00 local.
    pub fn of_local(length: Length, local: i64) -> Self {
        Self::of_day(length, local.div_euclid(DAY))
    }

    /// The days of the period, as numbers of days since 1970-01-01.
    pub fn days(self) -> Range<i64> {
        self.first_day()..self.next().first_day()
    }

    /// The local times of the period, in seconds since 1970-01-01 00:00:00 local.
    pub fn seconds(self) -> Range<i64> {
        let days = self.days();
        days.start * DAY..days.end * DAY
    }

    /// The period `periods` before this one.
    #[must_use]
    pub fn back(self, periods: i64) -> Self {
        Self { number: self.number.saturating_sub(periods).max(-SHIFT), ..self }
    }

    /// The next period of the same length.
    #[must_use]
    pub fn next(self) -> Self {
        Self { number: self.number + 1, ..self }
    }

    /// Whether the period is still open: it is the latest one of its length or a later one, so new plays usually
    /// belong to it. `latest_day` is a day in the latest period of every length, as a number of days since
    /// 1970-01-01; `None` without plays.
    pub fn is_still_open(self, latest_day: Option<i64>) -> bool {
        latest_day.is_some_and(|day| self >= Self::of_day(self.length, day))
    }

    /// A number that identifies the period. Codes have the order of the periods.
    pub fn code(self) -> u64 {
        (self.length.index() as u64) << 48 | (self.number + SHIFT) as u64
    }

    /// The period with a code; `None` if there is no such period.
    pub fn from_code(code: u64) -> Option<Self> {
        let length = *Length::ALL.get(usize::try_from(code >> 48).ok()?)?;
        Some(Self { length, number: (code & ((1 << 48) - 1)) as i64 - SHIFT })
    }

    /// The path of the period's folder below the folder of all periods, such as `month/2025-03`.
    pub fn path(self) -> String {
        format!("{}/{self}", self.length.name())
    }

    /// The period with a [`path`](Self::path); `None` if there is no such period.
    pub fn from_path(path: &str) -> Option<Self> {
        let (length, name) = path.split_once('/')?;
        name.parse().ok().filter(|period: &Self| period.length.name() == length)
    }

    fn first_day(self) -> i64 {
        let months = match self.length {
            Length::Day => return self.number,
            Length::Week => return Week(self.number).seconds().start / DAY,
            Length::Month => self.number,
            Length::Quarter => self.number * 3,
            Length::Year => self.number * 12,
        };
        let (year, month) = (months.div_euclid(12) as i32, months.rem_euclid(12) as u32 + 1);
        let first = CivilDate { year, month, day: 1 };
        first.to_days().expect("a month within the calendar has a first day")
    }
}

impl Display for Period {
    /// Prints the name: `2025-03-21`, `2025-W12`, `2025-03`, `2025-Q1` or `2025`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length {
            Length::Day => CivilDate::from_days(self.number).fmt(formatter),
            Length::Week => Week(self.number).fmt(formatter),
            Length::Month => {
                let (year, month) = (self.number.div_euclid(12), self.number.rem_euclid(12) + 1);
                write!(formatter, "{year:04}-{month:02}")
            }
            Length::Quarter => {
                let (year, quarter) = (self.number.div_euclid(4), self.number.rem_euclid(4) + 1);
                write!(formatter, "{year:04}-Q{quarter}")
            }
            Length::Year => write!(formatter, "{:04}", self.number),
        }
    }
}

impl FromStr for Period {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a period such as 2025-03-21, 2025-W12, 2025-03, 2025-Q1 or 2025";
        let number = |text: &str, digits: usize| {
            let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse().ok()).flatten()
        };
        let period = || -> Option<Self> {
            if let Some(year) = number(text, 4) {
                return Some(Self { length: Length::Year, number: year });
            }
            if let Some(day) = CivilDate::parse(text) {
                return Some(Self::of_day(Length::Day, day.to_days()?));
            }
            let (year, rest) = text.split_once('-')?;
            let year = number(year, 4)?;
            if let Some(week) = rest.strip_prefix('W') {
                let week = Week::from_iso(year as i32, number(week, 2)? as u32)?;
                return Some(Self { length: Length::Week, number: week.0 });
            }
            if let Some(quarter) = rest.strip_prefix('Q') {
                let quarter = number(quarter, 1).filter(|quarter| (1..=4).contains(quarter))?;
                return Some(Self { length: Length::Quarter, number: year * 4 + quarter - 1 });
            }
            let month = number(rest, 2).filter(|month| (1..=12).contains(month))?;
            Some(Self { length: Length::Month, number: year * 12 + month - 1 })
        };
        period().ok_or(EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(text: &str) -> i64 {
        CivilDate::parse(text).unwrap().to_days().unwrap()
    }

    #[test]
    fn a_day_lies_in_one_period_of_each_length() {
        for (date, expected) in [
            ("2025-03-21", ["2025-03-21", "2025-W12", "2025-03", "2025-Q1", "2025"]),
            ("2024-12-30", ["2024-12-30", "2025-W01", "2024-12", "2024-Q4", "2024"]),
            ("2021-01-03", ["2021-01-03", "2020-W53", "2021-01", "2021-Q1", "2021"]),
            ("1970-01-01", ["1970-01-01", "1970-W01", "1970-01", "1970-Q1", "1970"]),
            ("1969-12-31", ["1969-12-31", "1970-W01", "1969-12", "1969-Q4", "1969"]),
        ] {
            assert_eq!(Length::ALL.map(|length| Period::of_day(length, day(date)).to_string()), expected);
        }
    }

    #[test]
    fn the_latest_period_and_later_ones_are_still_open() {
        let latest_day = Some(day("2025-03-21"));
        for (name, expected) in [
            ("2025-02", false),
            ("2025-03", true),
            ("2025-04", true),
            ("2025-03-20", false),
            ("2025-03-21", true),
            ("2025-W11", false),
            ("2025-W12", true),
            ("2024", false),
            ("2025", true),
        ] {
            let period: Period = name.parse().unwrap();
            assert_eq!(period.is_still_open(latest_day), expected, "{name}");
            assert!(!period.is_still_open(None), "{name}");
        }
    }

    #[test]
    fn only_names_of_periods_are_parsed() {
        for wrong in
            ["", "25", "2025-3", "2025-13", "2025-Q5", "2025-Q0", "2025-W54", "2025-W1", "2025-02-30", "+025"]
        {
            assert!(wrong.parse::<Period>().is_err(), "{wrong}");
        }
        assert_eq!(Period::from_path("month/2025-03").map(Period::path), Some("month/2025-03".to_owned()));
        assert_eq!(Period::from_path("year/2025-03"), None);
        assert_eq!(Period::from_code(5 << 48), None);
    }

    proptest! {
        #[test]
        fn periods_of_one_length_follow_each_other(number in -400_i64..1_000_000, back in 0_i64..400) {
            for length in Length::ALL {
                let period = Period::of_day(length, number);
                let days = period.days();
                prop_assert!(days.contains(&number));
                prop_assert_eq!(Period::of_day(length, days.end), period.next());
                prop_assert_eq!(Period::of_day(length, days.start - 1), period.back(1));
                prop_assert_eq!(period.to_string().parse(), Ok(period));
                prop_assert_eq!(Period::from_code(period.code()), Some(period));
                prop_assert!(period.back(back).code() <= period.code());
                prop_assert_eq!(period.back(back) == period, back == 0);
            }
        }
    }
}
