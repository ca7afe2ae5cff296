//! The two ways to run the engine.

/// Which command runs the engine. It decides when the coordinator flushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunMode {
    /// One flush, at the end.
    Replay,
    /// A flush at every interval with news, and at the end.
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
