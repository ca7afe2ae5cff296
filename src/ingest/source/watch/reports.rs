//! What the operating system reports of changes: where to look at once.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use notify::{Config, Event as Change, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// Names that are kept; beyond, the whole folder is looked at.
const HINTS: usize = 4096;

/// Where to look at once.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// Names of files that may have changed.
    pub(super) names: HashSet<OsString>,
    /// Reports were lost, or there were too many of them.
    pub(super) everywhere: bool,
}

/// Has the changes in a folder reported.
pub(super) fn start_watcher(
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
