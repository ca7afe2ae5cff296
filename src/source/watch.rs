//! The source of `watch`: a folder in which logs appear and grow.
//!
//! Looking at the folder again and again is what finds everything, on any file system; what the
//! operating system reports of changes only says where to look at once.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::{Config, Event as Change, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::failure::{Exit, Failure};
use crate::model::{Input, InputId};
use crate::source::scan::{Found, LeftAlone};
use crate::source::tail::{FileId, Look, Tail};
use crate::source::{Closed, Outlet, Stop};
use crate::text::path_text;

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
/// Names that are kept as hints; beyond, the whole folder is looked at.
const HINTS: usize = 4096;

/// Where to look at once.
#[derive(Debug, Default)]
struct Hints {
    names: HashSet<OsString>,
    everywhere: bool,
}

/// A folder that is watched.
#[derive(Debug)]
pub struct Watch {
    folder: PathBuf,
    last_line_wait: Duration,
    once: bool,
    hints: Arc<Mutex<Hints>>,
    waker: SyncSender<()>,
    wake: Receiver<()>,
    watcher: Option<RecommendedWatcher>,
    /// Which folder the watcher watches, for another may take its place.
    watched: Option<FileId>,
    /// Whether the folder could be read at the last look.
    readable: bool,
    left_alone: LeftAlone,
    tails: Vec<Tail>,
    by_id: HashMap<FileId, usize>,
    by_path: HashMap<PathBuf, usize>,
    /// Tails whose last line waits for its end.
    waiting: BTreeSet<usize>,
    inputs: u32,
    /// Files that could not be read at the last look, each of which was warned of once.
    unreadable: BTreeSet<PathBuf>,
    /// The last thing that could not be read.
    failure: Option<Failure>,
    look_around_at: Instant,
}

impl Watch {
    /// Starts to watch a folder.
    ///
    /// # Errors
    /// If there is no such folder, exit code 66.
    pub fn new(folder: &Path, last_line_wait: Duration, once: bool) -> Result<Self, Failure> {
        if !folder.is_dir() {
            let message = format!("{} does not exist; create it or pass --incoming", folder.display());
            return Err(Failure::new(Exit::NoInput, message));
        }
        let (waker, wake) = sync_channel(1);
        let mut watch = Self {
            folder: folder.to_owned(),
            last_line_wait,
            once,
            hints: Arc::default(),
            waker,
            wake,
            watcher: None,
            watched: None,
            readable: true,
            left_alone: LeftAlone::default(),
            tails: Vec::new(),
            by_id: HashMap::new(),
            by_path: HashMap::new(),
            waiting: BTreeSet::new(),
            inputs: 0,
            unreadable: BTreeSet::new(),
            failure: None,
            look_around_at: Instant::now(),
        };
        watch.watch_folder();
        Ok(watch)
    }

    /// Has changes reported, of the folder that is there now. Without reports, time alone brings a
    /// look around.
    fn watch_folder(&mut self) {
        let id = self.folder.metadata().ok().map(|metadata| FileId::of(&metadata));
        if id == self.watched {
            return;
        }
        self.watched = id;
        let watcher = start_watcher(&self.folder, Arc::clone(&self.hints), self.waker.clone());
        if let (Err(cause), Some(_)) = (&watcher, id) {
            tracing::warn!(
                "{}: changes are not reported ({cause}); looking every second",
                self.folder.display()
            );
        }
        self.watcher = watcher.ok();
    }

    /// Reads until `stop`, or with `once` until everything was read that was there at the start.
    ///
    /// # Errors
    /// With `once` the first file that cannot be read; otherwise it is warned of and tried again.
    pub fn run(mut self, outlet: &Outlet, stop: &Stop) -> Result<(), Failure> {
        while !stop.is_set() && !outlet.is_closed() {
            let found = self.look();
            if self.read(found, outlet, stop).is_err() || self.once {
                break;
            }
            self.wait(outlet, stop);
        }
        // What `--once` could not read would be missing from the output without a trace.
        self.failure.take_if(|_| self.once).map_or(Ok(()), Err)
    }

    /// The files that may have changed.
    fn look(&mut self) -> Vec<Found> {
        let hints = std::mem::take(&mut *self.hints.lock().unwrap_or_else(PoisonError::into_inner));
        if !hints.everywhere && Instant::now() < self.look_around_at {
            return self.look_at(hints.names);
        }
        let began = Instant::now();
        // Watched first and looked at second, so that nothing comes in between.
        self.watch_folder();
        let found = self.left_alone.look_around(&self.folder);
        if let Err(cause) = &found {
            let failure = Failure::io(Exit::NoInput, "read", &self.folder, cause);
            if self.readable {
                tracing::warn!("{failure}; trying again");
            }
            self.failure = Some(failure);
        }
        self.readable = found.is_ok();
        let found = found.unwrap_or_default();
        self.look_around_at = Instant::now() + (began.elapsed() * SHARE).clamp(LOOK_AROUND, RAREST);
        found
    }

    fn look_at(&mut self, names: HashSet<OsString>) -> Vec<Found> {
        let waiting = self.waiting.iter().filter_map(|&tail| self.tails[tail].path().file_name());
        let mut names: Vec<OsString> = waiting.map(ToOwned::to_owned).chain(names).collect();
        names.sort_unstable();
        names.dedup();
        let mut found = Vec::new();
        for name in names {
            match self.left_alone.look_at(&self.folder, &name) {
                Ok(file) => found.extend(file),
                Err(cause) => tracing::warn!("cannot read {}: {cause}", self.folder.join(&name).display()),
            }
        }
        found
    }

    fn read(&mut self, found: Vec<Found>, outlet: &Outlet, stop: &Stop) -> Result<(), Closed> {
        for file in found {
            if stop.is_set() {
                break;
            }
            let path = file.path.clone();
            match self.read_file(file, outlet, stop) {
                Ok(sent) => {
                    self.unreadable.remove(&path);
                    sent?;
                }
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => {
                    let failure = Failure::io(Exit::NoInput, "read", &path, &cause);
                    if self.unreadable.insert(path) {
                        tracing::warn!("{failure}; trying again");
                    }
                    self.failure = Some(failure);
                }
            }
        }
        Ok(())
    }

    fn read_file(&mut self, file: Found, outlet: &Outlet, stop: &Stop) -> io::Result<Result<(), Closed>> {
        let Found { path, metadata } = file;
        let index = self.tail_of(path, &metadata)?;
        let tail = &mut self.tails[index];
        if !tail.is_due(&metadata) {
            return Ok(Ok(()));
        }
        let read = tail.read(&metadata, self.last_line_wait, self.once, outlet, stop);
        if read.is_err() {
            // Not at once again, but whenever the folder is looked at.
            self.waiting.remove(&index);
            return read;
        }
        if tail.is_due(&metadata) {
            self.waiting.insert(index);
        } else {
            self.waiting.remove(&index);
        }
        read
    }

    /// The tail of a file: the one that has followed it, under whatever name, or a new one.
    fn tail_of(&mut self, path: PathBuf, metadata: &Metadata) -> io::Result<usize> {
        if let Some(&index) = self.by_path.get(&path) {
            if self.tails[index].look(&path, metadata)? == Look::Same {
                return Ok(index);
            }
            self.waiting.remove(&index);
        }
        if let Some(index) = self.renamed(&path, metadata)? {
            let old = self.tails[index].path();
            if self.by_path.get(old) == Some(&index) {
                self.by_path.remove(old);
            }
            self.tails[index].rename(path.clone());
            self.by_path.insert(path, index);
            return Ok(index);
        }
        if let Some(&index) = self.by_path.get(&path)
            && !self.tails[index].is_faulted()
        {
            let path = path.display();
            tracing::warn!(
                "{path}: another file has taken its place, or it was cut short; reading it from its beginning"
            );
        }
        let input = Arc::new(Input { id: InputId(self.inputs), label: path_text(&path) });
        self.inputs += 1;
        let index = self.tails.len();
        let tail = Tail::new(input, path.clone(), metadata);
        self.by_id.insert(tail.id(), index);
        self.by_path.insert(path, index);
        self.tails.push(tail);
        Ok(index)
    }

    /// The tail of a file that had another name, which is gone or another file's now.
    fn renamed(&self, path: &Path, metadata: &Metadata) -> io::Result<Option<usize>> {
        let Some(&index) = self.by_id.get(&FileId::of(metadata)) else { return Ok(None) };
        let old = self.tails[index].path();
        let there = old.symlink_metadata().ok().map(|metadata| FileId::of(&metadata));
        let moved = old != path && there != Some(self.tails[index].id());
        let same = moved && self.tails[index].look(path, metadata)? == Look::Same;
        Ok(same.then_some(index))
    }

    /// Waits for a reason to look again.
    fn wait(&self, outlet: &Outlet, stop: &Stop) {
        loop {
            match self.wake.recv_timeout(TICK) {
                Ok(()) => {
                    std::thread::sleep(GATHER);
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("a waker is kept"),
            }
            if stop.is_set()
                || outlet.is_closed()
                || !self.waiting.is_empty()
                || Instant::now() >= self.look_around_at
            {
                return;
            }
        }
    }
}

fn start_watcher(
    folder: &Path,
    hints: Arc<Mutex<Hints>>,
    waker: SyncSender<()>,
) -> notify::Result<RecommendedWatcher> {
    let note = move |change: notify::Result<Change>| {
        let mut hints = hints.lock().unwrap_or_else(PoisonError::into_inner);
        match change {
            // Reading a file is reported, too, and is of no interest.
            Ok(change) if matches!(change.kind, EventKind::Access(_)) && !change.need_rescan() => return,
            Ok(change) if !change.need_rescan() && hints.names.len() < HINTS => {
                // Reported paths are absolute even if the folder was named relatively; only names count.
                hints.names.extend(change.paths.iter().filter_map(|path| Some(path.file_name()?.to_owned())));
            }
            _ => hints.everywhere = true,
        }
        drop(hints);
        // Full means that somebody is about to look anyway.
        let _ = waker.try_send(());
    };
    let mut watcher = RecommendedWatcher::new(note, Config::default().with_follow_symlinks(false))?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
