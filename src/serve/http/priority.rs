//! The priority of the server's threads.

/// Niceness of the threads that serve requests. On a busy processor, such a thread gets about one seventieth
/// of the time of a thread that ingests plays.
const NICENESS: i32 = 19;

/// Lowers the priority of the current thread, so that requests do not delay ingestion.
pub(super) fn lower_priority() {
    // If the system refuses, all threads keep the same priority.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
}
