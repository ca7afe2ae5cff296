//! Finds every comma, line feed and odd byte of a text, 64 bytes at a time.

use wide::u8x16;

/// Where the structure of a text stands.
#[derive(Debug, Default)]
pub struct Marks {
    /// Positions of commas and line feeds, ascending.
    pub separators: Vec<u32>,
    /// Positions of bytes that need the full lane: quotes, NULs, carriage returns that are not
    /// surely part of a line end.
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
pub fn scan(padded: &[u8], len: usize) -> Marks {
    let mut marks = Marks { separators: Vec::with_capacity(len / 8), odd: Vec::new() };
    for start in (0..len).step_by(BLOCK) {
        let block: &[u8; BLOCK] = padded[start..start + BLOCK].try_into().expect("a padded text");
        let inside = if len - start < BLOCK { (1 << (len - start)) - 1 } else { u64::MAX };
        let bits = classify(block);
        push_positions(&mut marks.separators, start, bits.separators & inside);
        push_positions(&mut marks.odd, start, bits.odd & inside);
    }
    marks
}

fn push_positions(positions: &mut Vec<u32>, start: usize, mut bits: u64) {
    while bits != 0 {
        positions.push(start as u32 + bits.trailing_zeros());
        bits &= bits - 1;
    }
}

/// The kinds of the bytes of a block. `wide` uses SSE2, NEON or plain words, whatever the machine has.
fn classify(block: &[u8; BLOCK]) -> Bits {
    let quarters = block.as_chunks::<16>().0;
    let equal_to = |byte: u8| {
        let wanted = u8x16::splat(byte);
        quarters.iter().enumerate().fold(0, |bits, (index, quarter)| {
            bits | u64::from(u8x16::new(*quarter).simd_eq(wanted).to_bitmask()) << (index * 16)
        })
    };
    let line_feeds = equal_to(b'\n');
    // A CR as the last byte of a block may belong to a line end; the full lane finds out.
    let stray_returns = equal_to(b'\r') & !(line_feeds >> 1);
    Bits { separators: equal_to(b',') | line_feeds, odd: equal_to(b'"') | equal_to(0) | stray_returns }
}

/// The same one byte at a time: what the property below holds against.
#[cfg(test)]
fn classify_bytes(block: &[u8; BLOCK]) -> Bits {
    let mut bits = Bits { separators: 0, odd: 0 };
    for (at, byte) in block.iter().enumerate() {
        let ends_line = *byte == b'\r' && block.get(at + 1) == Some(&b'\n');
        bits.separators |= u64::from(matches!(byte, b',' | b'\n')) << at;
        bits.odd |= u64::from(matches!(byte, b'"' | 0 | b'\r') && !ends_line) << at;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(b','), Just(b'\n'), Just(b'\r'), Just(b'"'), Just(0), any::<u8>()];
        proptest::collection::vec(byte, BLOCK)
    }

    proptest! {
        #[test]
        fn both_ways_of_classifying_agree(block in block()) {
            let block: &[u8; BLOCK] = block.as_slice().try_into().unwrap();
            prop_assert_eq!(classify(block), classify_bytes(block));
        }

        #[test]
        fn every_separator_is_found(mut text in block(), len in 0..=BLOCK) {
            text.resize(2 * BLOCK, b',');
            let marks = scan(&text, len);
            let expected: Vec<u32> = (0..len as u32)
                .filter(|&at| matches!(text[at as usize], b',' | b'\n'))
                .collect();
            prop_assert_eq!(marks.separators, expected);
        }
    }
}
