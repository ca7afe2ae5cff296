//! Short texts that are appended to many lines.
//!
//! Copying a short piece of variable length needs a call. Copying exactly 16 bytes needs only two instructions. The next
//! piece overwrites the excess bytes.

use crate::text::{needs_quotes, push_cell};

/// The length of a short text.
const SHORT: usize = 16;
/// The length of a text that is still copied without a call.
const LONG: usize = 48;

/// A text, and unused bytes after it.
#[derive(Clone, Debug)]
pub struct PaddedText {
    bytes: Vec<u8>,
    len: usize,
}

impl Default for PaddedText {
    fn default() -> Self {
        Self { bytes: vec![0; LONG], len: 0 }
    }
}

impl PaddedText {
    /// A text.
    pub fn of(text: &[u8]) -> Self {
        let mut padded = Self::default();
        padded.set(|bytes| bytes.extend_from_slice(text));
        padded
    }

    /// Replaces the text with a CSV cell.
    pub fn set_cell(&mut self, cell: &[u8]) {
        if cell.len() <= LONG && !needs_quotes(cell) {
            self.bytes[..cell.len()].copy_from_slice(cell);
            self.len = cell.len();
        } else {
            self.set(|bytes| push_cell(bytes, cell));
        }
    }

    fn set(&mut self, push: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.clear();
        push(&mut self.bytes);
        self.len = self.bytes.len();
        self.bytes.resize(self.len.max(LONG), 0);
    }

    /// Appends the text to `out`.
    #[inline]
    pub fn push_to(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.len;
        match self.bytes.first_chunk::<LONG>() {
            Some(bytes) if self.len <= SHORT => out.extend_from_slice(&bytes[..SHORT]),
            Some(bytes) if self.len <= LONG => out.extend_from_slice(bytes),
            _ => out.extend_from_slice(&self.bytes[..self.len]),
        }
        out.truncate(end);
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_any_length_are_appended() {
        let mut padded = PaddedText::default();
        let (mut out, mut expected) = (Vec::new(), Vec::new());
        for len in [0, 1, 15, 16, 17, 47, 48, 49, 100, 3, 0] {
            let text: Vec<u8> = (0..len).map(|index| b'a' + index % 26).collect();
            padded.set_cell(&text);
            assert_eq!(padded.as_bytes(), text);
            PaddedText::of(&text).push_to(&mut out);
            padded.push_to(&mut out);
            expected.extend([&text[..], &text].concat());
            assert_eq!(out, expected, "{len}");
        }
    }
}
