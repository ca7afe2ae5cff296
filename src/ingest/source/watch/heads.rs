//! Finds inputs by the beginning of their text.

use std::collections::{BTreeMap, HashMap};

use crate::ingest::source::fingerprint::Head;
use crate::ingest::source::watch::tail_id::TailId;

/// The heads of the plain inputs with at least one row.
#[derive(Debug, Default)]
pub(super) struct Heads {
    by_head: HashMap<Head, Vec<TailId>>,
    /// For each length of a head, the number of different heads.
    lengths: BTreeMap<u64, usize>,
}

impl Heads {
    /// Moves an input to a new head.
    pub(super) fn change(&mut self, id: TailId, before: Option<Head>, after: Option<Head>) {
        if before == after {
            return;
        }
        if let Some(before) = before
            && let Some(ids) = self.by_head.get_mut(&before)
        {
            ids.retain(|&other| other != id);
            if ids.is_empty() {
                self.by_head.remove(&before);
                if let Some(count) = self.lengths.get_mut(&before.len) {
                    *count -= 1;
                    if *count == 0 {
                        self.lengths.remove(&before.len);
                    }
                }
            }
        }
        if let Some(after) = after {
            let ids = self.by_head.entry(after).or_default();
            if ids.is_empty() {
                *self.lengths.entry(after.len).or_default() += 1;
            }
            ids.push(id);
        }
    }

    /// Whether there is no input.
    pub(super) fn is_empty(&self) -> bool {
        self.by_head.is_empty()
    }

    /// The inputs whose head is the beginning of `text`.
    pub(super) fn find(&self, text: &[u8]) -> Vec<TailId> {
        let lengths = self.lengths.range(..=text.len() as u64);
        let heads = lengths.filter_map(|(&len, _)| self.by_head.get(&Head::of(&text[..len as usize])));
        heads.flatten().copied().collect()
    }
}
