//! The coordinator's sign of life. It carries the engine status.

use std::sync::Arc;

use tokio::sync::watch;

/// The progress of the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStatus {
    /// Rows applied since the start of the process.
    pub rows: u64,
    /// Known bytes that have not been read yet.
    pub unread: u64,
    /// The last published epoch.
    pub epoch: Option<u64>,
    /// While a new catalog is prepared for closed periods: the number of rendered periods, and of all periods to
    /// render.
    pub preparation: Option<(usize, usize)>,
    /// How many times changed settings were applied.
    pub settings_taken: u64,
}

/// Publishes the engine status. The coordinator itself sends a beat whenever it works, without a timer. A
/// stuck coordinator therefore sends no beats.
#[derive(Clone, Debug)]
pub struct Heartbeat(Arc<watch::Sender<EngineStatus>>);

impl Default for Heartbeat {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(EngineStatus::default())))
    }
}

impl Heartbeat {
    /// Reports liveness and a new status.
    pub fn beat(&self, status: EngineStatus) {
        self.0.send_replace(status);
    }

    /// Reports liveness while the status cannot change, for example on a full disk.
    pub fn touch(&self) {
        self.0.send_modify(|_| {});
    }

    /// A receiver for all beats from now on.
    pub fn subscribe(&self) -> watch::Receiver<EngineStatus> {
        self.0.subscribe()
    }
}
