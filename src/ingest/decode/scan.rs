//! Finds all delimiters, line feeds and irregular bytes of a text, in blocks of 64 bytes.

#![allow(clippy::inline_always, reason = "the functions must be compiled for the processor of their caller")]

#[cfg(target_arch = "x86_64")]
mod avx2;

use wide::u8x16;

use crate::model::delimiter::Delimiter;

/// The positions of the bytes that structure a text.
#[derive(Debug, Default)]
pub struct StructuralIndex {
    separators: Positions,
    line_feeds: Positions,
    irregular: Positions,
    is_ascii: bool,
}

impl StructuralIndex {
    /// [`BEFORE_TEXT`], then the positions of delimiters and line feeds, ascending. A field therefore lies
    /// between two neighbouring entries.
    pub fn separators(&self) -> &[u32] {
        self.separators.as_slice()
    }

    /// Positions of line feeds, ascending.
    pub fn line_feeds(&self) -> &[u32] {
        self.line_feeds.as_slice()
    }

    /// Positions of irregular bytes, ascending. A line with an irregular byte needs the slow path.
    ///
    /// Irregular bytes are quotes, NULs, commas inside fields, and carriage returns that are not certainly part
    /// of a line end. A field with a comma needs quotes in the output.
    pub fn irregular(&self) -> &[u32] {
        self.irregular.as_slice()
    }

    /// Whether all bytes are ASCII.
    pub fn is_ascii(&self) -> bool {
        self.is_ascii
    }
}

/// The position before the first byte of a text. Adding 1 with wrapping gives the position of this byte.
pub const BEFORE_TEXT: u32 = u32::MAX;

/// Bytes per iteration.
const BLOCK: usize = 64;

/// One bit per byte of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bits {
    separators: u64,
    line_feeds: u64,
    irregular: u64,
    is_ascii: bool,
}

impl StructuralIndex {
    /// Scans the first `len` bytes of `padded`. Reuses the memory of an earlier scan.
    ///
    /// # Panics
    /// If `padded` is not at least 64 bytes longer than `len`.
    pub fn scan(&mut self, padded: &[u8], len: usize, delimiter: Delimiter) {
        // The code is compiled twice. In one version, the delimiter is a constant: the comma, which is the
        // usual delimiter.
        match delimiter {
            Delimiter::COMMA => self.scan_for::<true>(padded, len, b','),
            other => self.scan_for::<false>(padded, len, other.byte()),
        }
    }

    fn scan_for<const COMMA: bool>(&mut self, padded: &[u8], len: usize, delimiter: u8) {
        #[cfg(target_arch = "x86_64")]
        if avx2::scan::<COMMA>(self, padded, len, delimiter) {
            return;
        }
        self.scan_blocks(padded, len, |block| classify::<COMMA>(block, delimiter));
    }

    /// Scans block by block. All functions are inlined, so that they are compiled for the same processor.
    #[inline(always)]
    fn scan_blocks(&mut self, padded: &[u8], len: usize, classify: impl Fn(&[u8; BLOCK]) -> Bits) {
        self.separators.clear(len + 1);
        self.line_feeds.clear(len);
        self.irregular.clear(len);
        self.is_ascii = true;
        self.separators.push(BEFORE_TEXT);
        let (blocks, rest) = padded[..len].as_chunks::<BLOCK>();
        for (index, block) in blocks.iter().enumerate() {
            self.add(index * BLOCK, classify(block), u64::MAX);
        }
        if !rest.is_empty() {
            let start = len - rest.len();
            // The padding is ASCII.
            let block = padded[start..].first_chunk().expect("a padded text");
            self.add(start, classify(block), (1 << rest.len()) - 1);
        }
    }

    /// Adds the bits of a block that are set in `inside`.
    #[inline(always)]
    fn add(&mut self, start: usize, bits: Bits, inside: u64) {
        self.separators.extend::<SEPARATORS>(start, bits.separators & inside);
        self.line_feeds.extend::<LINE_FEEDS>(start, bits.line_feeds & inside);
        if bits.irregular & inside != 0 {
            self.irregular.extend::<1>(start, bits.irregular & inside);
        }
        self.is_ascii &= bits.is_ascii;
    }
}

/// Typical numbers of separators and of line feeds in a block.
const SEPARATORS: usize = 4;
const LINE_FEEDS: usize = 2;

/// A list of positions.
#[derive(Debug, Default)]
struct Positions {
    /// The positions, then unused entries.
    entries: Vec<u32>,
    len: usize,
}

impl Positions {
    /// Removes all positions, and makes room for a number of positions and a whole block.
    fn clear(&mut self, positions: usize) {
        self.len = 0;
        if self.entries.len() < positions + BLOCK {
            // The system provides zeros without touching them, so unused entries take no memory.
            self.entries = vec![0; positions + BLOCK];
        }
    }

    fn as_slice(&self) -> &[u32] {
        &self.entries[..self.len]
    }

    fn push(&mut self, position: u32) {
        self.entries[self.len] = position;
        self.len += 1;
    }

    /// Appends the positions of the set bits. The block of the bits begins at position `start`.
    ///
    /// Writes `STEP` entries at a time, even if there are fewer bits, because the processor can rarely predict
    /// the number of bits. The next block overwrites the excess entries.
    #[inline(always)]
    fn extend<const STEP: usize>(&mut self, start: usize, mut bits: u64) {
        let count = bits.count_ones() as usize;
        // The slice has room for a whole block, so the loop needs no bounds checks.
        let room: &mut [u32; BLOCK] = self.entries[self.len..].first_chunk_mut().expect("room for a block");
        for step in room.chunks_exact_mut(STEP) {
            for entry in step {
                // The highest bit is a valid position, so that the processor needs no check for zero.
                *entry = start as u32 + (bits | 1 << 63).trailing_zeros();
                bits &= bits.wrapping_sub(1);
            }
            if bits == 0 {
                break;
            }
        }
        self.len += count;
    }
}

/// Classifies the bytes of a block. The crate `wide` uses SSE2, NEON or plain integers, depending on the
/// machine.
#[inline(always)]
fn classify<const COMMA: bool>(block: &[u8; BLOCK], delimiter: u8) -> Bits {
    let quarters = block.as_chunks::<16>().0;
    let (mut separators, mut line_feeds) = (0, 0);
    let (mut irregular, mut all) = (u8x16::ZERO, u8x16::ZERO);
    for (index, quarter) in quarters.iter().enumerate() {
        let bytes = u8x16::new(*quarter);
        let equal_to = |byte| bytes.simd_eq(u8x16::splat(byte));
        let is_line_feed = equal_to(b'\n');
        let is_separator = equal_to(delimiter) | is_line_feed;
        separators |= u64::from(is_separator.to_bitmask()) << (index * 16);
        line_feeds |= u64::from(is_line_feed.to_bitmask()) << (index * 16);
        irregular |= equal_to(b'"') | equal_to(0) | equal_to(b'\r');
        if !COMMA {
            irregular |= equal_to(b',');
        }
        all |= bytes;
    }
    // Most blocks have no irregular byte, so the positions of irregular bytes are computed only if there
    // are any.
    let irregular = if irregular.to_bitmask() == 0 { 0 } else { irregular_bytes::<COMMA>(quarters) };
    Bits { separators, line_feeds, irregular, is_ascii: all.to_bitmask() == 0 }
}

/// One bit per irregular byte of a block.
fn irregular_bytes<const COMMA: bool>(quarters: &[[u8; 16]]) -> u64 {
    let equal_to = |byte: u8| {
        let wanted = u8x16::splat(byte);
        quarters.iter().enumerate().fold(0, |bits, (index, quarter)| {
            bits | u64::from(u8x16::new(*quarter).simd_eq(wanted).to_bitmask()) << (index * 16)
        })
    };
    // A carriage return in the last byte of a block is irregular, because its line feed may be in the
    // next block. The slow path decides.
    let stray_returns = equal_to(b'\r') & !(equal_to(b'\n') >> 1);
    let commas = if COMMA { 0 } else { equal_to(b',') };
    equal_to(b'"') | equal_to(0) | stray_returns | commas
}

/// Does the same as [`classify`], one byte at a time. It is the reference for tests.
#[cfg(test)]
fn classify_bytes(block: &[u8; BLOCK], delimiter: u8) -> Bits {
    let mut bits = Bits { separators: 0, line_feeds: 0, irregular: 0, is_ascii: block.is_ascii() };
    for (at, byte) in block.iter().enumerate() {
        let ends_line = *byte == b'\r' && block.get(at + 1) == Some(&b'\n');
        bits.separators |= u64::from(*byte == delimiter || *byte == b'\n') << at;
        bits.line_feeds |= u64::from(*byte == b'\n') << at;
        let is_irregular = matches!(byte, b'"' | 0 | b'\r' | b',') && *byte != delimiter;
        bits.irregular |= u64::from(is_irregular && !ends_line) << at;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            Just(b','),
            Just(b';'),
            Just(b'\t'),
            Just(b'\n'),
            Just(b'\r'),
            Just(b'"'),
            Just(0),
            any::<u8>()
        ];
        proptest::collection::vec(byte, BLOCK)
    }

    fn lists(index: &StructuralIndex) -> ([&[u32]; 3], bool) {
        ([index.separators(), index.line_feeds(), index.irregular()], index.is_ascii())
    }

    proptest! {
        #[test]
        fn both_versions_of_the_scan_agree(text in block().prop_map(|block| block.repeat(2)), cut in 0..BLOCK) {
            for delimiter in [b';', b'\t', b'|'] {
                let (mut best, mut portable) = (StructuralIndex::default(), StructuralIndex::default());
                best.scan_for::<false>(&text, cut, delimiter);
                portable.scan_blocks(&text, cut, |block| classify::<false>(block, delimiter));
                prop_assert_eq!(lists(&best), lists(&portable));
                best.scan_for::<true>(&text, cut, b',');
                portable.scan_blocks(&text, cut, |block| classify::<true>(block, b','));
                prop_assert_eq!(lists(&best), lists(&portable));
            }
        }

        #[test]
        fn vectorized_and_scalar_classification_agree(block in block()) {
            let block: &[u8; BLOCK] = block.as_slice().try_into().unwrap();
            prop_assert_eq!(classify::<true>(block, b','), classify_bytes(block, b','));
            for delimiter in [b';', b'\t', b'|'] {
                prop_assert_eq!(classify::<false>(block, delimiter), classify_bytes(block, delimiter));
            }
        }

        #[test]
        fn every_separator_and_line_feed_is_found(
            mut text in proptest::collection::vec(block(), 0..4).prop_map(|blocks| blocks.concat()), cut in 0..BLOCK,
        ) {
            let len = text.len().saturating_sub(cut);
            text.truncate(len);
            text.resize(len + BLOCK, b',');
            for delimiter in [Delimiter::COMMA, ";".parse().unwrap(), "tab".parse().unwrap()] {
                let mut index = StructuralIndex::default();
                index.scan(&text, len, delimiter);
                let places = |wanted: &dyn Fn(u8) -> bool| -> Vec<u32> {
                    (0..len as u32).filter(|&at| wanted(text[at as usize])).collect()
                };
                let separators = places(&|byte| byte == delimiter.byte() || byte == b'\n');
                prop_assert_eq!(index.separators(), [&[BEFORE_TEXT][..], &separators].concat());
                prop_assert_eq!(index.line_feeds(), places(&|byte| byte == b'\n'));
                // The bytes after the text are ASCII, like its padding.
                prop_assert_eq!(index.is_ascii(), text[..len].is_ascii());
            }
        }
    }
}
