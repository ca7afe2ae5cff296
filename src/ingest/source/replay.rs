//! The source of `replay`: reads finished logs in the order of their paths.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ingest::decode::header::HeaderFault;
use crate::ingest::source::compression::{Compression, PlainText, unreadable};
use crate::ingest::source::fingerprint::FileId;
use crate::ingest::source::framing::{Eof, LineFramer};
use crate::ingest::source::packed::{CheckedText, PackedText, check};
use crate::ingest::source::scan::{FolderRules, FolderScanner, SkippedFiles};
use crate::ingest::source::send::{no_hashes, reject_unread, send_chunks};
use crate::ingest::source::stdin::{self, is_stdin};
use crate::ingest::source::unpack::unpacked;
use crate::ingest::source::{Closed, Event, EventSender, Outbox, ReadError};
use crate::model::dialect::Dialect;
use crate::model::dialect::columns::ColumnName;
use crate::model::error::{Error, FileRole, Op};
use crate::model::shutdown::Shutdown;
use crate::model::{Input, InputId};
use crate::text::{path_text, shown};
use crate::time::clock::Clock;

/// The logs that arguments name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundLogs {
    /// The paths, without duplicates, sorted by the bytes of the paths as given.
    pub logs: Vec<PathBuf>,
    /// The folders among the arguments that contain skipped files.
    pub skipped: Vec<(PathBuf, SkippedFiles)>,
}

/// Finds the logs for the arguments. An argument is a file, a folder, a pattern or stdin; a folder stands for
/// the logs in it, according to `rules`. A file that is named directly or by a pattern is a log under any
/// name. With `allow_empty`, a folder may be empty, and a pattern may match no file.
///
/// # Errors
/// The first argument that does not exist or names no log (exit code 66), or an invalid pattern (exit
/// code 64).
pub fn find_logs(arguments: &[PathBuf], rules: &FolderRules, allow_empty: bool) -> Result<FoundLogs, Error> {
    let (mut paths, mut skipped) = (Vec::new(), Vec::new());
    for argument in arguments {
        let (before, mut ignored) = (paths.len(), SkippedFiles::default());
        if is_stdin(argument) {
            paths.push(argument.clone());
        } else if argument.is_dir() {
            let failed = |path: &Path, source| Error::file(FileRole::Input, Op::Read, path, source);
            let scan = FolderScanner::showing_paths(rules.clone()).scan(argument, |_, _| false, |_| {});
            let scan = scan.map_err(|source| failed(argument, source))?;
            if let Some((name, source)) = scan.unreadable.into_iter().next() {
                return Err(failed(&argument.join(name), source));
            }
            paths.extend(scan.logs.into_iter().map(|log| log.path));
            ignored = scan.skipped;
        } else if argument.exists() {
            paths.push(argument.clone());
        } else {
            paths.extend(find_matches(argument)?);
        }
        if paths.len() == before && !allow_empty {
            return Err(no_log(argument, &ignored));
        }
        if !ignored.is_empty() {
            skipped.push((argument.clone(), ignored));
        }
    }
    paths.sort_unstable_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    let (mut found, mut files) = (HashSet::new(), HashSet::new());
    paths.retain(|path| {
        let canonical = path.canonicalize().ok().filter(|_| !is_stdin(path));
        // A file with one link is one file, even if its folder is mounted twice.
        let one = path.metadata().ok().filter(|file| file.is_file() && file.nlink() == 1 && !is_stdin(path));
        let is_new_file = one.is_none_or(|file| files.insert(FileId::of(&file).inode_key));
        found.insert(canonical.unwrap_or_else(|| path.clone())) && is_new_file
    });
    Ok(FoundLogs { logs: paths, skipped })
}

/// The error for an argument that names no log. `skipped` are the files in it that are not logs because of
/// their names.
pub fn no_log(argument: &Path, skipped: &SkippedFiles) -> Error {
    let found = if argument.to_string_lossy().contains(['*', '?', '[']) {
        "matches no file"
    } else {
        "contains no logs"
    };
    let argument = shown(argument);
    Error::MissingInput(if skipped.is_empty() {
        format!("{argument} {found}; --allow-empty accepts this")
    } else {
        format!("{argument} contains no logs: {skipped}; --allow-empty accepts this")
    })
}

/// Finds the files that match a pattern such as `logs/2025-*.csv`.
fn find_matches(pattern: &Path) -> Result<Vec<PathBuf>, Error> {
    let missing = || {
        Error::MissingInput(format!("{} does not exist; pass a file, a folder or a pattern", shown(pattern)))
    };
    let text = pattern.to_str().filter(|text| text.contains(['*', '?', '['])).ok_or_else(missing)?;
    let invalid = |source: glob::PatternError| Error::Usage(format!("{text}: not a valid pattern: {source}"));
    // Hidden files count as temporary files. A pattern matches them only if it contains the leading dot.
    let visible = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::default() };
    Ok(glob::glob_with(text, visible)
        .map_err(invalid)?
        .flatten()
        .filter(|path| path.is_file())
        .map(|path| if is_stdin(&path) { Path::new(".").join(path) } else { path })
        .collect())
}

/// Reads finished logs one after the other.
#[derive(Debug)]
pub struct Replay {
    /// The paths of the logs, in order.
    pub logs: Vec<PathBuf>,
    /// How the rows of the logs are written.
    pub dialect: Arc<Dialect>,
    /// The time of reading that applies to all rows, in seconds since 1970-01-01T00:00:00Z.
    pub now: i64,
    /// Bytes per chunk. The chunk size does not affect the rows.
    pub chunk: usize,
    /// Whether stdin may be empty.
    pub allow_empty: bool,
    /// Whether compressed logs are read only once. The source then starts over if a log proves damaged, and all
    /// its events must be taken back. Otherwise, each compressed log is checked before it is read.
    pub reads_once: bool,
}

/// The verdicts about compressed logs: the size of the text, or the fault of the file.
type Verdicts = HashMap<InputId, Result<u64, HeaderFault>>;

/// How far the logs were read.
enum ReadOutcome {
    /// To the end, or to a shutdown.
    Ended,
    /// A log has proved damaged after its first rows were sent.
    Damaged(InputId),
}

/// Why a log was not read to its end.
enum LogError {
    Read(ReadError<Error>),
    /// The log has proved damaged after its first rows were sent.
    Damaged(HeaderFault),
}

impl From<ReadError<Error>> for LogError {
    fn from(error: ReadError<Error>) -> Self {
        Self::Read(error)
    }
}

impl From<Closed> for LogError {
    fn from(_: Closed) -> Self {
        Self::Read(ReadError::Closed)
    }
}

impl Replay {
    /// Reads all logs, but stops when a shutdown is requested.
    ///
    /// # Errors
    /// The first log that cannot be read (exit code 66 or 74), or stdin without a byte (66).
    pub fn run(mut self, events: &EventSender, shutdown: &Shutdown) -> Result<(), Error> {
        // What is read from a pipe is gone.
        self.reads_once &= self.logs.iter().any(|path| Compression::of(path).is_packed())
            && self.logs.iter().all(|path| !is_stdin(path) && path.is_file());
        // A chunk is about as large as a bundle, and small logs share a bundle.
        events.send_in_bundles(self.chunk / 2);
        let read = self.read_again_if_damaged(events, shutdown);
        // If the pipeline has ended, the run reports why.
        let _ = events.end_bundles();
        read
    }

    /// Reads all logs, and starts over if a log proves damaged.
    fn read_again_if_damaged(&self, events: &EventSender, shutdown: &Shutdown) -> Result<(), Error> {
        let (mut verdicts, mut first_new) = (Verdicts::new(), InputId(0));
        while let ReadOutcome::Damaged(damaged) = self.read_all(&mut verdicts, first_new, events, shutdown)? {
            self.check_after(damaged, &mut verdicts, shutdown);
            first_new = damaged;
            if events.send(Event::StartedOver).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Reads all logs. Notices about the logs before `first_new` were given before.
    fn read_all(
        &self,
        verdicts: &mut Verdicts,
        first_new: InputId,
        events: &EventSender,
        shutdown: &Shutdown,
    ) -> Result<ReadOutcome, Error> {
        for (path, number) in self.logs.iter().zip(0..) {
            let input = Arc::new(Input { id: InputId(number), label: path_text(path) });
            let outbox =
                if input.id < first_new { Outbox::without_notices(events) } else { Outbox::new(events) };
            let log = Log { replay: self, path, input: &input, shutdown };
            let read = if is_stdin(path) {
                log.read_stdin(outbox).map_err(LogError::Read)
            } else {
                log.read_file(verdicts, outbox, events)
            };
            match read {
                Ok(()) => {}
                Err(LogError::Read(ReadError::Failed(error))) => return Err(error),
                Err(LogError::Read(ReadError::Closed)) => break,
                Err(LogError::Damaged(fault)) => {
                    verdicts.insert(input.id, Err(fault));
                    return Ok(ReadOutcome::Damaged(input.id));
                }
            }
            if shutdown.is_requested() {
                break;
            }
        }
        Ok(ReadOutcome::Ended)
    }

    /// Checks the logs after a damaged log, so that the source starts over only once.
    fn check_after(&self, damaged: InputId, verdicts: &mut Verdicts, shutdown: &Shutdown) {
        for (path, number) in self.logs.iter().zip(0..).skip(damaged.0 as usize + 1) {
            let format = Compression::of(path);
            if format.is_packed()
                && !shutdown.is_requested()
                // A log that cannot be opened is reported in its turn.
                && let Ok(verdict) = check(format, path, self.dialect.columns.wanted())
            {
                verdicts.insert(InputId(number), verdict);
            }
        }
    }
}

/// The log that is being read.
struct Log<'a> {
    replay: &'a Replay,
    path: &'a Path,
    input: &'a Arc<Input>,
    shutdown: &'a Shutdown,
}

impl Log<'_> {
    fn read_file(
        &self,
        verdicts: &mut Verdicts,
        mut outbox: Outbox<'_>,
        events: &EventSender,
    ) -> Result<(), LogError> {
        let format = Compression::of(self.path);
        if format.is_plain() {
            return self.read_plain(&mut outbox);
        }
        let is_unchecked = !verdicts.contains_key(&self.input.id);
        if is_unchecked && self.replay.reads_once && format.is_packed() {
            let mut held = Outbox::holding_notices(events);
            match self.read_packed(format, &mut held) {
                Ok(size) => {
                    verdicts.insert(self.input.id, Ok(size));
                    held.release()?;
                    return Ok(());
                }
                Err(LogError::Damaged(fault)) if !held.has_sent() => {
                    verdicts.insert(self.input.id, Err(fault));
                }
                Err(error) => return Err(error),
            }
        }
        let verdict = match verdicts.get(&self.input.id) {
            Some(verdict) => verdict.clone(),
            None => check(format, self.path, self.wanted()).map_err(|error| self.cannot_open(error))?,
        };
        let size = match verdict {
            Ok(size) => size,
            Err(fault) => {
                reject_unread(self.input, &fault, Clock::Stopped(self.replay.now), &mut outbox)?;
                return Ok(());
            }
        };
        outbox.send(Event::Grown(Arc::clone(self.input), size))?;
        if format.is_packed() {
            return match self.read_packed(format, &mut outbox) {
                // The file has changed after the check.
                Err(LogError::Damaged(fault)) => {
                    Err(ReadError::Failed(self.cannot_read(io::Error::other(fault.detail))).into())
                }
                read => read.map(drop),
            };
        }
        let mut reader = format.open(self.path, self.wanted()).map_err(|error| self.cannot_open(error))?;
        let mut framer = self.framer();
        framer.find_typed_cells(self.path);
        framer.begin_compressed(&mut reader).map_err(|error| self.cannot_open(error))?;
        self.send(&mut reader, framer, &mut outbox)
            .map_err(|error| error.map(|error| self.cannot_read(error)))?;
        Ok(())
    }

    fn read_plain(&self, outbox: &mut Outbox<'_>) -> Result<(), LogError> {
        let PlainText { mut text, size, is_utf16 } =
            Compression::open_plain(self.path).map_err(|error| self.cannot_open(error))?;
        // The text of a log in UTF-16 has another length than its file.
        if !is_utf16 {
            outbox.send(Event::Grown(Arc::clone(self.input), size))?;
        }
        let framer = self.framer().with_utf8(is_utf16);
        self.send(&mut text, framer, outbox).map_err(|error| error.map(|error| self.cannot_read(error)))?;
        Ok(())
    }

    /// Reads a compressed log. Its rows are sent as they come. Returns the size of its text.
    fn read_packed(&self, format: Compression, outbox: &mut Outbox<'_>) -> Result<u64, LogError> {
        let cannot_open = |error| self.cannot_open(error);
        let mut text = PackedText::open(format, self.path, self.wanted()).map_err(cannot_open)?;
        let mut framer = self.framer().with_utf8(text.is_utf16());
        framer.begin_compressed(&mut text).map_err(cannot_open)?;
        let read = |mut text: &mut dyn CheckedText| {
            let sent = self.send(&mut text, framer, outbox);
            if matches!(sent, Err(ReadError::Closed)) {
                return Err(LogError::Read(ReadError::Closed));
            }
            // A header that is rejected, or a shutdown, ends the rows before the end of the text.
            let size = text.finish().map_err(LogError::Damaged)?;
            sent.map_err(|error| error.map(|error| self.cannot_read(error)))?;
            Ok(size)
        };
        let size = unpacked(text, read).map_err(cannot_open)??;
        outbox.send(Event::Grown(Arc::clone(self.input), size))?;
        Ok(size)
    }

    /// Reads stdin. If stdin is damaged, the rows before the damage were already sent. Therefore, the
    /// run ends with an error and publishes nothing.
    fn read_stdin(&self, mut outbox: Outbox<'_>) -> Result<(), ReadError<Error>> {
        let damaged = |source: io::Error| {
            Error::Damaged(format!("stdin cannot be read to its end, so nothing was published: {source}"))
        };
        let (mut reader, is_utf16) = stdin::open().map_err(|source| ReadError::Failed(damaged(source)))?;
        let mut first = [0];
        let len = loop {
            match reader.read(&mut first) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(|source| ReadError::Failed(damaged(source)))?,
            }
        };
        if len == 0 && !self.replay.allow_empty && !self.shutdown.is_requested() {
            let message = "stdin is empty; --allow-empty accepts this".to_owned();
            return Err(ReadError::Failed(Error::MissingInput(message)));
        }
        let mut reader = io::Cursor::new(&first[..len]).chain(reader);
        let framer = self.framer().with_utf8(is_utf16);
        self.send(&mut reader, framer, &mut outbox).map_err(|error| error.map(damaged))
    }

    fn framer(&self) -> LineFramer {
        LineFramer::with_chunk(Arc::clone(self.input), self.replay.chunk)
            .with_dialect(&self.replay.dialect, self.path)
    }

    fn wanted(&self) -> Vec<ColumnName> {
        self.replay.dialect.columns.wanted()
    }

    fn send(
        &self,
        reader: &mut impl Read,
        mut framer: LineFramer,
        outbox: &mut Outbox<'_>,
    ) -> Result<(), ReadError> {
        let clock = Clock::Stopped(self.replay.now);
        send_chunks(&mut framer, reader, Eof::Final, &no_hashes, clock, outbox, self.shutdown)?;
        Ok(())
    }

    fn cannot_open(&self, source: io::Error) -> ReadError<Error> {
        ReadError::Failed(unreadable(self.path, source))
    }

    fn cannot_read(&self, source: io::Error) -> Error {
        Error::file(FileRole::Open, Op::Read, self.path, source)
    }
}
