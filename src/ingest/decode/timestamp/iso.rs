//! Parses the default form of timestamps: `YYYY-MM-DD HH:MM[:SS[.fraction]]`, with or without an offset.

use crate::ingest::decode::timestamp::wall_clock::WallClock;
use crate::time::civil::{CivilDate, DAY};

/// Days before each month, in a common year and in a leap year.
const DAYS_BEFORE: [[u16; 13]; 2] = [
    [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365],
    [0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335, 366],
];

/// Length of the common form, `2025-03-21 01:09:00`.
pub const PLAIN: usize = 19;

/// Parses any accepted form. A fraction or an offset often follows the common form.
pub(super) fn parse(cell: &[u8]) -> Option<WallClock> {
    if let Some((plain, mut rest)) = cell.split_first_chunk()
        && let Some(local) = parse_plain(plain)
    {
        let nanos = optional_fraction(&mut rest)?;
        return Some(WallClock { local, nanos, offset: offset(rest).ok()? });
    }
    parse_slowly(cell)
}

/// Parses the common form `2025-03-21 01:09:00`, eight bytes at a time. Accepts only the years 1970 to
/// 2199.
#[inline]
pub(super) fn parse_plain(cell: &[u8; PLAIN]) -> Option<i64> {
    let year_and_month = DATE.numbers(u64::from_le_bytes(*cell.first_chunk()?))?;
    let seconds = seconds_of_day(*cell.last_chunk()?)?;
    let (tens, ones) = (u32::from(cell[8].wrapping_sub(b'0')), u32::from(cell[9].wrapping_sub(b'0')));
    if tens > 9 || ones > 9 || !matches!(cell[10], b' ' | b'T') {
        return None;
    }
    let year = number_at(year_and_month, 0) * 100 + number_at(year_and_month, 2);
    let (month, day) = (number_at(year_and_month, 5), tens * 10 + ones);
    if !(1970..2200).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    let leap = usize::from(year.is_multiple_of(4) && year != 2100);
    let before = u32::from(DAYS_BEFORE[leap][month as usize - 1]);
    if day == 0 || before + day > u32::from(DAYS_BEFORE[leap][month as usize]) {
        return None;
    }
    // The number of leap days from 1970 until this year begins. 1972 was the first leap year, and 2100
    // is not a leap year.
    let leap_days = (year - 1969) / 4 - u32::from(year > 2100);
    let days = (year - 1970) * 365 + leap_days + before + day - 1;
    Some(i64::from(days) * DAY + i64::from(seconds))
}

/// Parses a time of day such as `01:09:00` into seconds since midnight.
#[inline]
pub(super) fn seconds_of_day(text: [u8; 8]) -> Option<u32> {
    let time = TIME.numbers(u64::from_le_bytes(text))?;
    let (hour, minute, second) = (number_at(time, 0), number_at(time, 3), number_at(time, 6));
    (hour <= 23 && minute <= 59 && second <= 59).then_some(hour * 3600 + minute * 60 + second)
}

/// One of the [numbers](Pattern::numbers) of a pattern.
#[inline]
fn number_at(numbers: u64, at: u32) -> u32 {
    (numbers >> (8 * at)) as u32 & 0xff
}

/// A pattern of eight bytes: digits and fixed bytes.
struct Pattern {
    /// The fixed bytes of the pattern, with `0` for each digit.
    zeros: u64,
    /// A number that detects wrong bytes. It is added to the XOR of the input and
    /// [`zeros`](Self::zeros). In the sum, the highest bit of a byte is set if a digit is larger than 9
    /// or a fixed byte differs.
    over: u64,
}

/// The first eight bytes of a date.
const DATE: Pattern = Pattern::new(*b"0000-00-");
/// A time of day.
const TIME: Pattern = Pattern::new(*b"00:00:00");

impl Pattern {
    const fn new(zeros: [u8; 8]) -> Self {
        let mut over = [0x7f; 8];
        let mut at = 0;
        while at < 8 {
            if zeros[at] == b'0' {
                over[at] -= 9;
            }
            at += 1;
        }
        Self { zeros: u64::from_le_bytes(zeros), over: u64::from_le_bytes(over) }
    }

    /// The two-digit number that starts at each byte. `None` if a byte does not match the pattern.
    #[inline]
    fn numbers(&self, word: u64) -> Option<u64> {
        let digits = word ^ self.zeros;
        let wrong = (digits.wrapping_add(self.over) | digits) & 0x8080_8080_8080_8080;
        (wrong == 0).then(|| digits * 10 + (digits >> 8))
    }
}

/// Parses all accepted forms, byte by byte.
fn parse_slowly(cell: &[u8]) -> Option<WallClock> {
    let mut rest = cell;
    let year = number(&mut rest, 4)?;
    literal(&mut rest, b'-')?;
    let month = number(&mut rest, 2)?;
    literal(&mut rest, b'-')?;
    let day = number(&mut rest, 2)?;
    literal(&mut rest, b' ').or_else(|| literal(&mut rest, b'T'))?;
    let (hour, minute) = hours_and_minutes(&mut rest)?;
    let mut second = 0;
    let mut nanos = 0;
    if literal(&mut rest, b':').is_some() {
        second = number(&mut rest, 2).filter(|&second| second <= 59)?;
        nanos = optional_fraction(&mut rest)?;
    }
    let offset = offset(rest).ok()?;
    let days = CivilDate { year: year as i32, month, day }.to_days()?;
    let local = days * DAY + i64::from(hour * 3600 + minute * 60 + second);
    Some(WallClock { local, nanos, offset })
}

fn hours_and_minutes(rest: &mut &[u8]) -> Option<(u32, u32)> {
    let hour = number(rest, 2).filter(|&hour| hour <= 23)?;
    literal(rest, b':')?;
    let minute = number(rest, 2).filter(|&minute| minute <= 59)?;
    Some((hour, minute))
}

/// Parses nothing, or a point and one to nine digits as nanoseconds.
fn optional_fraction(rest: &mut &[u8]) -> Option<u32> {
    if literal(rest, b'.').is_none() {
        return Some(0);
    }
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&digits) {
        return None;
    }
    Some(number(rest, digits)? * 10_u32.pow(9 - digits as u32))
}

/// A text that is no offset.
struct NoOffset;

/// Parses the rest of a cell as an offset: nothing, `Z`, `UTC`, `±HH:MM`, `±HHMM` or `±HH`. A space may stand
/// before it.
///
/// # Errors
/// If the text is no offset.
fn offset(rest: &[u8]) -> Result<Option<i32>, NoOffset> {
    let (sign, digits) = match rest.strip_prefix(b" ").unwrap_or(rest) {
        [] if rest.is_empty() => return Ok(None),
        b"Z" | b"UTC" => return Ok(Some(0)),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return Err(NoOffset),
    };
    let digits = match *digits {
        [a, b] => [a, b, b'0', b'0'],
        [a, b, c, d] | [a, b, b':', c, d] => [a, b, c, d],
        _ => return Err(NoOffset),
    };
    let mut digits = digits.as_slice();
    let hours = number(&mut digits, 2).filter(|&hours| hours <= 23).ok_or(NoOffset)?;
    let minutes = number(&mut digits, 2).filter(|&minutes| minutes <= 59).ok_or(NoOffset)?;
    Ok(Some(sign * (hours * 3600 + minutes * 60) as i32))
}

fn literal(rest: &mut &[u8], wanted: u8) -> Option<()> {
    let (&first, more) = rest.split_first()?;
    (first == wanted).then(|| *rest = more)
}

fn number(rest: &mut &[u8], digits: usize) -> Option<u32> {
    let (number, more) = rest.split_at_checked(digits)?;
    let mut value = 0;
    for byte in number {
        value = value * 10 + u32::from(byte.is_ascii_digit().then(|| byte - b'0')?);
    }
    *rest = more;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_fast_path_agrees_with_the_slow_path(
            year in 1968_u32..2203, month in 0_u32..14, day in 0_u32..33,
            hour in 0_u32..25, minute in 0_u32..61, second in 0_u32..61,
        ) {
            let cell = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
            let slow = parse_slowly(cell.as_bytes()).map(|clock| clock.local);
            if let Some(plain) = parse_plain(cell.as_bytes().try_into().unwrap()) {
                prop_assert_eq!(Some(plain), slow);
            } else {
                prop_assert!(slow.is_none() || !(1970..2200).contains(&year));
            }
        }

        #[test]
        fn endings_are_read_alike_on_both_paths(
            second in 0_u32..62, fraction in "(\\.[0-9]{0,10})?", offset in "( ?(Z|UTC|[+-][0-9:]{0,6}))? ?",
        ) {
            let cell = format!("2025-03-21T01:09:{second:02}{fraction}{offset}");
            prop_assert_eq!(parse(cell.as_bytes()), parse_slowly(cell.as_bytes()), "{}", cell);
        }
    }
}
