//! One file of a watched folder: what makes it the same file, and how far it was read.

use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_128;

use crate::clock::Clock;
use crate::model::Input;
use crate::source::compressed::Storage;
use crate::source::deliver::{Delivered, deliver, reject_unread};
use crate::source::lines::{End, LineCutter};
use crate::source::{Closed, Event, Outlet, Stop};

/// What a file is called by the file system, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Of a file.
    pub fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Bytes at the beginning of a file that tell it from another one with the same inode.
const HEAD: usize = 4096;
/// A compressed file that cannot be read may still be on its way; it is judged when it has stood
/// still for this long.
const SETTLED: Duration = Duration::from_secs(2);

/// The beginning of a file; grows with it up to [`HEAD`] bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    len: usize,
    hash: u128,
}

impl Head {
    fn read(file: &File, len: usize) -> io::Result<Self> {
        let mut bytes = vec![0; len.min(HEAD)];
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read_at(&mut bytes[filled..], filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(Self { len: filled, hash: xxh3_128(&bytes[..filled]) })
    }
}

/// A file that is followed.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    id: FileId,
    storage: Storage,
    head: Head,
    cutter: LineCutter,
    /// Size and time of change at the last look, and since when they are the same.
    seen: Option<Stamp>,
    still_since: Instant,
    /// Nothing more is expected: a compressed file was read, or one was rejected whole.
    done: bool,
    /// A compressed file was rejected; should it change, it is another file.
    faulted: bool,
}

/// Size and time of the last change.
type Stamp = (u64, i64, i64);

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

/// What a look at a file has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The same file as before, perhaps longer.
    Same,
    /// Another file has taken its place, or it was cut short.
    Another,
}

impl Tail {
    /// A file that was not followed before.
    pub fn new(input: Arc<Input>, path: PathBuf, metadata: &Metadata) -> Self {
        Self {
            id: FileId::of(metadata),
            storage: Storage::of(&path),
            path,
            head: Head::default(),
            cutter: LineCutter::new(input),
            seen: None,
            still_since: Instant::now(),
            done: false,
            faulted: false,
        }
    }

    /// Its identity.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It has another name now.
    pub fn rename(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// Whether it was rejected for what is in it, so that a change of it is expected.
    pub fn is_faulted(&self) -> bool {
        self.faulted
    }

    /// Whether the file with this metadata at `path` is this one.
    ///
    /// # Errors
    /// What the file system says.
    pub fn look(&self, path: &Path, metadata: &Metadata) -> io::Result<Look> {
        let shorter = self.storage == Storage::Plain && metadata.len() < self.cutter.read_to();
        let changed = self.seen != Some(stamp(metadata));
        if FileId::of(metadata) != self.id || shorter || (self.faulted && changed) {
            return Ok(Look::Another);
        }
        if !changed || self.head.len == 0 {
            return Ok(Look::Same);
        }
        let head = Head::read(&File::open(path)?, self.head.len)?;
        Ok(if head == self.head { Look::Same } else { Look::Another })
    }

    /// Whether there may be something to read or to end.
    pub fn is_due(&self, metadata: &Metadata) -> bool {
        self.seen != Some(stamp(metadata))
            || (self.storage != Storage::Plain && !self.done)
            || self.cutter.has_partial_line()
    }

    /// Reads what is new. `last_line_wait` is how long a last line without line feed may stand
    /// still until it counts; with `once` it counts at once.
    ///
    /// # Errors
    /// What the file system says; the inner error if nobody listens any more.
    pub fn read(
        &mut self,
        metadata: &Metadata,
        last_line_wait: Duration,
        once: bool,
        outlet: &Outlet,
        stop: &Stop,
    ) -> io::Result<Result<(), Closed>> {
        let now = Some(stamp(metadata));
        if self.seen != now {
            self.still_since = Instant::now();
        }
        if self.done {
            self.seen = now;
            return Ok(Ok(()));
        }
        // Only what could be read counts as seen, so that everything else is tried again.
        self.seen = None;
        let read = self.read_new(metadata.len(), last_line_wait, once, outlet, stop)?;
        self.seen = now;
        Ok(read)
    }

    fn read_new(
        &mut self,
        size: u64,
        last_line_wait: Duration,
        once: bool,
        outlet: &Outlet,
        stop: &Stop,
    ) -> io::Result<Result<(), Closed>> {
        if self.storage != Storage::Plain {
            return self.read_compressed(once, outlet, stop);
        }
        let mut file = File::open(&self.path)?;
        if self.head.len < HEAD {
            self.head = Head::read(&file, size as usize)?;
        }
        if outlet.send(Event::Size(Arc::clone(self.cutter.input()), size)).is_err() {
            return Ok(Err(Closed));
        }
        if size > self.cutter.read_to() {
            file.seek(SeekFrom::Start(self.cutter.read_to()))?;
            if self.hand_on(&mut file, End::Waiting, outlet, stop)?.is_err() {
                return Ok(Err(Closed));
            }
        }
        if self.cutter.has_partial_line() && (once || self.still_since.elapsed() >= last_line_wait) {
            return self.hand_on(&mut io::empty(), End::Final, outlet, stop);
        }
        Ok(Ok(()))
    }

    fn read_compressed(
        &mut self,
        once: bool,
        outlet: &Outlet,
        stop: &Stop,
    ) -> io::Result<Result<(), Closed>> {
        match self.storage.check(&self.path)? {
            Ok(_) => {
                self.done = true;
                let mut reader = self.storage.open(&self.path)?;
                self.hand_on(&mut reader, End::Final, outlet, stop)
            }
            Err(fault) if once || self.still_since.elapsed() >= SETTLED => {
                (self.done, self.faulted) = (true, true);
                Ok(reject_unread(self.cutter.input(), &fault, Clock::System, outlet))
            }
            Err(_) => Ok(Ok(())),
        }
    }

    fn hand_on(
        &mut self,
        reader: &mut impl io::Read,
        end: End,
        outlet: &Outlet,
        stop: &Stop,
    ) -> io::Result<Result<(), Closed>> {
        let delivered = deliver(&mut self.cutter, reader, end, Clock::System, outlet, stop)?;
        Ok(delivered.map(|delivered| self.done |= delivered == Delivered::Refused))
    }
}
