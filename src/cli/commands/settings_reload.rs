//! On SIGHUP, a running `watch` reads its settings again and applies the settings that need no restart.

use std::sync::Arc;

use tokio::signal::unix::Signal;
use tokio::sync::watch;

use crate::cli::args::settings::SettingArgs;
use crate::model::error::Error;
use crate::settings::{Settings, differences};
use crate::telemetry::heartbeat::EngineStatus;
use crate::telemetry::logging;
use crate::telemetry::systemd::ServiceNotifier;

/// Reloads the settings on each signal.
#[derive(Debug)]
pub(super) struct SettingsReloader {
    /// The settings on the command line. A reload does not change them.
    pub(super) args: SettingArgs,
    /// The settings in force.
    pub(super) settings: Settings,
    /// Sends changed settings to the engine.
    pub(super) sender: watch::Sender<Arc<Settings>>,
    /// The engine status. The status shows when the engine has applied changed settings.
    pub(super) engine_status: watch::Receiver<EngineStatus>,
    /// Reports the reload to the service manager.
    pub(super) notifier: Arc<ServiceNotifier>,
}

impl SettingsReloader {
    /// Reloads the settings on every signal until the stream of signals ends.
    pub(super) async fn run(mut self, mut signals: Signal) {
        let mut sent = 0;
        let mut failed: u64 = 0;
        while signals.recv().await.is_some() {
            self.notifier.reloading();
            let problem = match self.read() {
                Ok(Some(settings)) => {
                    sent += 1;
                    self.apply(settings, sent).await;
                    None
                }
                Ok(None) => None,
                Err(error) => {
                    failed += 1;
                    // Reading the settings has already changed the format and level of messages. The next
                    // line restores them.
                    logging::configure(self.settings.logging.format, self.settings.logging.level);
                    tracing::error!(
                        failed,
                        "{error}; settings not reloaded, the previous settings stay in force"
                    );
                    Some(format!("settings not reloaded: {error}"))
                }
            };
            self.notifier.reloaded(problem);
        }
    }

    /// Reads all settings. Returns the settings to apply, or `None` if no reloadable setting changed.
    fn read(&self) -> Result<Option<Settings>, Error> {
        let wanted = self.args.settings()?;
        wanted.check_folders()?;
        let next = self.settings.taking_over(&wanted);
        let needs_restart = differences(&next, &wanted);
        if !needs_restart.is_empty() {
            tracing::warn!("these changed settings need a restart: {}", needs_restart.join(", "));
        }
        let changed = differences(&self.settings, &next);
        if changed.is_empty() {
            tracing::info!("settings reloaded: no reloadable setting changed");
            return Ok(None);
        }
        tracing::info!("settings reloaded: {} changed", changed.join(", "));
        Ok(Some(next))
    }

    /// Sends settings to the engine, and waits until it has published an epoch with these settings.
    async fn apply(&mut self, settings: Settings, sent: u64) {
        self.settings = settings.clone();
        self.sender.send_replace(Arc::new(settings));
        // An error means that the engine has ended. Then the program ends, too.
        let _ = self.engine_status.wait_for(|status| status.settings_taken >= sent).await;
    }
}
