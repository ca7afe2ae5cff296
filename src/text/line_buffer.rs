//! A text that grows by lines of many short pieces.
//!
//! Copying a piece of unknown short length costs a call and some branches that are hard to
//! predict. Copying 16 bytes costs two instructions, and where a piece is shorter, the next one
//! overwrites what was too much. So pieces of up to 64 bytes are copied in one or four steps, from
//! sources that are padded: they have [`PADDING`] bytes to spare behind their last piece.

use crate::model::PADDING;

/// What most pieces are no longer than.
const SHORT: usize = 16;

/// The text.
#[derive(Debug, Default)]
pub struct LineBuffer {
    /// Longer than the text; what is behind it is of no meaning.
    bytes: Vec<u8>,
    len: usize,
}

/// A line at the end of a [`LineBuffer`], which counts when it is [ended](Line::end).
///
/// How long it is stands here and not in the buffer: for all that a compiler knows, a byte that is
/// stored could be part of what it has a reference to, and it would look again after every piece.
#[derive(Debug)]
pub struct Line<'a> {
    room: &'a mut [u8],
    at: usize,
    len: &'a mut usize,
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

    /// Begins a line that has room for pieces of `longest` bytes altogether.
    #[inline]
    pub fn line(&mut self, longest: usize) -> Line<'_> {
        let needed = self.len + longest + PADDING;
        if self.bytes.len() < needed {
            self.bytes.resize(needed.max(self.bytes.len() * 2), 0);
        }
        Line { room: &mut self.bytes[self.len..], at: 0, len: &mut self.len }
    }
}

impl Line<'_> {
    /// Appends the first `len` bytes of a source that has [`PADDING`] more.
    ///
    /// # Panics
    /// If the source has not, or there is no room.
    #[inline]
    pub fn push_padded(&mut self, source: &[u8], len: usize) {
        if len <= SHORT {
            self.store::<SHORT>(source.first_chunk().expect("a padded source"), len);
        } else if len <= PADDING {
            self.store::<PADDING>(source.first_chunk().expect("a padded source"), len);
        } else {
            self.push_slice(&source[..len]);
        }
    }

    /// Appends the first `len` bytes of a short text.
    ///
    /// # Panics
    /// If there is no room.
    #[inline]
    pub fn store<const N: usize>(&mut self, bytes: &[u8; N], len: usize) {
        *self.room[self.at..].first_chunk_mut().expect("room") = *bytes;
        self.at += len;
    }

    /// Appends a piece of any length from anywhere.
    ///
    /// # Panics
    /// If there is no room.
    pub fn push_slice(&mut self, piece: &[u8]) {
        self.room[self.at..self.at + piece.len()].copy_from_slice(piece);
        self.at += piece.len();
    }

    /// From now on the line is part of the text.
    #[inline]
    pub fn end(self) {
        *self.len += self.at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_stand_one_behind_the_other(
            lines in proptest::collection::vec(proptest::collection::vec("[a-z]{0,90}", 0..8), 0..10),
        ) {
            let mut buffer = LineBuffer::default();
            for pieces in &lines {
                let mut line = buffer.line(pieces.concat().len());
                for (index, piece) in pieces.iter().enumerate() {
                    match index % 3 {
                        0 => line.push_slice(piece.as_bytes()),
                        _ => line.push_padded(format!("{piece}{}", "#".repeat(PADDING)).as_bytes(), piece.len()),
                    }
                }
                line.end();
            }
            // A line that is not ended is none.
            buffer.line(3).push_slice(b"xyz");
            let expected = lines.concat().concat();
            prop_assert_eq!(buffer.as_bytes(), expected.as_bytes());
            buffer.clear();
            prop_assert_eq!(buffer.as_bytes(), b"");
        }
    }
}
