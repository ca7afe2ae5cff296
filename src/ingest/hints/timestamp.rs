//! Guesses the format of a timestamp from its text.

use std::ops::RangeInclusive;

/// Plausible Unix times in seconds: the years 2000 to 2099.
const PLAUSIBLE: RangeInclusive<u64> = 946_684_800..=4_102_444_799;
/// English month names, as `%b` and `%B` read them.
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The value of `input.timestamp` that may read a cell; `None` if the cell does not look like a timestamp.
pub fn guess(cell: &str) -> Option<String> {
    let cell = cell.trim();
    unix(cell).map(ToOwned::to_owned).or_else(|| pattern(cell, day_first(cell)))
}

/// The values of `input.timestamp` that may read a cell. If day and month cannot be told apart, there are two
/// values, the likelier one first.
pub fn candidates(cell: &str) -> Vec<String> {
    let cell = cell.trim();
    if let Some(unit) = unix(cell) {
        return vec![unit.to_owned()];
    }
    let first = day_first(cell);
    let mut found: Vec<String> =
        [first, !first].into_iter().filter_map(|first| pattern(cell, first)).collect();
    found.dedup();
    found
}

/// The unit of a Unix time.
fn unix(cell: &str) -> Option<&'static str> {
    let (whole, fraction) = cell.split_once('.').unwrap_or((cell, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let number: u64 = whole.parse().ok()?;
    let units = [("unix_s", 1), ("unix_ms", 1000), ("unix_us", 1_000_000)];
    units.into_iter().find(|(_, per_second)| PLAUSIBLE.contains(&(number / per_second))).map(|(unit, _)| unit)
}

/// Whether a date probably starts with the day: if the first number can only be a day, or with dots and
/// hyphens.
fn day_first(cell: &str) -> bool {
    let mut scanner = Scanner { rest: cell };
    let Some(first) = scanner.digits(1, 2) else { return true };
    let Some(separator) = scanner.one_of("/.-") else { return true };
    let Some(second) = scanner.digits(1, 2) else { return true };
    let value = |digits: &str| digits.parse::<u32>().unwrap_or_default();
    value(first) > 12 || (separator != '/' && value(second) <= 12)
}

/// The chrono format of a cell.
fn pattern(cell: &str, day_first: bool) -> Option<String> {
    let mut scanner = Scanner { rest: cell };
    let mut format = String::new();
    scanner.date(&mut format, day_first)?;
    if !scanner.rest.is_empty() {
        for separator in [", ", " ", "T"] {
            if let Some(rest) = scanner.rest.strip_prefix(separator) {
                scanner.rest = rest;
                format.push_str(separator);
                break;
            }
        }
        scanner.time(&mut format)?;
        scanner.offset(&mut format);
    }
    scanner.rest.is_empty().then_some(format)
}

/// The unread rest of a cell.
struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    /// Takes `min` to `max` digits. The next character must not be a digit.
    fn digits(&mut self, min: usize, max: usize) -> Option<&'a str> {
        let len = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        if !(min..=max).contains(&len) {
            return None;
        }
        let (digits, rest) = self.rest.split_at(len);
        self.rest = rest;
        Some(digits)
    }

    fn one_of(&mut self, chars: &str) -> Option<char> {
        let char = self.rest.chars().next().filter(|&char| chars.contains(char))?;
        self.rest = &self.rest[char.len_utf8()..];
        Some(char)
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        if found {
            self.rest = &self.rest[word.len()..];
        }
        found
    }

    /// Takes an English month name.
    fn month(&mut self) -> Option<&'static str> {
        if MONTHS.iter().any(|name| self.word(name)) {
            Some("%B")
        } else {
            MONTHS.iter().any(|name| self.word(&name[..3])).then_some("%b")
        }
    }

    fn date(&mut self, format: &mut String, day_first: bool) -> Option<()> {
        if self.rest.starts_with(|char: char| char.is_ascii_alphabetic()) {
            // Mar 21, 2025
            format.push_str(self.month()?);
            format.push_str(" %d");
            self.one_of(" ")?;
            self.digits(1, 2)?;
            if self.one_of(",").is_some() {
                format.push(',');
            }
            self.one_of(" ")?;
            self.digits(4, 4)?;
            format.push_str(" %Y");
            return Some(());
        }
        let first = self.digits(1, 4)?;
        let separator = self.one_of("/.- ")?;
        let month = self.month();
        if month.is_none() {
            self.digits(1, 2)?;
        }
        if self.one_of("/.- ")? != separator {
            return None;
        }
        let last = self.digits(1, 4)?;
        let year = if last.len() == 4 { "%Y" } else { "%y" };
        let parts = match (first.len(), month) {
            (4, _) if last.len() <= 2 => ["%Y", month.unwrap_or("%m"), "%d"],
            (1 | 2, Some(month)) => ["%d", month, year],
            (1 | 2, None) if separator == ' ' => return None,
            (1 | 2, None) if day_first => ["%d", "%m", year],
            (1 | 2, None) => ["%m", "%d", year],
            _ => return None,
        };
        format.push_str(&parts.join(separator.encode_utf8(&mut [0; 4])));
        Some(())
    }

    fn time(&mut self, format: &mut String) -> Option<()> {
        let start = format.len();
        self.digits(1, 2)?;
        format.push_str("%H");
        self.one_of(":")?;
        self.digits(2, 2)?;
        format.push_str(":%M");
        if self.one_of(":").is_some() {
            self.digits(2, 2)?;
            format.push_str(":%S");
            if self.one_of(".").is_some() {
                self.digits(1, 9)?;
                format.push_str("%.f");
            }
        }
        let space = if self.rest.starts_with(' ') { " " } else { "" };
        let rest = self.rest;
        self.rest = &self.rest[space.len()..];
        if self.word("AM") || self.word("PM") {
            format.replace_range(start..start + 2, "%I");
            format.push_str(space);
            format.push_str("%p");
        } else {
            self.rest = rest;
        }
        Some(())
    }

    /// Takes an offset, if there is one.
    fn offset(&mut self, format: &mut String) {
        let before = (self.rest, format.len());
        if self.one_of(" ").is_some() {
            format.push(' ');
        }
        let colon = self.rest.contains(':');
        let complete = self.rest == "Z"
            || self.one_of("+-").is_some()
                && self.digits(2, if colon { 2 } else { 4 }).is_some()
                && (!colon || self.one_of(":").is_some() && self.digits(2, 2).is_some());
        if complete {
            format.push_str("%#z");
            self.rest = "";
        } else {
            self.rest = before.0;
            format.truncate(before.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDateTime;

    #[test]
    fn common_forms_are_recognised() {
        for (cell, format) in [
            ("1742519340", "unix_s"),
            ("1742519340.25", "unix_s"),
            ("1742519340000", "unix_ms"),
            ("1742519340000000", "unix_us"),
            ("3/21/2025 1:09 AM", "%m/%d/%Y %I:%M %p"),
            ("3/17/2025 18:12", "%m/%d/%Y %H:%M"),
            ("21/3/2025 18:12:00", "%d/%m/%Y %H:%M:%S"),
            ("21.03.2025 01:09", "%d.%m.%Y %H:%M"),
            ("21-03-25 01:09", "%d-%m-%y %H:%M"),
            ("2025/03/21 01:09:00", "%Y/%m/%d %H:%M:%S"),
            ("2025-03-21 1:09:00", "%Y-%m-%d %H:%M:%S"),
            ("2025.03.21T01:09:00.125", "%Y.%m.%dT%H:%M:%S%.f"),
            ("21 Mar 2025, 01:09", "%d %b %Y, %H:%M"),
            ("21 March 2025 01:09", "%d %B %Y %H:%M"),
            ("Mar 21, 2025 01:09", "%b %d, %Y %H:%M"),
            ("2025/03/21 01:09:00 +0100", "%Y/%m/%d %H:%M:%S %#z"),
            ("2025/03/21 01:09:00+01:00", "%Y/%m/%d %H:%M:%S%#z"),
            ("03/21/2025", "%m/%d/%Y"),
        ] {
            assert_eq!(guess(cell).as_deref(), Some(format), "{cell}");
            if format.contains("%H") && !format.contains('z') {
                assert!(NaiveDateTime::parse_from_str(cell, format).is_ok(), "{cell} {format}");
            }
        }
        for cell in
            ["", "u1", "180", "180.5", "12345678901234567890", "20250321", "yesterday", "1:09", "3/21"]
        {
            assert_eq!(guess(cell), None, "{cell}");
        }
    }

    #[test]
    fn a_date_that_can_be_read_in_two_ways_has_two_candidates() {
        assert_eq!(candidates("3/4/2025 10:00"), ["%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M"]);
        assert_eq!(candidates("1742519340"), ["unix_s"]);
        assert_eq!(candidates("2025/03/04 10:00"), ["%Y/%m/%d %H:%M"]);
    }
}
