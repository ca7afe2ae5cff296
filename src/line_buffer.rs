//! A text that grows by many short pieces.
//!
//! Copying a piece of unknown short length costs a call and some branches that are hard to
//! predict. Copying 16 bytes costs two instructions, and where a piece is shorter, the next one
//! overwrites what was too much. So pieces are copied in steps of 16 bytes, from sources that have
//! as many bytes to spare behind each piece.

/// Bytes per step; a padded source has so many behind its last piece.
pub const STEP: usize = 16;

/// The text.
#[derive(Debug, Default)]
pub struct LineBuffer {
    /// Longer than the text; what is behind it is of no meaning.
    bytes: Vec<u8>,
    len: usize,
}

impl LineBuffer {
    /// The text so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Forgets the text and keeps its room.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Makes room for pieces of `more` bytes altogether.
    #[inline]
    pub fn reserve(&mut self, more: usize) {
        let needed = self.len + more + STEP;
        if self.bytes.len() < needed {
            self.bytes.resize(needed.max(self.bytes.len() * 2), 0);
        }
    }

    /// Appends the first `len` bytes of a source that has [`STEP`] more.
    ///
    /// # Panics
    /// If the source has not, or there is no room.
    #[inline]
    pub fn push_padded(&mut self, source: &[u8], len: usize) {
        let mut at = 0;
        loop {
            let to = self.len + at;
            self.bytes[to..to + STEP].copy_from_slice(&source[at..at + STEP]);
            at += STEP;
            if at >= len {
                break;
            }
        }
        self.len += len;
    }

    /// Appends the first `len` bytes, at most eight, of a word: the lowest byte first.
    ///
    /// A text that was just made byte by byte in memory would have to wait there until it can be
    /// loaded in one piece; made in a register, it is stored at once.
    ///
    /// # Panics
    /// If there is no room.
    #[inline]
    pub fn push_word(&mut self, word: u64, len: usize) {
        self.bytes[self.len..self.len + 8].copy_from_slice(&word.to_le_bytes());
        self.len += len;
    }

    /// Appends a byte.
    ///
    /// # Panics
    /// If there is no room.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    /// Appends a piece of any length from anywhere.
    pub fn push_slice(&mut self, piece: &[u8]) {
        self.reserve(piece.len());
        self.bytes[self.len..self.len + piece.len()].copy_from_slice(piece);
        self.len += piece.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_stand_one_behind_the_other(pieces in proptest::collection::vec("[a-z]{0,70}", 0..40)) {
            let mut buffer = LineBuffer::default();
            for (index, piece) in pieces.iter().enumerate() {
                if index % 3 == 0 {
                    buffer.push_slice(piece.as_bytes());
                } else {
                    let padded = format!("{piece}{}", "#".repeat(STEP));
                    buffer.reserve(piece.len());
                    buffer.push_padded(padded.as_bytes(), piece.len());
                }
            }
            let expected = pieces.concat();
            prop_assert_eq!(buffer.as_bytes(), expected.as_bytes());
            buffer.clear();
            prop_assert_eq!(buffer.as_bytes(), b"");
        }
    }
}
