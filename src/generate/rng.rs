//! Random numbers that are the same on every machine: a generator for sequences and a keyed hash for
//! properties.
//!
//! This module scales numbers to a range with a multiplication and a shift. It uses no distributions of a
//! library, because a later version of the library could give different results. It uses no floats.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

use crate::model::dictionary::GOLDEN;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Rng(Xoshiro256PlusPlus);

impl Rng {
    /// The stream for a seed and a purpose. Streams for different purposes are independent.
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(Key::new(seed, purpose).of(0)))
    }

    /// The next 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in `0..n`.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        scale(self.bits(), n)
    }
}

/// A keyed hash for properties of an item, such as the length of a song or the taste of a listener.
///
/// Such a property takes no memory and does not depend on the number of items.
#[derive(Debug, Clone, Copy)]
pub struct Key(u64);

impl Key {
    /// The key for a seed and a purpose.
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self(finalize(finalize(seed).wrapping_add(purpose.wrapping_mul(GOLDEN))))
    }

    /// The 64-bit hash of `number`.
    #[inline]
    pub fn of(self, number: u64) -> u64 {
        finalize(self.0.wrapping_add(number.wrapping_mul(GOLDEN)))
    }

    /// The hash of `number`, scaled to `0..n`.
    #[inline]
    pub fn below(self, number: u64, n: u64) -> u64 {
        scale(self.of(number), n)
    }
}

/// Maps 64 random bits to `0..n`.
#[inline]
pub fn scale(bits: u64, n: u64) -> u64 {
    ((u128::from(bits) * u128::from(n)) >> 64) as u64
}

/// A bijection of 64 bits. Every bit of the result depends on every bit of the argument.
#[inline]
fn finalize(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_stays_in_range_and_reaches_both_ends() {
        let mut rng = Rng::new(7, 0);
        let mut seen = [false; 6];
        for _ in 0..1000 {
            seen[rng.below(6) as usize] = true;
        }
        assert_eq!(seen, [true; 6]);
        assert_eq!(scale(u64::MAX, 10), 9);
        assert_eq!(scale(0, 10), 0);
    }

    #[test]
    fn purposes_give_different_streams() {
        assert_ne!(Rng::new(1, 1).bits(), Rng::new(1, 2).bits());
        assert_ne!(Key::new(1, 1).of(5), Key::new(2, 1).of(5));
    }
}
