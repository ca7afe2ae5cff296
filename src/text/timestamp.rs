//! Timestamps in RFC 3339.

use crate::model::PlayTime;
use crate::text::line_buffer::Line;
use crate::text::number::push_fraction;
use crate::time::civil::{CivilDate, DAY};

/// Writes timestamps in RFC 3339. It caches the text of the last minute, because neighbouring rows often lie
/// in the same minute, and the texts of several days.
#[derive(Debug)]
pub struct TimestampWriter {
    /// The local time at which the minute starts.
    minute: i64,
    /// The text of the minute, such as `2025-03-21T01:09:`, then padding.
    text: [u8; 32],
    offset: i32,
    /// The text of the offset above two zero bytes, which have room for the seconds, and its length.
    suffix: u64,
    suffix_len: usize,
    /// The texts of days, such as `2025-03-21T`. The place of a day depends on its number.
    days: Vec<Day>,
}

/// The number of a day and its text.
#[derive(Clone, Copy, Debug)]
struct Day {
    number: i64,
    text: [u8; DATE],
}

/// Length of `2025-03-21T` in bytes.
const DATE: usize = 11;
/// Length of `2025-03-21T01:09:` in bytes.
pub const MINUTE: usize = 17;
/// The number of days that are cached: more than a year. A power of two.
const DAYS: usize = 512;

/// The two digits of each number below 60.
const TWO_DIGITS: [[u8; 2]; 60] = {
    let mut all = [[0; 2]; 60];
    let mut number = 0;
    while number < all.len() {
        all[number] = [b'0' + number as u8 / 10, b'0' + number as u8 % 10];
        number += 1;
    }
    all
};

impl Default for TimestampWriter {
    fn default() -> Self {
        let mut writer = Self {
            minute: 0,
            text: [0; 32],
            offset: 0,
            suffix: 0,
            suffix_len: 0,
            days: vec![Day { number: i64::MIN, text: [0; DATE] }; DAYS],
        };
        writer.set_minute(0);
        writer.set_offset(0);
        writer
    }
}

impl TimestampWriter {
    /// Appends a timestamp such as `2025-03-21T01:09:00.25+01:00`. An offset of zero is written as `Z`. The
    /// fraction has no trailing zeros.
    ///
    /// # Panics
    /// If `line` has no room for 64 bytes.
    pub fn push(&mut self, line: &mut Line<'_>, play_time: PlayTime) {
        let (rest, rest_len) = self.turn_to(play_time.local, play_time.offset);
        line.store(self.minute(), MINUTE);
        if play_time.nanos == 0 {
            line.store(&rest, rest_len);
        } else {
            line.store(&rest, 2);
            push_fraction_and_offset(line, play_time);
        }
    }

    /// Caches the minute and the offset of a time. Returns the text that follows the cached
    /// [`minute`](Self::minute), such as `07+01:00`, and its length.
    #[inline]
    pub fn turn_to(&mut self, local: i64, offset: i32) -> ([u8; 8], usize) {
        let mut second = local.wrapping_sub(self.minute) as u64;
        if second >= 60 {
            self.set_minute(local.div_euclid(60) * 60);
            second = (local - self.minute) as u64;
        }
        if offset != self.offset {
            self.set_offset(offset);
        }
        let rest = self.suffix | u64::from(u16::from_le_bytes(TWO_DIGITS[second as usize]));
        (rest.to_le_bytes(), 2 + self.suffix_len)
    }

    /// The text of the current minute: [`MINUTE`] bytes such as `2025-03-21T01:09:`, then padding.
    #[inline]
    pub fn minute(&self) -> &[u8; 32] {
        &self.text
    }

    #[inline(never)]
    fn set_minute(&mut self, minute: i64) {
        self.minute = minute;
        let number = minute.div_euclid(DAY);
        let minutes = minute.rem_euclid(DAY) as usize / 60;
        let day = &mut self.days[number.rem_euclid(DAYS as i64) as usize];
        if day.number != number {
            *day = Day { number, text: date(number) };
        }
        self.text[..DATE].copy_from_slice(&day.text);
        let ([h1, h2], [m1, m2]) = (TWO_DIGITS[minutes / 60], TWO_DIGITS[minutes % 60]);
        self.text[DATE..MINUTE].copy_from_slice(&[h1, h2, b':', m1, m2, b':']);
    }

    #[inline(never)]
    fn set_offset(&mut self, offset: i32) {
        self.offset = offset;
        let mut text = vec![0; 2];
        push_offset(&mut text, offset);
        self.suffix_len = text.len() - 2;
        text.resize(size_of::<u64>(), 0);
        self.suffix = u64::from_le_bytes(*text.first_chunk().expect("eight bytes"));
    }
}

fn date(day: i64) -> [u8; DATE] {
    let CivilDate { year, month, day } = CivilDate::from_days(day);
    let [y1, y2, y3, y4] = four_digits(year as u32);
    let ([m1, m2], [d1, d2]) = (two_digits(month as u8), two_digits(day as u8));
    [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T']
}

fn push_fraction_and_offset(line: &mut Line<'_>, play_time: PlayTime) {
    let mut rest = Vec::with_capacity(16);
    if play_time.nanos != 0 {
        rest.push(b'.');
        push_fraction(&mut rest, u128::from(play_time.nanos), 9);
    }
    push_offset(&mut rest, play_time.offset);
    line.push_slice(&rest);
}

fn push_offset(out: &mut Vec<u8>, offset: i32) {
    if offset == 0 {
        out.push(b'Z');
        return;
    }
    let minutes = offset.unsigned_abs() / 60;
    let [h1, h2] = two_digits((minutes / 60) as u8);
    let [m1, m2] = two_digits((minutes % 60) as u8);
    out.extend_from_slice(&[if offset < 0 { b'-' } else { b'+' }, h1, h2, b':', m1, m2]);
}

fn two_digits(value: u8) -> [u8; 2] {
    [b'0' + value / 10, b'0' + value % 10]
}

fn four_digits(value: u32) -> [u8; 4] {
    let [a, b] = two_digits((value / 100) as u8);
    let [c, d] = two_digits((value % 100) as u8);
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::line_buffer::LineBuffer;

    fn timestamp(local: i64, offset: i32, nanos: u32) -> String {
        let mut out = LineBuffer::default();
        let mut line = out.line(64);
        TimestampWriter::default().push(&mut line, PlayTime { local, offset, nanos });
        line.end();
        String::from_utf8(out.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn timestamps_are_rfc_3339() {
        assert_eq!(timestamp(1_742_519_340, 0, 0), "2025-03-21T01:09:00Z");
        assert_eq!(timestamp(1_742_519_340, 3600, 250_000_000), "2025-03-21T01:09:00.25+01:00");
        assert_eq!(timestamp(-1, -19_800, 1), "1969-12-31T23:59:59.000000001-05:30");
    }

    #[test]
    fn a_writer_remembers_nothing_that_changes_a_timestamp() {
        let (mut out, mut writer) = (LineBuffer::default(), TimestampWriter::default());
        // Days 512 apart have the same place, and the offset changes every time.
        let times = [0, 1, 512, 0, 513, 20_168, 19_656].map(|day| day * DAY + 3_599);
        for (turn, local) in (0..).zip([times, times].concat()) {
            let offset = [0, 3_600, -19_800][turn % 3];
            out.clear();
            let mut line = out.line(64);
            writer.push(&mut line, PlayTime { local, offset, nanos: 0 });
            line.end();
            assert_eq!(std::str::from_utf8(out.as_bytes()).unwrap(), timestamp(local, offset, 0));
        }
    }
}
