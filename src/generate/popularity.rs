//! Who plays how much, and what is played how often.

use clap::ValueEnum;

use crate::generate::rng::Dice;

/// How plays spread over users and songs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Popularity {
    /// Few are played (or play) very often, most of them rarely, as in life
    Zipf,
    /// All alike: the hardest case for caches, meant for benchmarks
    Uniform,
}

/// The weight of a rank is this, divided by the rank plus a shift.
const TOP: u64 = 1 << 40;

/// The most items for which the alias table's arithmetic fits into 64 bits.
pub const MAX_ITEMS: u64 = 10_000_000;

impl Popularity {
    /// The numbers `1..=count` with their weights, the heaviest first.
    ///
    /// Which number has which rank is drawn, lest the first songs of the catalog be the hits. A larger `shift`
    /// flattens the head of the distribution.
    pub fn weigh(self, count: u32, shift: u64, dice: &mut Dice) -> Vec<(u32, u64)> {
        let mut weighted: Vec<(u32, u64)> = (1..=count).map(|number| (number, 1)).collect();
        if self == Self::Zipf {
            for last in (1..weighted.len()).rev() {
                weighted.swap(last, dice.below(last as u64 + 1) as usize);
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
        let mut weighted = Popularity::Zipf.weigh(1000, 10, &mut Dice::new(1, 1));
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
