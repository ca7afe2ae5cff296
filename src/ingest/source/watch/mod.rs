//! The source of `watch`: a folder in which logs appear and grow.
//!
//! Looking at the folder again and again is what finds everything, on any file system; what the
//! operating system reports of changes only says where to look at once.

mod files;
mod reports;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::RecommendedWatcher;

use crate::ingest::source::archive::{Archiver, RetirableInput};
use crate::ingest::source::compression::{Compression, unreadable};
use crate::ingest::source::fingerprint::{FileId, InodeKey};
use crate::ingest::source::scan::{Candidate, FolderScanner};
use crate::ingest::source::tail::{KnownInput, LastLines, Tail};
use crate::ingest::source::watch::reports::{Hints, start_watcher};
use crate::ingest::source::{Closed, EventSender};
use crate::model::InputId;
use crate::model::delimiter::Delimiter;
use crate::model::error::{Error, FileRole, Op};

use crate::model::shutdown::Shutdown;
use crate::telemetry::metrics::Metrics;

/// How long a look around the folder may be away, if the looks cost next to nothing.
const LOOK_AROUND: Duration = Duration::from_secs(1);
/// A look around the folder may take this share of the time, so it is made more rarely in large
/// folders …
const SHARE: u32 = 200;
/// … but this often at least.
const RAREST: Duration = Duration::from_mins(1);
/// Changes that come within this time are looked at together.
const GATHER: Duration = Duration::from_millis(5);
/// How often a stop and the wait of last lines are looked at.
const TICK: Duration = Duration::from_millis(50);

/// Files that are kept open at the most, so that their ends can be read when their names are gone.
const OPEN: usize = 256;
/// After so long without growth a file is closed.
const IDLE: Duration = Duration::from_mins(1);

/// How a folder is watched.
#[derive(Debug)]
pub struct Rules {
    /// The folder.
    pub folder: PathBuf,
    /// What parts the fields of its logs.
    pub delimiter: Delimiter,
    /// What becomes of last lines.
    pub last_lines: LastLines,
    /// What becomes of finished inputs.
    pub archiver: Archiver,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// What an earlier process knew, and how this one hears of commits.
#[derive(Debug)]
pub struct Resume {
    /// The inputs of the last commit, by number.
    pub inputs: Vec<KnownInput>,
    /// Inputs that may be put away.
    pub retirable: Receiver<Vec<RetirableInput>>,
    /// Whether everything is read anew, what was put away too.
    pub fresh: bool,
}

/// A folder that is watched.
#[derive(Debug)]
pub struct Watch {
    rules: Rules,
    resume: Resume,
    hints: Arc<Mutex<Hints>>,
    waker: SyncSender<()>,
    wake: Receiver<()>,
    watcher: Option<RecommendedWatcher>,
    /// Which folder the watcher watches, for another may take its place.
    watched: Option<InodeKey>,
    /// Whether the folder could be read at the last look.
    readable: bool,
    left_alone: FolderScanner,
    tails: Vec<Tail>,
    by_number: HashMap<InodeKey, usize>,
    inodes: HashSet<u64>,
    by_path: HashMap<PathBuf, usize>,
    by_input: HashMap<InputId, usize>,
    /// What finished files hold, to notice one that is delivered twice.
    contents: HashMap<(u64, u128, u128), usize>,
    /// Tails whose last line waits for its end.
    waiting: BTreeSet<usize>,
    /// Tails that are open, in the order in which they were opened.
    open: VecDeque<usize>,
    /// Open tails whose name is gone or another file's now.
    orphans: BTreeSet<usize>,
    /// Tails that may be put away up to an offset.
    retirable: BTreeMap<usize, u64>,
    next_input: u32,
    /// Files that could not be read at the last look, each of which was warned of once.
    unreadable: BTreeSet<PathBuf>,
    /// The last thing that could not be read.
    failure: Option<Error>,
    look_around_at: Instant,
}

impl Watch {
    /// Starts to watch a folder.
    ///
    /// # Errors
    /// If there is no such folder, exit code 66.
    pub fn new(rules: Rules, resume: Resume) -> Result<Self, Error> {
        check_folder(&rules.folder)?;
        let (waker, wake) = sync_channel(1);
        let mut watch = Self {
            rules,
            resume,
            hints: Arc::default(),
            waker,
            wake,
            watcher: None,
            watched: None,
            readable: true,
            left_alone: FolderScanner::default(),
            tails: Vec::new(),
            by_number: HashMap::new(),
            inodes: HashSet::new(),
            by_path: HashMap::new(),
            by_input: HashMap::new(),
            contents: HashMap::new(),
            waiting: BTreeSet::new(),
            open: VecDeque::new(),
            orphans: BTreeSet::new(),
            retirable: BTreeMap::new(),
            next_input: 0,
            unreadable: BTreeSet::new(),
            failure: None,
            look_around_at: Instant::now(),
        };
        for known in std::mem::take(&mut watch.resume.inputs) {
            watch.next_input = watch.next_input.max(known.input.id.0 + 1);
            watch.follow(Tail::resume(known, watch.rules.delimiter));
        }
        watch.watch_folder();
        Ok(watch)
    }

    /// Has changes reported, of the folder that is there now. Without reports, time alone brings a
    /// look around.
    fn watch_folder(&mut self) {
        let folder = &self.rules.folder;
        let number = folder.metadata().ok().map(|metadata| FileId::of(&metadata).number);
        if number == self.watched {
            return;
        }
        self.watched = number;
        let watcher = start_watcher(folder, Arc::clone(&self.hints), self.waker.clone());
        if let (Err(cause), Some(_)) = (&watcher, number) {
            tracing::warn!("{}: changes are not reported ({cause}); looking every second", folder.display());
        }
        self.watcher = watcher.ok();
    }

    /// Reads until `stop`, or with `once` until everything was read that was there at the start.
    ///
    /// # Errors
    /// With `once` the first file that cannot be read; otherwise it is warned of and tried again.
    pub fn run(mut self, events: &EventSender, stop: &Shutdown) -> Result<(), Error> {
        if self.resume.fresh {
            self.read_archive(events, stop)?;
        }
        let once = self.rules.last_lines.once;
        while !stop.is_requested() && !events.is_closed() {
            if self.read_changes(events, stop).is_err() || once {
                break;
            }
            self.wait(events, stop);
        }
        // What `--once` could not read would be missing from the output without a trace.
        self.failure.take_if(|_| once).map_or(Ok(()), Err)
    }

    /// Looks around the whole folder once, whatever was reported of it, and reads what is new.
    ///
    /// # Errors
    /// If nobody listens any more.
    pub fn round(&mut self, events: &EventSender, stop: &Shutdown) -> Result<(), Closed> {
        self.look_around_at = Instant::now();
        self.read_changes(events, stop)
    }

    fn read_changes(&mut self, events: &EventSender, stop: &Shutdown) -> Result<(), Closed> {
        let found = self.look();
        self.read(found, events, stop)?;
        self.read_orphans(events, stop);
        self.put_away_finished();
        Ok(())
    }

    /// Reads what an earlier run has put away.
    fn read_archive(&mut self, events: &EventSender, stop: &Shutdown) -> Result<(), Error> {
        let archive = self.rules.archiver.archive_dir.clone();
        let found = match self.left_alone.scan(&archive, |_| false) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found.map_err(|cause| Error::file(FileRole::Input, Op::Read, &archive, cause))?,
        };
        let last_lines = std::mem::replace(&mut self.rules.last_lines.once, true);
        let _ = self.read(found, events, stop);
        self.rules.last_lines.once = last_lines;
        self.failure.take().map_or(Ok(()), Err)
    }

    /// The files that may have changed.
    fn look(&mut self) -> Vec<Candidate> {
        let hints = std::mem::take(&mut *self.hints.lock().unwrap_or_else(PoisonError::into_inner));
        if hints.everywhere {
            self.rules.metrics.watch_overflows.inc();
        }
        self.rules.metrics.files_open.set(self.open.len() as i64);
        if !hints.everywhere && Instant::now() < self.look_around_at {
            return self.look_at(hints.names);
        }
        let began = Instant::now();
        // Watched first and looked at second, so that nothing comes in between.
        self.watch_folder();
        let inodes = &self.inodes;
        let found = self.left_alone.scan(&self.rules.folder, |inode| inodes.contains(&inode));
        let was_readable = std::mem::replace(&mut self.readable, found.is_ok());
        let found = found.unwrap_or_else(|cause| {
            let error = Error::file(FileRole::Input, Op::Read, &self.rules.folder, cause);
            if was_readable {
                tracing::warn!("{error}; trying again");
            }
            self.failure = Some(error);
            Vec::new()
        });
        self.look_after_open();
        self.look_around_at = Instant::now() + (began.elapsed() * SHARE).clamp(LOOK_AROUND, RAREST);
        found
    }

    fn look_at(&mut self, names: HashSet<OsString>) -> Vec<Candidate> {
        let folder = &self.rules.folder;
        let waiting = self.waiting.iter().filter_map(|&tail| self.tails[tail].path().file_name());
        let mut names: Vec<OsString> = waiting.map(ToOwned::to_owned).chain(names).collect();
        names.sort_unstable();
        names.dedup();
        let mut found = Vec::new();
        for name in names {
            let numbers = &self.by_number;
            let known = |metadata: &Metadata| numbers.contains_key(&FileId::of(metadata).number);
            match self.left_alone.inspect(folder, &name, known) {
                Ok(Some(file)) => found.push(file),
                Ok(None) => {
                    // A name that is gone: what is unread of its file is read from the open file.
                    let path = folder.join(&name);
                    self.orphans.extend(self.by_path.get(&path).filter(|&&tail| self.tails[tail].is_open()));
                    if let Some(tail) = self.by_path.get(&path) {
                        self.waiting.remove(tail);
                    }
                }
                Err(cause) => tracing::warn!("cannot read {}: {cause}", folder.join(&name).display()),
            }
        }
        found
    }

    /// Closes what is idle, and notices open files that have lost their name.
    fn look_after_open(&mut self) {
        while self.open.len() > OPEN {
            let oldest = self.open.pop_front().expect("it is not empty");
            self.tails[oldest].close();
            self.orphans.remove(&oldest);
        }
        for index in std::mem::take(&mut self.open) {
            let tail = &mut self.tails[index];
            if !tail.is_open() {
                continue;
            }
            if tail.still() > IDLE && !self.orphans.contains(&index) && !self.waiting.contains(&index) {
                tail.close();
                continue;
            }
            let there = tail.path().symlink_metadata().ok().map(|metadata| FileId::of(&metadata));
            if !there.is_some_and(|there| there.may_be_same(tail.id())) {
                self.orphans.insert(index);
            }
            self.open.push_back(index);
        }
    }

    /// Reads the ends of files whose names are gone.
    fn read_orphans(&mut self, events: &EventSender, stop: &Shutdown) {
        for index in std::mem::take(&mut self.orphans) {
            let tail = &mut self.tails[index];
            let Some(metadata) = tail.metadata_of_open() else { continue };
            // Under another name that is followed, too, its rows are that one's.
            if self.by_number.get(&tail.id().number) != Some(&index) {
                tail.close();
                continue;
            }
            // Its name may have been found again.
            let there = tail.path().symlink_metadata().ok().map(|metadata| FileId::of(&metadata));
            if there.is_some_and(|there| there.may_be_same(tail.id())) {
                continue;
            }
            if tail.is_due(&metadata) {
                match tail.read(&metadata, self.rules.last_lines, events, stop) {
                    Ok(Ok(())) => {}
                    Ok(Err(Closed)) => return,
                    Err(cause) => {
                        tracing::warn!("cannot read {} to its end: {cause}", tail.path().display());
                        tail.close();
                        continue;
                    }
                }
            }
            if tail.is_due(&metadata) || tail.still() < IDLE {
                self.orphans.insert(index);
            } else {
                tail.close();
            }
        }
    }

    fn read(&mut self, found: Vec<Candidate>, events: &EventSender, stop: &Shutdown) -> Result<(), Closed> {
        for file in found {
            if stop.is_requested() {
                break;
            }
            let path = file.path.clone();
            match self.read_file(file, events, stop) {
                Ok(sent) => {
                    self.unreadable.remove(&path);
                    sent?;
                }
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => {
                    let failure = unreadable(&path, cause);
                    if self.unreadable.insert(path) {
                        tracing::warn!("{failure}; trying again");
                    }
                    self.failure = Some(failure);
                }
            }
        }
        Ok(())
    }

    fn read_file(
        &mut self,
        file: Candidate,
        events: &EventSender,
        stop: &Shutdown,
    ) -> io::Result<Result<(), Closed>> {
        let Candidate { path, metadata } = file;
        let Some(index) = self.tail_of(path, &metadata)? else { return Ok(Ok(())) };
        let tail = &mut self.tails[index];
        if !tail.is_due(&metadata) {
            return Ok(Ok(()));
        }
        let was_open = tail.is_open();
        let before = tail.content();
        let read = tail.read(&metadata, self.rules.last_lines, events, stop);
        if !was_open && tail.is_open() {
            self.open.push_back(index);
            if self.open.len() > OPEN {
                self.look_after_open();
            }
        }
        if read.is_err() {
            // Not at once again, but whenever the folder is looked at.
            self.waiting.remove(&index);
            return read;
        }
        let tail = &self.tails[index];
        if tail.is_due(&metadata) {
            self.waiting.insert(index);
        } else {
            self.waiting.remove(&index);
        }
        self.note_content(index, before);
        read
    }

    /// Moves or deletes what was read to its end and can't be needed again.
    fn put_away_finished(&mut self) {
        while let Ok(retirable) = self.resume.retirable.try_recv() {
            for RetirableInput { input, offset } in retirable {
                if let Some(&index) = self.by_input.get(&input) {
                    self.retirable.insert(index, offset);
                }
            }
        }
        let mut later = BTreeMap::new();
        for (index, offset) in std::mem::take(&mut self.retirable) {
            let tail = &mut self.tails[index];
            let there = tail.path().symlink_metadata().ok().map(|metadata| FileId::of(&metadata));
            let archiver = tail.path().parent() == Some(&self.rules.archiver.archive_dir);
            if archiver || !there.is_some_and(|there| there.may_be_same(tail.id())) || tail.offset() != offset
            {
                // Gone, or there is more to settle first.
                continue;
            }
            let compressed = Compression::of(tail.path()) != Compression::Plain;
            let ready = compressed || tail.still() >= self.rules.archiver.after;
            let (true, true, Some(seen)) = (tail.is_finished(), ready, tail.stamp()) else {
                later.insert(index, offset);
                continue;
            };
            let path = tail.path().to_owned();
            match self.rules.archiver.archive(&path, &seen) {
                Ok(Some(target)) => {
                    tail.close();
                    tracing::debug!("{}: put away as {}", path.display(), target.display());
                    self.by_path.remove(&path);
                    self.tails[index].rename(target);
                }
                Ok(None) => {
                    later.insert(index, offset);
                }
                Err(cause) => {
                    if self.unreadable.insert(path.clone()) {
                        tracing::warn!("cannot put {} away: {cause}; trying again", path.display());
                    }
                    later.insert(index, offset);
                }
            }
        }
        self.retirable = later;
    }

    /// Waits for a reason to look again.
    fn wait(&self, events: &EventSender, stop: &Shutdown) {
        loop {
            match self.wake.recv_timeout(TICK) {
                Ok(()) => {
                    std::thread::sleep(GATHER);
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("a waker is kept"),
            }
            if stop.is_requested()
                || events.is_closed()
                || !self.waiting.is_empty()
                || !self.orphans.is_empty()
                || Instant::now() >= self.look_around_at
            {
                return;
            }
        }
    }
}

/// Checks that there is a folder to watch.
///
/// # Errors
/// If there is none, exit code 66.
pub fn check_folder(folder: &Path) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    let message = format!("{} does not exist; create it or pass --incoming", folder.display());
    Err(Error::MissingInput(message))
}
