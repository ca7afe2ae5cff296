//! The source of `replay`: finished logs, in the order of their paths.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::Clock;
use crate::failure::{Exit, Failure};
use crate::model::{Input, InputId};
use crate::source::compressed::Storage;
use crate::source::deliver::{deliver, no_tail, reject_unread};
use crate::source::lines::{End, LineCutter};
use crate::source::scan::{LeftAlone, is_unfinished};
use crate::source::{Closed, Event, Outlet};
use crate::stop::Stop;
use crate::text::path_text;

/// The files that the arguments name: files, folders (the logs directly in them) and patterns, in
/// the order of the bytes of their paths as given; one that is named twice comes once.
///
/// # Errors
/// The first argument that names nothing, exit code 66.
pub fn find_logs(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = Vec::new();
    for argument in arguments {
        if argument.is_dir() {
            let found = LeftAlone::default().look_around(argument, |_| false);
            let found = found.map_err(|cause| Failure::io(Exit::NoInput, "read", argument, &cause))?;
            paths.extend(found.into_iter().map(|found| found.path));
        } else if argument.exists() {
            paths.push(argument.clone());
        } else {
            paths.extend(matches_of(argument)?);
        }
    }
    paths.sort_unstable_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    let mut seen = HashSet::new();
    paths.retain(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
    Ok(paths)
}

/// The files that match a pattern such as `logs/2025-*.csv`.
fn matches_of(pattern: &Path) -> Result<Vec<PathBuf>, Failure> {
    let missing = || {
        Failure::new(
            Exit::NoInput,
            format!("{} does not exist; name a file, a folder or a pattern", pattern.display()),
        )
    };
    let text = pattern.to_str().filter(|text| text.contains(['*', '?', '['])).ok_or_else(missing)?;
    let wrong =
        |cause: glob::PatternError| Failure::new(Exit::Usage, format!("{text}: not a pattern: {cause}"));
    // Hidden names are temporary ones, unless the pattern asks for them.
    let visible = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::default() };
    let files: Vec<PathBuf> = glob::glob_with(text, visible)
        .map_err(wrong)?
        .flatten()
        .filter(|path| path.is_file() && !is_unfinished(path))
        .collect();
    if files.is_empty() {
        return Err(Failure::new(Exit::NoInput, format!("{text} matches no file that is finished")));
    }
    Ok(files)
}

/// Reads finished logs one after the other.
#[derive(Debug)]
pub struct Replay {
    /// The logs, in order.
    pub logs: Vec<PathBuf>,
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
    pub fn run(self, outlet: &Outlet, stop: &Stop) -> Result<(), Failure> {
        for (path, number) in self.logs.iter().zip(0..) {
            let input = Arc::new(Input { id: InputId(number), label: path_text(path) });
            if self.read(path, &input, outlet, stop)?.is_err() || stop.is_set() {
                break;
            }
        }
        Ok(())
    }

    fn read(
        &self,
        path: &Path,
        input: &Arc<Input>,
        outlet: &Outlet,
        stop: &Stop,
    ) -> Result<Result<(), Closed>, Failure> {
        let storage = Storage::of(path);
        let clock = Clock::Stopped(self.now);
        let unreadable = |cause: std::io::Error| Failure::io(Exit::NoInput, "read", path, &cause);
        let size = match storage.check(path).map_err(unreadable)? {
            Ok(size) => size,
            Err(fault) => return Ok(reject_unread(input, &fault, clock, outlet)),
        };
        if let Err(closed) = outlet.send(Event::Size(Arc::clone(input), size)) {
            return Ok(Err(closed));
        }
        let mut reader = storage.open(path).map_err(unreadable)?;
        let mut cutter = LineCutter::with_chunk(Arc::clone(input), self.chunk);
        let delivered = deliver(&mut cutter, &mut reader, End::Final, &no_tail, clock, outlet, stop);
        let delivered = delivered.map_err(|cause| Failure::io(Exit::Io, "read", path, &cause))?;
        Ok(delivered.map(drop))
    }
}
