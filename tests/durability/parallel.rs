//! Runs several jobs at the same time, in folders on disk and in memory.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// The folder for a place. Every second folder is in memory if possible. In memory, the timing is different,
/// because no operation waits for a disk.
pub(crate) fn root(number: u64) -> PathBuf {
    let memory = Path::new("/dev/shm");
    if number.is_multiple_of(2) && memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// Runs numbered jobs, four at the same time, because a daemon mostly waits for its disk. Only one test at a
/// time runs its jobs, because the jobs load the machine.
pub(crate) fn in_parallel<T: Send>(jobs: u64, work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    static MACHINE: Mutex<()> = Mutex::new(());
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
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

/// A text that is printed if the test fails.
pub(crate) struct Announced(pub(crate) String);

impl Drop for Announced {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("failed: {}", self.0);
        }
    }
}
