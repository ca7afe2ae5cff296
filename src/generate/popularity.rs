//! How often each listener plays songs, and how often each song is played.

use crate::generate::rng::Rng;

/// How plays are distributed over listeners and songs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Popularity {
    /// A few are very frequent and most are rare, as in reality.
    Zipf,
    /// All are equally frequent, which is the hardest case for caches. Meant for benchmarks.
    Uniform,
}

/// The weight of a rank is `TOP / (rank + shift)`.
const TOP: u64 = 1 << 40;

/// The largest number of items. With more items, the arithmetic of the alias table would exceed 64 bits.
pub const MAX_ITEMS: u64 = 10_000_000;

impl Popularity {
    /// The numbers `1..=count` with their weights, the heaviest first.
    ///
    /// Ranks are assigned at random. Otherwise the first songs of the catalog would be the most popular
    /// songs. A larger `shift` makes the most frequent items less frequent.
    pub fn weigh(self, count: u32, shift: u64, rng: &mut Rng) -> Vec<(u32, u64)> {
        let mut weighted: Vec<(u32, u64)> = (1..=count).map(|number| (number, 1)).collect();
        if self == Self::Zipf {
            for last in (1..weighted.len()).rev() {
                weighted.swap(last, rng.below(last as u64 + 1) as usize);
            }
            for (rank, (_, weight)) in (1..).zip(&mut weighted) {
                *weight = TOP / (rank + shift);
            }
        }
        weighted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_one_rank_and_weights_fall() {
        let mut weighted = Popularity::Zipf.weigh(1000, 10, &mut Rng::new(1, 1));
        assert!(weighted.is_sorted_by(|a, b| a.1 >= b.1));
        assert_ne!(weighted[0].0, 1);
        weighted.sort_unstable();
        assert!(weighted.iter().zip(1..).all(|(&(number, _), expected)| number == expected));
    }

    #[test]
    fn the_largest_table_fits_into_64_bits() {
        assert!(MAX_ITEMS.checked_mul(TOP / 2).is_some());
    }
}
