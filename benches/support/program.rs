//! The program itself, and the folders in which benches let it work.

#![allow(dead_code, reason = "each bench uses a part of it")]

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// What takes in everything that is there, with commits, and stops.
pub(crate) const WATCH: [&str; 4] = ["watch", "--once", "--http", "off"];

/// A new folder in memory, so that no disk is measured, or where temporary files are if there is no such place.
pub(crate) fn folder_in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a folder to write to")
}

/// Runs the program in a folder until it has done its work.
pub(crate) fn run(root: &Path, args: &[&str]) {
    let ran = Command::new(env!("CARGO_BIN_EXE_music-insights")).current_dir(root).args(args).output();
    let ran = ran.expect("the program was built");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}
