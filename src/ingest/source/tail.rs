//! One file of a watched folder: what makes it the same file, and how far it was read.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use crate::ingest::source::compression::Compression;
use crate::ingest::source::fingerprint::{
    FileId, FileStat, Fingerprint, HEAD, Head, UNKNOWN, are_alike, hash_tail, hash_whole, holds_what_was_read,
};
use crate::ingest::source::framing::{Eof, LineFramer};
use crate::ingest::source::send::{SendOutcome, no_tail, reject_unread, send_chunks};
use crate::ingest::source::{Closed, Event, EventSender};
use crate::model::delimiter::Delimiter;
use crate::model::shutdown::Shutdown;
use crate::model::{Input, Position, ReaderState};
use crate::time::clock::Clock;

/// A compressed file that cannot be read may still be on its way; it is judged when it has stood
/// still for this long.
const SETTLED: Duration = Duration::from_secs(2);
/// A file may have been replaced since the folder was scanned: a symbolic link is not followed, and
/// opening a pipe does not block.
const SAFE_OPEN: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits() as i32;

/// What an input was at the last commit.
#[derive(Clone, Debug)]
pub struct KnownInput {
    /// The input.
    pub input: Arc<Input>,
    /// The file.
    pub fingerprint: Fingerprint,
    /// Where reading goes on.
    pub position: Position,
}

/// How last lines without a line feed are treated.
#[derive(Clone, Copy, Debug)]
pub struct LastLines {
    /// How long one stands still until it counts.
    pub wait: Duration,
    /// Whether it counts at once.
    pub once: bool,
}

/// A file that is followed.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    id: FileId,
    storage: Compression,
    head: Head,
    /// Hash of the bytes before the offset of the cutter's mark.
    before: u128,
    /// Hash of all of a compressed file.
    whole: u128,
    framer: LineFramer,
    /// Kept open as long as the file is active, so that its end can be read when its name is gone.
    file: Option<File>,
    /// Size and times at the last look, and since when they are the same.
    seen: Option<FileStat>,
    still_since: Instant,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// A compressed file was read to its end.
    Done,
    /// It was rejected whole, so that a change of it makes it another file.
    Rejected,
    /// Bytes that were read have been changed; nobody can say what counts.
    Conflict,
}

/// What a look at a file has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The same file as before, perhaps longer.
    Same,
    /// Another file with the same beginning, up to where we have read.
    Copy,
    /// The same file, cut short.
    Truncated,
    /// The same file, but bytes that were read are others now.
    Rewritten,
    /// Another file.
    Another,
}

impl Tail {
    /// A file that was not followed before.
    pub fn new(input: Arc<Input>, path: PathBuf, metadata: &Metadata, delimiter: Delimiter) -> Self {
        Self {
            id: FileId::of(metadata),
            storage: Compression::of(&path),
            path,
            head: Head::default(),
            before: 0,
            whole: 0,
            framer: LineFramer::new(input).with_delimiter(delimiter),
            file: None,
            seen: None,
            still_since: Instant::now(),
            state: State::Reading,
        }
    }

    /// A file that was followed by an earlier process.
    pub fn resume(known: KnownInput, delimiter: Delimiter) -> Self {
        let KnownInput { input, fingerprint: Fingerprint { path, id, head, whole, stamp }, position } = known;
        let storage = Compression::of(&path);
        let state = match &position.stand {
            ReaderState::Refused | ReaderState::Faulted => State::Rejected,
            ReaderState::Finished => State::Done,
            _ => State::Reading,
        };
        // A file that was read to its end and has not changed since needs no further look.
        let unchanged = storage == Compression::Plain && position.offset == stamp.size;
        Self {
            storage,
            path,
            id,
            head,
            before: position.tail,
            whole,
            framer: LineFramer::resume(input, &position).with_delimiter(delimiter),
            file: None,
            seen: (unchanged || state != State::Reading).then_some(stamp),
            still_since: Instant::now(),
            state,
        }
    }

    /// Its identity.
    pub fn id(&self) -> &FileId {
        &self.id
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The input that it feeds.
    pub fn input(&self) -> &Arc<Input> {
        self.framer.input()
    }

    /// It has another name now.
    pub fn rename(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// Whether it was rejected for what is in it, so that a change of it is expected.
    pub fn is_rejected(&self) -> bool {
        self.state == State::Rejected
    }

    /// Whether it is kept open.
    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Gives its descriptor back.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// What the file system says of the open file, whatever has become of its name.
    pub fn metadata_of_open(&self) -> Option<Metadata> {
        self.file.as_ref().and_then(|file| file.metadata().ok())
    }

    /// For how long it has not changed.
    pub fn still(&self) -> Duration {
        self.still_since.elapsed()
    }

    /// Where reading goes on.
    pub fn offset(&self) -> u64 {
        self.framer.passed()
    }

    /// What tells its content so far from that of other files; nothing before the first row.
    pub fn content(&self) -> Option<(u64, u128, u128)> {
        let rows = self.has_rows() && self.state == State::Reading;
        rows.then_some((self.offset(), self.head.hash, self.before))
    }

    /// Whether all that it held at the last look was read as rows, so that it may be put away.
    pub fn is_finished(&self) -> bool {
        let whole =
            self.seen.is_some_and(|seen| seen.size == self.offset()) && !self.framer.has_partial_line();
        match self.storage {
            Compression::Plain => self.state == State::Reading && whole,
            Compression::Gzip | Compression::Zstd | Compression::Parquet => self.state == State::Done,
        }
    }

    /// Its size and times at the last look.
    pub fn stamp(&self) -> Option<FileStat> {
        self.seen
    }

    /// Which file the one with this metadata at `path` is.
    ///
    /// # Errors
    /// What the file system says.
    pub fn look(&self, path: &Path, metadata: &Metadata) -> io::Result<Look> {
        let id = FileId::of(metadata);
        let changed = self.seen != Some(FileStat::of(metadata));
        let rejected = self.state == State::Rejected;
        let size = metadata.len();
        if !id.may_be_same(&self.id) {
            let plain = self.storage == Compression::Plain;
            // Rotated logs share their header, and differ in what is still to be read.
            let alike = !plain || self.has_rows() && size >= self.framer.read_to();
            let copy = !rejected && alike && self.is_content_of(path, &id)? && self.rest_is_in(path, &id)?;
            return Ok(if copy { Look::Copy } else { Look::Another });
        }
        if !changed {
            return Ok(Look::Same);
        }
        if rejected {
            // A log that was refused for its header goes on being refused as it grows.
            let grown = self.storage == Compression::Plain && self.is_content_of(path, &id)?;
            return Ok(if grown { Look::Same } else { Look::Another });
        }
        if self.storage == Compression::Plain && size < self.framer.read_to() {
            return Ok(Look::Truncated);
        }
        if self.state == State::Conflict || self.is_content_of(path, &id)? {
            return Ok(Look::Same);
        }
        if self.storage != Compression::Plain && self.offset() == 0 {
            // Still on its way.
            return Ok(Look::Same);
        }
        let another = !id.is_same(&self.id) && !self.has_head_of(path, &id)?;
        Ok(if another { Look::Another } else { Look::Rewritten })
    }

    /// Whether there is more to tell it by than a header, with which all logs begin: the file that
    /// takes the place of a rotated one does so, too, and is another.
    fn has_rows(&self) -> bool {
        let Position { lines, stand, .. } = self.framer.position();
        lines > 1 || matches!(stand, ReaderState::AfterEnd(_))
    }

    /// Whether a file holds what was read of this one.
    fn is_content_of(&self, path: &Path, id: &FileId) -> io::Result<bool> {
        if self.storage != Compression::Plain {
            if self.whole == 0 {
                return Ok(true);
            }
            return Ok(hash_whole(&open(path, id)?)? == self.whole);
        }
        let opened;
        let file = match &self.file {
            Some(file) if id.may_be_same(&self.id) => file,
            _ => {
                opened = open(path, id)?;
                &opened
            }
        };
        holds_what_was_read(file, self.head, self.offset(), self.before)
    }

    /// Whether a file holds what is still to be read of this one, as far as this one is open.
    fn rest_is_in(&self, path: &Path, id: &FileId) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(true) };
        are_alike([file, &open(path, id)?], self.offset(), file.metadata()?.len())
    }

    fn has_head_of(&self, path: &Path, id: &FileId) -> io::Result<bool> {
        Ok(Head::read(&open(path, id)?, self.head.len)? == self.head)
    }

    /// It lives on as another file with the same beginning.
    pub fn move_to(&mut self, metadata: &Metadata) {
        self.id = FileId::of(metadata);
        self.file = None;
        if self.state == State::Conflict {
            self.state = State::Reading;
        }
    }

    /// Stops reading, because bytes that were read have been changed.
    pub fn give_up(&mut self, metadata: &Metadata) {
        self.state = State::Conflict;
        self.seen = Some(FileStat::of(metadata));
        self.file = None;
    }

    /// Whether there may be something to read or to end.
    pub fn is_due(&self, metadata: &Metadata) -> bool {
        match self.state {
            State::Conflict => false,
            State::Done | State::Rejected => self.seen != Some(FileStat::of(metadata)),
            State::Reading => {
                self.seen != Some(FileStat::of(metadata))
                    || self.storage != Compression::Plain
                    || self.framer.has_partial_line()
            }
        }
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// What the file system says; the inner error if nobody listens any more.
    pub fn read(
        &mut self,
        metadata: &Metadata,
        last_lines: LastLines,
        events: &EventSender,
        stop: &Shutdown,
    ) -> io::Result<Result<(), Closed>> {
        let now = Some(FileStat::of(metadata));
        if self.seen != now {
            self.still_since = Instant::now();
        }
        if self.state != State::Reading {
            self.seen = now;
            return Ok(Ok(()));
        }
        // Only what could be read counts as seen, so that everything else is tried again.
        self.seen = None;
        let read = match self.storage {
            Compression::Plain => self.read_plain(metadata, last_lines, events, stop),
            Compression::Gzip | Compression::Zstd | Compression::Parquet => {
                self.read_compressed(metadata, last_lines, events, stop)
            }
        };
        let read = read?;
        if read.is_ok() && !stop.is_requested() {
            self.seen = now;
        }
        Ok(read)
    }

    fn read_plain(
        &mut self,
        metadata: &Metadata,
        last_lines: LastLines,
        events: &EventSender,
        stop: &Shutdown,
    ) -> io::Result<Result<(), Closed>> {
        let size = metadata.len();
        let mut file = match self.file.take() {
            Some(file) => file,
            None => open(&self.path, &self.id)?,
        };
        if self.see(metadata, events).is_err() {
            return Ok(Err(Closed));
        }
        // What was cut off again, and has lost its name before it could be looked at, has no end.
        let ends = self.framer.has_partial_line()
            && size >= self.framer.read_to()
            && (last_lines.once || self.still_since.elapsed() >= last_lines.wait)
            && file.metadata()?.len() == size;
        if size > self.framer.read_to() {
            file.seek(SeekFrom::Start(self.framer.read_to()))?;
            let end = if ends { Eof::Final } else { Eof::Waiting };
            if self
                .hand_on(&mut (&file).take(size - self.framer.read_to()), &file, end, events, stop)?
                .is_err()
            {
                return Ok(Err(Closed));
            }
        } else if ends && self.hand_on(&mut io::empty(), &file, Eof::Final, events, stop)?.is_err() {
            return Ok(Err(Closed));
        }
        // Bytes that wait may still become others, so only what was read counts.
        let known = self.offset().min(HEAD as u64);
        if self.head.len < known {
            self.head = Head::read(&file, known)?;
            if self.see(metadata, events).is_err() {
                return Ok(Err(Closed));
            }
        }
        self.file = Some(file);
        if last_lines.once && !ends && self.framer.has_partial_line() {
            return self.read_plain(metadata, last_lines, events, stop);
        }
        Ok(Ok(()))
    }

    fn see(&self, metadata: &Metadata, events: &EventSender) -> Result<(), Closed> {
        let (path, id, head, whole) = (self.path.clone(), self.id, self.head, self.whole);
        let fingerprint = Fingerprint { path, id, head, whole, stamp: FileStat::of(metadata) };
        events.send(Event::Identified(Arc::clone(self.framer.input()), Box::new(fingerprint)))?;
        if self.storage == Compression::Plain {
            events.send(Event::Grown(Arc::clone(self.framer.input()), metadata.len()))?;
        }
        Ok(())
    }

    fn hand_on(
        &mut self,
        reader: &mut impl Read,
        file: &File,
        end: Eof,
        events: &EventSender,
        stop: &Shutdown,
    ) -> io::Result<Result<(), Closed>> {
        let tail = |offset| hash_tail(file, offset).unwrap_or(UNKNOWN);
        let delivered = send_chunks(&mut self.framer, reader, end, &tail, Clock::System, events, stop);
        self.framer.forget_partial_line();
        self.before = tail(self.offset());
        let delivered = delivered?;
        Ok(delivered.map(|delivered| {
            if delivered == SendOutcome::Refused {
                self.state = State::Rejected;
            }
        }))
    }

    fn read_compressed(
        &mut self,
        metadata: &Metadata,
        last_lines: LastLines,
        events: &EventSender,
        stop: &Shutdown,
    ) -> io::Result<Result<(), Closed>> {
        match self.storage.check(&self.path, self.framer.delimiter())? {
            Ok(_) => {
                let whole = hash_whole(&open(&self.path, &self.id)?)?;
                self.whole = whole;
                if self.head.len == 0 {
                    self.head = Head::read(&open(&self.path, &self.id)?, metadata.len())?;
                }
                if self.see(metadata, events).is_err() {
                    return Ok(Err(Closed));
                }
                let mut reader = self.storage.open(&self.path, self.framer.delimiter())?;
                // What was read before a restart is passed over.
                io::copy(&mut (&mut reader).take(self.framer.read_to()), &mut io::sink())?;
                let read = send_chunks(
                    &mut self.framer,
                    &mut reader,
                    Eof::Final,
                    &no_tail,
                    Clock::System,
                    events,
                    stop,
                )?;
                let Ok(delivered) = read else { return Ok(Err(Closed)) };
                self.state = match delivered {
                    SendOutcome::Refused => State::Rejected,
                    SendOutcome::Read if stop.is_requested() => State::Reading,
                    SendOutcome::Read => State::Done,
                };
                if self.state != State::Done {
                    return Ok(Ok(()));
                }
                let position = Position { stand: ReaderState::Finished, ..self.framer.position() };
                Ok(events.send(Event::Advanced(Arc::clone(self.framer.input()), position)))
            }
            Err(fault) if last_lines.once || self.still_since.elapsed() >= SETTLED => {
                self.state = State::Rejected;
                if self.see(metadata, events).is_err() {
                    return Ok(Err(Closed));
                }
                Ok(reject_unread(self.framer.input(), &fault, Clock::System, events))
            }
            Err(_) => Ok(Ok(())),
        }
    }
}

/// Opens a file that must be the one that was looked at.
fn open(path: &Path, id: &FileId) -> io::Result<File> {
    let file = File::options().read(true).custom_flags(SAFE_OPEN).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && FileId::of(&metadata).may_be_same(id) && metadata.nlink() > 0 {
        Ok(file)
    } else {
        // Whatever it is now is found at the next look.
        Err(io::ErrorKind::NotFound.into())
    }
}
