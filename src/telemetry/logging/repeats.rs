//! Which messages are held back because they were said again and again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::telemetry::logging::line::Message;

/// How often the same message is said in a span.
const OFTEN: u32 = 5;
/// The span, from the first time on.
const SPAN: Duration = Duration::from_mins(1);
/// Different messages that are remembered. Beyond that, they are said without a limit: nobody has
/// so many that are the same.
const REMEMBERED: usize = 4096;

/// Messages of the last minute, by their text.
#[derive(Debug, Default)]
pub(super) struct Repeats(HashMap<String, Repeat>);

#[derive(Debug)]
struct Repeat {
    since: Instant,
    said: u32,
    /// What was held back, and how often.
    held_back: Option<(Message, u64)>,
}

impl Repeats {
    /// Whether a message is said now; if not, it counts.
    pub(super) fn admit(&mut self, message: &Message, now: Instant) -> bool {
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&message.text) {
            self.0.retain(|_, repeat| repeat.held_back.is_some() || !repeat.is_over(now));
            if self.0.len() >= REMEMBERED {
                return true;
            }
        }
        let fresh = || Repeat { since: now, said: 0, held_back: None };
        let repeat = self.0.entry(message.text.clone()).or_insert_with(fresh);
        if repeat.is_over(now) {
            *repeat = fresh();
        }
        if repeat.said < OFTEN {
            repeat.said += 1;
            return true;
        }
        repeat.held_back.get_or_insert_with(|| (message.clone(), 0)).1 += 1;
        false
    }

    /// What was held back in spans that are over, with its count.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Message> {
        self.take(|repeat| repeat.is_over(now))
    }

    /// Everything that was held back, with its count.
    pub(super) fn take_all(&mut self) -> Vec<Message> {
        self.take(|_| true)
    }

    fn take(&mut self, which: impl Fn(&Repeat) -> bool) -> Vec<Message> {
        let taken = self.0.extract_if(|_, repeat| repeat.held_back.is_some() && which(repeat));
        let mut taken: Vec<_> = taken.collect();
        taken.sort_by_key(|(_, repeat)| repeat.since);
        let held_back = taken.into_iter().filter_map(|(_, repeat)| repeat.held_back);
        held_back.map(|(message, times)| message.said_again(times)).collect()
    }

    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let held_back = self.0.values().filter(|repeat| repeat.held_back.is_some());
        held_back.map(|repeat| repeat.since + SPAN).min()
    }
}

impl Repeat {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= SPAN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::LogLevel;

    #[test]
    fn what_comes_too_often_is_said_once_more_with_a_count() {
        let (mut repeats, began) = (Repeats::default(), Instant::now());
        let message = Message::new(LogLevel::Warn, "a.csv: gone");
        let other = Message::new(LogLevel::Warn, "b.csv: gone");
        let admitted = (0..346).filter(|_| repeats.admit(&message, began)).count();
        assert_eq!(admitted, 5);
        assert!(repeats.admit(&other, began), "another text is another message");
        assert!(repeats.take_due(began + SPAN / 2).is_empty());
        assert_eq!(repeats.next_due(), Some(began + SPAN));
        let due = repeats.take_due(began + SPAN);
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].to_text(false), "warning: a.csv: gone (said 341 times more)\n");
        assert_eq!(repeats.next_due(), None);
        assert!(repeats.admit(&message, began + SPAN), "a new minute");
    }

    #[test]
    fn memory_is_bounded() {
        let (mut repeats, began) = (Repeats::default(), Instant::now());
        for number in 0..2 * REMEMBERED {
            let message = Message::new(LogLevel::Info, &number.to_string());
            assert!(repeats.admit(&message, began));
        }
        assert_eq!(repeats.0.len(), REMEMBERED);
        assert!(repeats.admit(&Message::new(LogLevel::Info, "late"), began + SPAN));
        assert_eq!(repeats.0.len(), 1);
    }
}
