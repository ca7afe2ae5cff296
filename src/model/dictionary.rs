//! Dictionaries: the text of an id and its dense number, shared by all decoders.
//!
//! Where the time of a row goes is the latency of this one lookup, so a key of up to 12 bytes
//! stands in its slot (one cache line answers), and a whole column is looked up at a time: the
//! slots of a group of rows are touched first, so that their misses overlap.

use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::model::{Field, SongId, Text, UserId};

/// A dense id: an index with a meaning.
pub trait Id: Copy + Ord {
    /// The id of a number.
    fn from_u32(number: u32) -> Self;
    /// Its number.
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

/// The listeners and the songs that were ever met, in plays or in a catalog.
#[derive(Debug, Default)]
pub struct Dictionaries {
    /// All listeners.
    pub users: SharedDictionary<UserId>,
    /// All songs.
    pub songs: SharedDictionary<SongId>,
}

/// A dictionary that many decoders read at once and few extend.
#[derive(Debug)]
pub struct SharedDictionary<I>(RwLock<Dictionary<I>>);

impl<I> Default for SharedDictionary<I> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<I: Id> SharedDictionary<I> {
    /// A view for reading; numbers are never taken back, so it only ever misses newer ones.
    pub fn read(&self) -> RwLockReadGuard<'_, Dictionary<I>> {
        // A dictionary is whole between any two insertions, so a panic elsewhere can't spoil it.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers of a column of ids; ids that are new get the next ones.
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

    /// The number of one id, which becomes known if it is not.
    pub fn intern(&self, id: &[u8]) -> I {
        self.0.write().unwrap_or_else(PoisonError::into_inner).intern(id)
    }
}

/// Ids by number and numbers by id.
#[derive(Debug)]
pub struct Dictionary<I> {
    /// An open-addressing table: in the low 96 bits the key of an id, above them its number. No key
    /// is zero, so zero is an empty slot.
    slots: Vec<u128>,
    text: Vec<u8>,
    ends: Vec<u64>,
    seeds: [u64; 2],
    kind: std::marker::PhantomData<I>,
}

/// Bits of a key: with the number a slot is 16 bytes, four in a cache line, so that the tables of
/// 200,000 listeners and 50,000 songs take 5 MB.
const KEY_BITS: u32 = 96;
/// Ids up to this length are their own key, padded with zeros.
const INLINE: usize = KEY_BITS as usize / 8;
/// The last byte of the key of a longer id, whose rest is a hash. UTF-8 has no such byte, so it is
/// no shorter id's key.
const HASHED: u128 = 0xff << (KEY_BITS - 8);
/// Bytes that are loaded to make the key of a field.
const LOADED: usize = size_of::<u128>();
/// By the length of an id, the bytes that are loaded and belong to it. Shifting 128 bits would cost
/// more than looking here.
const MASKS: [u128; INLINE + 1] = {
    let mut masks = [0; INLINE + 1];
    let mut length = 1;
    while length <= INLINE {
        masks[length] = u128::MAX >> (8 * (LOADED - length));
        length += 1;
    }
    masks
};
/// Rows whose slots are touched before the first is compared: enough to keep every line-fill
/// buffer of a core busy, few enough for their slots to stay in the first-level cache.
const GROUP: usize = 64;
/// Slots of a new table.
const FIRST_SLOTS: usize = 1024;

impl<I> Default for Dictionary<I> {
    fn default() -> Self {
        // Keyed afresh in every process: nobody can craft ids that collide. No result depends on it.
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

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The text of an id.
    ///
    /// # Panics
    /// If this dictionary never gave out the number.
    pub fn resolve(&self, id: I) -> &[u8] {
        let index = id.to_u32() as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[start as usize..self.ends[index] as usize]
    }

    /// The number of an id that is known.
    pub fn get(&self, id: &[u8]) -> Option<I> {
        let key = self.key(id);
        self.probe(key, self.home(key), |number| self.is(number, id)).ok()
    }

    /// The number of an id, which becomes known if it is not.
    ///
    /// # Panics
    /// If `id` is empty, or 2^32 ids are known already.
    pub fn intern(&mut self, id: &[u8]) -> I {
        assert!(!id.is_empty(), "an id is never empty");
        let key = self.key(id);
        let slot = match self.probe(key, self.home(key), |number| self.is(number, id)) {
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

    /// Appends the numbers of a column to `numbers` and returns the rows whose ids are new (their
    /// entries are meaningless until they get a number).
    fn find_all(&self, text: &Text, column: &[Field], numbers: &mut Vec<I>) -> Vec<usize> {
        let mut new = Vec::new();
        // The key of each row of a group, and where its search starts.
        let mut sought = [(0_u128, 0_usize); GROUP];
        for group in column.chunks(GROUP) {
            let first = numbers.len();
            let mut hashed = 0;
            for (sought, &field) in sought.iter_mut().zip(group) {
                let key = self.key_in(text, field);
                hashed |= key & HASHED;
                *sought = (key, self.home(key));
            }
            // Nothing but loads: the fewer instructions between them, the more misses overlap.
            let sought = &sought[..group.len()];
            black_box(sought.iter().fold(0, |touched, &(_, home)| touched | self.slots[home] as u64));
            for &(key, home) in sought {
                let found = self.probe(key, home, |_| true);
                if found.is_err() {
                    new.push(numbers.len());
                }
                numbers.push(found.unwrap_or(I::from_u32(u32::MAX)));
            }
            if hashed == HASHED {
                self.check_hashed(text, group, first, numbers, &mut new);
            }
        }
        new
    }

    /// Makes sure that long ids of a group, of which only the hashes were compared, are those.
    fn check_hashed(
        &self,
        text: &Text,
        group: &[Field],
        first: usize,
        numbers: &mut [I],
        new: &mut Vec<usize>,
    ) {
        // Their texts are touched before the first is compared, so that these misses overlap, too.
        let found = numbers[first..].iter().filter(|number| number.to_u32() != u32::MAX);
        black_box(found.fold(0, |touched, &number| {
            let text = self.resolve(number);
            touched | text[0] | text[text.len() - 1]
        }));
        for (row, &field) in (first..).zip(group).filter(|(_, field)| field.len as usize > INLINE) {
            let id = text.field(field);
            if numbers[row].to_u32() != u32::MAX && !self.is(numbers[row], id) {
                match self.get(id) {
                    Some(number) => numbers[row] = number,
                    None => new.push(row),
                }
            }
        }
    }

    /// The number in the slot of a key, if it is the right one, or the empty slot where it belongs.
    #[inline]
    fn probe(&self, key: u128, home: usize, is_right: impl Fn(I) -> bool) -> Result<I, usize> {
        let mut at = home;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return Err(at);
            }
            let number = I::from_u32((slot >> KEY_BITS) as u32);
            if (slot ^ key) << (u128::BITS - KEY_BITS) == 0 && is_right(number) {
                return Ok(number);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Whether a number whose key is that of an id is the number of that id.
    fn is(&self, number: I, id: &[u8]) -> bool {
        self.resolve(number) == id
    }

    fn key(&self, id: &[u8]) -> u128 {
        // No log and no catalog has NULs in its ids; padding could not be told from them.
        if id.len() > INLINE || id.contains(&0) {
            return self.hash(id);
        }
        let mut padded = [0; LOADED];
        padded[..id.len()].copy_from_slice(id);
        u128::from_le_bytes(padded)
    }

    /// The key of a field: the padding of the text lets it be loaded in one piece.
    #[inline]
    fn key_in(&self, text: &Text, field: Field) -> u128 {
        let length = field.len as usize;
        if length > INLINE {
            return self.hash(text.field(field));
        }
        let start = field.start as usize;
        let loaded: [u8; LOADED] = text.padded()[start..start + LOADED].try_into().expect("16 bytes");
        u128::from_le_bytes(loaded) & MASKS[length]
    }

    fn hash(&self, id: &[u8]) -> u128 {
        HASHED | xxh3_128_with_seed(id, self.seeds[0]) >> (u128::BITS - KEY_BITS)
    }

    /// Where the search for a key starts.
    #[inline]
    fn home(&self, key: u128) -> usize {
        let once = folded_product(key as u64 ^ self.seeds[0], (key >> 64) as u64 ^ self.seeds[1]);
        // A short id leaves the second factor to the seed alone, and in one of some hundred seeds that
        // factor piles up ids which count upwards. The factor of the second round is known to be a good one.
        folded_product(once, GOLDEN) as usize & (self.slots.len() - 1)
    }

    fn grow(&mut self) {
        let larger = vec![0; self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, larger);
        for slot in old.into_iter().filter(|&slot| slot != 0) {
            let mut at = self.home(slot & (u128::MAX >> (u128::BITS - KEY_BITS)));
            while self.slots[at] != 0 {
                at = (at + 1) & (self.slots.len() - 1);
            }
            self.slots[at] = slot;
        }
    }
}

/// 2^64 divided by the golden ratio: what counts upwards is spread evenly by it (Knuth, *The Art of Computer
/// Programming*, volume 3, 6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Both halves of a product in one, so that every bit of the factors counts in every bit.
#[inline]
fn folded_product(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

/// The ids of a dictionary in the order of their bytes, which is the order of every snapshot.
#[derive(Clone, Debug)]
pub struct SortedIds<I>(Vec<I>);

impl<I> Default for SortedIds<I> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<I: Id> SortedIds<I> {
    /// The ids in order.
    pub fn ids(&self) -> &[I] {
        &self.0
    }

    /// Puts the ids in their places that the dictionary has learned since the last call.
    pub fn extend(&mut self, dictionary: &Dictionary<I>) {
        let known = self.0.len() as u32;
        let mut new: Vec<(u128, I)> = (known..dictionary.len() as u32)
            .map(I::from_u32)
            .map(|id| (first_bytes(dictionary.resolve(id)), id))
            .collect();
        // Most ids differ within 16 bytes, and comparing those needs no second look in memory.
        new.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| dictionary.resolve(a.1).cmp(dictionary.resolve(b.1)))
        });
        let old = std::mem::take(&mut self.0);
        self.0 = Vec::with_capacity(dictionary.len());
        let mut rest = old.as_slice();
        for (_, id) in new {
            let before = rest.partition_point(|&other| dictionary.resolve(other) < dictionary.resolve(id));
            self.0.extend_from_slice(&rest[..before]);
            self.0.push(id);
            rest = &rest[before..];
        }
        self.0.extend_from_slice(rest);
    }
}

/// The first 16 bytes as a number that sorts like them. Ids hold no NUL, so padding sorts first.
fn first_bytes(id: &[u8]) -> u128 {
    let mut first = [0; size_of::<u128>()];
    let length = id.len().min(first.len());
    first[..length].copy_from_slice(&id[..length]);
    u128::from_be_bytes(first)
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
        assert_eq!(dictionary.get(b"nobody"), None);
    }

    #[test]
    fn an_id_and_its_prefix_are_two() {
        let dictionaries = SharedDictionary::<SongId>::default();
        let ids: Vec<String> = (1..=30).map(|length| "a".repeat(length)).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let (text, fields) = column(&[ids.as_slice(), &ids].concat());
        let expected: Vec<SongId> = (0..30).chain(0..30).map(SongId).collect();
        assert_eq!(dictionaries.intern_column(&text, &fields), expected);
    }

    #[test]
    fn no_seed_piles_up_ids_that_count_upwards() {
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
                assert!(dictionary.mean_search() < 4.0, "{} in round {round}: {seeds:x?}", shape(7));
            }
        }
    }

    impl Dictionary<UserId> {
        /// How many slots are looked at to find an id, on average; with hashes that fall at random it is 2.5.
        fn mean_search(&self) -> f64 {
            let last = self.slots.len() - 1;
            let searches = (0..=last).filter(|&at| self.slots[at] != 0).map(|at| {
                let home = self.home(self.slots[at] & (u128::MAX >> (u128::BITS - KEY_BITS)));
                (at.wrapping_sub(home) & last) + 1
            });
            searches.sum::<usize>() as f64 / self.len() as f64
        }
    }

    #[test]
    fn a_nul_is_no_padding() {
        let dictionaries = SharedDictionary::<SongId>::default();
        let ids: [&[u8]; 4] = [b"a", b"a\0", b"\0", b"\0\0"];
        assert_eq!(ids.map(|id| dictionaries.intern(id)), [0, 1, 2, 3].map(SongId));
        assert_eq!(ids.map(|id| dictionaries.intern(id)), [0, 1, 2, 3].map(SongId));
    }

    #[test]
    fn order_is_by_bytes_however_it_grew() {
        let dictionaries = SharedDictionary::<UserId>::default();
        let mut order = SortedIds::default();
        let common = "a-prefix-of-sixteen-and-more-";
        for round in 0..5 {
            for n in 0..50 {
                dictionaries
                    .intern(format!("{}{}", ["", common][n % 2], n * 7919 % 101 * (round + 1)).as_bytes());
            }
            order.extend(&dictionaries.read());
        }
        let dictionary = dictionaries.read();
        let texts: Vec<&[u8]> = order.ids().iter().map(|&id| dictionary.resolve(id)).collect();
        assert_eq!(texts.len(), dictionary.len());
        assert!(texts.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
