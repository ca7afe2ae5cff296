//! What a source sends and says about an input. It is held back while it is not known whether a compressed file is
//! sound.

use crate::ingest::source::{Closed, Event, EventSender};

/// Passes on the events of an input and the notices about it, or holds them back.
#[derive(Debug)]
pub struct Outbox<'a> {
    events: &'a EventSender,
    /// The events that are held back; `None` if events are sent at once.
    held: Option<HeldEvents>,
    has_sent: bool,
    notices: Notices,
}

/// Events that are not sent yet.
#[derive(Debug, Default)]
struct HeldEvents {
    events: Vec<Event>,
    /// The bytes of their text.
    bytes: u64,
    limit: u64,
}

#[derive(Debug)]
enum Notices {
    /// Every notice is logged at once.
    Logged,
    /// Notices are held back.
    Held(Vec<Notice>),
    /// Notices were logged before.
    Dropped,
}

#[derive(Debug)]
enum Notice {
    Warning(String),
    Info(String),
}

impl<'a> Outbox<'a> {
    /// Passes on everything at once.
    pub fn new(events: &'a EventSender) -> Self {
        Self { events, held: None, has_sent: false, notices: Notices::Logged }
    }

    /// Sends events at once, and holds back notices.
    pub fn holding_notices(events: &'a EventSender) -> Self {
        Self { notices: Notices::Held(Vec::new()), ..Self::new(events) }
    }

    /// Sends events at once, and drops notices, because they were logged before.
    pub fn without_notices(events: &'a EventSender) -> Self {
        Self { notices: Notices::Dropped, ..Self::new(events) }
    }

    /// Holds back events and notices. If the events have more than `limit` bytes of text, the outbox
    /// [overflows](Self::has_overflowed).
    pub fn holding(events: &'a EventSender, limit: u64) -> Self {
        let held = HeldEvents { limit, ..HeldEvents::default() };
        Self { held: Some(held), ..Self::holding_notices(events) }
    }

    /// Sends an event, or holds it back.
    ///
    /// # Errors
    /// `Closed` if the pipeline has ended.
    pub fn send(&mut self, event: Event) -> Result<(), Closed> {
        match &mut self.held {
            None => {
                self.has_sent = true;
                self.events.send(event)
            }
            Some(held) => {
                held.push(event);
                Ok(())
            }
        }
    }

    /// Whether an event was sent.
    pub fn has_sent(&self) -> bool {
        self.has_sent
    }

    /// Whether there is more text than may be held back. What was held back is dropped then.
    pub fn has_overflowed(&self) -> bool {
        self.held.as_ref().is_some_and(HeldEvents::is_too_large)
    }

    /// Warns about the input.
    pub fn warn(&mut self, text: String) {
        self.note(Notice::Warning(text));
    }

    /// Says something about the input.
    pub fn inform(&mut self, text: String) {
        self.note(Notice::Info(text));
    }

    fn note(&mut self, notice: Notice) {
        match &mut self.notices {
            Notices::Logged => notice.log(),
            Notices::Held(held) => held.push(notice),
            Notices::Dropped => {}
        }
    }

    /// Passes on everything that was held back, because the file is sound.
    ///
    /// # Errors
    /// `Closed` if the pipeline has ended.
    pub fn release(self) -> Result<(), Closed> {
        if let Notices::Held(notices) = self.notices {
            notices.iter().for_each(Notice::log);
        }
        let held = self.held.map(|held| held.events);
        held.into_iter().flatten().try_for_each(|event| self.events.send(event))
    }
}

impl HeldEvents {
    fn push(&mut self, event: Event) {
        self.bytes += event.text_len() as u64;
        if self.is_too_large() {
            self.events = Vec::new();
        } else {
            self.events.push(event);
        }
    }

    fn is_too_large(&self) -> bool {
        self.bytes > self.limit
    }
}

impl Notice {
    fn log(&self) {
        match self {
            Self::Warning(text) => tracing::warn!("{text}"),
            Self::Info(text) => tracing::info!("{text}"),
        }
    }
}
