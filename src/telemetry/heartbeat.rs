//! Signs of life of the owner of the state, and how far it is.

use std::sync::Arc;

use tokio::sync::watch;

/// How far the owner is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStatus {
    /// Rows that were taken in.
    pub rows: u64,
    /// Bytes that are known to be there and were not taken in.
    pub unread: u64,
    /// The epoch that was published last.
    pub epoch: Option<u64>,
    /// How often new settings have been taken over.
    pub settings_taken: u64,
}

/// Where the owner shows that it goes on. Only work beats, never a clock of its own: whoever is
/// stuck falls silent.
#[derive(Clone, Debug)]
pub struct Heartbeat(Arc<watch::Sender<EngineStatus>>);

impl Default for Heartbeat {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(EngineStatus::default())))
    }
}

impl Heartbeat {
    /// Says that the owner is alive, and how far it is.
    pub fn beat(&self, status: EngineStatus) {
        self.0.send_replace(status);
    }

    /// Says that who is not any further waits with good reason.
    pub fn touch(&self) {
        self.0.send_modify(|_| {});
    }

    /// Feels the pulse from now on.
    pub fn subscribe(&self) -> watch::Receiver<EngineStatus> {
        self.0.subscribe()
    }
}
