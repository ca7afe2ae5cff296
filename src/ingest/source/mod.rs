//! Where chunks come from. `replay` and `watch` differ by their source and by nothing else; the
//! end of a source is the end of the program.

pub mod archive;
pub mod compression;
pub mod fingerprint;
pub mod framing;
pub mod replay;
pub mod scan;
pub mod send;
pub mod stdin;
pub mod tail;
pub mod watch;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::ingest::source::fingerprint::Fingerprint;
use crate::model::error::Error;

use crate::model::{Chunk, Input, Position};

/// What a source tells the pipeline.
#[derive(Debug)]
pub enum Event {
    /// An input has so many bytes by now (after decompression, as far as that is known).
    Size(Arc<Input>, u64),
    /// What an input is, by which it is known again after a restart.
    Seen(Arc<Input>, Box<Fingerprint>),
    /// An input was read up to here, bytes without rows (a header, blank lines) included.
    Passed(Arc<Input>, Position),
    /// More lines of an input.
    Chunk(Chunk),
    /// The source cannot go on, so what was read so far is not what was asked for.
    Failed(Error),
}

/// What ends a source that has no fault: nobody listens any more.
#[derive(Debug)]
pub struct Closed;

/// The sending half of a source; it blocks when the pipeline is behind.
#[derive(Debug)]
pub struct EventSender(mpsc::Sender<Event>);

impl EventSender {
    /// An outlet to a channel.
    pub fn new(sender: mpsc::Sender<Event>) -> Self {
        Self(sender)
    }

    /// Whether the pipeline has ended, so that nothing more will be taken.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Hands on an event.
    ///
    /// # Errors
    /// If the pipeline has ended.
    pub fn send(&self, event: Event) -> Result<(), Closed> {
        self.0.blocking_send(event).map_err(|_| Closed)
    }
}
