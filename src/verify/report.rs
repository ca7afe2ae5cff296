//! The result of a verification.

/// The result of a verification: one line of text per finding.
#[derive(Debug, Default)]
pub struct Report {
    /// Tables and files that equal the recomputed ones.
    pub verified: Vec<String>,
    /// Tables that could not be compared, with the reason.
    pub unverifiable: Vec<String>,
    /// Differences between the published and the recomputed output.
    pub differences: Vec<String>,
}

/// Maximum number of differences of one kind that are reported for a table.
pub const MAX_SHOWN: usize = 3;
