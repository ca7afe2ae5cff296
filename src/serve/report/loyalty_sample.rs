//! The loyalty of all listeners, or of a sample if there are very many listeners.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_64;

use crate::model::value::Fraction;
use crate::serve::overview::Loyalty;

/// Maximum number of listeners in the sample. When the sample exceeds it, a fifth of the listeners are
/// dropped.
const MAX_LISTENERS: usize = 125_000;
/// Number of plays that are counted together, so that their memory accesses overlap.
const BATCH: usize = 1024;

/// For each sampled listener, the plays by genre. Only the hash of the id decides whether a listener is
/// in the sample, so the samples of different parts can be merged.
#[derive(Debug)]
pub(super) struct LoyaltySample {
    /// Genres with their plays, by the hash of the listener id. In a sample of this size, hash collisions
    /// are negligible.
    listeners: HashMap<u64, Vec<(u32, u32)>, BuildHasherDefault<HashMixer>>,
    /// Largest hash that the sample accepts.
    max_hash: u64,
    max_listeners: usize,
    /// Plays that are not counted yet. Each play is a pair: the hash of the listener id, and the genre.
    batch: Vec<(u64, u32)>,
}

impl Default for LoyaltySample {
    fn default() -> Self {
        Self::of(MAX_LISTENERS)
    }
}

impl LoyaltySample {
    fn of(max_listeners: usize) -> Self {
        Self {
            listeners: HashMap::default(),
            max_hash: u64::MAX,
            max_listeners,
            batch: Vec::with_capacity(BATCH),
        }
    }

    /// Adds a play of a song that has a genre.
    #[inline]
    pub(super) fn add(&mut self, listener: &[u8], genre: u32) {
        let listener = xxh3_64(listener);
        if listener <= self.max_hash {
            self.batch.push((listener, genre));
            if self.batch.len() == BATCH {
                self.flush();
            }
        }
    }

    /// Counts the plays of the batch.
    fn flush(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        for (listener, genre) in batch.drain(..) {
            self.add_plays(listener, genre, 1);
        }
        self.batch = batch;
    }

    fn add_plays(&mut self, listener: u64, genre: u32, plays: u32) {
        if listener > self.max_hash {
            return;
        }
        let genres = self.listeners.entry(listener).or_default();
        match genres.iter_mut().find(|(known, _)| *known == genre) {
            Some((_, count)) => *count = count.saturating_add(plays),
            None => genres.push((genre, plays)),
        }
        if self.listeners.len() > self.max_listeners {
            self.thin_to(self.max_hash / 5 * 4);
        }
    }

    fn thin_to(&mut self, max_hash: u64) {
        self.max_hash = self.max_hash.min(max_hash);
        self.listeners.retain(|listener, _| *listener <= max_hash);
    }

    /// Adds another sample. `genres` maps the genre numbers of `other` to the numbers of this sample.
    pub(super) fn merge(&mut self, mut other: Self, genres: &[u32]) {
        other.flush();
        self.flush();
        self.thin_to(other.max_hash);
        for (listener, plays) in other.listeners {
            for (genre, plays) in plays {
                self.add_plays(listener, genres[genre as usize], plays);
            }
        }
    }

    /// The loyalty of the sampled listeners. The caller must count all plays first.
    pub(super) fn loyalty(&self, threshold: Fraction) -> Loyalty {
        debug_assert!(self.batch.is_empty(), "a sample is merged before it is read");
        let mut loyalty = Loyalty::new(threshold);
        loyalty.sampled = self.max_hash < u64::MAX;
        for genres in self.listeners.values() {
            let counts = genres.iter().map(|(_, plays)| u64::from(*plays));
            loyalty.add(counts.clone().max().unwrap_or_default(), counts.sum());
        }
        loyalty
    }
}

/// Mixes the bits of keys, which are hashes already. Mixing is needed because a thinned sample has only
/// small keys, and the high bits of small keys are zero.
#[derive(Debug, Default)]
struct HashMixer(u64);

impl Hasher for HashMixer {
    fn write(&mut self, bytes: &[u8]) {
        self.0 ^= xxh3_64(bytes);
    }

    fn write_u64(&mut self, key: u64) {
        // 2^64 divided by the golden ratio.
        self.0 = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLD: Fraction = Fraction::from_billionths(800_000_000);

    fn add_all(sample: &mut LoyaltySample, listeners: std::ops::Range<u32>) {
        for listener in listeners {
            let id = format!("user_{listener}");
            // Every fourth listener plays one genre. The rest play two genres equally often.
            (0..10).for_each(|play| {
                let genre = if listener % 4 == 0 { 0 } else { play % 2 };
                sample.add(id.as_bytes(), genre);
            });
        }
    }

    #[test]
    fn few_listeners_are_not_sampled() {
        let mut sample = LoyaltySample::of(1000);
        add_all(&mut sample, 0..1000);
        sample.flush();
        let loyalty = sample.loyalty(THRESHOLD);
        assert!(!loyalty.sampled);
        assert_eq!((loyalty.buckets[10], loyalty.buckets[19], loyalty.listeners()), (750, 250, 1000));
    }

    #[test]
    fn samples_do_not_depend_on_order_or_parts() {
        let [mut whole, mut first, mut second] = [1000; 3].map(LoyaltySample::of);
        add_all(&mut whole, 0..50_000);
        whole.flush();
        // The second part numbers the genres in the opposite order.
        add_all(&mut second, 0..30_000);
        add_all(&mut first, 30_000..50_000);
        first.merge(second, &[1, 0]);
        let (whole, parts) = (whole.loyalty(THRESHOLD), first.loyalty(THRESHOLD));
        assert!(whole.sampled && (800..=1000).contains(&whole.listeners()), "{}", whole.listeners());
        assert_eq!(whole, parts);
        let loyal = whole.buckets[19] as f64 / whole.listeners() as f64;
        assert!((0.2..0.3).contains(&loyal), "{loyal}");
        assert_eq!(
            whole.buckets[10] + whole.buckets[19],
            whole.listeners(),
            "no play of a sampled listener is lost"
        );
    }
}
