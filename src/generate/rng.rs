//! Chance, the same on every machine: a portable generator for sequences and a keyed hash for properties.
//!
//! Ranges come from a multiplication and a shift of our own, not from a library's distributions, whose results may
//! change with a version. Nothing here knows a float.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// The odd number nearest to 2^64 divided by the golden ratio: its multiples are spread evenly.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Dice(Xoshiro256PlusPlus);

impl Dice {
    /// The stream of a seed for one purpose; streams of different purposes have nothing to do with each other.
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(Key::new(seed, purpose).of(0)))
    }

    /// The next 64 random bits.
    #[inline]
    pub fn roll(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in `0..n`.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        scale(self.roll(), n)
    }
}

/// A keyed hash, for what a thing *is* rather than what happens next: the length of a song, the taste of a listener.
///
/// Such a property needs no memory and does not depend on how many other things there are.
#[derive(Debug, Clone, Copy)]
pub struct Key(u64);

impl Key {
    /// The key of a seed for one purpose.
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self(finalize(finalize(seed).wrapping_add(purpose.wrapping_mul(GOLDEN))))
    }

    /// 64 bits that belong to `number`.
    #[inline]
    pub fn of(self, number: u64) -> u64 {
        finalize(self.0.wrapping_add(number.wrapping_mul(GOLDEN)))
    }

    /// A number in `0..n` that belongs to `number`.
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

/// A bijection of 64 bits in which every bit of the result depends on every bit of the argument.
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
        let mut dice = Dice::new(7, 0);
        let mut seen = [false; 6];
        for _ in 0..1000 {
            seen[dice.below(6) as usize] = true;
        }
        assert_eq!(seen, [true; 6]);
        assert_eq!(scale(u64::MAX, 10), 9);
        assert_eq!(scale(0, 10), 0);
    }

    #[test]
    fn purposes_give_different_streams() {
        assert_ne!(Dice::new(1, 1).roll(), Dice::new(1, 2).roll());
        assert_ne!(Key::new(1, 1).of(5), Key::new(2, 1).of(5));
    }
}
