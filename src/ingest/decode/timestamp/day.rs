//! Times in the common form `2025-03-21 01:09:00` that lie in the same day as an earlier time.

use crate::ingest::decode::timestamp::iso::{PLAIN, seconds_of_day};
use crate::model::PlayTime;

/// Days in which every second is accepted and has the same offset.
#[derive(Debug, Default)]
pub(super) struct Days {
    /// The place of a day depends on its text. Empty until the first day is known.
    days: Vec<Day>,
}

/// One day. A text with more than [`DATE`] bytes equals no cell, so it marks an unused place.
#[derive(Clone, Copy, Debug)]
struct Day {
    /// The text before the time of day, such as `2025-03-21 `.
    text: u128,
    /// The first second.
    first: PlayTime,
}

/// The number of places: all days of eight months.
const PLACES: usize = 512;
/// The bytes of the text before the time of day.
const DATE: u128 = (1 << (8 * 11)) - 1;

impl Days {
    /// Parses a time. `None` if it lies in an unknown day or its time of day is not valid.
    #[inline]
    pub(super) fn read(&self, cell: &[u8; PLAIN]) -> Option<PlayTime> {
        let day = self.days.get(place(cell))?;
        if day.text != date_of(cell) {
            return None;
        }
        let seconds = seconds_of_day(*cell.last_chunk()?)?;
        Some(PlayTime { local: day.first.local + i64::from(seconds), ..day.first })
    }

    /// Remembers the day of a time in the common form. `first` is its first second.
    pub(super) fn remember(&mut self, cell: &[u8; PLAIN], first: PlayTime) {
        if self.days.is_empty() {
            self.days = vec![Day { text: u128::MAX, first }; PLACES];
        }
        self.days[place(cell)] = Day { text: date_of(cell), first };
    }
}

/// The place of a day: two digits of the day and one of the month.
#[inline]
fn place(cell: &[u8; PLAIN]) -> usize {
    usize::from(cell[9] & 0xf) | usize::from(cell[8] & 3) << 4 | usize::from(cell[6] & 7) << 6
}

#[inline]
fn date_of(cell: &[u8; PLAIN]) -> u128 {
    u128::from_le_bytes(*cell.first_chunk().expect("16 of 19 bytes")) & DATE
}
