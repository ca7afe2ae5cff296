//! Finds every delimiter, line feed and odd byte of a text, 64 bytes at a time.

use wide::u8x16;

use crate::model::delimiter::Delimiter;

/// Where the structure of a text stands.
#[derive(Debug, Default)]
pub struct Marks {
    /// Positions of delimiters and line feeds, ascending.
    pub separators: Vec<u32>,
    /// Positions of bytes that need the full lane: quotes, NULs, carriage returns that are not
    /// surely part of a line end, and commas inside fields, which must be quoted when they are written.
    pub odd: Vec<u32>,
}

/// Bytes per step.
const BLOCK: usize = 64;

/// One bit per byte of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bits {
    separators: u64,
    odd: u64,
}

/// Scans the first `len` bytes of `padded`.
///
/// # Panics
/// If fewer than 64 bytes follow the first `len`.
pub fn scan(padded: &[u8], len: usize, delimiter: Delimiter) -> Marks {
    // Compiled twice: where commas part fields, as nearly always, the byte is known beforehand.
    match delimiter {
        Delimiter::COMMA => scan_for::<true>(padded, len, b','),
        other => scan_for::<false>(padded, len, other.byte()),
    }
}

fn scan_for<const COMMA: bool>(padded: &[u8], len: usize, delimiter: u8) -> Marks {
    let mut marks = Marks { separators: vec![0; len / 8 + BLOCK], odd: Vec::new() };
    let mut found = 0;
    for start in (0..len).step_by(BLOCK) {
        let block: &[u8; BLOCK] = padded[start..start + BLOCK].try_into().expect("a padded text");
        let inside = if len - start < BLOCK { (1 << (len - start)) - 1 } else { u64::MAX };
        let bits = classify::<COMMA>(block, delimiter);
        if found + BLOCK > marks.separators.len() {
            marks.separators.resize(marks.separators.len() * 2, 0);
        }
        // Room for a whole block, so that no position has to ask for it.
        let room: &mut [u32; BLOCK] = marks.separators[found..].first_chunk_mut().expect("room for a block");
        for (position, place) in positions(start, bits.separators & inside).zip(room) {
            *place = position;
            found += 1;
        }
        marks.odd.extend(positions(start, bits.odd & inside));
    }
    marks.separators.truncate(found);
    marks
}

/// Where the bits of the block at `start` are set.
fn positions(start: usize, mut bits: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let position = (bits != 0).then(|| start as u32 + bits.trailing_zeros());
        bits &= bits.wrapping_sub(1);
        position
    })
}

/// The kinds of the bytes of a block. `wide` uses SSE2, NEON or plain words, whatever the machine has.
#[inline]
fn classify<const COMMA: bool>(block: &[u8; BLOCK], delimiter: u8) -> Bits {
    let quarters = block.as_chunks::<16>().0;
    let mut separators = 0;
    let mut odd = u8x16::ZERO;
    for (index, quarter) in quarters.iter().enumerate() {
        let bytes = u8x16::new(*quarter);
        let equal_to = |byte| bytes.simd_eq(u8x16::splat(byte));
        let separator = equal_to(delimiter) | equal_to(b'\n');
        separators |= u64::from(separator.to_bitmask()) << (index * 16);
        odd |= equal_to(b'"') | equal_to(0) | equal_to(b'\r');
        if !COMMA {
            odd |= equal_to(b',');
        }
    }
    // Most blocks have none, so it is only then asked where.
    let odd = if odd.to_bitmask() == 0 { 0 } else { odd_bytes::<COMMA>(quarters) };
    Bits { separators, odd }
}

/// Where the odd bytes of a block are.
fn odd_bytes<const COMMA: bool>(quarters: &[[u8; 16]]) -> u64 {
    let equal_to = |byte: u8| {
        let wanted = u8x16::splat(byte);
        quarters.iter().enumerate().fold(0, |bits, (index, quarter)| {
            bits | u64::from(u8x16::new(*quarter).simd_eq(wanted).to_bitmask()) << (index * 16)
        })
    };
    // A CR as the last byte of a block may belong to a line end; the full lane finds out.
    let stray_returns = equal_to(b'\r') & !(equal_to(b'\n') >> 1);
    let commas = if COMMA { 0 } else { equal_to(b',') };
    equal_to(b'"') | equal_to(0) | stray_returns | commas
}

/// The same one byte at a time: what the property below holds against.
#[cfg(test)]
fn classify_bytes(block: &[u8; BLOCK], delimiter: u8) -> Bits {
    let mut bits = Bits { separators: 0, odd: 0 };
    for (at, byte) in block.iter().enumerate() {
        let ends_line = *byte == b'\r' && block.get(at + 1) == Some(&b'\n');
        bits.separators |= u64::from(*byte == delimiter || *byte == b'\n') << at;
        let strange = matches!(byte, b'"' | 0 | b'\r' | b',') && *byte != delimiter;
        bits.odd |= u64::from(strange && !ends_line) << at;
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

    proptest! {
        #[test]
        fn both_ways_of_classifying_agree(block in block()) {
            let block: &[u8; BLOCK] = block.as_slice().try_into().unwrap();
            prop_assert_eq!(classify::<true>(block, b','), classify_bytes(block, b','));
            for delimiter in [b';', b'\t', b'|'] {
                prop_assert_eq!(classify::<false>(block, delimiter), classify_bytes(block, delimiter));
            }
        }

        #[test]
        fn every_separator_is_found(mut text in block(), len in 0..=BLOCK) {
            text.resize(2 * BLOCK, b',');
            for delimiter in [Delimiter::COMMA, ";".parse().unwrap(), "tab".parse().unwrap()] {
                let marks = scan(&text, len, delimiter);
                let expected: Vec<u32> = (0..len as u32)
                    .filter(|&at| text[at as usize] == delimiter.byte() || text[at as usize] == b'\n')
                    .collect();
                prop_assert_eq!(marks.separators, expected);
            }
        }
    }
}
