//! Dictionaries map the text of an id to a dense number. All decoders share them.
//!
//! The latency of lookups dominates the time per row. Two measures reduce this latency. Ids of up to 12 bytes
//! are stored in their slot, so a lookup reads one cache line. In addition, a whole column is looked up at
//! once: while the ids of a group of rows are compared, the slots of the next group are loaded.

mod slot_table;

use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::model::dictionary::slot_table::{INLINE, Key, SlotTable};
use crate::model::memory::{prefetch, reserve_huge};
use crate::model::{Field, SongId, Text, UserId};

pub(crate) use crate::model::dictionary::slot_table::GOLDEN;

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
    table: SlotTable,
    text: Vec<u8>,
    ends: Vec<u64>,
    kind: std::marker::PhantomData<I>,
}

/// The number of rows in a group. It exceeds the number of cache misses that a core handles at once, and the
/// slots of a group fit into the first-level cache.
const GROUP: usize = 64;
/// The keys of a group of ids, and their ideal slots.
struct Group {
    keys: [Key; GROUP],
    ideals: [usize; GROUP],
    /// Whether there can be a long id.
    has_hash: bool,
}

impl Default for Group {
    fn default() -> Self {
        Self { keys: [Key::default(); GROUP], ideals: [0; GROUP], has_hash: false }
    }
}

/// Placeholder for the number of an unknown id.
const UNKNOWN: u32 = u32::MAX;

impl<I> Default for Dictionary<I> {
    fn default() -> Self {
        Self {
            table: SlotTable::default(),
            text: Vec::new(),
            ends: Vec::new(),
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
        &self.text[self.place(id)]
    }

    /// Starts to load the texts of some ids into the cache.
    pub fn prefetch(&self, ids: &[I]) {
        for id in ids {
            prefetch(&self.ends, id.to_u32() as usize);
        }
        for &id in ids {
            prefetch(&self.text, self.place(id).start);
        }
    }

    /// The place of an id in `text`.
    #[inline]
    fn place(&self, id: I) -> Range<usize> {
        let index = id.to_u32() as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        start as usize..self.ends[index] as usize
    }

    /// The number of an id; `None` if it is unknown.
    pub fn get(&self, id: &[u8]) -> Option<I> {
        let key = Key::of(id, self.table.seed());
        self.table.find(key, self.table.ideal(key), |number| self.matches(number, id)).map(I::from_u32)
    }

    /// The number of an id. A new id gets the next number.
    ///
    /// # Panics
    /// If `id` is empty, or there are already 2^32 ids.
    pub fn intern(&mut self, id: &[u8]) -> I {
        assert!(!id.is_empty(), "an id is never empty");
        if let Some(known) = self.get(id) {
            return known;
        }
        let number = u32::try_from(self.ends.len()).expect("fewer than 2^32 ids");
        self.table.insert(Key::of(id, self.table.seed()), number);
        reserve_huge(&mut self.text, id.len());
        self.text.extend_from_slice(id);
        reserve_huge(&mut self.ends, 1);
        self.ends.push(self.text.len() as u64);
        I::from_u32(number)
    }

    /// Appends the numbers of a column to `numbers`, and returns the rows with new ids. In `numbers`, the
    /// entries of the returned rows are placeholders.
    fn find_all(&self, text: &Text, column: &[Field], numbers: &mut Vec<I>) -> Vec<usize> {
        let mut new = Vec::new();
        let mut groups = [Group::default(), Group::default()];
        let mut columns = column.chunks(GROUP).peekable();
        if let Some(first) = columns.peek() {
            self.prepare(&mut groups[0], text, first);
        }
        let mut is_first = true;
        // The texts of long ids are compared one group later, because by then they are in the cache.
        let mut unchecked = 0..0;
        while let Some(fields) = columns.next() {
            let [one, other] = &mut groups;
            let (current, next) = if is_first { (one, other) } else { (other, one) };
            is_first = !is_first;
            if let Some(fields) = columns.peek() {
                self.prepare(next, text, fields);
            }
            let first = numbers.len();
            self.find_group(current, fields.len(), numbers, &mut new);
            if current.has_hash {
                self.prefetch_texts(&numbers[first..]);
            }
            self.check_hashed(text, column, unchecked, numbers, &mut new);
            unchecked = if current.has_hash { first..numbers.len() } else { 0..0 };
        }
        self.check_hashed(text, column, unchecked, numbers, &mut new);
        new
    }

    /// Computes the keys of a group, and starts to load their ideal slots.
    #[inline]
    fn prepare(&self, group: &mut Group, text: &Text, fields: &[Field]) {
        let (padded, seed, slots) = (text.padded(), self.table.seed(), self.table.slots());
        let mask = slots.len() - 1;
        group.has_hash = false;
        for ((key, ideal), field) in group.keys.iter_mut().zip(&mut group.ideals).zip(fields) {
            *key = Key::in_padded(&padded[field.start as usize..], field.len as usize, seed);
            group.has_hash |= key.may_be_hash();
            *ideal = self.table.ideal(*key) & mask;
            prefetch(slots, *ideal);
        }
    }

    #[inline]
    fn find_group(&self, group: &Group, len: usize, numbers: &mut Vec<I>, new: &mut Vec<usize>) {
        // With this mask, accesses need no bounds checks.
        let slots = self.table.slots();
        let mask = slots.len() - 1;
        let mut found = [I::from_u32(UNKNOWN); GROUP];
        let mut largest = 0;
        for ((number, &key), &ideal) in found[..len].iter_mut().zip(&group.keys).zip(&group.ideals) {
            // Most ids are in their ideal slot.
            let known = slots[ideal & mask].number_of(key);
            let known = known.or_else(|| self.table.find(key, ideal + 1, |_| true)).unwrap_or(UNKNOWN);
            largest = largest.max(known);
            *number = I::from_u32(known);
        }
        let first = numbers.len();
        numbers.extend_from_slice(&found[..len]);
        if largest == UNKNOWN {
            new.extend((first..numbers.len()).filter(|&row| numbers[row].to_u32() == UNKNOWN));
        }
    }

    /// Starts to load the texts of ids that were found.
    fn prefetch_texts(&self, numbers: &[I]) {
        for number in numbers.iter().filter(|number| number.to_u32() != UNKNOWN) {
            let place = self.place(*number);
            prefetch(&self.text, place.start);
            prefetch(&self.text, place.end - 1);
        }
    }

    /// Compares the texts of long ids in some rows. Before this call, only their hashes were compared.
    fn check_hashed(
        &self,
        text: &Text,
        column: &[Field],
        rows: Range<usize>,
        numbers: &mut [I],
        new: &mut Vec<usize>,
    ) {
        for row in rows.filter(|&row| column[row].len as usize > INLINE) {
            let (id, number) = (text.field(column[row]), numbers[row].to_u32());
            if number != UNKNOWN && !self.matches(number, id) {
                match self.get(id) {
                    Some(number) => numbers[row] = number,
                    None => new.push(row),
                }
            }
        }
    }

    /// Whether `number` is the number of `id`. A check of the key is not enough, because long ids can share a
    /// key.
    fn matches(&self, number: u32, id: &[u8]) -> bool {
        self.resolve(I::from_u32(number)) == id
    }
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
    fn ids_with_nuls_differ_from_padded_ids() {
        let dictionaries = SharedDictionary::<SongId>::default();
        let ids: [&[u8]; 4] = [b"a", b"a\0", b"\0", b"\0\0"];
        assert_eq!(ids.map(|id| dictionaries.intern(id)), [0, 1, 2, 3].map(SongId));
        assert_eq!(ids.map(|id| dictionaries.intern(id)), [0, 1, 2, 3].map(SongId));
    }
}
