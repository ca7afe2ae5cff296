//! A radix sort for packed keys.
//!
//! The keys are first distributed to parts by their highest bits. Then each part is sorted by itself, from the
//! lowest digit to the highest. A part fits into the first-level cache, so only the distribution waits for
//! memory.

use crate::model::memory::with_huge_pages;

/// The maximum number of bits of a digit. The 2,048 counters of 11 bits stay in the first-level cache.
const DIGIT: u32 = 11;
const COUNTERS: usize = 1 << DIGIT;
/// Below this length, a comparison sort is faster.
const SHORT: usize = 512;
/// The number of keys in a part, if the keys are spread evenly. Such a part takes 32 KiB.
const PART: usize = 4096;

/// Sorts `keys`, and passes them to `each` in ascending pieces. Equal keys are in the same piece. `scratch` is
/// working space that the caller can reuse; afterwards, the order of `keys` is undefined.
///
/// The sort takes linear time, and skips the highest bits if they are zero in all keys.
pub fn sort(keys: &mut [u64], scratch: &mut Vec<u64>, mut each: impl FnMut(&[u64])) {
    if scratch.capacity() < keys.len() {
        *scratch = with_huge_pages(keys.len());
    }
    scratch.resize(keys.len(), 0);
    let bits = u64::BITS - keys.iter().fold(0, |all, key| all | key).leading_zeros();
    let part_bits = (keys.len() / PART).checked_ilog2().unwrap_or_default().min(bits).min(DIGIT);
    let low_bits = bits - part_bits;
    let digit = Digit::new(low_bits, part_bits);
    let mut ends = digit.count(keys);
    digit.scatter(keys, scratch, &mut ends);
    let mut start = 0;
    for &end in &ends[..1 << part_bits] {
        let part = start..end as usize;
        each(sort_part(&mut scratch[part.clone()], &mut keys[part], low_bits));
        start = end as usize;
    }
}

/// Sorts `keys` by their lowest `bits` bits. Returns the sorted keys, which are in one of the two slices.
fn sort_part<'a>(mut keys: &'a mut [u64], mut scratch: &'a mut [u64], bits: u32) -> &'a [u64] {
    if keys.len() < SHORT {
        keys.sort_unstable();
        return keys;
    }
    let passes = bits.div_ceil(DIGIT);
    for pass in 0..passes {
        // Equally wide digits have the fewest values, so a pass writes to the fewest places at once.
        let width = bits.div_ceil(passes);
        let digit = Digit::new(pass * width, width);
        let mut counts = digit.count(keys);
        digit.scatter(keys, scratch, &mut counts);
        std::mem::swap(&mut keys, &mut scratch);
    }
    keys
}

/// Some neighbouring bits of a key.
#[derive(Clone, Copy, Debug)]
struct Digit {
    shift: u32,
    mask: usize,
}

impl Digit {
    fn new(shift: u32, bits: u32) -> Self {
        // A digit without bits may begin after the last bit.
        Self { shift: shift.min(u64::BITS - 1), mask: (1 << bits) - 1 }
    }

    #[inline]
    fn of(self, key: u64) -> usize {
        // Without the remainder, the compiler would check each index of a counter.
        ((key >> self.shift) as usize & self.mask) % COUNTERS
    }

    /// Counts the keys by digit.
    fn count(self, keys: &[u64]) -> [u32; COUNTERS] {
        let mut counts = [0; COUNTERS];
        for &key in keys {
            counts[self.of(key)] += 1;
        }
        counts
    }

    /// Copies `from` to `to`, sorted stably by the digit. Replaces each count with the end of its keys in `to`.
    fn scatter(self, from: &[u64], to: &mut [u64], counts: &mut [u32; COUNTERS]) {
        let mut start = 0;
        for count in &mut counts[..=self.mask] {
            start += std::mem::replace(count, start);
        }
        for &key in from {
            let place = &mut counts[self.of(key)];
            to[*place as usize] = key;
            *place += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(mut keys: Vec<u64>) -> Vec<u64> {
        let mut sorted: Vec<u64> = Vec::new();
        sort(&mut keys, &mut Vec::new(), |piece| {
            assert!(sorted.last() < piece.first() || sorted.is_empty() || piece.is_empty(), "equal keys");
            sorted.extend_from_slice(piece);
        });
        sorted
    }

    proptest! {
        #[test]
        fn it_sorts(seed in any::<[u64; 4]>(), mask in any::<u64>(), len in 0_usize..20_000) {
            let keys: Vec<u64> = (0..len as u64)
                .map(|n| n.wrapping_mul(seed[(n % 4) as usize] | 1).rotate_left(n as u32) & mask)
                .collect();
            let mut expected = keys.clone();
            expected.sort_unstable();
            prop_assert_eq!(sorted(keys), expected);
        }
    }

    #[test]
    fn keys_of_few_or_of_all_bits_are_sorted() {
        for keys in [vec![0; 10_000], (0..10_000).map(|n: u64| n % 2).collect(), vec![u64::MAX; 9_000]] {
            let mut expected = keys.clone();
            expected.sort_unstable();
            assert_eq!(sorted(keys), expected);
        }
    }
}
