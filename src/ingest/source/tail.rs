//! A followed file, with its identity and its position.

mod comparison;
mod known;
mod whole;

use std::cell::RefCell;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ingest::source::compression::Compression;
use crate::ingest::source::content_hash::{BLOCK, ContentHash, HashingReader, block_start};
use crate::ingest::source::fingerprint::{
    FileId, FileStat, Fingerprint, HEAD, Head, UNKNOWN, hash_tail, read_range,
};
use crate::ingest::source::framing::{Eof, LineFramer};
use crate::ingest::source::log_folder::LogFolder;
use crate::ingest::source::send::{SendOutcome, send_chunks};
use crate::ingest::source::{Closed, Event, EventSender, Outbox, ReadError};
use crate::model::dialect::Dialect;
use crate::model::shutdown::Shutdown;
use crate::model::{Input, Layout, Position, ReaderState};
use crate::time::clock::Clock;

pub use crate::ingest::source::tail::comparison::Comparison;
pub use crate::ingest::source::tail::known::{KnownInput, LastLines};
pub use crate::ingest::source::tail::whole::{MAX_HELD, ReadContent};

/// A followed file.
#[derive(Debug)]
pub struct Tail {
    folder: Arc<LogFolder>,
    /// The name relative to the folder.
    name: PathBuf,
    id: FileId,
    compression: Compression,
    head: Head,
    /// Hash of the bytes before the framer's offset.
    hash_before_offset: u128,
    /// Hash of all whole blocks before the framer's offset. `None` if not known.
    blocks: Option<u128>,
    /// The bytes of an overlong line that were read after the framer's offset.
    overlong: Option<Overlong>,
    /// Whether rows were read before the last restart, or under the header of an earlier file. Otherwise, the
    /// number of lines tells whether rows were read.
    had_rows: bool,
    /// The layout of a compressed file that an earlier process has read to its end.
    last_layout: Option<Arc<Layout>>,
    /// The maximum number of bytes of text to hold back while a compressed file is checked.
    max_held: u64,
    /// Hash of the whole file if it is read whole, else 0.
    whole: u128,
    /// Number of bytes in this hash.
    whole_size: u64,
    /// Size and times of a file in UTF-16 that has grown after it was read.
    growing: Option<FileStat>,
    framer: LineFramer,
    /// The open file. It stays open while it is active. If its name disappears, it can therefore still
    /// be read to its end.
    file: Option<File>,
    /// Size and times at the last complete read.
    last_stat: Option<FileStat>,
    /// Size and times in the last fingerprint.
    noted_stat: Option<FileStat>,
    /// Whether the name or the file has changed since the last fingerprint.
    has_moved: bool,
    unchanged_since: Instant,
    state: State,
}

/// What was read of a line that is too long and has no end yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Overlong {
    /// Hash of the bytes before the framer's read offset.
    tail: u128,
    /// Hash of all whole blocks before the framer's read offset.
    blocks: Option<u128>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// A compressed file was read to its end.
    Done,
    /// The file was rejected as a whole. If it changes, it counts as a different file.
    Rejected,
    /// Bytes were overwritten after they had been read, so it is unclear which rows count.
    Conflict,
}

impl Tail {
    /// A tail at the beginning of the file `name` in `folder`.
    pub fn new(
        input: Arc<Input>,
        folder: Arc<LogFolder>,
        name: PathBuf,
        metadata: &Metadata,
        dialect: &Arc<Dialect>,
    ) -> Self {
        Self {
            id: FileId::of(metadata),
            compression: Compression::of(&name),
            head: Head::default(),
            hash_before_offset: 0,
            blocks: Some(0),
            overlong: None,
            had_rows: false,
            last_layout: None,
            max_held: MAX_HELD,
            whole: 0,
            whole_size: 0,
            growing: None,
            framer: LineFramer::new(input).with_dialect(dialect, &name),
            folder,
            name,
            file: None,
            last_stat: None,
            noted_stat: None,
            has_moved: false,
            unchanged_since: Instant::now(),
            state: State::Reading,
        }
    }

    /// Restores a tail that an earlier process committed. `folder` is the folder of its file.
    pub fn resume(known: KnownInput, folder: Arc<LogFolder>, dialect: &Arc<Dialect>) -> Self {
        let KnownInput { input, fingerprint, position, layout, rows, .. } = known;
        let Fingerprint { name, retired: _, id, head, whole, stat } = fingerprint;
        let compression = match Compression::of(&name) {
            // Of plain text, only text in UTF-16 has this hash.
            Compression::Plain if whole != 0 => Compression::Utf16,
            other => other,
        };
        let state = match &position.state {
            ReaderState::Refused | ReaderState::Faulted => State::Rejected,
            ReaderState::Finished => State::Done,
            _ => State::Reading,
        };
        // A file that was read to its end is opened only if it has changed since then.
        let unchanged = match compression {
            Compression::Plain => position.offset == stat.size,
            // A part that was added later may not be rejected yet.
            Compression::Utf16 => state != State::Done || position.tail == u128::from(stat.size),
            _ => true,
        };
        Self {
            compression,
            id,
            head,
            hash_before_offset: position.tail,
            // The first block is not whole yet, so there is nothing to know about it.
            blocks: position.blocks.or((position.offset < BLOCK).then_some(0)),
            overlong: None,
            // A file that was rejected as a whole has one row, which is no row of the log.
            had_rows: rows > u64::from(state == State::Rejected),
            last_layout: layout,
            max_held: MAX_HELD,
            whole,
            whole_size: stat.size,
            growing: None,
            framer: LineFramer::resume(input, &position).with_dialect(dialect, &name),
            folder,
            name,
            file: None,
            last_stat: (unchanged && (compression.is_plain() || state != State::Reading)
                || state == State::Rejected)
                .then_some(stat),
            noted_stat: Some(stat),
            has_moved: false,
            unchanged_since: Instant::now(),
            state,
        }
    }

    /// Sets the layout of an earlier file with the same name. It applies if this file has no header.
    #[must_use]
    pub fn with_earlier_layout(mut self, earlier: Option<Arc<Layout>>) -> Self {
        self.framer = self.framer.with_earlier_layout(earlier);
        self
    }

    /// The last known layout of the file.
    pub fn layout(&self) -> Option<&Arc<Layout>> {
        self.framer.layout().or(self.last_layout.as_ref())
    }

    /// The identity of the file.
    pub fn id(&self) -> &FileId {
        &self.id
    }

    /// The last known name of the file, relative to its folder.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The last known path of the file.
    pub fn path(&self) -> PathBuf {
        self.folder.path.join(&self.name)
    }

    /// Whether the file was archived or deleted.
    pub fn is_retired(&self) -> bool {
        self.folder.is_archive
    }

    /// The input that the file belongs to.
    pub fn input(&self) -> &Arc<Input> {
        self.framer.input()
    }

    /// Changes the name, and perhaps the folder, after the file was renamed.
    pub fn rename(&mut self, folder: Arc<LogFolder>, name: PathBuf) {
        self.has_moved = true;
        (self.folder, self.name) = (folder, name);
    }

    /// Whether the file was rejected because of its content. If so, a repaired file is expected to
    /// replace it.
    pub fn is_rejected(&self) -> bool {
        self.state == State::Rejected
    }

    /// Whether the file is open.
    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Closes the file. The next read opens it again.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// The metadata of the open file. The file may no longer have a name.
    pub fn open_metadata(&self) -> Option<Metadata> {
        self.file.as_ref().and_then(|file| file.metadata().ok())
    }

    /// The metadata of the file at the last known path. It may be a different file.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.folder.metadata(&self.name)
    }

    /// Whether the file still has its last known path.
    pub fn has_its_path(&self) -> bool {
        self.folder.metadata(&self.name).is_ok_and(|metadata| FileId::of(&metadata).may_be_same(&self.id))
    }

    /// Changes the number of the device.
    pub fn set_device(&mut self, device: u64) {
        self.id = self.id.on_device(device);
    }

    /// Whether the followed file is at its path, but its device has the number `device` now.
    pub fn is_on_device(&self, device: u64) -> bool {
        let Ok(metadata) = self.folder.metadata(&self.name) else { return false };
        let (found, renumbered) = (FileId::of(&metadata), self.id.on_device(device));
        let same_stat = || self.noted_stat.is_some_and(|noted| FileStat::of(&metadata).is_copy_of(&noted));
        found.is_same(&renumbered) || found.may_be_same(&renumbered) && same_stat()
    }

    /// How long the file has been unchanged.
    pub fn unchanged_for(&self) -> Duration {
        self.unchanged_since.elapsed()
    }

    /// The offset at which reading resumes.
    pub fn offset(&self) -> u64 {
        self.framer.offset()
    }

    /// A key for the content that was read: the offset, and the hashes of head and tail. For a compressed
    /// file, it is made of the hash of the whole file. `None` before the first row.
    pub fn content_key(&self) -> Option<(u64, u128, u128)> {
        match self.state {
            State::Reading if self.compression == Compression::Plain && self.has_rows() => {
                Some((self.offset(), self.head.hash, self.hash_before_offset))
            }
            State::Done if self.has_rows() => Some((u64::MAX, self.whole, 0)),
            _ => None,
        }
    }

    /// Whether the whole file was read and accepted, so that it may be archived.
    pub fn is_finished(&self) -> bool {
        let is_complete =
            self.last_stat.is_some_and(|stat| stat.size == self.offset()) && !self.framer.has_partial_line();
        match self.compression {
            Compression::Plain => self.state == State::Reading && is_complete,
            _ => self.state == State::Done,
        }
    }

    /// Size and times of the file at the last complete read.
    pub fn last_stat(&self) -> Option<FileStat> {
        self.last_stat
    }

    /// Continues in a different file with the same content.
    pub fn switch_to(&mut self, metadata: &Metadata) {
        self.id = FileId::of(metadata);
        self.has_moved = true;
        self.file = None;
        if self.state == State::Conflict {
            self.state = State::Reading;
        }
    }

    /// Stops reading the file, because bytes were overwritten after they had been read.
    pub fn give_up(&mut self, metadata: &Metadata) {
        self.state = State::Conflict;
        self.last_stat = Some(FileStat::of(metadata));
        self.file = None;
    }

    /// Whether there may be new bytes to read, or a last line to complete.
    pub fn is_due(&self, metadata: &Metadata) -> bool {
        match self.state {
            State::Conflict => false,
            State::Done | State::Rejected => self.has_moved || self.last_stat != Some(FileStat::of(metadata)),
            State::Reading => {
                self.has_moved
                    || self.last_stat != Some(FileStat::of(metadata))
                    || self.compression != Compression::Plain
                    || self.framer.has_partial_line()
            }
        }
    }

    /// Reads new bytes and sends them as chunks.
    ///
    /// # Errors
    /// An error of the file system, or a closed channel.
    pub fn read(
        &mut self,
        metadata: &Metadata,
        last_lines: LastLines,
        events: &EventSender,
        shutdown: &Shutdown,
    ) -> Result<(), ReadError> {
        if self.has_grown(metadata) {
            return self.reject_growth(metadata, last_lines, events);
        }
        let stat = Some(FileStat::of(metadata));
        if self.last_stat != stat {
            self.unchanged_since = Instant::now();
        }
        if self.state != State::Reading {
            self.last_stat = stat;
            if self.has_moved {
                self.send_identity(metadata, events)?;
            }
            return Ok(());
        }
        // `last_stat` is set again only after a complete read, so that a failed read is repeated.
        self.last_stat = None;
        if self.compression.is_plain() && self.framer.read_offset() == 0 {
            self.detect_utf16()?;
        }
        match self.compression {
            Compression::Plain => self.read_plain(metadata, last_lines, events, shutdown)?,
            _ => self.read_whole(metadata, last_lines, events, shutdown)?,
        }
        if !shutdown.is_requested() {
            self.last_stat = stat;
        }
        Ok(())
    }

    fn read_plain(
        &mut self,
        metadata: &Metadata,
        last_lines: LastLines,
        events: &EventSender,
        shutdown: &Shutdown,
    ) -> Result<(), ReadError> {
        let size = metadata.len();
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.folder.open(&self.path(), &self.id)?,
        };
        self.send_identity(metadata, events)?;
        let has_partial_line = self.framer.has_partial_line();
        if let Some(overlong) = self.overlong
            && size >= self.framer.read_offset()
            && hash_tail(&file, self.framer.read_offset())? != overlong.tail
        {
            // The file was truncated within the line, and then more was written to it.
            self.framer.rewind();
            self.overlong = None;
        }
        // The size is checked again. If the file was truncated and lost its name before this read, its
        // last line is not complete.
        let is_final = has_partial_line
            && size >= self.framer.read_offset()
            && (last_lines.once || self.unchanged_since.elapsed() >= last_lines.wait)
            && file.metadata()?.len() == size;
        if size > self.framer.read_offset() {
            file.seek(SeekFrom::Start(self.framer.read_offset()))?;
            let eof = if is_final { Eof::Final } else { Eof::MayGrow };
            let unread = size - self.framer.read_offset();
            self.send_lines(unread, &file, eof, events, shutdown)?;
        } else if is_final {
            self.send_lines(0, &file, Eof::Final, events, shutdown)?;
        }
        // Bytes of an incomplete line may still change, so the head covers only framed bytes.
        let known = self.offset().min(HEAD as u64);
        if self.head.len < known {
            self.head = Head::read(&file, known)?;
            self.send_identity(metadata, events)?;
        }
        self.file = Some(file);
        if last_lines.once && !is_final && self.framer.has_partial_line() {
            return self.read_plain(metadata, last_lines, events, shutdown);
        }
        Ok(())
    }

    /// Sends the fingerprint again, because the file was archived or deleted. `stat` is the size and the
    /// times of the file when it was read.
    ///
    /// # Errors
    /// A closed channel.
    pub fn send_retired(&mut self, stat: FileStat, events: &EventSender) -> Result<(), Closed> {
        self.send_fingerprint(stat, events)
    }

    fn send_fingerprint(&mut self, stat: FileStat, events: &EventSender) -> Result<(), Closed> {
        let (name, id, head, whole) = (self.name.clone(), self.id, self.head, self.whole);
        let fingerprint = Fingerprint { name, retired: self.is_retired(), id, head, whole, stat };
        (self.noted_stat, self.has_moved) = (Some(stat), false);
        events.send(Event::Identified(Arc::clone(self.framer.input()), Box::new(fingerprint)))
    }

    fn send_identity(&mut self, metadata: &Metadata, events: &EventSender) -> Result<(), Closed> {
        self.send_fingerprint(FileStat::of(metadata), events)?;
        if self.compression == Compression::Plain {
            events.send(Event::Grown(Arc::clone(self.framer.input()), metadata.len()))?;
        }
        Ok(())
    }

    fn send_lines(
        &mut self,
        unread: u64,
        file: &File,
        eof: Eof,
        events: &EventSender,
        shutdown: &Shutdown,
    ) -> Result<(), ReadError> {
        let hash = self.content_hash(file)?.map(RefCell::new);
        let mut reader = HashingReader { inner: file.take(unread), hash: hash.as_ref() };
        // The bytes before the first offset were compared or hashed before. They may have changed since then.
        let (before, known) = (self.offset(), self.hash_before_offset);
        let tail = |offset| match known {
            known if offset == before && known != UNKNOWN => known,
            _ => hash_tail(file, offset).unwrap_or(UNKNOWN),
        };
        let blocks = |offset| hash.as_ref()?.borrow_mut().at(offset);
        let add_hashes = |position: &mut Position| {
            position.tail = tail(position.offset);
            position.blocks = blocks(position.offset);
        };
        let clock = Clock::System;
        let started = self.framer.layout().is_some();
        let outbox = &mut Outbox::new(events);
        let outcome = send_chunks(&mut self.framer, &mut reader, eof, &add_hashes, clock, outbox, shutdown);
        self.framer.forget_partial_line();
        let (offset, read_offset) = (self.offset(), self.framer.read_offset());
        (self.hash_before_offset, self.blocks) = (tail(offset), blocks(offset));
        let overlong = || Overlong { tail: tail(read_offset), blocks: blocks(read_offset) };
        self.overlong = (read_offset > offset).then(overlong);
        self.had_rows |= !started && offset > 0 && self.framer.used_earlier_layout();
        if outcome? == SendOutcome::Refused {
            self.state = State::Rejected;
        }
        Ok(())
    }

    /// The hash of everything before the framer's read offset. `None` if it is not known.
    fn content_hash(&self, file: &File) -> io::Result<Option<ContentHash>> {
        let blocks = self.overlong.map_or(self.blocks, |overlong| overlong.blocks);
        let (Some(at_offset), Some(at_read)) = (self.blocks, blocks) else { return Ok(None) };
        let read_offset = self.framer.read_offset();
        let start = block_start(read_offset);
        let rest = read_range(file, start, read_offset - start)?;
        if rest.len() as u64 != read_offset - start {
            return Ok(None);
        }
        let hash = ContentHash::resume(read_offset, at_read, rest);
        Ok(Some(hash.with_earlier(self.offset(), at_offset)))
    }
}
