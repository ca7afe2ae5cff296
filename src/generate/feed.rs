//! The schedule of a live feed. The feed alternates between a growing file and files that are complete when
//! they appear.
//!
//! The schedule decides which file gets a row. It does not affect the content of rows.

use std::time::Duration;

use crate::generate::rng::Rng;

/// Maximum number of rows that are generated at once. Generating this number takes a few milliseconds and a
/// few hundred kilobytes.
pub const SLICE: u64 = 8192;

/// The interval between slices of rows, unless there is a backlog.
pub const TICK: Duration = Duration::from_millis(25);

/// Computes how many rows are due.
#[derive(Debug)]
pub struct Pacer {
    rate: u64,
    left: u64,
    made: u64,
    next: Duration,
}

impl Pacer {
    /// A pacer for `rate` rows per second. It ends after `total` rows, or never if `total` is `None`.
    pub fn new(rate: u64, total: Option<u64>) -> Self {
        Self { rate, left: total.unwrap_or(u64::MAX), made: 0, next: Duration::ZERO }
    }

    /// Whether all rows have been generated.
    pub fn is_over(&self) -> bool {
        self.left == 0
    }

    /// The number of rows to generate now, at most `most`. `elapsed` is the time since the start. 0 means:
    /// wait.
    ///
    /// The first row is due at once, and the next rows follow at equal intervals. After a pause, missed rows
    /// are due immediately.
    pub fn due(&mut self, elapsed: Duration, most: u64) -> u64 {
        let due = elapsed.as_nanos() * u128::from(self.rate) / 1_000_000_000 + 1;
        let ready = due.saturating_sub(u128::from(self.made)).min(u128::from(SLICE)) as u64;
        if ready < SLICE && elapsed < self.next {
            return 0;
        }
        let rows = ready.min(most).min(self.left);
        if rows > 0 {
            self.made += rows;
            self.left -= rows;
            self.next = elapsed + TICK;
        }
        rows
    }
}

/// The next rows of the feed, all for the same file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Append this number of rows to the growing file as the rows become due.
    Grow(u64),
    /// Complete the growing file, and append this number of rows to a new growing file.
    Rotate(u64),
    /// Write this number of rows to a file that appears when it is complete.
    Drop(u64),
}

/// The endless sequence of turns that a seed determines.
#[derive(Debug)]
pub struct Turns {
    rng: Rng,
    rate: u64,
    growing: bool,
    room: u64,
}

impl Turns {
    /// The turns of a feed with `rate` rows per second.
    pub fn new(seed: u64, rate: u64) -> Self {
        Self { rng: Rng::new(seed, 0x7047), rate, growing: false, room: 0 }
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.rng.below(most - least + 1)
    }
}

impl Iterator for Turns {
    type Item = Turn;

    fn next(&mut self) -> Option<Turn> {
        self.growing = !self.growing;
        if !self.growing {
            return Some(Turn::Drop(self.between(self.rate.min(200), self.rate)));
        }
        let rows = self.between(self.rate.div_ceil(4), self.rate);
        if let Some(room) = self.room.checked_sub(rows) {
            self.room = room;
            Some(Turn::Grow(rows))
        } else {
            self.room = self.between(8 * self.rate, 12 * self.rate);
            Some(Turn::Rotate(rows))
        }
    }
}

/// The sizes of appends to a growing file. Appends often end in the middle of a line, as when a logger
/// flushes its buffer.
#[derive(Debug)]
pub struct AppendSizes(Rng);

impl AppendSizes {
    /// The sizes that a seed determines.
    pub fn new(seed: u64) -> Self {
        Self(Rng::new(seed, 0xC075))
    }

    /// The number of bytes to append now. `bytes` is the number of pending bytes; the last of them is a line
    /// feed. The remaining bytes wait for the next append.
    pub fn next(&mut self, bytes: usize) -> usize {
        if self.0.below(3) == 0 {
            return bytes;
        }
        bytes.saturating_sub(1 + self.0.below(40) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_due_evenly_and_a_backlog_is_caught_up() {
        let at = Duration::from_millis;
        let mut pacer = Pacer::new(100, Some(1_000));
        assert_eq!(pacer.due(at(0), 10), 1);
        assert_eq!(pacer.due(at(20), 10), 0, "before the tick");
        assert_eq!(pacer.due(at(25), 10), 2);
        assert_eq!(pacer.due(at(1025), 10), 10);
        assert_eq!(pacer.due(at(1050), 1000), 93);
        assert_eq!(pacer.due(at(60_000), 10_000), 894);
        assert!(pacer.is_over());
        assert_eq!(pacer.due(at(70_000), 10), 0);
        let mut backlog = Pacer::new(1_000_000, None);
        assert_eq!(backlog.due(at(1000), u64::MAX), SLICE);
        assert_eq!(backlog.due(at(1000), u64::MAX), SLICE, "without waiting for the tick");
    }

    #[test]
    fn turns_alternate_and_rotate() {
        for rate in [1, 7, 1000, 1_000_000] {
            let turns: Vec<Turn> = Turns::new(1, rate).take(200).collect();
            assert!(matches!(turns[0], Turn::Rotate(_)), "the first file is new");
            let mut grown = 0;
            for (at, turn) in turns.iter().enumerate() {
                match *turn {
                    Turn::Drop(rows) => assert!(at % 2 == 1 && rows >= rate.min(200) && rows <= rate),
                    Turn::Grow(rows) => grown += rows,
                    Turn::Rotate(rows) => {
                        assert!(at == 0 || grown >= 6 * rate);
                        grown = rows;
                    }
                }
                assert!(grown <= 14 * rate);
            }
            assert!(turns.iter().filter(|turn| matches!(turn, Turn::Rotate(_))).count() > 3);
        }
    }

    #[test]
    fn appends_often_end_within_a_line() {
        let mut sizes = AppendSizes::new(1);
        let partial = (0..100).filter(|_| sizes.next(45) < 45).count();
        assert!((50..85).contains(&partial), "{partial}");
        assert!((0..100).all(|_| sizes.next(3) <= 3));
    }
}
