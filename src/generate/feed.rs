//! How a live feed hands its rows out: in turns, a file that grows and finished files that drop in.
//!
//! The turns decide which file a row goes to, never what the rows are.

use std::time::Duration;

use crate::generate::rng::Dice;

/// The most rows that are handed out at once: some milliseconds of work, some hundred kilobytes of text.
pub const SLICE: u64 = 8192;

/// Rows are handed out this often, unless there is a backlog.
pub const TICK: Duration = Duration::from_millis(25);

/// Says how many rows are due.
#[derive(Debug)]
pub struct Pacer {
    rate: u64,
    left: u64,
    made: u64,
    next: Duration,
}

impl Pacer {
    /// The pace of a feed of `rate` rows per second that ends after `total` rows, or never.
    pub fn new(rate: u64, total: Option<u64>) -> Self {
        Self { rate, left: total.unwrap_or(u64::MAX), made: 0, next: Duration::ZERO }
    }

    /// All rows have been handed out.
    pub fn is_over(&self) -> bool {
        self.left == 0
    }

    /// How many rows, `most` at most, are to be made now, `elapsed` after the begin; none if it is not yet time.
    ///
    /// The first row is due at once, the others follow evenly; what a pause has missed is caught up with.
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

/// A turn: the next so many rows of the feed go to one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The growing file gets them, bit by bit.
    Grow(u64),
    /// The growing file ends, complete; then a new one gets them.
    Rotate(u64),
    /// A finished file has them all.
    Drop(u64),
}

/// The endless sequence of turns of a seed.
#[derive(Debug)]
pub struct Turns {
    dice: Dice,
    rate: u64,
    growing: bool,
    room: u64,
}

impl Turns {
    /// The turns of a feed of so many rows per second.
    pub fn new(seed: u64, rate: u64) -> Self {
        Self { dice: Dice::new(seed, 0x7047), rate, growing: false, room: 0 }
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.dice.below(most - least + 1)
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

/// Where the appends to a growing file end: often in the middle of a line, as a logger's buffer has it.
#[derive(Debug)]
pub struct Cuts(Dice);

impl Cuts {
    /// The cuts of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Dice::new(seed, 0xC075))
    }

    /// How many of the bytes at hand, which end at a line's end, are written now; the others wait for the next append.
    pub fn cut(&mut self, bytes: usize) -> usize {
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
    fn rows_are_due_evenly_and_caught_up_with() {
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
    fn cuts_often_leave_something() {
        let mut cuts = Cuts::new(1);
        let kept = (0..100).filter(|_| cuts.cut(45) < 45).count();
        assert!((50..85).contains(&kept), "{kept}");
        assert!((0..100).all(|_| cuts.cut(3) <= 3));
    }
}
