//! Counting one user's plays by a small number of kinds, and forgetting them again quickly.

/// Plays by the index of a genre or a mood.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    plays: Vec<u64>,
    seen: Vec<usize>,
}

impl Tally {
    /// Forgets everything and makes room for `kinds`; costs what the last user had.
    pub fn reset(&mut self, kinds: usize) {
        for kind in self.seen.drain(..) {
            self.plays[kind] = 0;
        }
        self.plays.resize(kinds, 0);
    }

    /// Counts plays of a kind.
    #[inline]
    pub fn add(&mut self, kind: usize, plays: u64) {
        if self.plays[kind] == 0 {
            self.seen.push(kind);
        }
        self.plays[kind] += plays;
    }

    /// Plays of a kind.
    pub fn of(&self, kind: usize) -> u64 {
        self.plays[kind]
    }

    /// The kinds that have plays, ascending, with their plays.
    pub fn sorted(&mut self) -> impl Iterator<Item = (usize, u64)> {
        self.seen.sort_unstable();
        self.seen.iter().map(|&kind| (kind, self.plays[kind]))
    }
}
