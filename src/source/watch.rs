//! The source of `watch`: a folder in which logs appear and grow.
//!
//! Looking at the folder again and again is what finds everything, on any file system; what the
//! operating system reports of changes only says where to look at once.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::{Config, Event as Change, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::failure::{Exit, Failure};
use crate::model::{Input, InputId};
use crate::source::compressed::Storage;
use crate::source::finished::{PutAway, Settled};
use crate::source::identity::{FileId, FileNumber};
use crate::source::scan::{Found, LeftAlone, is_log_name};
use crate::source::tail::{KnownInput, LastLines, Look, Tail};
use crate::source::{Closed, Outlet};
use crate::stop::Stop;
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

/// Files that are kept open at the most, so that their ends can be read when their names are gone.
const OPEN: usize = 256;
/// After so long without growth a file is closed.
const IDLE: Duration = Duration::from_mins(1);

/// Where to look at once.
#[derive(Debug, Default)]
struct Hints {
    names: HashSet<OsString>,
    everywhere: bool,
}

/// How a folder is watched.
#[derive(Debug)]
pub struct Rules {
    /// The folder.
    pub folder: PathBuf,
    /// What becomes of last lines.
    pub last_lines: LastLines,
    /// What becomes of finished inputs.
    pub put_away: PutAway,
}

/// What an earlier process knew, and how this one hears of commits.
#[derive(Debug)]
pub struct Resume {
    /// The inputs of the last commit, by number.
    pub inputs: Vec<KnownInput>,
    /// Inputs that may be put away.
    pub settled: Receiver<Vec<Settled>>,
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
    watched: Option<FileNumber>,
    /// Whether the folder could be read at the last look.
    readable: bool,
    left_alone: LeftAlone,
    tails: Vec<Tail>,
    by_number: HashMap<FileNumber, usize>,
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
    settled: BTreeMap<usize, u64>,
    next_input: u32,
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
    pub fn new(rules: Rules, resume: Resume) -> Result<Self, Failure> {
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
            left_alone: LeftAlone::default(),
            tails: Vec::new(),
            by_number: HashMap::new(),
            inodes: HashSet::new(),
            by_path: HashMap::new(),
            by_input: HashMap::new(),
            contents: HashMap::new(),
            waiting: BTreeSet::new(),
            open: VecDeque::new(),
            orphans: BTreeSet::new(),
            settled: BTreeMap::new(),
            next_input: 0,
            unreadable: BTreeSet::new(),
            failure: None,
            look_around_at: Instant::now(),
        };
        for known in std::mem::take(&mut watch.resume.inputs) {
            watch.next_input = watch.next_input.max(known.input.id.0 + 1);
            watch.follow(Tail::resume(known));
        }
        watch.watch_folder();
        Ok(watch)
    }

    /// Takes a tail in; it stands for its path and its file from now on.
    fn follow(&mut self, tail: Tail) -> usize {
        let index = self.tails.len();
        self.by_number.insert(tail.id().number, index);
        self.inodes.insert(tail.id().number.inode());
        self.by_path.insert(tail.path().to_owned(), index);
        self.by_input.insert(tail.input().id, index);
        self.tails.push(tail);
        index
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
    pub fn run(mut self, outlet: &Outlet, stop: &Stop) -> Result<(), Failure> {
        if self.resume.fresh {
            self.read_archive(outlet, stop)?;
        }
        let once = self.rules.last_lines.once;
        while !stop.is_set() && !outlet.is_closed() {
            let found = self.look();
            if self.read(found, outlet, stop).is_err() || once {
                break;
            }
            self.read_orphans(outlet, stop);
            self.put_away_finished();
            self.wait(outlet, stop);
        }
        // What `--once` could not read would be missing from the output without a trace.
        self.failure.take_if(|_| once).map_or(Ok(()), Err)
    }

    /// Reads what an earlier run has put away.
    fn read_archive(&mut self, outlet: &Outlet, stop: &Stop) -> Result<(), Failure> {
        let archive = self.rules.put_away.archive_dir.clone();
        let found = match self.left_alone.look_around(&archive, |_| false) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found.map_err(|cause| Failure::io(Exit::NoInput, "read", &archive, &cause))?,
        };
        let last_lines = std::mem::replace(&mut self.rules.last_lines.once, true);
        let _ = self.read(found, outlet, stop);
        self.rules.last_lines.once = last_lines;
        self.failure.take().map_or(Ok(()), Err)
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
        let inodes = &self.inodes;
        let found = self.left_alone.look_around(&self.rules.folder, |inode| inodes.contains(&inode));
        if let Err(cause) = &found {
            let failure = Failure::io(Exit::NoInput, "read", &self.rules.folder, cause);
            if self.readable {
                tracing::warn!("{failure}; trying again");
            }
            self.failure = Some(failure);
        }
        self.readable = found.is_ok();
        self.look_after_open();
        self.look_around_at = Instant::now() + (began.elapsed() * SHARE).clamp(LOOK_AROUND, RAREST);
        found.unwrap_or_default()
    }

    fn look_at(&mut self, names: HashSet<OsString>) -> Vec<Found> {
        let folder = &self.rules.folder;
        let waiting = self.waiting.iter().filter_map(|&tail| self.tails[tail].path().file_name());
        let mut names: Vec<OsString> = waiting.map(ToOwned::to_owned).chain(names).collect();
        names.sort_unstable();
        names.dedup();
        let mut found = Vec::new();
        for name in names {
            let numbers = &self.by_number;
            let known = |metadata: &Metadata| numbers.contains_key(&FileId::of(metadata).number);
            match self.left_alone.look_at(folder, &name, known) {
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
            if !there.is_some_and(|there| there.may_be(tail.id())) {
                self.orphans.insert(index);
            }
            self.open.push_back(index);
        }
    }

    /// Reads the ends of files whose names are gone.
    fn read_orphans(&mut self, outlet: &Outlet, stop: &Stop) {
        for index in std::mem::take(&mut self.orphans) {
            let tail = &mut self.tails[index];
            let Some(metadata) = tail.metadata_of_open() else { continue };
            // Its name may have been found again.
            let there = tail.path().symlink_metadata().ok().map(|metadata| FileId::of(&metadata));
            if there.is_some_and(|there| there.may_be(tail.id())) {
                continue;
            }
            if tail.is_due(&metadata) {
                match tail.read(&metadata, self.rules.last_lines, outlet, stop) {
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
        let Some(index) = self.tail_of(path, &metadata)? else { return Ok(Ok(())) };
        let tail = &mut self.tails[index];
        if !tail.is_due(&metadata) {
            return Ok(Ok(()));
        }
        let was_open = tail.is_open();
        let before = tail.content();
        let read = tail.read(&metadata, self.rules.last_lines, outlet, stop);
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

    /// Notices a file that holds what another has held.
    fn note_content(&mut self, index: usize, before: Option<(u64, u128, u128)>) {
        let content = self.tails[index].content();
        if content == before {
            return;
        }
        if let Some(before) = before
            && self.contents.get(&before) == Some(&index)
        {
            self.contents.remove(&before);
        }
        let Some(content) = content else { return };
        match self.contents.entry(content) {
            Entry::Vacant(entry) => {
                entry.insert(index);
            }
            Entry::Occupied(entry) if *entry.get() == index => {}
            Entry::Occupied(entry) => {
                let [this, that] = [index, *entry.get()].map(|tail| self.tails[tail].path().display());
                tracing::warn!("{this}: holds the same as {that}; its rows count again");
            }
        }
    }

    /// The tail of a file: the one that has followed it, under whatever name, or a new one. Nothing
    /// if nobody can say what counts of it.
    fn tail_of(&mut self, path: PathBuf, metadata: &Metadata) -> io::Result<Option<usize>> {
        let at_path = self.by_path.get(&path).copied();
        if let Some(index) = at_path {
            match self.tails[index].look(&path, metadata)? {
                Look::Same => return Ok(Some(index)),
                Look::Rewritten => {
                    self.report_conflict(index, metadata);
                    return Ok(None);
                }
                Look::Copy if self.renamed(&path, metadata).is_none() && self.is_read_out(index) => {
                    self.by_number.remove(&self.tails[index].id().number);
                    self.tails[index].move_to(metadata);
                    self.by_number.insert(self.tails[index].id().number, index);
                    self.inodes.insert(self.tails[index].id().number.inode());
                    return Ok(Some(index));
                }
                Look::Truncated => {
                    let path = path.display();
                    tracing::warn!("{path}: was cut short; reading it from its beginning");
                    self.tails[index].close();
                }
                Look::Copy | Look::Another => {
                    if !self.tails[index].is_rejected() {
                        tracing::warn!(
                            "{}: another file has taken its place; reading it from its beginning",
                            path.display()
                        );
                    }
                    if self.tails[index].is_open() {
                        self.orphans.insert(index);
                    }
                }
            }
            self.waiting.remove(&index);
        } else if let Some(index) = self.renamed(&path, metadata) {
            match self.tails[index].look(&path, metadata)? {
                Look::Same => {
                    self.rename(index, path);
                    return Ok(Some(index));
                }
                Look::Rewritten => {
                    self.rename(index, path);
                    self.report_conflict(index, metadata);
                    return Ok(None);
                }
                Look::Truncated | Look::Copy | Look::Another => {}
            }
        }
        if !is_log_name(path.file_name().unwrap_or_default()) {
            return Ok(None);
        }
        if let Some(index) = at_path
            && let Some(index) = self.renamed(&path, metadata).filter(|&renamed| renamed != index)
            && self.tails[index].look(&path, metadata)? == Look::Same
        {
            self.rename(index, path);
            return Ok(Some(index));
        }
        let input = Arc::new(Input { id: InputId(self.next_input), label: path_text(&path) });
        self.next_input += 1;
        Ok(Some(self.follow(Tail::new(input, path, metadata))))
    }

    /// Whether a file that another one with the same beginning has replaced has given all that it
    /// had, which was more than a header: what all logs begin with makes none a copy.
    fn is_read_out(&self, index: usize) -> bool {
        let tail = &self.tails[index];
        let unread = |metadata: &Metadata| metadata.len() > tail.offset();
        let inode = tail.id().number.inode();
        let mut elsewhere = self.rules.folder.read_dir().into_iter().flatten().flatten();
        tail.content().is_some()
            && !tail.metadata_of_open().is_some_and(|metadata| unread(&metadata))
            && !elsewhere
                .any(|entry| entry.ino() == inode && entry.metadata().is_ok_and(|found| unread(&found)))
    }

    fn report_conflict(&mut self, index: usize, metadata: &Metadata) {
        let tail = &mut self.tails[index];
        tracing::error!(
            "{}: bytes before {} were read and are others now; nothing more is read of it until it is \
             replaced or cut short (a copy under another name is read from its beginning)",
            tail.path().display(),
            tail.offset()
        );
        tail.give_up(metadata);
        self.waiting.remove(&index);
    }

    fn rename(&mut self, index: usize, path: PathBuf) {
        let old = self.tails[index].path();
        if self.by_path.get(old) == Some(&index) {
            self.by_path.remove(old);
        }
        self.orphans.remove(&index);
        self.tails[index].rename(path.clone());
        self.by_path.insert(path, index);
    }

    /// The tail of a file that had another name, which is gone or another file's now.
    fn renamed(&self, path: &Path, metadata: &Metadata) -> Option<usize> {
        let id = FileId::of(metadata);
        let &index = self.by_number.get(&id.number)?;
        let tail = &self.tails[index];
        let there = tail.path().symlink_metadata().ok().map(|metadata| FileId::of(&metadata));
        let moved = tail.path() != path && !there.is_some_and(|there| there.may_be(tail.id()));
        (moved && id.may_be(tail.id())).then_some(index)
    }

    /// Moves or deletes what was read to its end and can't be needed again.
    fn put_away_finished(&mut self) {
        while let Ok(settled) = self.resume.settled.try_recv() {
            for Settled { input, offset } in settled {
                if let Some(&index) = self.by_input.get(&input) {
                    self.settled.insert(index, offset);
                }
            }
        }
        let mut later = BTreeMap::new();
        for (index, offset) in std::mem::take(&mut self.settled) {
            let tail = &mut self.tails[index];
            let there = tail.path().symlink_metadata().ok().map(|metadata| FileId::of(&metadata));
            if !there.is_some_and(|there| there.may_be(tail.id())) || tail.offset() != offset {
                // Gone, or there is more to settle first.
                continue;
            }
            let compressed = Storage::of(tail.path()) != Storage::Plain;
            let ready = compressed || tail.still() >= self.rules.put_away.after;
            let (true, true, Some(seen)) = (tail.is_finished(), ready, tail.stamp()) else {
                later.insert(index, offset);
                continue;
            };
            let path = tail.path().to_owned();
            match self.rules.put_away.put_away(&path, &seen) {
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
        self.settled = later;
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
pub fn check_folder(folder: &Path) -> Result<(), Failure> {
    if folder.is_dir() {
        return Ok(());
    }
    let message = format!("{} does not exist; create it or pass --incoming", folder.display());
    Err(Failure::new(Exit::NoInput, message))
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
