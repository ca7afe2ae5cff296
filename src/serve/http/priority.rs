//! The priority of the server's threads.

/// Niceness of the threads that serve requests. On a busy processor, a thread that ingests plays gets
/// about 70 times as much time as such a thread.
const NICENESS: i32 = 19;

/// Lowers the priority of the current thread, so that requests do not delay ingestion.
pub(super) fn lower_priority() {
    // If the system refuses, all threads keep the same priority.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
}
