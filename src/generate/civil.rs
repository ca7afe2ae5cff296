//! Dates of the proleptic Gregorian calendar as days since 1970-01-01.

/// Seconds of a day.
pub const DAY: u64 = 86_400;

/// Days of 400 years, after which the calendar repeats.
const CYCLE: u64 = 146_097;

/// Days from 1600-01-01, where a cycle begins, to 1970-01-01.
const EPOCH: u64 = 135_140;

/// Days of a cycle before its given year; the first year of a cycle is a leap year.
fn days_before(year: u64) -> u64 {
    year * 365 + year.div_ceil(4) - year.div_ceil(100) + year.div_ceil(400)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn month_lengths(year: u64) -> [u64; 12] {
    [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

/// The year, month and day of a day since 1970-01-01.
pub fn date_of(day: u64) -> (u64, u64, u64) {
    let since_1600 = day + EPOCH;
    let within = since_1600 % CYCLE;
    // The mean length of a year guesses the year to within one.
    let mut year = within * 400 / CYCLE;
    if days_before(year) > within {
        year -= 1;
    } else if days_before(year + 1) <= within {
        year += 1;
    }
    let mut left = within - days_before(year);
    year += 1600 + since_1600 / CYCLE * 400;
    let mut month = 1;
    for length in month_lengths(year) {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1)
}

/// The days since 1970-01-01 of a text `YYYY-MM-DD`, if it is a date from 1970 on.
pub fn parse_date(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let shape = bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !shape {
        return None;
    }
    let number = |digits: &[u8]| digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let (year, month, day) = (number(&bytes[..4]), number(&bytes[5..7]), number(&bytes[8..]));
    let lengths = month_lengths(year);
    let length = *lengths.get(month.checked_sub(1)? as usize)?;
    if year < 1970 || day == 0 || day > length {
        return None;
    }
    let months: u64 = lengths[..month as usize - 1].iter().sum();
    let since_1600 = (year - 1600) / 400 * CYCLE + days_before((year - 1600) % 400) + months + day - 1;
    Some(since_1600 - EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        assert_eq!(date_of(0), (1970, 1, 1));
        assert_eq!(date_of(20_167), (2025, 3, 20));
        assert_eq!(parse_date("2025-03-20"), Some(20_167));
        assert_eq!(parse_date("2000-02-29"), Some(11_016));
        for wrong in
            ["2025-02-29", "1900-01-01", "2025-13-01", "2025-00-01", "2025-01-00", "2025-1-1", "", "now"]
        {
            assert_eq!(parse_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn text_and_day_agree_for_eight_thousand_years() {
        let last = parse_date("9999-12-31").unwrap();
        let mut previous = (1969, 12, 31);
        for day in 0..=last {
            let (year, month, of_month) = date_of(day);
            let follows = if of_month > 1 {
                (year, month, of_month - 1) == previous
            } else {
                (month > 1 && (year, month - 1) == (previous.0, previous.1)) || (year - 1, 12, 31) == previous
            };
            assert!(follows, "{day}");
            if day % 97 == 0 {
                assert_eq!(parse_date(&format!("{year:04}-{month:02}-{of_month:02}")), Some(day));
            }
            previous = (year, month, of_month);
        }
        assert_eq!(previous, (9999, 12, 31));
    }
}
