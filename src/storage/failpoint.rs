//! Places where tests let the program die or do wrong: a crash at a named point, and planted bugs
//! that the tests must find. In a release build all of it is gone.

/// Dies here, as by `kill -9`, if the environment variable `CRASH_AT` is `<name>:<n>` and this is
/// the n-th time (from 1) that a point of that name is reached.
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

/// Dies here in a test build; nothing in a release build.
#[cfg(not(debug_assertions))]
#[inline]
pub fn fail_point(_name: &str) {}

/// The names of all points, in the order in which a flush reaches them and then a start.
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

/// A mistake that a test plants to see whether it would be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// A draft is renamed without having been synced.
    NoSyncBeforeRename = 1,
    /// Folders are never synced.
    NoFolderSync,
    /// The logs are synced only after the generation that counts on them.
    CommitBeforeLogs,
    /// The logs are never synced.
    NoLogSync,
    /// The parts of the state are never synced.
    NoPartSync,
    /// A log that is too short is filled up to its committed length.
    ExtendShortLog,
    /// A log that is too long is not cut to its committed length.
    KeepLogTail,
    /// Publishing ends at the first snapshot that needs no replacing.
    ReturnEarly,
    /// Snapshots become visible before the commit.
    PublishBeforeCommit,
    /// The rejects are not part of the commit.
    RejectsOutside,
    /// Checksums are not looked at.
    SkipChecksum,
    /// A generation under its temporary name counts.
    ReadTemporaryGeneration,
    /// Parts are removed as soon as the newest generation does not need them.
    RetireTooEarly,
    /// The waiting plays are not synced.
    NoWaitingSync,
    /// What a killed process has left is taken for durable.
    TrustNames,
}

impl Bug {
    /// All of them.
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

/// Plants a bug in this process, or none.
#[cfg(debug_assertions)]
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as u8), std::sync::atomic::Ordering::SeqCst);
}

/// Whether a bug is planted.
#[cfg(debug_assertions)]
pub fn planted(bug: Bug) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::SeqCst) == bug as u8
}

/// Whether a bug is planted: never in a release build.
#[cfg(not(debug_assertions))]
#[inline]
pub fn planted(_bug: Bug) -> bool {
    false
}
