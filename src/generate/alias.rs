//! Weighted choice in constant time, in integers.

use crate::generate::rng::Dice;

/// A table from which items are drawn with chances in proportion to their weights.
///
/// All items share their weight out over cells of equal size, each cell holding at most two of them; so a draw
/// touches one cell (one cache line), however many items there are.
#[derive(Debug, Clone)]
pub struct AliasTable {
    cells: Vec<Cell>,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    /// The share of `item` in this cell, in units of 2^-32; the rest belongs to `other`.
    bar: u32,
    item: u32,
    other: u32,
}

impl AliasTable {
    /// A table over items with weights, or nothing if there are no items.
    ///
    /// The number of items times the largest weight must stay below 2^64, and one weight must be positive.
    pub fn new(weighted: &[(u32, u64)]) -> Option<Self> {
        let count = weighted.len() as u64;
        let total: u64 = weighted.iter().map(|&(_, weight)| weight).sum();
        if total == 0 {
            return None;
        }
        // A cell holds `total`, so that what an item has to put into cells is its weight times their number.
        let mut left: Vec<u64> = weighted.iter().map(|&(_, weight)| weight * count).collect();
        let mut cells: Vec<Cell> =
            weighted.iter().map(|&(item, _)| Cell { bar: u32::MAX, item, other: item }).collect();
        let (mut poor, mut rich): (Vec<u32>, Vec<u32>) =
            (0..count as u32).partition(|&cell| left[cell as usize] < total);
        while let (Some(&giver), Some(taker)) = (rich.last(), poor.pop()) {
            let (giver, taker) = (giver as usize, taker as usize);
            cells[taker].bar = ((u128::from(left[taker]) << 32) / u128::from(total)) as u32;
            cells[taker].other = weighted[giver].0;
            left[giver] -= total - left[taker];
            if left[giver] < total {
                rich.pop();
                poor.push(giver as u32);
            }
        }
        Some(Self { cells })
    }

    /// Throws the dice for a draw without looking at the cell.
    ///
    /// Aiming many times before the first look lets the processor fetch many cells at once; in a large table that is
    /// several times faster than waiting for one after the other.
    #[inline]
    pub fn aim(&self, dice: &mut Dice) -> Aim {
        // One multiplication gives both: its upper half is the cell, its lower half the place within the cell.
        let product = u128::from(dice.roll()) * self.cells.len() as u128;
        Aim { cell: (product >> 64) as u32, place: (product >> 32) as u32 }
    }

    /// The item that was drawn.
    #[inline]
    pub fn hit(&self, aim: Aim) -> u32 {
        let cell = self.cells[aim.cell as usize];
        if aim.place < cell.bar { cell.item } else { cell.other }
    }
}

/// A draw that has been decided, but not looked up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Aim {
    cell: u32,
    place: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_weights() {
        let weighted = [(10, 1), (20, 2), (30, 0), (40, 7)];
        let table = AliasTable::new(&weighted).unwrap();
        let mut dice = Dice::new(3, 0);
        let mut counts = [0_u32; 5];
        for _ in 0..100_000 {
            let aim = table.aim(&mut dice);
            counts[table.hit(aim) as usize / 10] += 1;
        }
        assert_eq!(counts[3], 0);
        for (item, weight) in weighted {
            let expected = i64::try_from(weight).unwrap() * 10_000;
            assert!((i64::from(counts[item as usize / 10]) - expected).abs() < 600, "{counts:?}");
        }
    }

    #[test]
    fn nothing_to_draw_from_is_no_table() {
        assert!(AliasTable::new(&[]).is_none());
        assert!(AliasTable::new(&[(1, 0)]).is_none());
    }
}
