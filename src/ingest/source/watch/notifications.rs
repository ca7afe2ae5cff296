//! Change notifications from the operating system. They tell which files to inspect before the next
//! scan.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// Maximum number of collected names. If there are more, the whole folder is scanned.
const HINTS: usize = 4096;

/// The files that may have changed.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// Names of files that may have changed, relative to the folder.
    pub(super) names: HashSet<PathBuf>,
    /// Whether notifications were lost, or there were too many of them.
    pub(super) overflow: bool,
}

/// Starts to collect the changes in a folder, and, if `recursive`, also in all its subfolders, those of later
/// included. Each change wakes the thread of the source.
pub(super) fn start_watcher(
    folder: &Path,
    recursive: bool,
    hints: Arc<Mutex<Hints>>,
    waker: SyncSender<()>,
) -> notify::Result<RecommendedWatcher> {
    // Some systems report paths without links. Therefore, a path without links is watched.
    let root = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let target = root.clone();
    let collect = move |event: notify::Result<Event>| {
        let mut hints = hints.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            // Notifications of read access are not needed.
            Ok(event) if matches!(event.kind, EventKind::Access(_)) && !event.need_rescan() => return,
            Ok(event) if !event.need_rescan() && hints.names.len() < HINTS => {
                for path in &event.paths {
                    match name_in(&root, path, recursive) {
                        Some(name) => drop(hints.names.insert(name)),
                        None => hints.overflow = true,
                    }
                }
            }
            _ => hints.overflow = true,
        }
        drop(hints);
        // If the channel is full, the thread of the source will wake anyway.
        let _ = waker.try_send(());
    };
    let mut watcher = RecommendedWatcher::new(collect, Config::default().with_follow_symlinks(false))?;
    let mode = if recursive { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
    watcher.watch(&target, mode)?;
    Ok(watcher)
}

/// The name of a file relative to the watched folder; `None` if it is unknown.
fn name_in(root: &Path, path: &Path, recursive: bool) -> Option<PathBuf> {
    if recursive {
        path.strip_prefix(root).map(Path::to_owned).ok()
    } else {
        path.file_name().map(PathBuf::from)
    }
}
