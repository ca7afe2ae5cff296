//! The events of a source, and the channel that carries them to the decoders.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use crate::ingest::source::fingerprint::Fingerprint;
use crate::model::error::Error;
use crate::model::{Chunk, Input, Position};

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
    /// Replaces the payload with the result of an asynchronous function. Other events stay the same.
    pub async fn then<U, F>(self, convert: impl FnOnce(T) -> F) -> Event<U>
    where
        F: Future<Output = U>,
    {
        match self {
            Self::Grown(input, size) => Event::Grown(input, size),
            Self::Identified(input, fingerprint) => Event::Identified(input, fingerprint),
            Self::Advanced(input, position) => Event::Advanced(input, position),
            Self::Data(data) => Event::Data(convert(data).await),
            Self::StartedOver => Event::StartedOver,
            Self::Failed(error) => Event::Failed(error),
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

/// The sender of a source's event channel. Sending blocks while the channel is full.
#[derive(Debug)]
pub struct EventSender {
    channel: mpsc::Sender<Event>,
    has_sent_data: AtomicBool,
}

impl EventSender {
    /// A sender for a bounded channel.
    pub fn new(sender: mpsc::Sender<Event>) -> Self {
        Self { channel: sender, has_sent_data: AtomicBool::new(false) }
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
        self.channel.blocking_send(event).map_err(|_| Closed)
    }
}
