//! Weighted random choice in constant time with the alias method. It uses only integers.

use crate::generate::rng::Rng;

/// A table for drawing items. The probability of an item is proportional to its weight.
///
/// The weights are distributed over cells of equal size, with at most two items per cell. So a draw reads one
/// cell (one cache line), regardless of the number of items.
#[derive(Debug, Clone)]
pub struct AliasTable {
    cells: Vec<Cell>,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    /// The share of `item` in this cell, in units of 2^-32. The rest of the cell belongs to `other`.
    threshold: u32,
    item: u32,
    other: u32,
}

impl AliasTable {
    /// A table over `(item, weight)` pairs, or `None` if all weights are zero.
    ///
    /// The number of items times the largest weight must stay below 2^64.
    pub fn new(weighted: &[(u32, u64)]) -> Option<Self> {
        let count = weighted.len() as u64;
        let total: u64 = weighted.iter().map(|&(_, weight)| weight).sum();
        if total == 0 {
            return None;
        }
        // Each cell holds `total`. So the amount to distribute for an item is its weight times the number of
        // cells.
        let mut left: Vec<u64> = weighted.iter().map(|&(_, weight)| weight * count).collect();
        let mut cells: Vec<Cell> =
            weighted.iter().map(|&(item, _)| Cell { threshold: u32::MAX, item, other: item }).collect();
        let (mut poor, mut rich): (Vec<u32>, Vec<u32>) =
            (0..count as u32).partition(|&cell| left[cell as usize] < total);
        while let (Some(&giver), Some(taker)) = (rich.last(), poor.pop()) {
            let (giver, taker) = (giver as usize, taker as usize);
            cells[taker].threshold = ((u128::from(left[taker]) << 32) / u128::from(total)) as u32;
            cells[taker].other = weighted[giver].0;
            left[giver] -= total - left[taker];
            if left[giver] < total {
                rich.pop();
                poor.push(giver as u32);
            }
        }
        Some(Self { cells })
    }

    /// Makes a random choice without reading the table.
    ///
    /// If the caller makes many draws before it resolves the first, the processor can fetch many cells at
    /// once. In a large table, this is several times faster than fetching one cell after the other.
    #[inline]
    pub fn draw(&self, rng: &mut Rng) -> Draw {
        // One multiplication gives both numbers: the upper half is the cell, the lower half the position.
        let product = u128::from(rng.bits()) * self.cells.len() as u128;
        Draw { cell: (product >> 64) as u32, position: (product >> 32) as u32 }
    }

    /// Looks up the item of a draw.
    #[inline]
    pub fn resolve(&self, draw: Draw) -> u32 {
        let cell = self.cells[draw.cell as usize];
        if draw.position < cell.threshold { cell.item } else { cell.other }
    }
}

/// A random choice before the lookup of its item.
#[derive(Debug, Clone, Copy, Default)]
pub struct Draw {
    cell: u32,
    position: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_weights() {
        let weighted = [(10, 1), (20, 2), (30, 0), (40, 7)];
        let table = AliasTable::new(&weighted).unwrap();
        let mut rng = Rng::new(3, 0);
        let mut counts = [0_u32; 5];
        for _ in 0..100_000 {
            let draw = table.draw(&mut rng);
            counts[table.resolve(draw) as usize / 10] += 1;
        }
        assert_eq!(counts[3], 0);
        for (item, weight) in weighted {
            let expected = i64::try_from(weight).unwrap() * 10_000;
            assert!((i64::from(counts[item as usize / 10]) - expected).abs() < 600, "{counts:?}");
        }
    }

    #[test]
    fn without_weights_there_is_no_table() {
        assert!(AliasTable::new(&[]).is_none());
        assert!(AliasTable::new(&[(1, 0)]).is_none());
    }
}
