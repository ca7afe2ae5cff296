//! Sorting packed keys: a radix sort over the digits in which the keys differ.

/// Bits of a digit: 2,048 counters stay in the first-level cache.
const DIGIT: u32 = 11;
/// Below this length a comparison sort is faster than counting.
const SHORT: usize = 1 << 10;

/// Sorts `keys`; `scratch` is working space that may be used again.
///
/// Linear in the number of keys: least significant digit first, skipping bits that all keys share.
pub fn sort(keys: &mut Vec<u64>, scratch: &mut Vec<u64>) {
    if keys.len() < SHORT {
        keys.sort_unstable();
        return;
    }
    let mut differing = keys.iter().fold(0, |bits, key| bits | (key ^ keys[0]));
    scratch.clear();
    scratch.resize(keys.len(), 0);
    while differing != 0 {
        let shift = differing.trailing_zeros();
        scatter(keys, scratch, shift);
        std::mem::swap(keys, scratch);
        differing = differing.checked_shr(shift + DIGIT).map_or(0, |rest| rest << (shift + DIGIT));
    }
}

/// Copies `from` to `to`, stably ordered by the digit at `shift`.
fn scatter(from: &[u64], to: &mut [u64], shift: u32) {
    let digit = |key: u64| (key >> shift) as usize & ((1 << DIGIT) - 1);
    let mut places = [0_usize; 1 << DIGIT];
    for &key in from {
        places[digit(key)] += 1;
    }
    let mut start = 0;
    for place in &mut places {
        start += std::mem::replace(place, start);
    }
    for &key in from {
        let place = &mut places[digit(key)];
        to[*place] = key;
        *place += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_sorts(seed in any::<[u64; 4]>(), mask in any::<u64>(), len in 0_usize..5000) {
            let mut keys: Vec<u64> = (0..len as u64)
                .map(|n| n.wrapping_mul(seed[(n % 4) as usize] | 1).rotate_left(n as u32) & mask)
                .collect();
            let mut expected = keys.clone();
            expected.sort_unstable();
            sort(&mut keys, &mut Vec::new());
            prop_assert_eq!(keys, expected);
        }
    }
}
