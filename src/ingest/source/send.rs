//! Handing on what a file has to give: the same for a finished log and for one that grows.

use std::io::{self, Read};
use std::sync::Arc;

use crate::time::clock::Clock;
use crate::ingest::decode::header::HeaderFault;
use crate::model::{Chunk, Content, Input, Mark, Reject, Span, Stand};
use crate::ingest::source::framing::{End, LineCutter, Piece};
use crate::ingest::source::{Closed, Event, Outlet};
use crate::model::shutdown::Stop;

/// How a reading has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
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
pub fn deliver(
    cutter: &mut LineCutter,
    reader: &mut impl Read,
    end: End,
    hash_tail: HashTail<'_>,
    clock: Clock,
    outlet: &Outlet,
    stop: &Stop,
) -> io::Result<Result<Delivered, Closed>> {
    while !stop.is_set() {
        let sent = match cutter.next(reader, end, clock.now())? {
            Piece::Chunk(mut chunk) => {
                chunk.mark.tail = hash_tail(chunk.mark.offset);
                outlet.send(Event::Chunk(chunk))
            }
            Piece::Refused(mut chunk, detail) => {
                tracing::warn!("{}: {detail}", cutter.input().label);
                chunk.mark.tail = hash_tail(chunk.mark.offset);
                return Ok(outlet.send(Event::Chunk(chunk)).map(|()| Delivered::Refused));
            }
            Piece::Ignored(columns) => {
                let label = &cutter.input().label;
                tracing::warn!("{label}: unknown columns are ignored: {}", columns.join(", "));
                Ok(())
            }
            Piece::End => {
                let mut mark = cutter.mark();
                mark.tail = hash_tail(mark.offset);
                let passed = Event::Passed(Arc::clone(cutter.input()), mark);
                return Ok(outlet.send(passed).map(|()| Delivered::Read));
            }
        };
        if let Err(closed) = sent {
            return Ok(Err(closed));
        }
    }
    Ok(Ok(Delivered::Read))
}

/// Rejects a file of which nothing was read.
///
/// # Errors
/// If nobody listens any more.
pub fn reject_unread(
    input: &Arc<Input>,
    fault: &HeaderFault,
    clock: Clock,
    outlet: &Outlet,
) -> Result<(), Closed> {
    tracing::warn!("{}: {}", input.label, fault.detail);
    let span = Span { from: 0, to: 0, first_line: 1 };
    let content = Content::Refused(Reject::new(fault.reason, 1, 0, &[]));
    let mark = Mark { stand: Stand::Faulted, ..Mark::default() };
    outlet.send(Event::Chunk(Chunk { input: Arc::clone(input), span, mark, read_at: clock.now(), content }))
}
