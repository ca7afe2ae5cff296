//! How loyal listeners are: of all of them, or of a sample if there are very many.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_64;

use crate::model::value::Fraction;
use crate::serve::overview::Loyalty;

/// Listeners that are looked at; if there are more, a fifth of them is left out until there are not.
const MOST: usize = 125_000;
/// Plays that are counted one after the other with nothing in between, so that waiting for the memory
/// of one overlaps with that for the next.
const BATCH: usize = 1024;

/// The plays by genre of listeners. Who is looked at depends on nothing but the id, so that samples of
/// parts can be put together.
#[derive(Debug)]
pub(super) struct Sample {
    /// By the hash of the listener: of so few, no two have the same.
    listeners: HashMap<u64, Vec<(u32, u32)>, BuildHasherDefault<Spread>>,
    /// Listeners count whose hash is up to here.
    up_to: u64,
    most: usize,
    /// Plays to be counted: listener and genre.
    batch: Vec<(u64, u32)>,
}

impl Default for Sample {
    fn default() -> Self {
        Self::of(MOST)
    }
}

impl Sample {
    fn of(most: usize) -> Self {
        Self { listeners: HashMap::default(), up_to: u64::MAX, most, batch: Vec::with_capacity(BATCH) }
    }

    /// Counts a play of a listener of a song with genre.
    #[inline]
    pub(super) fn add(&mut self, listener: &[u8], genre: u32) {
        let listener = xxh3_64(listener);
        if listener <= self.up_to {
            self.batch.push((listener, genre));
            if self.batch.len() == BATCH {
                self.count();
            }
        }
    }

    /// Counts what was added.
    fn count(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        for (listener, genre) in batch.drain(..) {
            self.add_plays(listener, genre, 1);
        }
        self.batch = batch;
    }

    fn add_plays(&mut self, listener: u64, genre: u32, plays: u32) {
        if listener > self.up_to {
            return;
        }
        let genres = self.listeners.entry(listener).or_default();
        match genres.iter_mut().find(|(known, _)| *known == genre) {
            Some((_, count)) => *count = count.saturating_add(plays),
            None => genres.push((genre, plays)),
        }
        if self.listeners.len() > self.most {
            self.thin_to(self.up_to / 5 * 4);
        }
    }

    fn thin_to(&mut self, up_to: u64) {
        self.up_to = self.up_to.min(up_to);
        self.listeners.retain(|listener, _| *listener <= up_to);
    }

    /// Adds the listeners of another sample, whose genres have these numbers here.
    pub(super) fn merge(&mut self, mut other: Self, genres: &[u32]) {
        other.count();
        self.count();
        self.thin_to(other.up_to);
        for (listener, plays) in other.listeners {
            for (genre, plays) in plays {
                self.add_plays(listener, genres[genre as usize], plays);
            }
        }
    }

    /// How loyal they are.
    pub(super) fn loyalty(&self, threshold: Fraction) -> Loyalty {
        debug_assert!(self.batch.is_empty(), "a sample is merged before it is asked");
        let mut loyalty = Loyalty::new(threshold);
        loyalty.sampled = self.up_to < u64::MAX;
        for genres in self.listeners.values() {
            let counts = genres.iter().map(|(_, plays)| u64::from(*plays));
            loyalty.add(counts.clone().max().unwrap_or_default(), counts.sum());
        }
        loyalty
    }
}

/// Spreads keys that are hashes, and of which the highest bits say no more who is who when few
/// listeners are left.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
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

    fn add_all(sample: &mut Sample, listeners: std::ops::Range<u32>) {
        for listener in listeners {
            let id = format!("user_{listener}");
            // Every fourth gives all plays to one genre, the others half of them.
            (0..10).for_each(|play| {
                let genre = if listener % 4 == 0 { 0 } else { play % 2 };
                sample.add(id.as_bytes(), genre);
            });
        }
    }

    #[test]
    fn few_listeners_are_all_looked_at() {
        let mut sample = Sample::of(1000);
        add_all(&mut sample, 0..1000);
        sample.count();
        let loyalty = sample.loyalty(THRESHOLD);
        assert!(!loyalty.sampled);
        assert_eq!((loyalty.buckets[10], loyalty.buckets[19], loyalty.listeners()), (750, 250, 1000));
    }

    #[test]
    fn many_listeners_are_sampled_in_any_order_and_any_parts() {
        let [mut whole, mut first, mut second] = [1000; 3].map(Sample::of);
        add_all(&mut whole, 0..50_000);
        whole.count();
        // Parts that share listeners, with the genres numbered the other way around.
        add_all(&mut second, 0..30_000);
        add_all(&mut first, 30_000..50_000);
        first.merge(second, &[1, 0]);
        let (whole, parts) = (whole.loyalty(THRESHOLD), first.loyalty(THRESHOLD));
        assert!(whole.sampled && (800..=1000).contains(&whole.listeners()), "{}", whole.listeners());
        assert_eq!(whole, parts);
        let loyal = whole.buckets[19] as f64 / whole.listeners() as f64;
        assert!((0.2..0.3).contains(&loyal), "{loyal}");
        assert_eq!(whole.buckets[10] + whole.buckets[19], whole.listeners(), "plays are counted whole");
    }
}
