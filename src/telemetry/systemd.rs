//! What a service manager is told (systemd, by the protocol of `sd_notify`): that we are ready,
//! alive, reading our settings again or stopping, and how far we are. Without one, nothing.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, HumanDuration};
use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::sync::watch;

use crate::model::shutdown::Shutdown;
use crate::telemetry::heartbeat::EngineStatus;

/// How often it is told how far we are.
const STATUS: Duration = Duration::from_secs(2);

/// The way to the service manager.
#[derive(Debug, Default)]
pub struct ServiceNotifier {
    /// What is wrong until further notice.
    trouble: Mutex<Option<String>>,
}

impl ServiceNotifier {
    /// Tells of every sign of life as it comes, until nothing more is said.
    pub async fn follow(&self, mut statuses: watch::Receiver<EngineStatus>, stop: Shutdown) {
        let is_watched = watchdog_enabled().is_some();
        let mut told = Told::default();
        let mut is_ready = false;
        while statuses.changed().await.is_ok() {
            let status = *statuses.borrow_and_update();
            let mut news = Vec::new();
            if status.epoch.is_some() && !is_ready {
                is_ready = true;
                news.push(NotifyState::Ready);
            }
            if is_watched {
                news.push(NotifyState::Watchdog);
            }
            let status = told.status(&status, Instant::now()).map(|status| self.with_trouble(status));
            news.extend(status.as_deref().map(NotifyState::Status));
            tell(&news);
            if stop.is_requested() {
                return self.stopping();
            }
        }
    }

    /// Tells that settings are read again.
    pub fn reloading(&self) {
        // Without a time, systemd would not take the rest either.
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            tell(&[NotifyState::Reloading, now]);
        }
    }

    /// Tells that this is over, and what went wrong with it.
    pub fn reloaded(&self, trouble: Option<String>) {
        let status = trouble.clone().unwrap_or_else(|| "settings read again".to_owned());
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        tell(&[NotifyState::Ready, NotifyState::Status(&one_line(&status))]);
    }

    /// Tells that the end has begun.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping, NotifyState::Status("stopping: what was read is published first")]);
    }

    fn with_trouble(&self, status: String) -> String {
        match &*self.trouble.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(trouble) => one_line(&format!("{trouble}; {status}")),
            None => status,
        }
    }
}

/// What was told last.
#[derive(Debug, Default)]
struct Told {
    at: Option<(Instant, u64)>,
    /// Since when there has always been something unread.
    behind_since: Option<Instant>,
}

impl Told {
    /// How far we are, if it is time to say so.
    fn status(&mut self, status: &EngineStatus, now: Instant) -> Option<String> {
        let behind_since = (status.unread > 0).then(|| self.behind_since.unwrap_or(now));
        self.behind_since = behind_since;
        let (at, rows) = *self.at.get_or_insert((now, status.rows));
        let elapsed = now.saturating_duration_since(at);
        let epoch = status.epoch?;
        if elapsed < STATUS {
            return None;
        }
        self.at = Some((now, status.rows));
        let rate = HumanCount(((status.rows - rows) as f64 / elapsed.as_secs_f64()) as u64);
        let lag = behind_since.map_or_else(
            || "nothing unread".to_owned(),
            |since| {
                let behind = HumanDuration(now.saturating_duration_since(since));
                format!("{} unread, behind for {behind}", HumanBytes(status.unread))
            },
        );
        Some(format!("epoch {epoch}, {rate} rows/s, {lag}"))
    }
}

/// A line feed would begin another message.
fn one_line(text: &str) -> String {
    text.replace('\n', "; ")
}

/// That nobody hears us is no reason to end.
fn tell(news: &[NotifyState<'_>]) {
    if let Err(cause) = if news.is_empty() { Ok(()) } else { notify(news) } {
        tracing::debug!("the service manager cannot be told: {cause}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_says_how_fast_and_how_far_behind() {
        let (mut told, began) = (Told::default(), Instant::now());
        let status = |rows, unread| EngineStatus { rows, unread, epoch: Some(7), settings_taken: 0 };
        let after = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(told.status(&EngineStatus::default(), began), None);
        assert_eq!(told.status(&status(100, 5), after(1)), None, "not so often");
        let line = told.status(&status(4000, 2048), after(4));
        assert_eq!(line.unwrap(), "epoch 7, 1,000 rows/s, 2.00 KiB unread, behind for 3 seconds");
        assert_eq!(told.status(&status(4000, 0), after(5)), None);
        let line = told.status(&status(4200, 0), after(6));
        assert_eq!(line.unwrap(), "epoch 7, 100 rows/s, nothing unread");
    }
}
