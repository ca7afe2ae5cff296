//! The limits from which plays of periods are treated in another way. None of them changes a result. In a debug build
//! they are so low that the few plays of a test exceed them.

/// Number of plays in memory, at 12 bytes each, after which a `watch` commits them.
pub(super) const MOST_UNCOMMITTED: usize = 4 << 20;

/// Number of plays in memory, at 12 bytes each, after which a `replay` moves them to a temporary file.
pub(super) const MOST_IN_MEMORY: usize = limit(4 << 20, 32);

/// Number of plays of a period, at 12 bytes each, that stay in memory while they are grouped by listener. More plays
/// are read twice.
pub(super) const MOST_KEPT: usize = limit(2 << 20, 12);

/// Number of plays of a period, at 4 bytes each, that are grouped by listener. More plays are sorted into runs, which
/// take memory only for distinct pairs.
pub(super) const MOST_GROUPED: usize = limit(16 << 20, 40);

/// Number of plays of an open period up to which its tables are rendered again at each cut, so that no rows are kept.
/// The rows of more plays would take longer to render than to keep up to date.
pub(super) const MOST_WITHOUT_ROWS: u64 = limit(1 << 20, 12) as u64;

const fn limit(plays: usize, in_debug: usize) -> usize {
    if cfg!(debug_assertions) { in_debug } else { plays }
}
