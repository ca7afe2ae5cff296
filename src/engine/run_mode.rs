//! The two ways to run the engine.

/// The command that runs the engine. The command determines when the coordinator flushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunMode {
    /// One flush, at the end.
    Replay,
    /// A flush after each interval with new data, and one at the end.
    Watch,
}

impl RunMode {
    /// The value of `producer` in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Watch => "watch",
        }
    }
}
