//! The events of a source, and the channel that carries them to the decoders.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::ingest::source::fingerprint::Fingerprint;
use crate::model::error::Error;
use crate::model::{Chunk, Content, Input, Position};

/// An event of a source, mostly about one input. The payload `T` is a chunk before decoding and a batch
/// after decoding. Decoders pass all other events on unchanged.
#[derive(Debug)]
pub enum Event<T = Chunk> {
    /// The size of an input, in bytes after decompression.
    Grown(Arc<Input>, u64),
    /// The fingerprint of an input. It identifies the input after a restart.
    Identified(Arc<Input>, Box<Fingerprint>),
    /// The new position of an input after bytes that are not rows, such as a header or blank lines.
    Advanced(Arc<Input>, Position),
    /// More lines of an input, or the rows decoded from them.
    Data(T),
    /// The source reads all inputs again, because a file has proved damaged after its first rows were sent.
    /// Nothing that was sent before counts. Only `replay` starts over.
    StartedOver,
    /// The source failed, so its inputs are incomplete.
    Failed(Error),
}

impl<T> Event<T> {
    /// Replaces the payload with the result of a function. Other events stay the same.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Event<U> {
        match self {
            Self::Grown(input, size) => Event::Grown(input, size),
            Self::Identified(input, fingerprint) => Event::Identified(input, fingerprint),
            Self::Advanced(input, position) => Event::Advanced(input, position),
            Self::Data(data) => Event::Data(convert(data)),
            Self::StartedOver => Event::StartedOver,
            Self::Failed(error) => Event::Failed(error),
        }
    }
}

impl Event {
    /// The bytes of text in the event.
    pub fn text_len(&self) -> usize {
        let Self::Data(chunk) = self else { return 0 };
        match &chunk.content {
            Content::Lines(_, text) => text.as_bytes().len(),
            Content::Fault(reject) | Content::Refused(reject, _) => reject.raw.len(),
        }
    }
}

/// The receiver of events no longer exists, because the pipeline has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pipeline has ended")]
pub struct Closed;

/// Why an input was not read to its end.
#[derive(Debug)]
pub enum ReadError<E = io::Error> {
    /// The input cannot be read.
    Failed(E),
    /// The pipeline has ended.
    Closed,
}

impl<E> ReadError<E> {
    /// Converts the error of the input.
    pub fn map<F>(self, convert: impl FnOnce(E) -> F) -> ReadError<F> {
        match self {
            Self::Failed(error) => ReadError::Failed(convert(error)),
            Self::Closed => ReadError::Closed,
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl<E> From<Closed> for ReadError<E> {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

/// Events that are sent together. Each bundle wakes up every later stage once.
pub type Bundle = Vec<Event>;

/// The sender of a source's event channel. Sending blocks while the channel is full.
#[derive(Debug)]
pub struct EventSender {
    channel: mpsc::Sender<Bundle>,
    has_sent_data: AtomicBool,
    /// The events that are not sent yet. `None` if every event is sent at once.
    unsent: Mutex<Option<Unsent>>,
}

/// Events that are not sent yet.
#[derive(Debug, Default)]
struct Unsent {
    events: Bundle,
    /// The approximate memory of the events, in bytes.
    bytes: usize,
    /// The bytes at which the events are sent.
    limit: usize,
}

impl EventSender {
    /// A sender for a bounded channel.
    pub fn new(sender: mpsc::Sender<Bundle>) -> Self {
        Self { channel: sender, has_sent_data: AtomicBool::new(false), unsent: Mutex::default() }
    }

    /// Sends events in bundles of about `limit` bytes from now on, for a source that never waits for new input.
    /// At its end, the source must [send the last bundle](Self::end_bundles).
    pub fn send_in_bundles(&self, limit: usize) {
        *self.unsent.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Unsent { limit, ..Unsent::default() });
    }

    /// Whether the pipeline has ended.
    pub fn is_closed(&self) -> bool {
        self.channel.is_closed()
    }

    /// Whether rows or rejects were sent that count.
    pub fn has_sent_data(&self) -> bool {
        self.has_sent_data.load(Ordering::Relaxed)
    }

    /// Sends an event. Waits until the channel has room.
    ///
    /// # Errors
    /// `Closed` if the pipeline has ended.
    pub fn send(&self, event: Event) -> Result<(), Closed> {
        match &event {
            Event::Data(_) => self.has_sent_data.store(true, Ordering::Relaxed),
            Event::StartedOver => self.has_sent_data.store(false, Ordering::Relaxed),
            _ => {}
        }
        let bundle = match &mut *self.unsent.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(unsent) => unsent.add(event),
            None => Some(vec![event]),
        };
        bundle.map_or(Ok(()), |bundle| self.send_bundle(bundle))
    }

    /// Sends the last bundle. From now on, every event is sent at once.
    ///
    /// # Errors
    /// `Closed` if the pipeline has ended.
    pub fn end_bundles(&self) -> Result<(), Closed> {
        let unsent = self.unsent.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        if unsent.events.is_empty() { Ok(()) } else { self.send_bundle(unsent.events) }
    }

    fn send_bundle(&self, bundle: Bundle) -> Result<(), Closed> {
        self.channel.blocking_send(bundle).map_err(|_| Closed)
    }
}

impl Unsent {
    /// Adds an event. Returns all events if they reach the limit.
    fn add(&mut self, event: Event) -> Option<Bundle> {
        self.bytes += size_of::<Event>() + event.text_len();
        self.events.push(event);
        (self.bytes >= self.limit).then(|| {
            self.bytes = 0;
            std::mem::take(&mut self.events)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::InputId;

    fn grown(size: u64) -> Event {
        Event::Grown(Arc::new(Input { id: InputId(0), label: String::new() }), size)
    }

    /// The sizes in the bundles that were sent.
    fn sent(channel: &mut mpsc::Receiver<Bundle>) -> Vec<Vec<u64>> {
        let size = |event: &Event| if let Event::Grown(_, size) = event { *size } else { unreachable!() };
        std::iter::from_fn(|| channel.try_recv().ok())
            .map(|bundle| bundle.iter().map(size).collect())
            .collect()
    }

    #[test]
    fn events_are_sent_in_order_and_in_bundles_only_if_asked() {
        let (sender, mut channel) = mpsc::channel(10);
        let events = EventSender::new(sender);
        (0..2).for_each(|size| events.send(grown(size)).unwrap());
        events.send_in_bundles(3 * size_of::<Event>());
        (2..9).for_each(|size| events.send(grown(size)).unwrap());
        assert_eq!(sent(&mut channel), [&[0][..], &[1], &[2, 3, 4], &[5, 6, 7]]);
        events.end_bundles().unwrap();
        assert_eq!(sent(&mut channel), [[8]]);
        events.end_bundles().unwrap();
        events.send(grown(9)).unwrap();
        assert_eq!(sent(&mut channel), [[9]]);
    }
}
