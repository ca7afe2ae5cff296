//! Handing on what a file has to give: the same for a finished log and for one that grows.

use std::io::{self, Read};
use std::sync::Arc;

use crate::clock::Clock;
use crate::decode::header::HeaderFault;
use crate::model::{Chunk, Content, Input, Reject, Span};
use crate::source::lines::{End, LineCutter, Piece};
use crate::source::{Closed, Event, Outlet, Stop};

/// How a reading has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// All that was there was handed on, or a stop was asked for.
    Read,
    /// The file was rejected whole; nothing more comes of it.
    Refused,
}

/// Reads with a cutter until there is nothing more for now, or `stop`.
///
/// # Errors
/// Those of the reader; the inner error if nobody listens any more.
pub fn deliver(
    cutter: &mut LineCutter,
    reader: &mut impl Read,
    end: End,
    clock: Clock,
    outlet: &Outlet,
    stop: &Stop,
) -> io::Result<Result<Delivered, Closed>> {
    while !stop.is_set() {
        let sent = match cutter.next(reader, end, clock.now())? {
            Piece::Chunk(chunk) => outlet.send(Event::Chunk(chunk)),
            Piece::Refused(chunk, detail) => {
                tracing::warn!("{}: {detail}", cutter.input().label);
                return Ok(outlet.send(Event::Chunk(chunk)).map(|()| Delivered::Refused));
            }
            Piece::Ignored(columns) => {
                let label = &cutter.input().label;
                tracing::warn!("{label}: unknown columns are ignored: {}", columns.join(", "));
                Ok(())
            }
            Piece::End => {
                let passed = Event::Passed(Arc::clone(cutter.input()), cutter.passed());
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
    outlet.send(Event::Chunk(Chunk { input: Arc::clone(input), span, read_at: clock.now(), content }))
}
