//! Finds all delimiters, line feeds and irregular bytes of a text, in blocks of 64 bytes.

use wide::u8x16;

use crate::model::delimiter::Delimiter;

/// The positions of the bytes that structure a text.
#[derive(Debug, Default)]
pub struct StructuralIndex {
    /// Positions of delimiters and line feeds, ascending.
    pub separators: Vec<u32>,
    /// Positions of irregular bytes, ascending. A line with an irregular byte needs the slow path.
    /// Irregular bytes are quotes, NULs, commas inside fields, and carriage returns that are not
    /// certainly part of a line end. A field with a comma needs quotes in the output.
    pub irregular: Vec<u32>,
}

/// Bytes per iteration.
const BLOCK: usize = 64;

/// One bit per byte of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bits {
    separators: u64,
    irregular: u64,
}

/// Scans the first `len` bytes of `padded`.
///
/// # Panics
/// If `padded` is not at least 64 bytes longer than `len`.
pub fn scan(padded: &[u8], len: usize, delimiter: Delimiter) -> StructuralIndex {
    // The code is compiled twice. In one version, the delimiter is a constant: the comma, which is the
    // usual delimiter.
    match delimiter {
        Delimiter::COMMA => scan_for::<true>(padded, len, b','),
        other => scan_for::<false>(padded, len, other.byte()),
    }
}

fn scan_for<const COMMA: bool>(padded: &[u8], len: usize, delimiter: u8) -> StructuralIndex {
    let mut index = StructuralIndex { separators: vec![0; len / 8 + BLOCK], irregular: Vec::new() };
    let mut found = 0;
    for start in (0..len).step_by(BLOCK) {
        let block: &[u8; BLOCK] = padded[start..start + BLOCK].try_into().expect("a padded text");
        let inside = if len - start < BLOCK { (1 << (len - start)) - 1 } else { u64::MAX };
        let bits = classify::<COMMA>(block, delimiter);
        if found + BLOCK > index.separators.len() {
            index.separators.resize(index.separators.len() * 2, 0);
        }
        // The slice has room for a whole block, so that the loop needs no bounds checks.
        let room: &mut [u32; BLOCK] = index.separators[found..].first_chunk_mut().expect("room for a block");
        for (position, place) in positions(start, bits.separators & inside).zip(room) {
            *place = position;
            found += 1;
        }
        index.irregular.extend(positions(start, bits.irregular & inside));
    }
    index.separators.truncate(found);
    index
}

/// The positions of the set bits in `bits`. The block begins at position `start`.
fn positions(start: usize, mut bits: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let position = (bits != 0).then(|| start as u32 + bits.trailing_zeros());
        bits &= bits.wrapping_sub(1);
        position
    })
}

/// Classifies the bytes of a block. The crate `wide` uses SSE2, NEON or plain integers, depending on the
/// machine.
#[inline]
fn classify<const COMMA: bool>(block: &[u8; BLOCK], delimiter: u8) -> Bits {
    let quarters = block.as_chunks::<16>().0;
    let mut separators = 0;
    let mut irregular = u8x16::ZERO;
    for (index, quarter) in quarters.iter().enumerate() {
        let bytes = u8x16::new(*quarter);
        let equal_to = |byte| bytes.simd_eq(u8x16::splat(byte));
        let separator = equal_to(delimiter) | equal_to(b'\n');
        separators |= u64::from(separator.to_bitmask()) << (index * 16);
        irregular |= equal_to(b'"') | equal_to(0) | equal_to(b'\r');
        if !COMMA {
            irregular |= equal_to(b',');
        }
    }
    // Most blocks have no irregular byte, so the positions of irregular bytes are computed only if there
    // are any.
    let irregular = if irregular.to_bitmask() == 0 { 0 } else { irregular_bytes::<COMMA>(quarters) };
    Bits { separators, irregular }
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
    let mut bits = Bits { separators: 0, irregular: 0 };
    for (at, byte) in block.iter().enumerate() {
        let ends_line = *byte == b'\r' && block.get(at + 1) == Some(&b'\n');
        bits.separators |= u64::from(*byte == delimiter || *byte == b'\n') << at;
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

    proptest! {
        #[test]
        fn vectorized_and_scalar_classification_agree(block in block()) {
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
                let index = scan(&text, len, delimiter);
                let expected: Vec<u32> = (0..len as u32)
                    .filter(|&at| text[at as usize] == delimiter.byte() || text[at as usize] == b'\n')
                    .collect();
                prop_assert_eq!(index.separators, expected);
            }
        }
    }
}
