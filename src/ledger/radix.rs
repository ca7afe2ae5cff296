//! A radix sort for packed keys. It skips the bits that all keys share.

/// The maximum number of bits of a digit. The 2,048 counters of 11 bits stay in the first-level cache.
const DIGIT: u32 = 11;
/// Below this length, a comparison sort is faster.
const SHORT: usize = 1 << 10;

/// Sorts `keys`. `scratch` is working space that the caller can reuse.
///
/// The sort starts with the least significant digit and skips bits that all keys share. It takes linear
/// time.
pub fn sort(keys: &mut Vec<u64>, scratch: &mut Vec<u64>) {
    if keys.len() < SHORT {
        keys.sort_unstable();
        return;
    }
    let differing = keys.iter().fold(0, |bits, key| bits | (key ^ keys[0]));
    // A narrower digit has fewer values, so a pass writes to fewer places at once. The digits are as
    // narrow as possible without an additional pass.
    let passes = digits(differing, DIGIT).count();
    let width = (1..DIGIT).find(|&width| digits(differing, width).count() == passes).unwrap_or(DIGIT);
    scratch.resize(keys.len(), 0);
    for shift in digits(differing, width) {
        scatter(keys, scratch, shift, width);
        std::mem::swap(keys, scratch);
    }
}

/// The shifts of digits that have `width` bits each. Together, the digits cover all of `bits`.
fn digits(mut bits: u64, width: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let shift = bits.trailing_zeros();
        (bits != 0).then(|| {
            bits = bits.checked_shr(shift + width).map_or(0, |rest| rest << (shift + width));
            shift
        })
    })
}

/// Copies `from` to `to`, sorted stably by the digit at `shift`.
fn scatter(from: &[u64], to: &mut [u64], shift: u32, width: u32) {
    let digit = |key: u64| (key >> shift) as usize & ((1 << width) - 1);
    let mut places = [0_usize; 1 << DIGIT];
    for &key in from {
        places[digit(key)] += 1;
    }
    let mut start = 0;
    for place in &mut places[..1 << width] {
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
