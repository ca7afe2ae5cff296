//! The number of a tail.

/// The number of a tail in its set. It is valid as long as the set exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TailId(pub(super) usize);
