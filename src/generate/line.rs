//! A buffer for one line. The buffer must be fast, because formatting takes most of the time per row.

/// The capacity of a line. The longest line has 102 bytes: two UUIDs, a timestamp and a duration.
const CAPACITY: usize = 128;

/// A line of text in a fixed buffer. It never allocates.
#[derive(Debug)]
pub struct Line {
    text: [u8; CAPACITY],
    length: usize,
}

impl Line {
    /// An empty line.
    #[expect(clippy::new_without_default, reason = "only `new` is used")]
    #[inline]
    pub fn new() -> Self {
        Self { text: [0; CAPACITY], length: 0 }
    }

    /// The text so far.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }

    /// Empties the line.
    #[inline]
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Appends bytes.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        self.text[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Appends a number.
    #[inline]
    pub fn number(&mut self, number: u64) {
        self.padded(number, number.checked_ilog10().unwrap_or(0) as usize + 1);
    }

    /// Appends the last `digits` digits of a number.
    #[inline]
    pub fn padded(&mut self, mut number: u64, digits: usize) {
        for digit in self.text[self.length..self.length + digits].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        self.length += digits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        let mut line = Line::new();
        line.number(0);
        line.push(b" ");
        line.number(10_203);
        line.push(b" ");
        line.padded(7, 3);
        assert_eq!(line.bytes(), b"0 10203 007");
    }
}
