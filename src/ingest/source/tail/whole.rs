//! Files that are read whole: compressed files, Parquet, and text in UTF-16. Also compares plain logs with
//! compressed files.

use std::fs::Metadata;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ingest::decode::header::HeaderFault;
use crate::ingest::source::compression::Compression;
use crate::ingest::source::fingerprint::{
    FileId, FileStat, Head, UNKNOWN, hash_prefix, hash_whole, read_range,
};
use crate::ingest::source::framing::{Eof, LineFramer};
use crate::ingest::source::packed::{CheckedText, PackedText, check};
use crate::ingest::source::send::{SendOutcome, no_hashes, reject_unread, send_chunks};
use crate::ingest::source::tail::{LastLines, State, Tail};
use crate::ingest::source::utf16::{ByteOrder, LaterText};
use crate::ingest::source::{Event, EventSender, Outbox, ReadError};
use crate::model::shutdown::Shutdown;
use crate::model::{Chunk, Content, Position, ReaderState, Reason, Reject, Span};
use crate::time::clock::Clock;

/// How long a damaged compressed file must be unchanged before it is rejected. Until then, a program may
/// still be copying the file.
const REJECT_DAMAGED_AFTER: Duration = Duration::from_secs(2);

/// Everything that was read of a plain log, for a comparison with a compressed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadContent {
    /// The number of bytes.
    pub offset: u64,
    /// Hash of the last bytes.
    pub tail: u128,
    /// Hash of all whole blocks. `None` if not known.
    pub blocks: Option<u128>,
}

/// The maximum number of bytes of text to hold back until the file of the text is checked. A file with more text is
/// decompressed twice: once for the check, and once for its rows.
pub const MAX_HELD: u64 = 64 << 20;

/// A compressed file that is sound. Its rows are not sent yet.
struct Framed<'a> {
    /// The framer after the file.
    framer: LineFramer,
    /// The rows.
    outbox: Outbox<'a>,
    outcome: SendOutcome,
}

impl Tail {
    /// Changes the number of bytes of text that are held back while a compressed file is checked.
    #[must_use]
    pub fn with_max_held(self, max_held: u64) -> Self {
        Self { max_held, ..self }
    }

    /// Everything that was read of a plain log with at least one row. A compressed file with the same text
    /// may be the same log.
    pub fn read_content(&self) -> Option<ReadContent> {
        let content =
            ReadContent { offset: self.offset(), tail: self.hash_before_offset, blocks: self.blocks };
        let is_comparable = self.compression.is_plain()
            && self.state != State::Conflict
            && self.has_rows()
            && self.hash_before_offset != UNKNOWN;
        is_comparable.then_some(content)
    }

    /// The hash of the beginning of the file.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Continues in a compressed file that contains everything that was read of this plain log. The name of
    /// the compressed file must be set before.
    pub fn continue_compressed(&mut self, metadata: &Metadata) {
        let position = self.framer.position();
        let framer = LineFramer::resume(Arc::clone(self.input()), &position);
        self.framer = framer.with_dialect(&Arc::clone(self.framer.dialect()), &self.name);
        self.compression = Compression::of(&self.name);
        (self.id, self.head, self.whole) = (FileId::of(metadata), Head::default(), 0);
        (self.file, self.last_stat, self.overlong) = (None, None, None);
    }

    /// Finishes a compressed file without reading it, because all its rows were read from a plain file.
    ///
    /// # Errors
    /// An error of the file system, or a closed channel.
    pub fn finish_unread(&mut self, metadata: &Metadata, events: &EventSender) -> Result<(), ReadError> {
        let file = self.folder.open(&self.path(), &self.id)?;
        (self.whole, self.whole_size) = (hash_whole(&file)?, metadata.len());
        self.head = Head::read(&file, metadata.len())?;
        (self.state, self.last_stat) = (State::Done, Some(FileStat::of(metadata)));
        self.send_identity(metadata, events)?;
        let position = Position { state: ReaderState::Finished, ..Position::default() };
        events.send(Event::Advanced(Arc::clone(self.input()), position))?;
        Ok(())
    }

    pub(super) fn read_whole(
        &mut self,
        metadata: &Metadata,
        last_lines: LastLines,
        events: &EventSender,
        shutdown: &Shutdown,
    ) -> Result<(), ReadError> {
        let is_utf16 = self.compression == Compression::Utf16;
        // A file that still grows may be incomplete, so it is not read yet. A read that has begun is continued.
        if is_utf16 && self.whole == 0 && !last_lines.once && self.unchanged_since.elapsed() < last_lines.wait
        {
            return Ok(());
        }
        let framed = match self.check_whole(events, shutdown)? {
            Ok(_) if shutdown.is_requested() => return Ok(()),
            Ok(framed) => framed,
            Err(fault) => {
                if last_lines.once || self.unchanged_since.elapsed() >= REJECT_DAMAGED_AFTER {
                    self.hash_file(metadata)?;
                    self.state = State::Rejected;
                    self.send_identity(metadata, events)?;
                    reject_unread(self.framer.input(), &fault, Clock::System, &mut Outbox::new(events))?;
                }
                return Ok(());
            }
        };
        self.hash_file(metadata)?;
        if self.head.len == 0 {
            self.head = Head::read(&self.folder.open(&self.path(), &self.id)?, metadata.len())?;
        }
        self.send_identity(metadata, events)?;
        let outcome = match framed {
            Some(Framed { framer, outbox, outcome }) => {
                self.framer = framer;
                outbox.release()?;
                outcome
            }
            None => self.send_whole(events, shutdown)?,
        };
        self.state = match outcome {
            SendOutcome::Refused => State::Rejected,
            SendOutcome::Sent if shutdown.is_requested() => State::Reading,
            SendOutcome::Sent => State::Done,
        };
        if self.state == State::Done {
            let mut position = Position { state: ReaderState::Finished, ..self.framer.position() };
            if is_utf16 {
                self.hash_before_offset = self.whole_size.into();
                position.tail = self.hash_before_offset;
            }
            events.send(Event::Advanced(Arc::clone(self.framer.input()), position))?;
        }
        Ok(())
    }

    /// Reads the file to its end, and sends nothing. Returns the fault if the file must be rejected. The rows of a
    /// compressed file are framed in the same pass, unless there are too many.
    fn check_whole<'a>(
        &self,
        events: &'a EventSender,
        shutdown: &Shutdown,
    ) -> io::Result<Result<Option<Framed<'a>>, HeaderFault>> {
        let (path, wanted) = (self.path(), self.framer.dialect().columns.wanted());
        if !self.compression.is_packed() {
            return Ok(check(self.compression, &path, wanted)?.map(|_| None));
        }
        let mut text = PackedText::open(self.compression, &path, wanted)?;
        let (mut framer, mut outbox) = (self.framer.clone(), Outbox::holding(events, self.max_held));
        framer.set_utf8(text.is_utf16());
        let outcome = framer.begin_compressed(&mut text).map_err(ReadError::from).and_then(|()| {
            let clock = Clock::System;
            send_chunks(&mut framer, &mut text, Eof::Final, &no_hashes, clock, &mut outbox, shutdown)
        });
        if shutdown.is_requested() {
            return Ok(Ok(None));
        }
        Ok(text.finish().map(|_| {
            let outcome = outcome.ok().filter(|_| !outbox.has_overflowed())?;
            Some(Framed { framer, outbox, outcome })
        }))
    }

    /// Reads the file, which was checked before, and sends its rows as they come.
    fn send_whole(&mut self, events: &EventSender, shutdown: &Shutdown) -> Result<SendOutcome, ReadError> {
        let mut reader: Box<dyn Read> = if self.compression == Compression::Utf16 {
            let file = self.folder.open(&self.path(), &self.id)?;
            self.compression.decode(file.take(self.whole_size))?
        } else {
            self.compression.open(&self.path(), self.framer.dialect().columns.wanted())?
        };
        self.framer.find_typed_cells(&self.path());
        self.framer.begin_compressed(&mut reader)?;
        send_chunks(
            &mut self.framer,
            &mut reader,
            Eof::Final,
            &no_hashes,
            Clock::System,
            &mut Outbox::new(events),
            shutdown,
        )
    }

    /// Hashes the whole file. Of text in UTF-16, only the bytes that are read belong to the hash, because such a
    /// file may grow.
    fn hash_file(&mut self, metadata: &Metadata) -> io::Result<()> {
        let file = self.folder.open(&self.path(), &self.id)?;
        if self.compression != Compression::Utf16 {
            (self.whole, self.whole_size) = (hash_whole(&file)?, metadata.len());
        } else if self.whole == 0 {
            (self.whole, self.whole_size) = (hash_prefix(&file, metadata.len())?, metadata.len());
        }
        Ok(())
    }

    /// Detects text in UTF-16 before the first byte is read.
    ///
    /// # Errors
    /// An error of the file system.
    pub(super) fn detect_utf16(&mut self) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.folder.open(&self.path(), &self.id)?,
        };
        if ByteOrder::of(&read_range(&file, 0, 2)?).is_some() {
            self.compression = Compression::Utf16;
        } else {
            self.file = Some(file);
        }
        Ok(())
    }

    /// Number of bytes of a file in UTF-16 that were read or rejected. The position keeps it in the place of the
    /// hash of the tail.
    pub(super) fn read_bytes(&self) -> u64 {
        self.hash_before_offset as u64
    }

    /// Whether a file in UTF-16 has become longer after it was read whole.
    pub(super) fn has_grown(&self, metadata: &Metadata) -> bool {
        self.compression == Compression::Utf16
            && self.state == State::Done
            && metadata.len() > self.read_bytes()
    }

    /// Rejects the text that was added to a file in UTF-16 after it was read whole, as soon as the file does not
    /// grow any more.
    pub(super) fn reject_growth(
        &mut self,
        metadata: &Metadata,
        last_lines: LastLines,
        events: &EventSender,
    ) -> Result<(), ReadError> {
        let stat = FileStat::of(metadata);
        if self.growing != Some(stat) {
            (self.growing, self.unchanged_since) = (Some(stat), Instant::now());
        }
        if !last_lines.once && self.unchanged_since.elapsed() < last_lines.wait {
            return Ok(());
        }
        let file = self.folder.open(&self.path(), &self.id)?;
        let later = LaterText::read(&file, self.read_bytes(), metadata.len())?;
        (self.whole, self.whole_size) = (hash_prefix(&file, metadata.len())?, metadata.len());
        self.send_identity(metadata, events)?;
        let Position { offset, lines, .. } = self.framer.position();
        self.hash_before_offset = metadata.len().into();
        let position = Position {
            offset: offset + later.bytes,
            lines: lines + later.line_feeds,
            state: ReaderState::Finished,
            tail: self.hash_before_offset,
            blocks: None,
        };
        let input = Arc::clone(self.input());
        self.last_layout = self.layout().cloned();
        let framer = LineFramer::resume(Arc::clone(&input), &position);
        self.framer = framer.with_dialect(&Arc::clone(self.framer.dialect()), &self.name);
        let reject = Reject::new(Reason::ContinuedAfterEof, lines + 1, offset, &later.first_line);
        events.send(Event::Data(Chunk {
            input,
            span: Span { from: offset, to: position.offset, first_line: lines + 1 },
            position,
            read_at: Clock::System.now(),
            content: Content::Fault(reject),
        }))?;
        (self.last_stat, self.growing) = (Some(stat), None);
        Ok(())
    }
}
