//! Merging: the sum of several runs.

use std::sync::Arc;

use crate::ledger::run::{Run, Songs};

/// The sum of runs. All runs are merged at once, so each pair is read from memory and written to memory only
/// once.
pub fn merge(runs: &[Arc<Run>]) -> Run {
    let mut sum = Run::with_capacity(runs.iter().map(|run| run.pairs()).sum());
    let mut merger = Merger::default();
    // For each run, the index of its next user, and the number of this user.
    let number = |run: &Run, index| run.user_at(index).map_or(NO_USER, u64::from);
    let mut next: Vec<(usize, u64)> = runs.iter().map(|run| (0, number(run, 0))).collect();
    loop {
        let user = next.iter().map(|&(_, user)| user).min().unwrap_or(NO_USER);
        if user == NO_USER {
            break;
        }
        let mut found: Option<(&Run, usize)> = None;
        for (run, (index, next_user)) in runs.iter().zip(&mut next).filter(|(_, next)| next.1 == user) {
            if let Some((first, index)) = found.replace((run, *index)) {
                merger.add(&first.songs_at(index));
            }
            *index += 1;
            *next_user = number(run, *index);
        }
        let Some((last, index)) = found else { continue };
        if merger.is_empty() {
            sum.append_user(last, index);
        } else {
            merger.add(&last.songs_at(index));
            sum.append_summed(user as u32, merger.merge());
            merger.clear();
        }
    }
    sum.shrink();
    sum
}

/// Larger than the number of every user.
const NO_USER: u64 = u64::MAX;

/// Merges the songs that one user has in several runs. They fit into the first-level cache.
#[derive(Debug, Default)]
struct Merger {
    /// Sorted lists, one after the other, of numbers `song << 32 | plays`.
    entries: Vec<u64>,
    /// The end of each list.
    ends: Vec<usize>,
    scratch: Vec<u64>,
}

impl Merger {
    fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.ends.clear();
    }

    /// Adds the songs of one run.
    fn add(&mut self, songs: &Songs<'_>) {
        songs.for_each(|song, mut plays| {
            // Equal songs are summed later, so a song can occur twice in a list.
            while plays > u64::from(u32::MAX) {
                self.entries.push(u64::from(song.0) << 32 | u64::from(u32::MAX));
                plays -= u64::from(u32::MAX);
            }
            self.entries.push(u64::from(song.0) << 32 | plays);
        });
        self.ends.push(self.entries.len());
    }

    /// The entries of all lists in ascending order of the songs. Merges neighbouring lists until one is left.
    fn merge(&mut self) -> &[u64] {
        self.scratch.resize(self.entries.len(), 0);
        while self.ends.len() > 1 {
            let mut start = 0;
            for ends in self.ends.chunks(2) {
                let (middle, end) = (ends[0], ends[ends.len() - 1]);
                let (left, right) = self.entries[start..end].split_at(middle - start);
                merge_two(left, right, &mut self.scratch[start..end]);
                start = end;
            }
            std::mem::swap(&mut self.entries, &mut self.scratch);
            let last = self.entries.len();
            let pairs = self.ends.len().div_ceil(2);
            for pair in 0..pairs {
                self.ends[pair] = self.ends.get(2 * pair + 1).copied().unwrap_or(last);
            }
            self.ends.truncate(pairs);
        }
        &self.entries
    }
}

/// Merges two sorted lists into `to`, which has the length of both.
fn merge_two(left: &[u64], right: &[u64], to: &mut [u64]) {
    let (mut l, mut r) = (0, 0);
    while l < left.len() && r < right.len() {
        // The processor cannot predict which of two songs is smaller, so the code does not branch on it.
        let is_left = left[l] <= right[r];
        to[l + r] = left[l].min(right[r]);
        l += usize::from(is_left);
        r += usize::from(!is_left);
    }
    let rest = &mut to[l + r..];
    let (of_left, of_right) = rest.split_at_mut(left.len() - l);
    of_left.copy_from_slice(&left[l..]);
    of_right.copy_from_slice(&right[r..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::keys::Keys;
    use crate::model::{SongId, UserId};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// A run with the plays of some pairs.
    fn run(pairs: &[(u32, u32, usize)]) -> Run {
        let rows = pairs
            .iter()
            .flat_map(|&(user, song, plays)| std::iter::repeat_n((UserId(user), SongId(song)), plays));
        let (users, songs): (Vec<_>, Vec<_>) = rows.unzip();
        let mut keys = Keys::default();
        keys.extend(&users, &songs);
        keys.take_run(&mut Vec::new())
    }

    fn table(run: &Run) -> BTreeMap<u64, u64> {
        run.entries().collect()
    }

    proptest! {
        #[test]
        fn a_run_counts_plays_and_merging_adds(
            runs in proptest::collection::vec(
                proptest::collection::vec(
                    (0_u32..6, 0_u32..6, prop_oneof![4 => Just(1_usize), 1 => 250_usize..260]),
                    0..20,
                ),
                0..6,
            ),
        ) {
            let mut expected = BTreeMap::new();
            for &(user, song, plays) in runs.iter().flatten() {
                *expected.entry(u64::from(user) << 32 | u64::from(song)).or_insert(0) += plays as u64;
            }
            let runs: Vec<Arc<Run>> = runs.iter().map(|pairs| Arc::new(run(pairs))).collect();
            let sum = merge(&runs);
            prop_assert_eq!(table(&sum), expected);
            let reversed: Vec<Arc<Run>> = runs.iter().rev().cloned().collect();
            prop_assert_eq!(&sum, &merge(&reversed));
            let halves = [&runs[..runs.len() / 2], &runs[runs.len() / 2..]].map(|half| Arc::new(merge(half)));
            prop_assert_eq!(&sum, &merge(&halves));
        }
    }

    #[test]
    fn plays_beyond_32_bits_are_summed() {
        let mut many = Run::default();
        many.append(7 << 32 | 3, (1 << 33) + 5);
        let sum = merge(&[Arc::new(many), Arc::new(run(&[(7, 3, 2), (7, 4, 1)]))]);
        assert_eq!(table(&sum), BTreeMap::from([(7 << 32 | 3, (1 << 33) + 7), (7 << 32 | 4, 1)]));
    }
}
