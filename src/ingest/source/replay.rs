//! The source of `replay`: finished logs, in the order of their paths.

use std::collections::HashSet;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ingest::source::compression::{Compression, unreadable};
use crate::ingest::source::framing::{Eof, LineFramer};
use crate::ingest::source::scan::{FolderScanner, is_unfinished};
use crate::ingest::source::send::{no_tail, reject_unread, send_chunks};
use crate::ingest::source::stdin::{self, is_stdin};
use crate::ingest::source::{Closed, Event, EventSender};
use crate::model::delimiter::Delimiter;
use crate::model::error::{Error, FileRole, Op};

use crate::model::shutdown::Shutdown;
use crate::model::{Input, InputId};
use crate::text::path_text;
use crate::time::clock::Clock;

/// The logs that the arguments name: files, folders (the logs directly in them), patterns and stdin,
/// in the order of the bytes of their paths as given; one that is named twice comes once.
///
/// # Errors
/// The first argument that names nothing, exit code 66.
pub fn find_logs(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    for argument in arguments {
        if is_stdin(argument) {
            paths.push(argument.clone());
        } else if argument.is_dir() {
            let found = FolderScanner::default().scan(argument, |_| false);
            let found = found.map_err(|cause| Error::file(FileRole::Input, Op::Read, argument, cause))?;
            paths.extend(found.into_iter().map(|found| found.path));
        } else if argument.exists() {
            paths.push(argument.clone());
        } else {
            paths.extend(matches_of(argument)?);
        }
    }
    paths.sort_unstable_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    let mut seen = HashSet::new();
    let place = |path: &PathBuf| path.canonicalize().ok().filter(|_| !is_stdin(path));
    paths.retain(|path| seen.insert(place(path).unwrap_or_else(|| path.clone())));
    Ok(paths)
}

/// The files that match a pattern such as `logs/2025-*.csv`.
fn matches_of(pattern: &Path) -> Result<Vec<PathBuf>, Error> {
    let missing = || {
        Error::MissingInput(format!(
            "{} does not exist; name a file, a folder or a pattern",
            pattern.display()
        ))
    };
    let text = pattern.to_str().filter(|text| text.contains(['*', '?', '['])).ok_or_else(missing)?;
    let wrong = |cause: glob::PatternError| Error::Usage(format!("{text}: not a pattern: {cause}"));
    // Hidden names are temporary ones, unless the pattern asks for them.
    let visible = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::default() };
    let files: Vec<PathBuf> = glob::glob_with(text, visible)
        .map_err(wrong)?
        .flatten()
        .filter(|path| path.is_file() && !is_unfinished(path))
        .map(|path| if is_stdin(&path) { Path::new(".").join(path) } else { path })
        .collect();
    if files.is_empty() {
        return Err(Error::MissingInput(format!("{text} matches no file that is finished")));
    }
    Ok(files)
}

/// Reads finished logs one after the other.
#[derive(Debug)]
pub struct Replay {
    /// The logs, in order.
    pub logs: Vec<PathBuf>,
    /// What parts their fields.
    pub delimiter: Delimiter,
    /// The moment that counts as now for all rows, in seconds since 1970-01-01T00:00:00Z.
    pub now: i64,
    /// Bytes per chunk, which change no row.
    pub chunk: usize,
}

impl Replay {
    /// Reads everything, or until `stop`.
    ///
    /// # Errors
    /// The log that cannot be read, exit code 66 or 74.
    pub fn run(self, events: &EventSender, stop: &Shutdown) -> Result<(), Error> {
        for (path, number) in self.logs.iter().zip(0..) {
            let input = Arc::new(Input { id: InputId(number), label: path_text(path) });
            let read = if is_stdin(path) {
                self.read_stdin(&input, events, stop)
            } else {
                self.read(path, &input, events, stop)
            };
            if read?.is_err() || stop.is_requested() {
                break;
            }
        }
        Ok(())
    }

    fn read(
        &self,
        path: &Path,
        input: &Arc<Input>,
        events: &EventSender,
        stop: &Shutdown,
    ) -> Result<Result<(), Closed>, Error> {
        let storage = Compression::of(path);
        let failed = |cause: io::Error| unreadable(path, cause);
        let size = match storage.check(path, self.delimiter).map_err(failed)? {
            Ok(size) => size,
            Err(fault) => return Ok(reject_unread(input, &fault, Clock::Stopped(self.now), events)),
        };
        if let Err(closed) = events.send(Event::Grown(Arc::clone(input), size)) {
            return Ok(Err(closed));
        }
        let mut reader = storage.open(path, self.delimiter).map_err(failed)?;
        let delivered = self.deliver(&mut reader, input, events, stop);
        delivered.map_err(|cause| Error::file(FileRole::Open, Op::Read, path, cause))
    }

    /// What came before damage has been handed on, so damage ends the run, which publishes nothing.
    fn read_stdin(
        &self,
        input: &Arc<Input>,
        events: &EventSender,
        stop: &Shutdown,
    ) -> Result<Result<(), Closed>, Error> {
        let read = stdin::open().and_then(|mut reader| self.deliver(&mut reader, input, events, stop));
        read.map_err(|cause| {
            let message = format!("stdin cannot be read to its end, so nothing was published: {cause}");
            Error::Damaged(message)
        })
    }

    fn deliver(
        &self,
        reader: &mut impl Read,
        input: &Arc<Input>,
        events: &EventSender,
        stop: &Shutdown,
    ) -> io::Result<Result<(), Closed>> {
        let mut framer = LineFramer::with_chunk(Arc::clone(input), self.chunk).with_delimiter(self.delimiter);
        let clock = Clock::Stopped(self.now);
        let delivered = send_chunks(&mut framer, reader, Eof::Final, &no_tail, clock, events, stop);
        Ok(delivered?.map(drop))
    }
}
