//! The source of `replay`: reads finished logs in the order of their paths.

use std::collections::HashSet;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ingest::source::compression::{Compression, unreadable};
use crate::ingest::source::fingerprint::FileId;
use crate::ingest::source::framing::{Eof, LineFramer};
use crate::ingest::source::scan::{FolderRules, FolderScanner, SkippedFiles};
use crate::ingest::source::send::{no_hashes, reject_unread, send_chunks};
use crate::ingest::source::stdin::{self, STDIN, is_stdin};
use crate::ingest::source::{Event, EventSender, ReadError};
use crate::model::dialect::Dialect;
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
}

impl Replay {
    /// Reads all logs, but stops when a shutdown is requested.
    ///
    /// # Errors
    /// The first log that cannot be read (exit code 66 or 74), or stdin without a byte (66).
    pub fn run(self, events: &EventSender, shutdown: &Shutdown) -> Result<(), Error> {
        for (path, number) in self.logs.iter().zip(0..) {
            let input = Arc::new(Input { id: InputId(number), label: path_text(path) });
            let read = if is_stdin(path) {
                self.read_stdin(&input, events, shutdown)
            } else {
                self.read_file(path, &input, events, shutdown)
            };
            match read {
                Ok(()) => {}
                Err(ReadError::Failed(error)) => return Err(error),
                Err(ReadError::Closed) => break,
            }
            if shutdown.is_requested() {
                break;
            }
        }
        Ok(())
    }

    fn read_file(
        &self,
        path: &Path,
        input: &Arc<Input>,
        events: &EventSender,
        shutdown: &Shutdown,
    ) -> Result<(), ReadError<Error>> {
        let compression = Compression::of(path);
        let cannot_open = |source: io::Error| ReadError::Failed(unreadable(path, source));
        let size = match compression.check(path, self.dialect.columns.wanted()).map_err(cannot_open)? {
            Ok(size) => size,
            Err(fault) => {
                return reject_unread(input, &fault, Clock::Stopped(self.now), events)
                    .map_err(ReadError::from);
            }
        };
        events.send(Event::Grown(Arc::clone(input), size))?;
        let mut reader = compression.open(path, self.dialect.columns.wanted()).map_err(cannot_open)?;
        let mut framer = self.framer(path, input);
        framer.find_typed_cells(path);
        if !compression.is_plain() {
            framer.begin_compressed(&mut reader).map_err(cannot_open)?;
        }
        self.send(&mut reader, framer, events, shutdown)
            .map_err(|error| error.map(|source| Error::file(FileRole::Open, Op::Read, path, source)))
    }

    /// Reads stdin. If stdin is damaged, the rows before the damage were already sent. Therefore, the
    /// run ends with an error and publishes nothing.
    fn read_stdin(
        &self,
        input: &Arc<Input>,
        events: &EventSender,
        shutdown: &Shutdown,
    ) -> Result<(), ReadError<Error>> {
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
        if len == 0 && !self.allow_empty && !shutdown.is_requested() {
            let message = "stdin is empty; --allow-empty accepts this".to_owned();
            return Err(ReadError::Failed(Error::MissingInput(message)));
        }
        let mut reader = io::Cursor::new(&first[..len]).chain(reader);
        let framer = self.framer(Path::new(STDIN), input).with_utf8(is_utf16);
        self.send(&mut reader, framer, events, shutdown).map_err(|error| error.map(damaged))
    }

    /// A framer for the file at `path`.
    fn framer(&self, path: &Path, input: &Arc<Input>) -> LineFramer {
        LineFramer::with_chunk(Arc::clone(input), self.chunk).with_dialect(&self.dialect, path)
    }

    fn send(
        &self,
        reader: &mut impl Read,
        mut framer: LineFramer,
        events: &EventSender,
        shutdown: &Shutdown,
    ) -> Result<(), ReadError> {
        let clock = Clock::Stopped(self.now);
        send_chunks(&mut framer, reader, Eof::Final, &no_hashes, clock, events, shutdown)?;
        Ok(())
    }
}
