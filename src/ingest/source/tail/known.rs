//! What an earlier process knew about an input, and when a last line is complete.

use std::sync::Arc;
use std::time::Duration;

use crate::ingest::source::fingerprint::Fingerprint;
use crate::model::{Input, Layout, Position};

/// An input as of the last commit.
#[derive(Clone, Debug)]
pub struct KnownInput {
    /// The input.
    pub input: Arc<Input>,
    /// The fingerprint of its file.
    pub fingerprint: Fingerprint,
    /// The position at which reading resumes.
    pub position: Position,
    /// The layout of an earlier position, if the current position has none.
    pub layout: Option<Arc<Layout>>,
    /// Number of rows that were read: plays and rejects.
    pub rows: u64,
    /// Whether the file is read again as another input.
    pub retried: bool,
    /// Whether rows were read with settings of the dialect that have changed since then.
    pub earlier_settings: bool,
}

impl KnownInput {
    /// The last known layout of the input.
    pub fn layout(&self) -> Option<&Arc<Layout>> {
        self.position.state.layout().or(self.layout.as_ref())
    }
}

/// When a last line without a line feed counts as complete.
#[derive(Clone, Copy, Debug)]
pub struct LastLines {
    /// How long the file must be unchanged.
    pub wait: Duration,
    /// Whether the line counts as complete at once (`--once`).
    pub once: bool,
}
