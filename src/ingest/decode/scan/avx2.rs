//! The scan for processors with AVX2, which needs half as many instructions. This needs unsafe code.

use std::arch::x86_64::{
    __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8,
};

use crate::ingest::decode::scan::{BLOCK, Bits, StructuralIndex, irregular_bytes};

/// Scans a text. Returns false and does nothing if the processor lacks AVX2, BMI1 or POPCNT.
#[allow(unsafe_code)]
pub(super) fn scan<const COMMA: bool>(
    index: &mut StructuralIndex,
    padded: &[u8],
    len: usize,
    delimiter: u8,
) -> bool {
    let is_supported = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("popcnt");
    if is_supported {
        // SAFETY: the processor has all features that the function needs.
        unsafe { scan_with_avx2::<COMMA>(index, padded, len, delimiter) }
    }
    is_supported
}

#[target_feature(enable = "avx2,bmi1,popcnt")]
fn scan_with_avx2<const COMMA: bool>(index: &mut StructuralIndex, padded: &[u8], len: usize, delimiter: u8) {
    index.scan_blocks(padded, len, |block| classify::<COMMA>(block, delimiter));
}

/// Classifies the bytes of a block.
#[inline]
#[target_feature(enable = "avx2,bmi1,popcnt")]
fn classify<const COMMA: bool>(block: &[u8; BLOCK], delimiter: u8) -> Bits {
    let halves = block.as_chunks::<32>().0;
    let [low, high] = [halves[0], halves[1]].map(|half| classify_half::<COMMA>(&half, delimiter));
    let both = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let has_irregular = low.irregular | high.irregular != 0;
    Bits {
        separators: both(low.separators, high.separators),
        line_feeds: both(low.line_feeds, high.line_feeds),
        irregular: if has_irregular { irregular_bytes::<COMMA>(block.as_chunks().0) } else { 0 },
        is_ascii: low.not_ascii | high.not_ascii == 0,
    }
}

/// One bit per byte of half a block.
struct HalfBits {
    separators: u32,
    line_feeds: u32,
    /// Includes carriage returns in front of line feeds.
    irregular: u32,
    not_ascii: u32,
}

#[inline]
#[allow(unsafe_code)]
#[target_feature(enable = "avx2,bmi1,popcnt")]
fn classify_half<const COMMA: bool>(half: &[u8; 32], delimiter: u8) -> HalfBits {
    // SAFETY: the array has the 32 bytes that are read, and they need no alignment.
    let bytes = unsafe { _mm256_loadu_si256(half.as_ptr().cast()) };
    let equal_to = |byte: u8| _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte.cast_signed()));
    let or = |one: __m256i, other: __m256i| _mm256_or_si256(one, other);
    let bits = |mask: __m256i| _mm256_movemask_epi8(mask).cast_unsigned();
    let is_line_feed = equal_to(b'\n');
    let mut irregular = or(or(equal_to(b'"'), equal_to(0)), equal_to(b'\r'));
    if !COMMA {
        irregular = or(irregular, equal_to(b','));
    }
    HalfBits {
        separators: bits(or(equal_to(delimiter), is_line_feed)),
        line_feeds: bits(is_line_feed),
        irregular: bits(irregular),
        not_ascii: bits(bytes),
    }
}
