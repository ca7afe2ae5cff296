//! The committed inputs as a source: exactly the bytes that were taken in, with what was decided
//! about a row when it was first read.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use crate::ingest::decode::line::without_return;
use crate::ingest::decode::record::Record;
use crate::ingest::source::compression::Compression;
use crate::ingest::source::framing::{Eof, Frame, LineFramer};
use crate::ingest::source::send::reject_unread;
use crate::ingest::source::tail::KnownInput;
use crate::ingest::source::{Event, EventSender, ReadError};
use crate::model::delimiter::Delimiter;
use crate::model::error::{Error, FileRole, Op};

use crate::model::shutdown::Shutdown;
use crate::model::{Chunk, Content, ReaderState, Reason, Reject, Span, Text};
use crate::text::escape_bytes;
use crate::time::clock::Clock;

/// Rows whose reject depends on when they were read: by the label of their input and their offset
/// the reason, and the row as it stands in `_rejects`.
pub type Decisions = HashMap<String, BTreeMap<u64, (Reason, Vec<u8>)>>;

/// Picks such rows out of lines of `_rejects`.
pub fn decisions<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Decisions {
    let mut decisions = Decisions::new();
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
        decisions.entry(label).or_default().insert(offset, (reason, record.field(4).to_vec()));
    }
    decisions
}

/// The inputs of a generation.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Inputs and where they are now.
    pub inputs: Vec<(KnownInput, PathBuf)>,
    /// What parts their fields.
    pub delimiter: Delimiter,
    /// What was decided.
    pub decisions: Arc<Decisions>,
    /// What counts as now; without it, decisions stand and all other rows are early enough.
    pub now: Option<i64>,
}

/// So late that no play is too far in the future.
const LATE: i64 = 1 << 40;

impl Committed {
    /// Reads everything.
    ///
    /// # Errors
    /// The first input that cannot be read, exit code 66.
    pub fn run(&self, events: &EventSender, stop: &Shutdown) -> Result<(), Error> {
        for (known, path) in &self.inputs {
            match self.read(known, path, events, stop) {
                Ok(()) => {}
                Err(ReadError::Failed(cause)) => {
                    return Err(Error::file(FileRole::Input, Op::Read, path, cause));
                }
                Err(ReadError::Closed) => break,
            }
            if stop.is_requested() {
                break;
            }
        }
        Ok(())
    }

    fn read(
        &self,
        known: &KnownInput,
        path: &PathBuf,
        events: &EventSender,
        stop: &Shutdown,
    ) -> Result<(), ReadError> {
        let storage = Compression::of(path);
        if known.position.state == ReaderState::Faulted {
            if let Err(fault) = storage.check(path, self.delimiter)? {
                reject_unread(&known.input, &fault, Clock::System, events)?;
            }
            return Ok(());
        }
        let reader: Box<dyn Read> = match storage {
            Compression::Plain => Box::new(File::open(path)?),
            Compression::Gzip | Compression::Zstd | Compression::Parquet => {
                storage.open(path, self.delimiter)?
            }
        };
        let mut reader = reader.take(known.position.offset);
        let end = match known.position.state {
            ReaderState::Start | ReaderState::Lines(_) => Eof::MayGrow,
            ReaderState::AfterEnd(_)
            | ReaderState::Finished
            | ReaderState::Refused
            | ReaderState::Faulted => Eof::Final,
        };
        let nothing = BTreeMap::new();
        let decisions = self.decisions.get(&known.input.label).filter(|_| self.now.is_none());
        let decisions = decisions.unwrap_or(&nothing);
        let mut framer = LineFramer::new(Arc::clone(&known.input)).with_delimiter(self.delimiter);
        while !stop.is_requested() {
            let chunk = match framer.next(&mut reader, end, self.now.unwrap_or(LATE))? {
                Frame::Chunk(chunk) | Frame::Refused(chunk, _) => chunk,
                Frame::Ignored(_) => continue,
                Frame::End => break,
            };
            for chunk in decide(chunk, decisions) {
                events.send(Event::Data(chunk))?;
            }
        }
        Ok(())
    }
}

/// Takes the rows out of a chunk about which something was decided.
fn decide(chunk: Chunk, decisions: &BTreeMap<u64, (Reason, Vec<u8>)>) -> Vec<Chunk> {
    let Chunk { input, span, position, read_at, content } = chunk;
    let Content::Lines(header, text) = &content else {
        return vec![Chunk { input, span, position, read_at, content }];
    };
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
    for (offset, (reason, raw)) in decisions.range(span.from..span.to) {
        let start = (offset - span.from) as usize;
        let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |at| start + at + 1);
        let rest = without_return(bytes[start..end].strip_suffix(b"\n").unwrap_or(&bytes[start..end]));
        let reject = Reject::new(*reason, 0, *offset, rest);
        let whole_line = start == 0 || bytes[start - 1] == b'\n';
        // Another input may have had the same name.
        let applies = start >= done
            && escape_bytes(&reject.raw).as_bytes() == raw
            && (whole_line || *reason == Reason::ContinuedAfterEof);
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
