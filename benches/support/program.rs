//! The whole program, and folders for it.

#![allow(dead_code, reason = "each bench uses a part of it")]

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Arguments of `watch` that read everything, commit, and stop.
pub(crate) const WATCH: [&str; 4] = ["watch", "--once", "--http", "off"];

/// A new folder in memory, so that no disk is measured, or else in the temporary folder.
pub(crate) fn folder_in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a folder to write to")
}

/// Runs the program in a folder to its end.
pub(crate) fn run(root: &Path, args: &[&str]) {
    let ran = Command::new(env!("CARGO_BIN_EXE_music-insights")).current_dir(root).args(args).output();
    let ran = ran.expect("the program was built");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}
