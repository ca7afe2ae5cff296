//! Signs of life of the owner of the state, and how far it is.

use std::sync::Arc;

use tokio::sync::watch;

/// How far the owner is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
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
pub struct Pulse(Arc<watch::Sender<Standing>>);

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Standing::default())))
    }
}

impl Pulse {
    /// Says that the owner is alive, and how far it is.
    pub fn beat(&self, standing: Standing) {
        self.0.send_replace(standing);
    }

    /// Says that who is not any further waits with good reason.
    pub fn wait(&self) {
        self.0.send_modify(|_| {});
    }

    /// Feels the pulse from now on.
    pub fn feel(&self) -> watch::Receiver<Standing> {
        self.0.subscribe()
    }
}
