//! Times in the common form `2025-03-21 01:09:00` that lie in the same minute as an earlier time.

use crate::ingest::decode::timestamp::iso::PLAIN;
use crate::model::PlayTime;

/// A minute in which every second is accepted and has the same offset. By default, no time lies in it.
#[derive(Debug)]
pub(super) struct Minute {
    /// The text before the seconds, such as `2025-03-21 01:09`.
    text: u128,
    /// The first second.
    first: PlayTime,
}

/// The bytes of the seconds with the byte before them: a colon and two digits.
const ZERO: u32 = u32::from_le_bytes(*b"0:00");
/// A number that detects wrong bytes. It is added to the XOR of the seconds and [`ZERO`]. In the sum, the
/// highest bit of a byte is set if the colon differs, the first digit is above 5, or the second is above 9.
const OVER: u32 = u32::from_le_bytes([0, 0x7f, 0x7f - 5, 0x7f - 9]);
/// The highest bits of the three bytes.
const HIGHEST: u32 = 0x8080_8000;

impl Default for Minute {
    fn default() -> Self {
        // No text has bytes of this value.
        Self { text: u128::MAX, first: PlayTime { local: 0, offset: 0, nanos: 0 } }
    }
}

impl Minute {
    /// The minute of a time in the common form. `first` is its first second.
    pub(super) fn new(cell: &[u8; PLAIN], first: PlayTime) -> Self {
        Self { text: minute_of(cell), first }
    }

    /// Parses a time. `None` if it lies in another minute or its seconds are not valid.
    #[inline]
    pub(super) fn read(&self, cell: &[u8; PLAIN]) -> Option<PlayTime> {
        let digits = u32::from_le_bytes(*cell.last_chunk()?) ^ ZERO;
        let wrong = (digits.wrapping_add(OVER) | digits) & HIGHEST;
        if minute_of(cell) != self.text || wrong != 0 {
            return None;
        }
        let second = (digits >> 16 & 0xff) * 10 + (digits >> 24);
        Some(PlayTime { local: self.first.local + i64::from(second), ..self.first })
    }
}

fn minute_of(cell: &[u8; PLAIN]) -> u128 {
    u128::from_le_bytes(*cell.first_chunk().expect("16 of 19 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn seconds_are_two_digits_below_60(rest in "[0-9:/ é]{1,4}") {
            let cell = format!("2025-03-21 01:09{rest}");
            if let Ok(cell) = cell.as_bytes().try_into() {
                let first = PlayTime { local: 600, offset: 60, nanos: 0 };
                let minute = Minute::new(b"2025-03-21 01:09:00", first);
                let seconds = rest.strip_prefix(':').and_then(|text| text.parse::<u32>().ok());
                let valid = seconds.filter(|&seconds| seconds < 60).map(i64::from);
                let found = minute.read(cell);
                prop_assert_eq!(found.map(|time| (time.local, time.offset)), valid.map(|second| (600 + second, 60)));
                prop_assert_eq!(Minute::default().read(cell), None);
            }
        }
    }

    #[test]
    fn no_time_lies_in_the_default_minute() {
        assert_eq!(Minute::default().read(b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0:00"), None);
    }
}
