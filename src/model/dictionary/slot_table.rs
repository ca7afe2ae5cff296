//! A hash table with open addressing: numbers by key.

use std::hash::{BuildHasher, RandomState};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::model::memory::in_huge_pages;

/// The key of an id: 12 bytes. A short id, padded with zero bytes, is its own key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Key {
    low: u64,
    high: u32,
}

/// The maximum length of a short id.
pub(super) const INLINE: usize = 12;
/// The last byte of the key of a long id; the other bytes are a hash. This byte never occurs in UTF-8, so the
/// key differs from the key of every short id.
const HASHED: u32 = 0xff << 24;
/// Bytes that are loaded to compute the key of a field.
const LOADED: usize = 16;
/// Masks by the length of an id. A mask keeps the bytes of the id and clears the bytes after it.
const MASKS: [Key; INLINE + 1] = {
    let mut masks = [Key { low: 0, high: 0 }; INLINE + 1];
    let mut length = 1;
    while length <= INLINE {
        let mask = u128::MAX >> (8 * (LOADED - length));
        masks[length] = Key { low: mask as u64, high: (mask >> 64) as u32 };
        length += 1;
    }
    masks
};

impl Key {
    /// The key of an id.
    pub(super) fn of(id: &[u8], seed: u64) -> Self {
        // A NUL could not be distinguished from padding. Ids in logs and catalogs never contain NULs.
        if id.len() > INLINE || id.contains(&0) {
            return Self::hash(id, seed);
        }
        let mut padded = [0; LOADED];
        padded[..id.len()].copy_from_slice(id);
        Self::loaded(u128::from_le_bytes(padded))
    }

    /// The key of the id in the first `len` bytes of a padded text. The padding allows a single load.
    ///
    /// # Panics
    /// If the padding is missing.
    #[inline]
    pub(super) fn in_padded(padded: &[u8], len: usize, seed: u64) -> Self {
        let Some(mask) = MASKS.get(len) else {
            return Self::hash(&padded[..len], seed);
        };
        let key = Self::loaded(u128::from_le_bytes(*padded.first_chunk().expect("a padded text")));
        Self { low: key.low & mask.low, high: key.high & mask.high }
    }

    #[inline]
    fn loaded(bytes: u128) -> Self {
        Self { low: bytes as u64, high: (bytes >> 64) as u32 }
    }

    fn hash(id: &[u8], seed: u64) -> Self {
        let Self { low, high } = Self::loaded(xxh3_128_with_seed(id, seed));
        Self { low, high: high | HASHED }
    }

    /// Whether this can be the key of a long id. Different long ids can have the same key.
    #[inline]
    pub(super) fn may_be_hash(self) -> bool {
        self.high & HASHED == HASHED
    }
}

/// A slot with its key and number takes 16 bytes, so four slots fill a cache line. The parts of the key are
/// fields of the slot, because a key in a field of its own would be padded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slot {
    low: u64,
    high: u32,
    number: u32,
}

impl Slot {
    /// The number, if this is the slot of `key`. No id has the key of an empty slot.
    #[inline]
    pub(super) fn number_of(self, key: Key) -> Option<u32> {
        (self.key() == key).then_some(self.number)
    }

    #[inline]
    fn is_empty(self) -> bool {
        self.key() == Key { low: 0, high: 0 }
    }

    #[inline]
    fn key(self) -> Key {
        Key { low: self.low, high: self.high }
    }
}

/// A hash table from keys to numbers. Several long ids can have the same key.
#[derive(Debug)]
pub(super) struct SlotTable {
    /// The slots. Their number is a power of two.
    slots: Vec<Slot>,
    len: usize,
    seeds: [u64; 2],
}

/// Number of slots in an empty table.
const FIRST_SLOTS: usize = 1024;

impl Default for SlotTable {
    fn default() -> Self {
        // The seeds are random in each process, so that ids cannot be crafted to collide. No result depends
        // on them.
        let random = RandomState::new();
        Self::with_seeds([random.hash_one(1), random.hash_one(2)])
    }
}

impl SlotTable {
    pub(super) fn with_seeds(seeds: [u64; 2]) -> Self {
        Self { slots: vec![Slot::default(); FIRST_SLOTS], len: 0, seeds }
    }

    /// The seed for the keys of long ids.
    pub(super) fn seed(&self) -> u64 {
        self.seeds[0]
    }

    /// All slots. Their number is a power of two.
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The hash of a key. Its lowest bits are the index of the slot where the search for the key starts.
    #[inline]
    pub(super) fn ideal(&self, key: Key) -> usize {
        let once = folded_product(key.low ^ self.seeds[0], u64::from(key.high) ^ self.seeds[1]);
        // For a short id, the second factor depends on the seed alone. For about one seed in several hundred,
        // that factor clusters consecutive ids. The constant factor of the second round spreads these ids.
        folded_product(once, GOLDEN) as usize
    }

    /// Searches for a key from slot `from` on. Returns the number that has the key and satisfies `matches`.
    #[inline]
    pub(super) fn find(&self, key: Key, from: usize, matches: impl Fn(u32) -> bool) -> Option<u32> {
        let last = self.slots.len() - 1;
        let mut at = from & last;
        loop {
            let slot = self.slots[at];
            if let Some(number) = slot.number_of(key).filter(|&number| matches(number)) {
                return Some(number);
            }
            if slot.is_empty() {
                return None;
            }
            at = (at + 1) & last;
        }
    }

    /// Adds a key with its number.
    pub(super) fn insert(&mut self, key: Key, number: u32) {
        // At most five eighths of the slots are full, so that most ids are in their ideal slot.
        if self.len * 8 >= self.slots.len() * 5 {
            self.grow();
        }
        self.len += 1;
        let Key { low, high } = key;
        self.place(Slot { low, high, number });
    }

    fn place(&mut self, slot: Slot) {
        let last = self.slots.len() - 1;
        let mut at = self.ideal(slot.key()) & last;
        while !self.slots[at].is_empty() {
            at = (at + 1) & last;
        }
        self.slots[at] = slot;
    }

    fn grow(&mut self) {
        let larger = in_huge_pages(Slot::default(), self.slots.len() * 2);
        let old = std::mem::replace(&mut self.slots, larger);
        old.into_iter().filter(|slot| !slot.is_empty()).for_each(|slot| self.place(slot));
    }
}

/// The odd number nearest to 2^64 divided by the golden ratio. The multiples of this number are spread evenly
/// (Knuth, *The Art of Computer Programming*, volume 3, 6.4).
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Combines both halves of the 128-bit product, so that every bit of the factors affects the result.
#[inline]
fn folded_product(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_seed_clusters_consecutive_ids() {
        let mut seed = 0_u64;
        let mut next_seed = || {
            seed += 1;
            xxhash_rust::xxh3::xxh3_64(&seed.to_le_bytes())
        };
        let shapes: [fn(u32) -> String; 3] =
            [|n| format!("u{n}"), |n| format!("user_{n}"), |n| format!("U{n:06}")];
        for round in 0..100 {
            let seeds = [next_seed(), next_seed()];
            for shape in shapes {
                let mut table = SlotTable::with_seeds(seeds);
                // Five eighths of 4,096 slots.
                for n in 0..2_560 {
                    table.insert(Key::of(shape(n).as_bytes(), table.seed()), n);
                }
                assert!(table.mean_probe_length() < 2.5, "{} in round {round}: {seeds:x?}", shape(7));
            }
        }
    }

    impl SlotTable {
        /// The average number of slots that are read to find an id; 1.8 for random hashes.
        fn mean_probe_length(&self) -> f64 {
            assert_eq!(self.slots.len(), 4_096);
            let last = self.slots.len() - 1;
            let lengths = (0..=last).filter(|&at| !self.slots[at].is_empty()).map(|at| {
                let ideal = self.ideal(self.slots[at].key()) & last;
                (at.wrapping_sub(ideal) & last) + 1
            });
            lengths.sum::<usize>() as f64 / self.len as f64
        }
    }
}
