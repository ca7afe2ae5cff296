//! A buffer for lines that consist of many short pieces.
//!
//! Copying a short piece of variable length needs a call, and branches that are hard to predict. Copying
//! exactly 16 bytes needs only two instructions. The next piece overwrites the excess bytes. Pieces of up to
//! 64 bytes are therefore copied in one or four steps of 16 bytes. A source must have [`PADDING`] more bytes
//! after its last piece.

use crate::model::PADDING;

/// Most pieces have at most this length.
const SHORT: usize = 16;
/// The maximum length of a [`ShortLine`], plus one. A power of two.
pub const SHORT_LINE: usize = 256;
/// The room of a short line. A padded piece fits even at its end.
const ROOM: usize = SHORT_LINE + PADDING;

/// A growing text.
#[derive(Debug, Default)]
pub struct LineBuffer {
    /// The text, then unused bytes.
    bytes: Vec<u8>,
    len: usize,
}

/// A line at the end of a [`LineBuffer`]. It becomes part of the text when it is [ended](Line::end).
///
/// The length of the line is stored here, not in the buffer. Otherwise the compiler would assume that
/// a write to the buffer may change the length, and would load the length again after every piece.
#[derive(Debug)]
pub struct Line<'a> {
    room: &'a mut [u8],
    at: usize,
    len: &'a mut usize,
}

/// A [`Line`] of fewer than [`SHORT_LINE`] bytes. Its room has a fixed size, so that appending a piece needs no
/// bounds checks.
#[derive(Debug)]
pub struct ShortLine<'a> {
    room: &'a mut [u8; ROOM],
    at: usize,
    len: &'a mut usize,
}

impl LineBuffer {
    /// The text so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Removes the text and keeps the allocation.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Begins a line with room for pieces of `longest` bytes in total.
    #[inline]
    pub fn line(&mut self, longest: usize) -> Line<'_> {
        self.make_room(longest + PADDING);
        Line { room: &mut self.bytes[self.len..], at: 0, len: &mut self.len }
    }

    /// Begins a line of fewer than [`SHORT_LINE`] bytes.
    #[inline]
    pub fn short_line(&mut self) -> ShortLine<'_> {
        self.make_room(ROOM);
        let room = self.bytes[self.len..].first_chunk_mut().expect("room for a short line");
        ShortLine { room, at: 0, len: &mut self.len }
    }

    #[inline]
    fn make_room(&mut self, bytes: usize) {
        if self.bytes.len() - self.len < bytes {
            self.grow(bytes);
        }
    }

    #[cold]
    fn grow(&mut self, bytes: usize) {
        self.bytes.resize((self.len + bytes).max(self.bytes.len() * 2), 0);
    }
}

impl Line<'_> {
    /// Appends the first `len` bytes of a source that has [`PADDING`] more bytes.
    ///
    /// # Panics
    /// If the source lacks the padding, or the line has no room.
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

    /// Appends a piece of any length, without padding.
    ///
    /// # Panics
    /// If there is no room.
    pub fn push_slice(&mut self, piece: &[u8]) {
        self.room[self.at..self.at + piece.len()].copy_from_slice(piece);
        self.at += piece.len();
    }

    /// Makes the line part of the text.
    #[inline]
    pub fn end(self) {
        *self.len += self.at;
    }
}

impl ShortLine<'_> {
    /// Appends the first `len` bytes of a source that has [`PADDING`] more bytes. `len` is at most `PADDING`.
    ///
    /// # Panics
    /// If the source lacks the padding.
    #[inline]
    pub fn push_padded(&mut self, source: &[u8], len: usize) {
        if len <= SHORT {
            self.store::<SHORT>(source.first_chunk().expect("a padded source"), len);
        } else {
            self.store::<PADDING>(source.first_chunk().expect("a padded source"), len);
        }
    }

    /// Appends the first `len` bytes of a short text.
    #[inline]
    pub fn store<const N: usize>(&mut self, bytes: &[u8; N], len: usize) {
        debug_assert!(self.at + len < SHORT_LINE, "a line of {} bytes is not short", self.at + len);
        // The mask changes nothing. It shows the compiler that there is room.
        *self.room[self.at & (SHORT_LINE - 1)..].first_chunk_mut().expect("room") = *bytes;
        self.at += len;
    }

    /// Makes the line part of the text.
    ///
    /// # Panics
    /// If the line is too long.
    #[inline]
    pub fn end(self) {
        assert!(self.at < SHORT_LINE, "a short line");
        *self.len += self.at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_are_appended_in_order(
            lines in proptest::collection::vec(proptest::collection::vec("[a-z]{0,90}", 0..8), 0..10),
        ) {
            let mut buffer = LineBuffer::default();
            let mut expected = String::new();
            for pieces in &lines {
                expected.push_str(&pieces.concat());
                let mut line = buffer.line(pieces.concat().len());
                for (index, piece) in pieces.iter().enumerate() {
                    match index % 3 {
                        0 => line.push_slice(piece.as_bytes()),
                        _ => line.push_padded(format!("{piece}{}", "#".repeat(PADDING)).as_bytes(), piece.len()),
                    }
                }
                line.end();
                if pieces.iter().all(|piece| piece.len() <= PADDING) && pieces.concat().len() < SHORT_LINE {
                    let mut line = buffer.short_line();
                    for piece in pieces {
                        line.push_padded(format!("{piece}{}", "#".repeat(PADDING)).as_bytes(), piece.len());
                    }
                    line.end();
                    expected.push_str(&pieces.concat());
                }
            }
            // A line that is not ended has no effect.
            buffer.line(3).push_slice(b"xyz");
            prop_assert_eq!(buffer.as_bytes(), expected.as_bytes());
            buffer.clear();
            prop_assert_eq!(buffer.as_bytes(), b"");
        }
    }
}
