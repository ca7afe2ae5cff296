//! A growing set of small numbers. It takes one bit per number.

/// Bits per word.
const BITS: usize = u64::BITS as usize;

/// A set of indices, such as the numbers of ids. It takes one bit for each number up to the largest index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BitSet {
    words: Vec<u64>,
}

impl BitSet {
    /// Adds an index, and returns whether it is new.
    #[inline]
    pub fn insert(&mut self, index: usize) -> bool {
        let (word, bit) = (index / BITS, 1 << (index % BITS));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        is_new
    }

    /// Whether an index was added.
    #[inline]
    pub fn contains(&self, index: usize) -> bool {
        self.words.get(index / BITS).is_some_and(|word| word >> (index % BITS) & 1 == 1)
    }

    /// The indices in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(word, &bits)| {
            let rests = std::iter::successors(Some(bits), |bits| Some(bits & bits.wrapping_sub(1)));
            rests.take_while(|&bits| bits != 0).map(move |bits| word * BITS + bits.trailing_zeros() as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_kept_once_and_in_order() {
        let mut set = BitSet::default();
        let added: Vec<bool> = [64, 3, 64, 200, 0].into_iter().map(|index| set.insert(index)).collect();
        assert_eq!(added, [true, true, false, true, true]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 3, 64, 200]);
        assert!(set.contains(200) && !set.contains(199) && !set.contains(1000));
    }
}
