//! Many runs at the same time, in folders on disk and in memory.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// A folder for places: every other one is in memory, if the system has such a file system, where
/// nothing waits for a disk, so that things happen at other moments.
pub(crate) fn root(number: u64) -> PathBuf {
    let memory = Path::new("/dev/shm");
    if number.is_multiple_of(2) && memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// Does jobs by their numbers, some at the same time; a daemon mostly waits for its disk.
pub(crate) fn in_parallel<T: Send>(jobs: u64, work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicU64::new(0);
    let worker = || -> Vec<T> {
        let numbers = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)));
        numbers.take_while(|number| *number < jobs).map(&work).collect()
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
        let joined = workers.into_iter().map(thread::ScopedJoinHandle::join);
        joined.flat_map(|done| done.unwrap_or_else(|cause| resume_unwind(cause))).collect()
    })
}

/// Says what was being done if it fails.
pub(crate) struct Announced(pub(crate) String);

impl Drop for Announced {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("failed: {}", self.0);
        }
    }
}
