//! Times of day, and daily windows such as the night.

use std::fmt::{self, Display};
use std::str::FromStr;

/// A time of day, in minutes after midnight. Written as `05:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay(pub u16);

impl FromStr for TimeOfDay {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a time of day such as 05:00";
        let (hour, minute) = text.split_once(':').ok_or(EXPECTED)?;
        let number = |text: &str, end: u16| {
            let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|&number: &u16| digits && number < end).ok_or(EXPECTED)
        };
        Ok(Self(number(hour, 24)? * 60 + number(minute, 60)?))
    }
}

impl Display for TimeOfDay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// A daily window, which may span midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NightWindow {
    /// The first minute.
    pub from: TimeOfDay,
    /// The end, exclusive.
    pub to: TimeOfDay,
}

impl NightWindow {
    /// Whether the window contains a local time, given in seconds.
    #[inline]
    pub fn contains(self, local: i64) -> bool {
        let minute = local.rem_euclid(86_400) as u32 / 60;
        let [from, to] = [self.from.0, self.to.0].map(u32::from);
        if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to }
    }

    /// Whether the window begins or ends within the hour that starts at a local time, given in seconds.
    pub fn divides_hour(self, start: i64) -> bool {
        let hour = (start.rem_euclid(86_400) / 3600) as u16;
        [self.from, self.to].into_iter().any(|time| time.0 / 60 == hour && time.0 % 60 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_has_two_digits_each() {
        assert_eq!("05:30".parse(), Ok(TimeOfDay(330)));
        assert!("24:00".parse::<TimeOfDay>().is_err() && "5:00".parse::<TimeOfDay>().is_err());
    }

    #[test]
    fn a_window_may_span_midnight() {
        let at = |hour: i64, minute: i64| 19_000 * 86_400 + hour * 3600 + minute * 60;
        let window = |from: u16, to: u16| NightWindow { from: TimeOfDay(from * 60), to: TimeOfDay(to * 60) };
        assert!(window(0, 5).contains(at(0, 0)) && window(0, 5).contains(at(4, 59)));
        assert!(!window(0, 5).contains(at(5, 0)) && !window(0, 5).contains(at(23, 59)));
        assert!(window(22, 2).contains(at(22, 0)) && window(22, 2).contains(at(1, 59)));
        assert!(!window(22, 2).contains(at(2, 0)) && !window(22, 2).contains(at(21, 59)));
        assert!(window(22, 0).contains(at(23, 59)) && !window(22, 0).contains(at(0, 0)));
        assert!(window(0, 5).contains(-86_400), "midnight before 1970");
    }
}
