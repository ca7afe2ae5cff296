//! Timestamps in RFC 3339.

use crate::model::PlayTime;
use crate::text::line_buffer::Line;
use crate::text::number::push_fraction;
use crate::time::civil::{CivilDate, DAY};

/// Writes timestamps in RFC 3339. It caches the text of the last minute, because neighbouring rows often lie
/// in the same minute.
#[derive(Debug)]
pub struct TimestampWriter {
    minute: i64,
    /// The text of the minute with a trailing colon, then padding.
    text: [u8; 32],
}

/// Length of `2025-03-21T01:09:` in bytes.
const MINUTE: usize = 17;

impl Default for TimestampWriter {
    fn default() -> Self {
        let mut writer = Self { minute: 0, text: [0; 32] };
        writer.set_minute(0);
        writer
    }
}

impl TimestampWriter {
    /// Appends a timestamp such as `2025-03-21T01:09:00.25+01:00`. An offset of zero is written as `Z`. The
    /// fraction has no trailing zeros.
    ///
    /// # Panics
    /// If `line` has no room for 64 bytes.
    #[inline]
    pub fn push(&mut self, line: &mut Line<'_>, play_time: PlayTime) {
        let minute = play_time.local.div_euclid(60);
        if minute != self.minute {
            self.set_minute(minute);
        }
        line.store(&self.text, MINUTE);
        let [tens, ones] = two_digits((play_time.local - minute * 60) as u8);
        if play_time.nanos == 0 && play_time.offset == 0 {
            line.store(&[tens, ones, b'Z', 0], 3);
        } else {
            line.store(&[tens, ones], 2);
            push_fraction_and_offset(line, play_time);
        }
    }

    fn set_minute(&mut self, minute: i64) {
        self.minute = minute;
        let day = minute.div_euclid(DAY / 60);
        let minute = minute.rem_euclid(DAY / 60) as u32;
        let CivilDate { year, month, day } = CivilDate::from_days(day);
        self.text[..MINUTE].copy_from_slice(b"0000-00-00T00:00:");
        self.text[..4].copy_from_slice(&four_digits(year as u32));
        let pairs = [(5, month), (8, day), (11, minute / 60), (14, minute % 60)];
        for (at, number) in pairs {
            self.text[at..at + 2].copy_from_slice(&two_digits(number as u8));
        }
    }
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
}
