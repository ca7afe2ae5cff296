//! A range of calendar dates.

use std::fmt::{self, Display};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::time::civil::{CivilDate, DAY};

/// The dates of the plays that count: local dates, both ends included. The default contains all dates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DateRange {
    /// The first date; `None` if there is no first date.
    pub from: Option<CivilDate>,
    /// The last date; `None` if there is no last date.
    pub to: Option<CivilDate>,
}

impl DateRange {
    /// Whether the range contains all dates.
    pub fn is_unlimited(self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// Whether the first date is after the last date.
    pub fn is_reversed(self) -> bool {
        let [from, to] = [self.from, self.to].map(|date| date.and_then(CivilDate::to_days));
        from.zip(to).is_some_and(|(from, to)| from > to)
    }

    /// The local times in the range, in seconds since 1970-01-01 00:00:00 local.
    pub fn seconds(self) -> Range<i64> {
        let [from, to] = [self.from, self.to].map(|date| date.and_then(CivilDate::to_days));
        from.map_or(i64::MIN, |day| day * DAY)..to.map_or(i64::MAX, |day| (day + 1) * DAY)
    }
}

impl Display for DateRange {
    /// Prints the range as flags: `--from 2025-03-20 --to 2025-03-31`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (Some(from), Some(to)) => write!(formatter, "--from {from} --to {to}"),
            (Some(from), None) => write!(formatter, "--from {from}"),
            (None, Some(to)) => write!(formatter, "--to {to}"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: &str, to: &str) -> DateRange {
        DateRange { from: CivilDate::parse(from), to: CivilDate::parse(to) }
    }

    #[test]
    fn both_ends_are_included_and_either_may_be_open() {
        let day = CivilDate { year: 2024, month: 2, day: 29 }.to_days().unwrap();
        let midnight = day * DAY;
        assert_eq!(range("2024-02-29", "2024-02-29").seconds(), midnight..midnight + DAY);
        assert_eq!(range("2024-02-29", "").seconds(), midnight..i64::MAX);
        assert_eq!(range("", "2024-02-29").seconds(), i64::MIN..midnight + DAY);
        assert_eq!(DateRange::default().seconds(), i64::MIN..i64::MAX);
        assert_eq!(range("0000-01-01", "1969-12-31").seconds().end, 0);
    }

    #[test]
    fn a_range_prints_as_the_flags_that_declare_it() {
        let texts = [("2024-02-29", "9999-12-31"), ("2024-02-29", ""), ("", "0001-01-01")]
            .map(|(from, to)| range(from, to).to_string());
        assert_eq!(texts, ["--from 2024-02-29 --to 9999-12-31", "--from 2024-02-29", "--to 0001-01-01"]);
    }

    #[test]
    fn a_range_is_reversed_only_if_it_has_two_ends_in_the_wrong_order() {
        assert!(range("2024-03-01", "2024-02-29").is_reversed());
        for (from, to) in [("2024-03-01", "2024-03-01"), ("2024-03-01", ""), ("", "2024-03-01"), ("", "")] {
            assert!(!range(from, to).is_reversed(), "{from} {to}");
        }
        assert!(range("", "").is_unlimited() && !range("", "2024-03-01").is_unlimited());
    }
}
