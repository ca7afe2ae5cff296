//! The order of all ids in snapshots.

use crate::model::dictionary::{Dictionary, Id};

/// All ids of a dictionary, sorted by their bytes. Snapshots list their rows in this order.
#[derive(Clone, Debug)]
pub struct SortedIds<I>(Vec<I>);

impl<I> Default for SortedIds<I> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<I: Id> SortedIds<I> {
    /// The sorted ids.
    pub fn ids(&self) -> &[I] {
        &self.0
    }

    /// Inserts the ids that were added to the dictionary since the last call.
    pub fn extend(&mut self, dictionary: &Dictionary<I>) {
        let known = self.0.len() as u32;
        let mut new: Vec<(u128, I)> = (known..dictionary.len() as u32)
            .map(I::from_u32)
            .map(|id| (first_bytes(dictionary.resolve(id)), id))
            .collect();
        // Most ids differ in their first 16 bytes, so most comparisons do not read the text of the ids.
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

/// The first 16 bytes as a number. The numbers have the same order as the bytes. Ids contain no NUL, so the
/// padding sorts first.
fn first_bytes(id: &[u8]) -> u128 {
    let mut first = [0; size_of::<u128>()];
    let length = id.len().min(first.len());
    first[..length].copy_from_slice(&id[..length]);
    u128::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UserId;
    use crate::model::dictionary::SharedDictionary;

    #[test]
    fn ids_are_sorted_by_bytes_after_every_extension() {
        let dictionaries = SharedDictionary::<UserId>::default();
        let mut sorted = SortedIds::default();
        let common = "a-prefix-of-sixteen-and-more-";
        for round in 0..5 {
            for n in 0..50 {
                dictionaries
                    .intern(format!("{}{}", ["", common][n % 2], n * 7919 % 101 * (round + 1)).as_bytes());
            }
            sorted.extend(&dictionaries.read());
        }
        let dictionary = dictionaries.read();
        let texts: Vec<&[u8]> = sorted.ids().iter().map(|&id| dictionary.resolve(id)).collect();
        assert_eq!(texts.len(), dictionary.len());
        assert!(texts.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
