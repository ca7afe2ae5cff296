//! Warnings of files that `watch` skips because of their names.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64;

use crate::ingest::source::log_names::is_temporary_name;
use crate::ingest::source::scan::SkippedFiles;
use crate::text::shown;

/// Minimum time between two warnings.
const PAUSE: Duration = Duration::from_mins(1);

/// Warns of all skipped files after the first scan, and later of new ones, at most once a minute.
#[derive(Debug, Default)]
pub(super) struct SkippedWarnings {
    /// Hashes of the names in the previous scan, and in this one.
    before: HashSet<u64>,
    now: HashSet<u64>,
    /// The files that no warning has named yet.
    new: SkippedFiles,
    /// Whether the first scan has ended.
    started: bool,
    warned: Option<Instant>,
}

impl SkippedWarnings {
    /// Notes a file that a scan has skipped. Names of temporary files come and go, so after the start they
    /// are not worth a warning.
    pub(super) fn note(&mut self, name: &Path) {
        let hash = xxh3_64(name.as_os_str().as_bytes());
        let is_temporary = || name.file_name().is_some_and(is_temporary_name);
        if self.now.insert(hash) && !self.before.contains(&hash) && (!self.started || !is_temporary()) {
            self.new.add(name);
        }
    }

    /// Ends a scan of `folder`, and warns if a warning is due. `folders` is the number of subfolders that are
    /// not read; the archive is no news.
    pub(super) fn warn(&mut self, folder: &Path, archive: &Path, folders: u64) {
        self.before = std::mem::take(&mut self.now);
        if !std::mem::replace(&mut self.started, true) {
            let has_archive = match (folder.canonicalize(), archive.canonicalize()) {
                (Ok(folder), Ok(archive)) => archive.parent() == Some(&folder),
                _ => false,
            };
            self.new.folders = folders.saturating_sub(has_archive.into());
        }
        if !self.new.is_empty() && self.warned.is_none_or(|warned| warned.elapsed() >= PAUSE) {
            tracing::warn!("{}: {}", shown(folder), std::mem::take(&mut self.new));
            self.warned = Some(Instant::now());
        }
    }
}
