//! Dictionaries map the text of an id to a dense number. All decoders share them.
//!
//! The latency of lookups dominates the time per row. Two measures reduce this latency. Ids of up to 12 bytes
//! are stored in their slot, so a lookup reads one cache line. In addition, a whole column is looked up at
//! once: the slots of a group of rows are read first, so that their cache misses overlap.

use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::model::{Field, SongId, Text, UserId};

/// A typed dense number.
pub trait Id: Copy + Ord {
    /// Makes an id from its number.
    fn from_u32(number: u32) -> Self;
    /// The number of the id.
    fn to_u32(self) -> u32;
}

impl Id for UserId {
    fn from_u32(number: u32) -> Self {
        Self(number)
    }
    fn to_u32(self) -> u32 {
        self.0
    }
}

impl Id for SongId {
    fn from_u32(number: u32) -> Self {
        Self(number)
    }
    fn to_u32(self) -> u32 {
        self.0
    }
}

/// The dictionaries of all listeners and songs in plays and catalogs.
#[derive(Debug, Default)]
pub struct Dictionaries {
    /// Ids of listeners.
    pub users: SharedDictionary<UserId>,
    /// Ids of songs.
    pub songs: SharedDictionary<SongId>,
}

/// A dictionary that many decoders read at the same time and rarely extend.
#[derive(Debug)]
pub struct SharedDictionary<I>(RwLock<Dictionary<I>>);

impl<I> Default for SharedDictionary<I> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<I: Id> SharedDictionary<I> {
    /// Locks the dictionary for reading. Numbers never change, so an older view lacks only the ids added
    /// since then.
    pub fn read(&self) -> RwLockReadGuard<'_, Dictionary<I>> {
        // Every insertion leaves the dictionary consistent, so it is usable after a panic in another thread.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers of a column of ids. New ids get the next numbers.
    pub fn intern_column(&self, text: &Text, column: &[Field]) -> Vec<I> {
        let mut numbers = Vec::with_capacity(column.len());
        let new = self.read().find_all(text, column, &mut numbers);
        if !new.is_empty() {
            let mut dictionary = self.0.write().unwrap_or_else(PoisonError::into_inner);
            for row in new {
                numbers[row] = dictionary.intern(text.field(column[row]));
            }
        }
        numbers
    }

    /// The numbers of several ids. New ids get the next numbers.
    pub fn intern_all<'a>(&self, ids: impl Iterator<Item = &'a [u8]>) -> Vec<I> {
        let mut dictionary = self.0.write().unwrap_or_else(PoisonError::into_inner);
        ids.map(|id| dictionary.intern(id)).collect()
    }

    /// The number of an id. A new id gets the next number.
    pub fn intern(&self, id: &[u8]) -> I {
        self.0.write().unwrap_or_else(PoisonError::into_inner).intern(id)
    }
}

/// A dictionary: ids by number, and numbers by id.
#[derive(Debug)]
pub struct Dictionary<I> {
    /// A hash table with open addressing. The low 96 bits of a slot are the key of an id, the other bits are
    /// its number. No key is zero, so zero is an empty slot.
    slots: Vec<u128>,
    text: Vec<u8>,
    ends: Vec<u64>,
    seeds: [u64; 2],
    kind: std::marker::PhantomData<I>,
}

/// Bits of a key. A slot with key and number takes 16 bytes. Four slots therefore fill a cache line, and the
/// tables of 200,000 listeners and 50,000 songs take 5 MB.
const KEY_BITS: u32 = 96;
/// The maximum length of a short id. A short id, padded with zero bytes, is its own key.
const INLINE: usize = KEY_BITS as usize / 8;
/// The last byte of the key of a long id; the other bytes are a hash. This byte never occurs in UTF-8, so the
/// key differs from the key of every short id.
const HASHED: u128 = 0xff << (KEY_BITS - 8);
/// Bytes that are loaded to compute the key of a field.
const LOADED: usize = size_of::<u128>();
/// For each length of an id, a mask for the loaded bytes that belong to the id. Reading a mask from this
/// table is faster than a 128-bit shift.
const MASKS: [u128; INLINE + 1] = {
    let mut masks = [0; INLINE + 1];
    let mut length = 1;
    while length <= INLINE {
        masks[length] = u128::MAX >> (8 * (LOADED - length));
        length += 1;
    }
    masks
};
/// The number of rows in a group. All slots of a group are read before the first slot is compared. A group
/// keeps every line-fill buffer of a core busy, and its slots fit into the first-level cache.
const GROUP: usize = 64;
/// Stands for the number of an id that is not in the dictionary.
const UNKNOWN: u32 = u32::MAX;
/// Number of slots in an empty table.
const FIRST_SLOTS: usize = 1024;

impl<I> Default for Dictionary<I> {
    fn default() -> Self {
        // The seeds are random in each process, so that ids cannot be crafted to collide. No result depends
        // on them.
        let random = RandomState::new();
        Self {
            slots: vec![0; FIRST_SLOTS],
            text: Vec::new(),
            ends: Vec::new(),
            seeds: [random.hash_one(1), random.hash_one(2)],
            kind: std::marker::PhantomData,
        }
    }
}

impl<I: Id> Dictionary<I> {
    /// Number of ids.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether the dictionary has no ids.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The text of the id with a number.
    ///
    /// # Panics
    /// If the number is not from this dictionary.
    pub fn resolve(&self, id: I) -> &[u8] {
        let index = id.to_u32() as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[start as usize..self.ends[index] as usize]
    }

    /// The number of an id; `None` if it is unknown.
    pub fn get(&self, id: &[u8]) -> Option<I> {
        let key = self.key(id);
        self.probe(key, self.ideal_slot(key), |number| self.matches(number, id)).ok()
    }

    /// The number of an id. A new id gets the next number.
    ///
    /// # Panics
    /// If `id` is empty, or there are already 2^32 ids.
    pub fn intern(&mut self, id: &[u8]) -> I {
        assert!(!id.is_empty(), "an id is never empty");
        let key = self.key(id);
        let slot = match self.probe(key, self.ideal_slot(key), |number| self.matches(number, id)) {
            Ok(number) => return number,
            Err(slot) => slot,
        };
        let number = u32::try_from(self.ends.len()).expect("fewer than 2^32 ids");
        self.slots[slot] = u128::from(number) << KEY_BITS | key;
        self.text.extend_from_slice(id);
        self.ends.push(self.text.len() as u64);
        if self.ends.len() * 8 > self.slots.len() * 7 {
            self.grow();
        }
        I::from_u32(number)
    }

    /// Appends the numbers of a column to `numbers`, and returns the rows with new ids. In `numbers`, the
    /// entries of the returned rows are placeholders.
    fn find_all(&self, text: &Text, column: &[Field], numbers: &mut Vec<I>) -> Vec<usize> {
        let mut new = Vec::new();
        let padded = text.padded();
        // The slice has a power of two as its length. With this mask, accesses need no bounds checks.
        let slots = self.slots.as_slice();
        let mask = slots.len() - 1;
        // The key of each row of a group, the ideal slot of the key, and the number.
        let mut keys = [0; GROUP];
        let mut ideals = [0; GROUP];
        let mut found = [I::from_u32(UNKNOWN); GROUP];
        for fields in column.chunks(GROUP) {
            let mut hashed = 0;
            for ((key, ideal), &field) in keys.iter_mut().zip(&mut ideals).zip(fields) {
                *key = self.key_in(padded, field);
                hashed |= *key;
                *ideal = self.spread(*key) as usize & mask;
            }
            // This loop only loads slots. With fewer instructions between loads, more cache misses overlap.
            black_box(ideals.iter().fold(0, |touched, &ideal| touched | slots[ideal & mask] as u64));
            let mut unknown = false;
            for ((number, &key), &ideal) in found.iter_mut().zip(&keys).zip(&ideals).take(fields.len()) {
                let slot = slots[ideal & mask];
                // Most ids are in their ideal slot.
                *number = if has_key(slot, key) {
                    number_in(slot)
                } else {
                    self.probe(key, (ideal + 1) & mask, |_| true).unwrap_or(I::from_u32(UNKNOWN))
                };
                unknown |= number.to_u32() == UNKNOWN;
            }
            let first = numbers.len();
            numbers.extend_from_slice(&found[..fields.len()]);
            if unknown {
                new.extend((first..numbers.len()).filter(|&row| numbers[row].to_u32() == UNKNOWN));
            }
            if hashed & HASHED == HASHED {
                self.check_hashed(text, fields, first, numbers, &mut new);
            }
        }
        new
    }

    /// Compares the text of long ids in a group. Before this call, only their hashes were compared.
    fn check_hashed(
        &self,
        text: &Text,
        fields: &[Field],
        first: usize,
        numbers: &mut [I],
        new: &mut Vec<usize>,
    ) {
        // All texts are read before the first text is compared, so that these cache misses overlap, too.
        let found = numbers[first..].iter().filter(|number| number.to_u32() != UNKNOWN);
        black_box(found.fold(0, |touched, &number| {
            let text = self.resolve(number);
            touched | text[0] | text[text.len() - 1]
        }));
        for (row, &field) in (first..).zip(fields).filter(|(_, field)| field.len as usize > INLINE) {
            let id = text.field(field);
            if numbers[row].to_u32() != UNKNOWN && !self.matches(numbers[row], id) {
                match self.get(id) {
                    Some(number) => numbers[row] = number,
                    None => new.push(row),
                }
            }
        }
    }

    /// Searches for a key, starting at its ideal slot. Returns the number that has the key and satisfies
    /// `matches`, or the empty slot where the key can be inserted.
    #[inline]
    fn probe(&self, key: u128, ideal: usize, matches: impl Fn(I) -> bool) -> Result<I, usize> {
        let mut at = ideal;
        loop {
            let slot = self.slots[at];
            if has_key(slot, key) && matches(number_in(slot)) {
                return Ok(number_in(slot));
            }
            if slot == 0 {
                return Err(at);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Whether `number` is the number of `id`. A check of the key is not enough, because long ids can share a
    /// key.
    fn matches(&self, number: I, id: &[u8]) -> bool {
        self.resolve(number) == id
    }

    fn key(&self, id: &[u8]) -> u128 {
        // A NUL could not be distinguished from padding. Ids in logs and catalogs never contain NULs.
        if id.len() > INLINE || id.contains(&0) {
            return self.hash(id);
        }
        let mut padded = [0; LOADED];
        padded[..id.len()].copy_from_slice(id);
        u128::from_le_bytes(padded)
    }

    /// The key of a field. The padding of the text allows a single load of 16 bytes.
    #[inline]
    fn key_in(&self, padded: &[u8], field: Field) -> u128 {
        let (start, length) = (field.start as usize, field.len as usize);
        let Some(mask) = MASKS.get(length) else {
            return self.hash(&padded[start..start + length]);
        };
        let loaded = padded[start..].first_chunk::<LOADED>().expect("a padded text");
        u128::from_le_bytes(*loaded) & mask
    }

    fn hash(&self, id: &[u8]) -> u128 {
        HASHED | xxh3_128_with_seed(id, self.seeds[0]) >> (u128::BITS - KEY_BITS)
    }

    /// The slot where the search for a key starts.
    #[inline]
    fn ideal_slot(&self, key: u128) -> usize {
        self.spread(key) as usize & (self.slots.len() - 1)
    }

    /// The hash of a key.
    #[inline]
    fn spread(&self, key: u128) -> u64 {
        let once = folded_product(key as u64 ^ self.seeds[0], (key >> 64) as u64 ^ self.seeds[1]);
        // For a short id, the second factor depends on the seed alone. For about one seed in several hundred,
        // that factor clusters consecutive ids. The constant factor of the second round spreads these ids.
        folded_product(once, GOLDEN)
    }

    fn grow(&mut self) {
        let larger = vec![0; self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, larger);
        for slot in old.into_iter().filter(|&slot| slot != 0) {
            let mut at = self.ideal_slot(slot & (u128::MAX >> (u128::BITS - KEY_BITS)));
            while self.slots[at] != 0 {
                at = (at + 1) & (self.slots.len() - 1);
            }
            self.slots[at] = slot;
        }
    }
}

/// Whether the key of a slot is `key`. The key of an empty slot equals no key.
#[inline]
fn has_key(slot: u128, key: u128) -> bool {
    (slot ^ key) << (u128::BITS - KEY_BITS) == 0
}

/// The number in a slot.
#[inline]
fn number_in<I: Id>(slot: u128) -> I {
    I::from_u32((slot >> KEY_BITS) as u32)
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

    fn column(ids: &[&str]) -> (Text, Vec<Field>) {
        let mut text = Text::default();
        let fields = ids.iter().map(|id| text.append(id.as_bytes())).collect();
        (text, fields)
    }

    #[test]
    fn ids_of_every_length_get_dense_numbers_once() {
        let dictionaries = SharedDictionary::<UserId>::default();
        let ids: Vec<String> = (1..=3000).map(|n| "é".repeat(n % 40 + 1) + &n.to_string()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let (text, fields) = column(&ids);
        let first = dictionaries.intern_column(&text, &fields);
        let second = dictionaries.intern_column(&text, &fields);
        assert_eq!(first, second);
        assert_eq!(first, (0..3000).map(UserId).collect::<Vec<_>>());
        let dictionary = dictionaries.read();
        for (number, id) in ids.iter().enumerate() {
            assert_eq!(dictionary.resolve(UserId(number as u32)), id.as_bytes());
            assert_eq!(dictionary.get(id.as_bytes()), Some(UserId(number as u32)));
        }
        assert_eq!(dictionary.get(b"unknown"), None);
    }

    #[test]
    fn an_id_and_its_prefix_get_different_numbers() {
        let dictionaries = SharedDictionary::<SongId>::default();
        let ids: Vec<String> = (1..=30).map(|length| "a".repeat(length)).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let (text, fields) = column(&[ids.as_slice(), &ids].concat());
        let expected: Vec<SongId> = (0..30).chain(0..30).map(SongId).collect();
        assert_eq!(dictionaries.intern_column(&text, &fields), expected);
    }

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
                let mut dictionary = Dictionary::<UserId> { seeds, ..Dictionary::default() };
                // Three quarters of 4,096 slots.
                for n in 0..3_072 {
                    dictionary.intern(shape(n).as_bytes());
                }
                assert!(dictionary.mean_probe_length() < 4.0, "{} in round {round}: {seeds:x?}", shape(7));
            }
        }
    }

    impl Dictionary<UserId> {
        /// The average number of slots that are read to find an id; 2.5 for random hashes.
        fn mean_probe_length(&self) -> f64 {
            let last = self.slots.len() - 1;
            let lengths = (0..=last).filter(|&at| self.slots[at] != 0).map(|at| {
                let ideal = self.ideal_slot(self.slots[at] & (u128::MAX >> (u128::BITS - KEY_BITS)));
                (at.wrapping_sub(ideal) & last) + 1
            });
            lengths.sum::<usize>() as f64 / self.len() as f64
        }
    }

    #[test]
    fn ids_with_nuls_differ_from_padded_ids() {
        let dictionaries = SharedDictionary::<SongId>::default();
        let ids: [&[u8]; 4] = [b"a", b"a\0", b"\0", b"\0\0"];
        assert_eq!(ids.map(|id| dictionaries.intern(id)), [0, 1, 2, 3].map(SongId));
        assert_eq!(ids.map(|id| dictionaries.intern(id)), [0, 1, 2, 3].map(SongId));
    }
}
