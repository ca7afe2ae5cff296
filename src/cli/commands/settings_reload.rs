//! SIGHUP: a running `watch` reads its settings again, and goes on with those that can be taken
//! over while it runs.

use std::sync::Arc;

use tokio::signal::unix::Signal;
use tokio::sync::watch;

use crate::cli::args::WatchArgs;
use crate::model::error::Error;

use crate::settings::{Settings, differences};
use crate::telemetry::heartbeat::EngineStatus;
use crate::telemetry::logging;
use crate::telemetry::systemd::ServiceNotifier;

/// Who reads settings again.
#[derive(Debug)]
pub struct SettingsReloader {
    /// What the command line says, which stays.
    pub args: WatchArgs,
    /// The settings in force.
    pub settings: Settings,
    /// Where new ones go.
    pub sender: watch::Sender<Arc<Settings>>,
    /// Tells when they have been taken over.
    pub standings: watch::Receiver<EngineStatus>,
    /// Who is told of it.
    pub supervisor: Arc<ServiceNotifier>,
}

impl SettingsReloader {
    /// Reads settings again at every signal.
    pub async fn follow(mut self, mut signals: Signal) {
        let mut sent = 0;
        let mut failed: u64 = 0;
        while signals.recv().await.is_some() {
            self.supervisor.reloading();
            let trouble = match self.read() {
                Ok(Some(settings)) => {
                    sent += 1;
                    self.hand_over(settings, sent).await;
                    None
                }
                Ok(None) => None,
                Err(failure) => {
                    failed += 1;
                    // Reading has begun to change how messages look.
                    logging::configure(self.settings.logging.format, self.settings.logging.level);
                    tracing::error!(failed, "{failure}; the settings stay as they are");
                    Some(format!("settings not read again: {failure}"))
                }
            };
            self.supervisor.reloaded(trouble);
        }
    }

    /// The settings to go on with, if they are others.
    fn read(&self) -> Result<Option<Settings>, Error> {
        let wanted = self.args.settings()?;
        wanted.check_folders()?;
        let next = self.settings.taking_over(&wanted);
        let later = differences(&next, &wanted);
        if !later.is_empty() {
            tracing::warn!("{}: changed, but it takes a restart until that counts", later.join(", "));
        }
        let changed = differences(&self.settings, &next);
        if changed.is_empty() {
            tracing::info!("settings read again: nothing that can be taken over has changed");
            return Ok(None);
        }
        tracing::info!("settings read again: {} changed", changed.join(", "));
        Ok(Some(next))
    }

    /// Hands settings to the owner, and waits until what they change is published.
    async fn hand_over(&mut self, settings: Settings, sent: u64) {
        self.settings = settings.clone();
        self.sender.send_replace(Arc::new(settings));
        // If the owner has ended, so has the program.
        let _ = self.standings.wait_for(|standing| standing.settings_taken >= sent).await;
    }
}
