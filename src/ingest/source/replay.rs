//! The source of `replay`: reads finished logs in the order of their paths.

use std::collections::HashSet;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ingest::source::compression::{Compression, unreadable};
use crate::ingest::source::framing::{Eof, LineFramer};
use crate::ingest::source::scan::{FolderScanner, is_unfinished};
use crate::ingest::source::send::{no_tail, reject_unread, send_chunks};
use crate::ingest::source::stdin::{self, STDIN, is_stdin};
use crate::ingest::source::{Event, EventSender, ReadError};
use crate::model::dialect::Dialect;
use crate::model::error::{Error, FileRole, Op};

use crate::model::shutdown::Shutdown;
use crate::model::{Input, InputId};
use crate::text::path_text;
use crate::time::clock::Clock;

/// Finds the logs for the arguments. An argument is a file, a folder, a pattern or stdin; a folder
/// stands for the logs directly in it. The result has no duplicates, and is sorted by the bytes of the
/// paths as given.
///
/// # Errors
/// The first argument that does not exist or matches no file (exit code 66), or an invalid pattern (exit
/// code 64).
pub fn find_logs(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    for argument in arguments {
        if is_stdin(argument) {
            paths.push(argument.clone());
        } else if argument.is_dir() {
            let logs = FolderScanner::default().scan(argument, |_| false);
            let logs = logs.map_err(|source| Error::file(FileRole::Input, Op::Read, argument, source))?;
            paths.extend(logs.into_iter().map(|log| log.path));
        } else if argument.exists() {
            paths.push(argument.clone());
        } else {
            paths.extend(find_matches(argument)?);
        }
    }
    paths.sort_unstable_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    let mut found = HashSet::new();
    let canonical = |path: &PathBuf| path.canonicalize().ok().filter(|_| !is_stdin(path));
    paths.retain(|path| found.insert(canonical(path).unwrap_or_else(|| path.clone())));
    Ok(paths)
}

/// Finds the files that match a pattern such as `logs/2025-*.csv`.
fn find_matches(pattern: &Path) -> Result<Vec<PathBuf>, Error> {
    let missing = || {
        Error::MissingInput(format!(
            "{} does not exist; pass a file, a folder or a pattern",
            pattern.display()
        ))
    };
    let text = pattern.to_str().filter(|text| text.contains(['*', '?', '['])).ok_or_else(missing)?;
    let invalid = |source: glob::PatternError| Error::Usage(format!("{text}: not a valid pattern: {source}"));
    // Hidden files count as temporary files. A pattern matches them only if it contains the leading dot.
    let visible = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::default() };
    let files: Vec<PathBuf> = glob::glob_with(text, visible)
        .map_err(invalid)?
        .flatten()
        .filter(|path| path.is_file() && !is_unfinished(path))
        .map(|path| if is_stdin(&path) { Path::new(".").join(path) } else { path })
        .collect();
    if files.is_empty() {
        return Err(Error::MissingInput(format!("{text} matches no finished file")));
    }
    Ok(files)
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
}

impl Replay {
    /// Reads all logs, but stops when a shutdown is requested.
    ///
    /// # Errors
    /// The first log that cannot be read (exit code 66 or 74).
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
        self.send(&mut reader, path, input, events, shutdown)
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
        let mut reader = stdin::open().map_err(|source| ReadError::Failed(damaged(source)))?;
        self.send(&mut reader, Path::new(STDIN), input, events, shutdown).map_err(|error| error.map(damaged))
    }

    fn send(
        &self,
        reader: &mut impl Read,
        path: &Path,
        input: &Arc<Input>,
        events: &EventSender,
        shutdown: &Shutdown,
    ) -> Result<(), ReadError> {
        let framer = LineFramer::with_chunk(Arc::clone(input), self.chunk);
        let mut framer = framer.with_dialect(&self.dialect, path);
        framer.find_typed_cells(path);
        let clock = Clock::Stopped(self.now);
        send_chunks(&mut framer, reader, Eof::Final, &no_tail, clock, events, shutdown)?;
        Ok(())
    }
}
