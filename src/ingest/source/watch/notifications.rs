//! Change notifications from the operating system. They tell which files to inspect before the next
//! scan.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// Maximum number of collected names. If there are more, the whole folder is scanned.
const HINTS: usize = 4096;

/// The files that may have changed.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// Names of files that may have changed.
    pub(super) names: HashSet<OsString>,
    /// Whether notifications were lost, or there were too many of them.
    pub(super) overflow: bool,
}

/// Starts to collect the changes in a folder. Each change wakes the thread of the source.
pub(super) fn start_watcher(
    folder: &Path,
    hints: Arc<Mutex<Hints>>,
    waker: SyncSender<()>,
) -> notify::Result<RecommendedWatcher> {
    let collect = move |event: notify::Result<Event>| {
        let mut hints = hints.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            // Notifications of read access are not needed.
            Ok(event) if matches!(event.kind, EventKind::Access(_)) && !event.need_rescan() => return,
            Ok(event) if !event.need_rescan() && hints.names.len() < HINTS => {
                // Only names are kept, because the paths are absolute even if the path of the folder is
                // relative.
                hints.names.extend(event.paths.iter().filter_map(|path| Some(path.file_name()?.to_owned())));
            }
            _ => hints.overflow = true,
        }
        drop(hints);
        // If the channel is full, the thread of the source will wake anyway.
        let _ = waker.try_send(());
    };
    let mut watcher = RecommendedWatcher::new(collect, Config::default().with_follow_symlinks(false))?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
