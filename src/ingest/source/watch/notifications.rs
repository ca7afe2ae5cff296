//! Change notifications of the operating system: which files to inspect before the next scan.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// Maximum number of collected names. With more, the whole folder is scanned.
const HINTS: usize = 4096;

/// The files that may have changed.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// Names of files that may have changed.
    pub(super) names: HashSet<OsString>,
    /// Whether notifications were lost, or there were too many of them.
    pub(super) overflow: bool,
}

/// Starts to collect the changes in a folder, and wakes the reader after each.
pub(super) fn start_watcher(
    folder: &Path,
    hints: Arc<Mutex<Hints>>,
    waker: SyncSender<()>,
) -> notify::Result<RecommendedWatcher> {
    let collect = move |event: notify::Result<Event>| {
        let mut hints = hints.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            // Notifications of read access are of no use.
            Ok(event) if matches!(event.kind, EventKind::Access(_)) && !event.need_rescan() => return,
            Ok(event) if !event.need_rescan() && hints.names.len() < HINTS => {
                // Only names are kept: the paths are absolute even if the folder's path is relative.
                hints.names.extend(event.paths.iter().filter_map(|path| Some(path.file_name()?.to_owned())));
            }
            _ => hints.overflow = true,
        }
        drop(hints);
        // If the channel is full, the reader is about to wake anyway.
        let _ = waker.try_send(());
    };
    let mut watcher = RecommendedWatcher::new(collect, Config::default().with_follow_symlinks(false))?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
