//! Sends the chunks of an input. This works for finished logs and for growing logs.

use std::io::Read;
use std::sync::Arc;

use crate::ingest::decode::header::HeaderFault;
use crate::ingest::source::framing::{Eof, Frame, LineFramer};
use crate::ingest::source::{Closed, Event, Outbox, ReadError};
use crate::model::shutdown::Shutdown;
use crate::model::{Chunk, Content, Input, Position, ReaderState, Reject, Span};
use crate::time::clock::Clock;

/// How the sending ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// All complete lines were sent, a shutdown was requested, or the outbox overflows.
    Sent,
    /// The file was rejected as a whole. No more chunks follow.
    Refused,
}

/// Adds the hashes of the bytes before a position to the position.
pub type AddHashes<'a> = &'a dyn Fn(&mut Position);

/// Adds no hashes, for a log whose positions are never compared.
pub fn no_hashes(_position: &mut Position) {}

/// Frames the bytes of a reader and sends them as chunks. Stops when the reader has no more bytes, a shutdown is
/// requested, or the outbox overflows.
///
/// # Errors
/// An error of the reader, or a closed channel.
pub fn send_chunks(
    framer: &mut LineFramer,
    reader: &mut impl Read,
    eof: Eof,
    add_hashes: AddHashes<'_>,
    clock: Clock,
    outbox: &mut Outbox<'_>,
    shutdown: &Shutdown,
) -> Result<SendOutcome, ReadError> {
    // The position after the last chunk, without its hashes.
    let mut sent = None;
    while !shutdown.is_requested() && !outbox.has_overflowed() {
        match framer.next(reader, eof, clock.now())? {
            Frame::Chunk(mut chunk) => {
                sent = Some(chunk.position.clone());
                add_hashes(&mut chunk.position);
                outbox.send(Event::Data(chunk))?;
            }
            Frame::Refused(mut chunk, detail) => {
                outbox.warn(format!("{}:{}: {detail}", framer.input().label, chunk.span.first_line));
                add_hashes(&mut chunk.position);
                outbox.send(Event::Data(chunk))?;
                return Ok(SendOutcome::Refused);
            }
            Frame::Ignored(columns) => {
                let label = &framer.input().label;
                outbox.warn(format!("{label}: unknown columns are ignored: {}", columns.join(", ")));
            }
            Frame::EarlierHeader => {
                let label = &framer.input().label;
                outbox.inform(format!(
                    "{label}: no header in the first line; the header of the last file with this name applies"
                ));
            }
            Frame::End => {
                let mut position = framer.position();
                if sent.as_ref() != Some(&position) {
                    add_hashes(&mut position);
                    outbox.send(Event::Advanced(Arc::clone(framer.input()), position))?;
                }
                break;
            }
        }
    }
    Ok(SendOutcome::Sent)
}

/// Rejects a file that cannot be decompressed. No row of this file was sent, or none of them counts.
///
/// # Errors
/// A closed channel.
pub fn reject_unread(
    input: &Arc<Input>,
    fault: &HeaderFault,
    clock: Clock,
    outbox: &mut Outbox<'_>,
) -> Result<(), Closed> {
    outbox.warn(format!("{}: {}", input.label, fault.detail));
    let span = Span { from: 0, to: 0, first_line: 1 };
    let content = Content::Refused(Reject::new(fault.reason, 1, 0, &[]), fault.detail.as_str().into());
    let position = Position { state: ReaderState::Faulted, ..Position::default() };
    outbox.send(Event::Data(Chunk {
        input: Arc::clone(input),
        span,
        position,
        read_at: clock.now(),
        content,
    }))
}
