//! The runtime of a command, and the signals that stop it.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

use crate::model::error::Error;
use crate::model::shutdown::Shutdown;
use crate::settings::Settings;

/// The exit code after a second signal. A shell reports the same code for SIGINT.
const INTERRUPTED: i32 = 130;

/// Runs a command. The first SIGINT or SIGTERM requests a shutdown, the second ends the process.
pub(super) fn run_until_stopped<T>(
    settings: &Settings,
    shutdown: &Shutdown,
    command: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    // One thread runs the coordinator, one thread runs other tasks. Decoders and insights use blocking
    // threads.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(settings.decoders() + 64)
        .enable_all()
        .build()
        .map_err(|cause| Error::Bug(format!("cannot start the runtime: {cause}")))?;
    runtime.block_on(async {
        let failed = |cause| Error::Bug(format!("cannot listen for signals: {cause}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if shutdown.is_requested() {
                    std::process::exit(INTERRUPTED);
                }
                shutdown.request();
                tracing::info!("stopping after the current work; send a second signal to exit immediately");
            }
        });
        command.await
    })
}
