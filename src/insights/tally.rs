//! Counts one user's plays by kind (genre or mood), with a cheap reset.

/// Bits per word.
const BITS: usize = u64::BITS as usize;

/// Plays by the index of a genre or a mood.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    plays: Vec<u64>,
    /// A bit for each counted kind. Setting a bit needs no branch. A list of kinds would need a branch per
    /// play to check whether the kind is new, and the processor could not predict this branch.
    seen: Vec<u64>,
}

impl Tally {
    /// Clears all counts, and sets the number of kinds.
    pub fn reset(&mut self, kinds: usize) {
        for (index, word) in self.seen.iter_mut().enumerate() {
            bits(std::mem::take(word)).for_each(|bit| self.plays[index * BITS + bit] = 0);
        }
        self.plays.resize(kinds, 0);
        self.seen.resize(kinds.div_ceil(BITS), 0);
    }

    /// Counts plays of a kind.
    pub fn add(&mut self, kind: usize, plays: u64) {
        self.adder()(kind, plays);
    }

    /// A function that counts plays of a kind. In a loop it is faster than [`add`](Self::add), because the
    /// places of the counts stay in registers.
    #[inline]
    pub fn adder(&mut self) -> impl FnMut(usize, u64) + '_ {
        let (counts, seen) = (self.plays.as_mut_slice(), self.seen.as_mut_slice());
        move |kind, plays| {
            counts[kind] += plays;
            seen[kind / BITS] |= 1 << (kind % BITS);
        }
    }

    /// The largest number of plays of a kind.
    pub fn most(&self) -> u64 {
        let mut most = 0;
        self.for_each(|_, plays| most = plays.max(most));
        most
    }

    /// Passes the counted kinds with their plays to `each`, in ascending order of the kinds.
    #[inline]
    pub fn for_each(&self, mut each: impl FnMut(usize, u64)) {
        for (index, &word) in self.seen.iter().enumerate() {
            bits(word).for_each(|bit| each(index * BITS + bit, self.plays[index * BITS + bit]));
        }
    }

    /// Removes a kind, and returns the number of its plays.
    pub fn take(&mut self, kind: usize) -> u64 {
        self.seen[kind / BITS] &= !(1 << (kind % BITS));
        std::mem::take(&mut self.plays[kind])
    }

    /// The number of plays of a kind.
    pub fn of(&self, kind: usize) -> u64 {
        self.plays[kind]
    }

    /// The counted kinds with their plays, in ascending order of the kinds.
    pub fn sorted(&self) -> impl Iterator<Item = (usize, u64)> {
        let kinds = self
            .seen
            .iter()
            .enumerate()
            .flat_map(|(index, &word)| bits(word).map(move |bit| index * BITS + bit));
        kinds.map(|kind| (kind, self.plays[kind]))
    }
}

/// The indices of the bits that are set, in ascending order.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize);
        word &= word.wrapping_sub(1);
        bit
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_clears_the_counts_of_the_last_user() {
        let mut tally = Tally::default();
        tally.reset(200);
        for (kind, plays) in [(199, 2), (0, 1), (64, 3), (199, 1)] {
            tally.add(kind, plays);
        }
        assert_eq!(tally.sorted().collect::<Vec<_>>(), [(0, 1), (64, 3), (199, 3)]);
        tally.reset(65);
        tally.add(64, 5);
        assert_eq!(tally.sorted().collect::<Vec<_>>(), [(64, 5)]);
        assert_eq!(tally.of(0), 0);
    }
}
