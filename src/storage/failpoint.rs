//! Fail points and planted bugs for tests. A test can crash the program at a fail point. A planted bug
//! checks the power-loss test, which must find the bug. A release build has no fail points and no
//! planted bugs.

/// Crashes the process like `kill -9` if the environment variable `CRASH_AT` is `<name>:<n>` and this is
/// the n-th call with this name. The first call has n = 1.
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

/// Does nothing, because this is a release build. A debug build may crash here.
#[cfg(not(debug_assertions))]
#[inline]
pub fn fail_point(_name: &str) {}

/// The names of all fail points, in the order of execution: first the points of a flush, then the points
/// of a start. Only `output.damaged` is not listed, because a run reaches it only if published files are gone.
pub const POINTS: [&str; 22] = [
    "flush.cut",
    "flush.staged",
    "commit.logs_synced",
    "commit.part_written",
    "commit.part_synced",
    "commit.generation_written",
    "commit.generation_renamed",
    "commit.done",
    "publish.snapshot",
    "publish.period_table",
    "publish.period_index",
    "publish.period_removed",
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

/// The fail points of an executor: after the work of a task, before its report.
pub const TASK_POINTS: [&str; 8] = [
    "task.map",
    "task.merge",
    "task.listeners",
    "task.songs",
    "task.table",
    "task.part",
    "task.period",
    "task.compare",
];

/// The fail points of a client of a cluster, in the order of execution.
pub const CLIENT_POINTS: [&str; 6] = [
    "client.read",
    "client.rendered",
    "client.staged",
    "publish.snapshot",
    "publish.manifest",
    "client.published",
];

/// A known bug. A test plants it to prove that the other tests find it.
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
    /// A segment is removed as soon as the newest generation does not need it, even if an older one
    /// does.
    RetireTooEarly,
    /// Unmatched plays are not synced.
    NoWaitingSync,
    /// The names of files that a killed process has left are assumed to be durable.
    TrustNames,
    /// Late plays of a closed period are not written to the state.
    ClosedPeriodUnsaved,
    /// Late plays count in the latest period.
    LatePlayInLatestPeriod,
    /// A period that is no longer kept stays in the output.
    UnkeptPeriodStays,
}

impl Bug {
    /// All planted bugs.
    pub const ALL: [Self; 18] = [
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
        Self::ClosedPeriodUnsaved,
        Self::LatePlayInLatestPeriod,
        Self::UnkeptPeriodStays,
    ];
}

#[cfg(debug_assertions)]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Plants a bug in this process. `None` removes the planted bug.
#[cfg(debug_assertions)]
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as u8), std::sync::atomic::Ordering::SeqCst);
}

/// Whether this bug is planted.
#[cfg(debug_assertions)]
pub fn planted(bug: Bug) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::SeqCst) == bug as u8
}

/// Whether this bug is planted. Always false in a release build.
#[cfg(not(debug_assertions))]
#[inline]
pub fn planted(_bug: Bug) -> bool {
    false
}
