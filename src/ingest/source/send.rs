//! Handing on what a file has to give: the same for a finished log and for one that grows.

use std::io::{self, Read};
use std::sync::Arc;

use crate::ingest::decode::header::HeaderFault;
use crate::ingest::source::framing::{Eof, Frame, LineFramer};
use crate::ingest::source::{Closed, Event, EventSender};
use crate::model::shutdown::Shutdown;
use crate::model::{Chunk, Content, Input, Position, ReaderState, Reject, Span};
use crate::time::clock::Clock;

/// How a reading has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// All that was there was handed on, or a stop was asked for.
    Read,
    /// The file was rejected whole; nothing more comes of it.
    Refused,
}

/// Hashes the bytes before an offset of the file that is read.
pub type HashTail<'a> = &'a dyn Fn(u64) -> u128;

/// A finished log is never gone on with, so nobody asks for its tail.
pub fn no_tail(_offset: u64) -> u128 {
    0
}

/// Reads with a cutter until there is nothing more for now, or `stop`.
///
/// # Errors
/// Those of the reader; the inner error if nobody listens any more.
pub fn send_chunks(
    framer: &mut LineFramer,
    reader: &mut impl Read,
    end: Eof,
    hash_tail: HashTail<'_>,
    clock: Clock,
    events: &EventSender,
    stop: &Shutdown,
) -> io::Result<Result<SendOutcome, Closed>> {
    while !stop.is_requested() {
        let sent = match framer.next(reader, end, clock.now())? {
            Frame::Chunk(mut chunk) => {
                chunk.position.tail = hash_tail(chunk.position.offset);
                events.send(Event::Data(chunk))
            }
            Frame::Refused(mut chunk, detail) => {
                tracing::warn!("{}: {detail}", framer.input().label);
                chunk.position.tail = hash_tail(chunk.position.offset);
                return Ok(events.send(Event::Data(chunk)).map(|()| SendOutcome::Refused));
            }
            Frame::Ignored(columns) => {
                let label = &framer.input().label;
                tracing::warn!("{label}: unknown columns are ignored: {}", columns.join(", "));
                Ok(())
            }
            Frame::End => {
                let mut position = framer.position();
                position.tail = hash_tail(position.offset);
                let passed = Event::Advanced(Arc::clone(framer.input()), position);
                return Ok(events.send(passed).map(|()| SendOutcome::Read));
            }
        };
        if let Err(closed) = sent {
            return Ok(Err(closed));
        }
    }
    Ok(Ok(SendOutcome::Read))
}

/// Rejects a file of which nothing was read.
///
/// # Errors
/// If nobody listens any more.
pub fn reject_unread(
    input: &Arc<Input>,
    fault: &HeaderFault,
    clock: Clock,
    events: &EventSender,
) -> Result<(), Closed> {
    tracing::warn!("{}: {}", input.label, fault.detail);
    let span = Span { from: 0, to: 0, first_line: 1 };
    let content = Content::Refused(Reject::new(fault.reason, 1, 0, &[]));
    let position = Position { stand: ReaderState::Faulted, ..Position::default() };
    events.send(Event::Data(Chunk {
        input: Arc::clone(input),
        span,
        position,
        read_at: clock.now(),
        content,
    }))
}
