//! A source for `verify`. It reads exactly the committed bytes of the inputs, and repeats the rejects that
//! depended on the time of reading.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ingest::decode::line::without_return;
use crate::ingest::decode::record::Record;
use crate::ingest::source::compression::Compression;
use crate::ingest::source::framing::{Eof, Frame, LineFramer};
use crate::ingest::source::packed;
use crate::ingest::source::send::reject_unread;
use crate::ingest::source::tail::KnownInput;
use crate::ingest::source::utf16::LaterText;
use crate::ingest::source::{Event, EventSender, Outbox, ReadError};
use crate::model::dialect::Dialect;
use crate::model::error::{Error, FileRole, Op};
use crate::model::shutdown::Shutdown;
use crate::model::{Chunk, Content, ReaderState, Reason, Reject, Span, Text};
use crate::text::escape_bytes;
use crate::time::clock::Clock;

/// Earlier rejects with a reason that depends on the time of reading. The keys are the label of the input
/// and the offset of the row. The values are the reason, and the text of the row in `_rejects`.
pub type EarlierRejects = HashMap<String, BTreeMap<u64, (Reason, Vec<u8>)>>;

/// Numbers of rejects by the name of the input and the reason.
pub type RejectCounts = BTreeMap<(String, Reason), u64>;

/// Collects the rejects with a reason that depends on the time of reading. `lines` are lines of `_rejects`. The
/// first rejects of each input and reason are left out if they belong to an input that was read again later;
/// `retried` has their numbers.
pub fn earlier_rejects<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    mut retried: RejectCounts,
) -> EarlierRejects {
    let mut rejects = EarlierRejects::new();
    let mut record = Record::default();
    for line in lines {
        if record.read(line).is_err() || record.len() != 5 {
            continue;
        }
        let reason = match record.field(3) {
            b"timestamp_range" => Reason::TimestampRange,
            b"continued_after_eof" => Reason::ContinuedAfterEof,
            _ => continue,
        };
        let offset = std::str::from_utf8(record.field(2)).ok().and_then(|text| text.parse().ok());
        let Some(offset) = offset else { continue };
        let label = String::from_utf8_lossy(record.field(0)).into_owned();
        if let Some(left) = retried.get_mut(&(label.clone(), reason)).filter(|left| **left > 0) {
            *left -= 1;
            continue;
        }
        rejects.entry(label).or_default().insert(offset, (reason, record.field(4).to_vec()));
    }
    rejects
}

/// The inputs of a generation, read up to their committed positions.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The inputs with their current paths.
    pub inputs: Vec<(KnownInput, PathBuf)>,
    /// How the rows of the inputs are written.
    pub dialect: Arc<Dialect>,
    /// The earlier rejects with a reason that depends on the time of reading.
    pub earlier_rejects: Arc<EarlierRejects>,
    /// The time that counts as now, in seconds since 1970-01-01T00:00:00Z. If it is `None`, the earlier
    /// rejects apply, and no other row counts as too far in the future.
    pub now: Option<i64>,
}

/// A time of reading so late that no play is too far in the future.
const FAR_FUTURE: i64 = 1 << 40;

impl Committed {
    /// Reads all inputs and sends their chunks.
    ///
    /// # Errors
    /// The first input that cannot be read, exit code 66.
    pub fn run(&self, events: &EventSender, shutdown: &Shutdown) -> Result<(), Error> {
        for (known, path) in &self.inputs {
            match self.read(known, path, events, shutdown) {
                Ok(()) => {}
                Err(ReadError::Failed(cause)) => {
                    return Err(Error::file(FileRole::Input, Op::Read, path, cause));
                }
                Err(ReadError::Closed) => break,
            }
            if shutdown.is_requested() {
                break;
            }
        }
        Ok(())
    }

    fn read(
        &self,
        known: &KnownInput,
        path: &Path,
        events: &EventSender,
        shutdown: &Shutdown,
    ) -> Result<(), ReadError> {
        let compression = Compression::of(path);
        if known.position.state == ReaderState::Faulted {
            if let Err(fault) = packed::check(compression, path, self.dialect.columns.wanted())? {
                reject_unread(&known.input, &fault, Clock::System, &mut Outbox::new(events))?;
            }
            return Ok(());
        }
        let mut reader = compression.open(path, self.dialect.columns.wanted())?;
        // Text in UTF-16 is read whole. What was added to it later was rejected, part by part.
        let is_utf16 = compression.is_plain() && known.fingerprint.whole != 0;
        let end = match known.position.state {
            ReaderState::Start | ReaderState::Lines(_) => Eof::MayGrow,
            ReaderState::AfterEnd(_)
            | ReaderState::Finished
            | ReaderState::Refused
            | ReaderState::Faulted => Eof::Final,
        };
        let none = BTreeMap::new();
        let rejects = self.earlier_rejects.get(&known.input.label).filter(|_| self.now.is_none());
        let rejects = rejects.unwrap_or(&none);
        let framer = LineFramer::new(Arc::clone(&known.input)).with_dialect(&self.dialect, path);
        let mut framer = framer.with_earlier_layout(known.layout().cloned());
        framer.find_typed_cells(path);
        if !compression.is_plain() {
            framer.begin_compressed(&mut reader)?;
        }
        let later = |(offset, (reason, _)): (&u64, &(Reason, Vec<u8>))| {
            (is_utf16 && *reason == Reason::ContinuedAfterEof).then_some(*offset)
        };
        let mut ends: Vec<u64> =
            rejects.range(..known.position.offset).filter_map(later).chain([known.position.offset]).collect();
        let mut rows = reader.by_ref().take(ends.remove(0));
        while !shutdown.is_requested() {
            let chunk = match framer.next(&mut rows, end, self.now.unwrap_or(FAR_FUTURE))? {
                Frame::Chunk(chunk) | Frame::Refused(chunk, _) => chunk,
                Frame::Ignored(_) | Frame::EarlierHeader => continue,
                Frame::End => break,
            };
            for chunk in apply_rejects(chunk, rejects) {
                events.send(Event::Data(chunk))?;
            }
        }
        let mut position = framer.position();
        for end in ends {
            let text = read_later(&mut reader, end - position.offset)?;
            let (from, first_line) = (position.offset, position.lines + 1);
            position.offset = end;
            position.lines += text.line_feeds;
            let reject = Reject::new(Reason::ContinuedAfterEof, first_line, from, &text.first_line);
            events.send(Event::Data(Chunk {
                input: Arc::clone(&known.input),
                span: Span { from, to: end, first_line },
                position: position.clone(),
                read_at: FAR_FUTURE,
                content: Content::Fault(reject),
            }))?;
        }
        Ok(())
    }
}

/// Reads text that was added to a file in UTF-16 after it had been read whole.
fn read_later(reader: &mut impl Read, bytes: u64) -> io::Result<LaterText> {
    let (mut reader, mut text) = (reader.take(bytes), LaterText::default());
    let mut buffer = vec![0; 64 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(text),
            Ok(len) => text.add(&buffer[..len]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Splits a chunk so that each row with an earlier reject becomes a separate chunk with that reject.
fn apply_rejects(chunk: Chunk, rejects: &BTreeMap<u64, (Reason, Vec<u8>)>) -> Vec<Chunk> {
    let Chunk { input, span, position, read_at, content } = chunk;
    let Content::Lines(header, text) = &content else {
        return vec![Chunk { input, span, position, read_at, content }];
    };
    // The offsets of rejects in converted text cannot be found in the text itself.
    if text.growth().is_some() {
        return vec![Chunk { input, span, position, read_at, content }];
    }
    let bytes = text.as_bytes();
    let mut chunks = Vec::new();
    let (mut done, mut line) = (0, span.first_line);
    let mut push = |content, from: usize, to: usize, first_line| {
        let span = Span { from: span.from + from as u64, to: span.from + to as u64, first_line };
        chunks.push(Chunk { input: Arc::clone(&input), span, position: position.clone(), read_at, content });
    };
    let lines = |from: usize, to: usize| {
        Content::Lines(Arc::clone(header), Text::new(bytes[from..to].to_vec(), to - from))
    };
    for (offset, (reason, raw)) in rejects.range(span.from..span.to) {
        let start = (offset - span.from) as usize;
        let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |at| start + at + 1);
        let rest = without_return(bytes[start..end].strip_suffix(b"\n").unwrap_or(&bytes[start..end]));
        let reject = Reject::new(*reason, 0, *offset, rest);
        let at_line_start = start == 0 || bytes[start - 1] == b'\n';
        // The reject may belong to a different input with the same name, so the rows are compared.
        let applies = start >= done
            && escape_bytes(&reject.raw).as_bytes() == raw
            && (at_line_start || *reason == Reason::ContinuedAfterEof);
        if !applies {
            continue;
        }
        if start > done {
            push(lines(done, start), done, start, line);
            line += memchr::memchr_iter(b'\n', &bytes[done..start]).count() as u64;
        }
        push(Content::Fault(Reject { line, ..reject }), start, end, line);
        line += u64::from(bytes[end - 1] == b'\n');
        done = end;
    }
    if done < bytes.len() {
        push(lines(done, bytes.len()), done, bytes.len(), line);
    }
    chunks
}
