//! Caches the rendered rows of an insight by user or song, so that a cut renders only changed rows.

use std::hint::black_box;
use std::marker::PhantomData;

use crate::insights::ranges::in_ranges;
use crate::model::dictionary::Id;

/// Number of ids in a group. The lines of a group are loaded into the cache before the first line is emitted,
/// so that the cache misses overlap.
const GROUP: usize = 64;

/// CSV lines by id.
#[derive(Clone, Debug)]
pub struct Rows<I> {
    places: Vec<(u64, u32)>,
    text: Vec<u8>,
    /// Number of bytes in `text` that no id uses any more. All these bytes are zero.
    dead: usize,
    kind: PhantomData<I>,
}

impl<I> Default for Rows<I> {
    fn default() -> Self {
        Self { places: Vec::new(), text: Vec::new(), dead: 0, kind: PhantomData }
    }
}

impl<I: Id> Rows<I> {
    /// Sets the lines of an id, and returns whether they changed. Empty lines remove the rows.
    pub fn set(&mut self, id: I, lines: &[u8]) -> bool {
        let index = id.to_u32() as usize;
        if index >= self.places.len() {
            if lines.is_empty() {
                return false;
            }
            self.places.resize(index + 1, (0, 0));
        }
        let old = self.of(index);
        if old == lines {
            return false;
        }
        let (start, old_len) = (self.places[index].0, old.len());
        let old = &mut self.text[start as usize..][..old_len];
        if lines.len() <= old_len {
            old[..lines.len()].copy_from_slice(lines);
            old[lines.len()..].fill(0);
            self.places[index].1 = lines.len() as u32;
            self.dead += old_len - lines.len();
        } else {
            old.fill(0);
            self.dead += old_len;
            self.places[index] = (self.text.len() as u64, lines.len() as u32);
            self.text.extend_from_slice(lines);
        }
        if self.dead * 2 > self.text.len() {
            self.compact();
        }
        true
    }

    /// Renders the lines of some ids again, on up to `threads` threads, and returns whether any line changed.
    /// `renderer` makes the function that renders the lines of one id; each range of ids has its own.
    pub fn refresh<R>(&mut self, ids: &[I], threads: usize, renderer: impl Fn() -> R + Sync) -> bool
    where
        I: Sync + Send,
        R: FnMut(I, &mut Vec<u8>),
    {
        let mut changed = false;
        let render_range = |range: &[I]| {
            let mut render = renderer();
            let mut text = Vec::new();
            let mut ends = Vec::with_capacity(range.len());
            for &id in range {
                render(id, &mut text);
                ends.push((id, text.len()));
            }
            (text, ends)
        };
        in_ranges(ids, threads, render_range, |(text, ends)| {
            let mut start = 0;
            for (id, end) in ends {
                changed |= self.set(id, &text[start..end]);
                start = end;
            }
        });
        changed
    }

    /// Passes the lines to `emit` in the order of `ids`, and returns the number of all lines.
    pub fn emit(&self, ids: &[I], emit: &mut dyn FnMut(&[u8])) -> u64 {
        for ids in ids.chunks(GROUP) {
            let lines =
                || ids.iter().map(|id| self.of(id.to_u32() as usize)).filter(|lines| !lines.is_empty());
            black_box(lines().fold(0, |touched, lines| touched | lines[0]));
            lines().for_each(&mut *emit);
        }
        count(&self.text)
    }

    /// Whether no id has lines.
    pub fn is_empty(&self) -> bool {
        self.text.len() == self.dead
    }

    fn of(&self, index: usize) -> &[u8] {
        let (start, len) = self.places.get(index).copied().unwrap_or_default();
        &self.text[start as usize..][..len as usize]
    }

    fn compact(&mut self) {
        let mut text = Vec::with_capacity((self.text.len() - self.dead) * 3 / 2);
        for index in 0..self.places.len() {
            let start = text.len() as u64;
            text.extend_from_slice(self.of(index));
            self.places[index].0 = start;
        }
        self.text = text;
        self.dead = 0;
    }
}

/// The number of lines. No cell holds a line feed, because a record of a log is one line.
fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UserId;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_last_lines_of_an_id_are_emitted(sets in proptest::collection::vec((0_u32..20, 0_usize..4), 0..200)) {
            let mut rows = Rows::default();
            let mut model = BTreeMap::new();
            for (step, (id, lines)) in sets.into_iter().enumerate() {
                let text = format!("{id},{}\n", step % 7).repeat(lines).into_bytes();
                let changed = rows.set(UserId(id), &text);
                let before = model.insert(id, text.clone()).unwrap_or_default();
                prop_assert_eq!(changed, before != text);
            }
            let mut emitted = Vec::new();
            let ids: Vec<UserId> = (0..20).map(UserId).collect();
            let lines = rows.emit(&ids, &mut |piece| emitted.extend_from_slice(piece));
            let expected: Vec<u8> = model.into_values().flatten().collect();
            prop_assert_eq!(lines, count(&expected));
            prop_assert_eq!(emitted, expected);
        }
    }
}
