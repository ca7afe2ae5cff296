//! Suppresses messages that are repeated too often.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::telemetry::logging::message::Message;

/// How many times the same message is written in a window.
const LIMIT: u32 = 5;
/// Length of the window. It starts with the first message.
const WINDOW: Duration = Duration::from_mins(1);
/// Largest number of different messages that are counted. All other messages are written without a limit.
const CAPACITY: usize = 4096;

/// Messages of the current windows, by their text.
#[derive(Debug, Default)]
pub(super) struct RateLimiter(HashMap<String, Window>);

#[derive(Debug)]
struct Window {
    start: Instant,
    written: u32,
    /// The suppressed message, and how many times it was suppressed.
    suppressed: Option<(Message, u64)>,
}

impl RateLimiter {
    /// Whether to write a message now. If not, the message is counted.
    pub(super) fn admit(&mut self, message: &Message, now: Instant) -> bool {
        if self.0.len() >= CAPACITY && !self.0.contains_key(&message.text) {
            self.0.retain(|_, window| window.suppressed.is_some() || !window.is_over(now));
            if self.0.len() >= CAPACITY {
                return true;
            }
        }
        let new = || Window { start: now, written: 0, suppressed: None };
        let window = self.0.entry(message.text.clone()).or_insert_with(new);
        if window.is_over(now) {
            *window = new();
        }
        if window.written < LIMIT {
            window.written += 1;
            return true;
        }
        window.suppressed.get_or_insert_with(|| (message.clone(), 0)).1 += 1;
        false
    }

    /// Takes the suppressed messages of windows that are over, with their counts.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Message> {
        self.take(|window| window.is_over(now))
    }

    /// Takes all suppressed messages, with their counts.
    pub(super) fn take_all(&mut self) -> Vec<Message> {
        self.take(|_| true)
    }

    fn take(&mut self, which: impl Fn(&Window) -> bool) -> Vec<Message> {
        let taken = self.0.extract_if(|_, window| window.suppressed.is_some() && which(window));
        let mut taken: Vec<_> = taken.collect();
        taken.sort_by_key(|(_, window)| window.start);
        let suppressed = taken.into_iter().filter_map(|(_, window)| window.suppressed);
        suppressed.map(|(message, times)| message.with_repetitions(times)).collect()
    }

    /// When the next window with suppressed messages ends.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let suppressed = self.0.values().filter(|window| window.suppressed.is_some());
        suppressed.map(|window| window.start + WINDOW).min()
    }
}

impl Window {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.start) >= WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::logging::level::LoggingLevel;

    #[test]
    fn a_repeated_message_is_suppressed_and_then_written_with_a_count() {
        let (mut limiter, began) = (RateLimiter::default(), Instant::now());
        let message = Message::new(LoggingLevel::Warn, "a.csv: gone");
        let other = Message::new(LoggingLevel::Warn, "b.csv: gone");
        let admitted = (0..346).filter(|_| limiter.admit(&message, began)).count();
        assert_eq!(admitted, 5);
        assert!(limiter.admit(&other, began), "another text is another message");
        assert!(limiter.take_due(began + WINDOW / 2).is_empty());
        assert_eq!(limiter.next_due(), Some(began + WINDOW));
        let due = limiter.take_due(began + WINDOW);
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].to_text(false), "warning: a.csv: gone (repeated 341 times)\n");
        assert_eq!(limiter.next_due(), None);
        assert!(limiter.admit(&message, began + WINDOW), "a new minute");
    }

    #[test]
    fn memory_is_bounded() {
        let (mut limiter, began) = (RateLimiter::default(), Instant::now());
        for number in 0..2 * CAPACITY {
            let message = Message::new(LoggingLevel::Info, &number.to_string());
            assert!(limiter.admit(&message, began));
        }
        assert_eq!(limiter.0.len(), CAPACITY);
        assert!(limiter.admit(&Message::new(LoggingLevel::Info, "late"), began + WINDOW));
        assert_eq!(limiter.0.len(), 1);
    }
}
