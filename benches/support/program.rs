//! Runs the whole program, and creates folders for it.

#![allow(dead_code, reason = "each bench uses a part of this module")]

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Arguments that make `watch` read all inputs, commit, and stop.
pub(crate) const WATCH: [&str; 4] = ["watch", "--once", "--http", "off"];

/// A new folder in memory, so that the speed of a disk does not matter. Without `/dev/shm`, the folder is in
/// the temporary folder.
pub(crate) fn folder_in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("the folder is writable")
}

/// Runs the program in a folder, and waits until it ends.
pub(crate) fn run(root: &Path, args: &[&str]) {
    let ran = Command::new(env!("CARGO_BIN_EXE_music-insights")).current_dir(root).args(args).output();
    let ran = ran.expect("the program is built");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}
