//! The result of a verification.

/// The result of a verification. Each finding is one line of text.
#[derive(Debug, Default)]
pub struct Report {
    /// Tables and files without differences.
    pub verified: Vec<String>,
    /// Tables that cannot be compared, each with the reason.
    pub unverifiable: Vec<String>,
    /// Differences between the published and the recomputed output.
    pub differences: Vec<String>,
}

/// Maximum number of reported differences for each table and kind of difference.
pub const MAX_SHOWN: usize = 3;
