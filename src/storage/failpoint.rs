//! Fail points, at which tests crash the program, and planted bugs, which the tests must find. A release
//! build has neither.

/// Crashes like `kill -9` if the environment variable `CRASH_AT` is `<name>:<n>` and the fail point of
/// this name is reached for the n-th time, counted from 1.
#[cfg(debug_assertions)]
pub fn fail_point(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let wanted = std::env::var("CRASH_AT").ok()?;
        let (name, times) = wanted.rsplit_once(':')?;
        Some((name.to_owned(), times.parse().ok()?))
    });
    static REACHED: AtomicU64 = AtomicU64::new(0);
    if let Some((wanted, times)) = &*WANTED
        && wanted == name
        && REACHED.fetch_add(1, Ordering::Relaxed) + 1 == *times
    {
        std::process::abort();
    }
}

/// Crashes in a debug build. A release build does nothing.
#[cfg(not(debug_assertions))]
#[inline]
pub fn fail_point(_name: &str) {}

/// The names of all fail points: first those of a flush, then those of a start, in order.
pub const POINTS: [&str; 19] = [
    "flush.cut",
    "flush.staged",
    "commit.logs_synced",
    "commit.part_written",
    "commit.part_synced",
    "commit.generation_written",
    "commit.generation_renamed",
    "commit.done",
    "publish.snapshot",
    "publish.manifest",
    "publish.done",
    "retire.generation",
    "retire.part",
    "compact.written",
    "inputs.archived",
    "recover.begun",
    "recover.leftovers",
    "recover.log_cut",
    "recover.done",
];

/// A planted bug: a test plants it to prove that the other tests find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// A staged file is renamed without a sync.
    NoSyncBeforeRename = 1,
    /// Folders are never synced.
    NoFolderSync,
    /// Append-only tables are synced after the generation that refers to them.
    CommitBeforeLogs,
    /// Append-only tables are never synced.
    NoLogSync,
    /// Segments of the state are never synced.
    NoPartSync,
    /// An append-only table that is too short is extended to its committed length.
    ExtendShortLog,
    /// An append-only table is not truncated to its committed length.
    KeepLogTail,
    /// Publishing ends at the first unchanged snapshot.
    ReturnEarly,
    /// Snapshots become visible before the commit.
    PublishBeforeCommit,
    /// The rejects are not part of the commit.
    RejectsOutside,
    /// Checksums are not verified.
    SkipChecksum,
    /// A generation with a temporary name is loaded.
    ReadTemporaryGeneration,
    /// Segments are removed when only the newest generation does not need them.
    RetireTooEarly,
    /// Unmatched plays are not synced.
    NoWaitingSync,
    /// Names that a killed process has left are assumed to be durable.
    TrustNames,
}

impl Bug {
    /// All planted bugs.
    pub const ALL: [Self; 15] = [
        Self::NoSyncBeforeRename,
        Self::NoFolderSync,
        Self::CommitBeforeLogs,
        Self::NoLogSync,
        Self::NoPartSync,
        Self::ExtendShortLog,
        Self::KeepLogTail,
        Self::ReturnEarly,
        Self::PublishBeforeCommit,
        Self::RejectsOutside,
        Self::SkipChecksum,
        Self::ReadTemporaryGeneration,
        Self::RetireTooEarly,
        Self::NoWaitingSync,
        Self::TrustNames,
    ];
}

#[cfg(debug_assertions)]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Plants a bug in this process, or removes it.
#[cfg(debug_assertions)]
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as u8), std::sync::atomic::Ordering::SeqCst);
}

/// Whether a bug is planted.
#[cfg(debug_assertions)]
pub fn planted(bug: Bug) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::SeqCst) == bug as u8
}

/// Whether a bug is planted. Always false in a release build.
#[cfg(not(debug_assertions))]
#[inline]
pub fn planted(_bug: Bug) -> bool {
    false
}
