//! Notifies systemd (protocol of `sd_notify`) that the program is ready, alive, reloading or stopping, and
//! sends a status line. Without a service manager, nothing is sent.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, HumanDuration};
use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::sync::watch;

use crate::model::shutdown::Shutdown;
use crate::telemetry::heartbeat::EngineStatus;

/// Interval between status lines.
const STATUS_INTERVAL: Duration = Duration::from_secs(2);

/// Sends notifications to the service manager.
#[derive(Debug, Default)]
pub struct ServiceNotifier {
    /// The error of the last reload, shown in every status line until a reload succeeds.
    problem: Mutex<Option<String>>,
}

impl ServiceNotifier {
    /// Forwards every heartbeat until the engine ends or a shutdown is requested.
    pub async fn forward(&self, mut statuses: watch::Receiver<EngineStatus>, shutdown: Shutdown) {
        let has_watchdog = watchdog_enabled().is_some();
        let mut status_line = StatusLine::default();
        let mut is_ready = false;
        while statuses.changed().await.is_ok() {
            let status = *statuses.borrow_and_update();
            let mut notifications = Vec::new();
            if status.epoch.is_some() && !is_ready {
                is_ready = true;
                notifications.push(NotifyState::Ready);
            }
            if has_watchdog {
                notifications.push(NotifyState::Watchdog);
            }
            let status = status_line.update(&status, Instant::now()).map(|line| self.with_problem(line));
            notifications.extend(status.as_deref().map(NotifyState::Status));
            send(&notifications);
            if shutdown.is_requested() {
                return self.stopping();
            }
        }
    }

    /// Reports that a reload has begun.
    pub fn reloading(&self) {
        // systemd ignores a reload notification without a time.
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            send(&[NotifyState::Reloading, now]);
        }
    }

    /// Reports that the reload has ended, and includes the error of a failed reload.
    pub fn reloaded(&self, problem: Option<String>) {
        let status = problem.clone().unwrap_or_else(|| "settings reloaded".to_owned());
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
        send(&[NotifyState::Ready, NotifyState::Status(&one_line(&status))]);
    }

    /// Reports that the shutdown has begun.
    pub fn stopping(&self) {
        send(&[NotifyState::Stopping, NotifyState::Status("stopping: publishing the rows read so far")]);
    }

    fn with_problem(&self, status: String) -> String {
        match &*self.problem.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(problem) => one_line(&format!("{problem}; {status}")),
            None => status,
        }
    }
}

/// Composes status lines with rates.
#[derive(Debug, Default)]
struct StatusLine {
    /// The time of the last line, and the number of rows at that time.
    last: Option<(Instant, u64)>,
    /// The start of the current period with unread bytes.
    behind_since: Option<Instant>,
}

impl StatusLine {
    /// The next status line, if it is due.
    fn update(&mut self, status: &EngineStatus, now: Instant) -> Option<String> {
        let behind_since = (status.unread > 0).then(|| self.behind_since.unwrap_or(now));
        self.behind_since = behind_since;
        let (last, rows) = *self.last.get_or_insert((now, status.rows));
        let elapsed = now.saturating_duration_since(last);
        let epoch = status.epoch?;
        if elapsed < STATUS_INTERVAL {
            return None;
        }
        self.last = Some((now, status.rows));
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

/// Replaces line feeds. In the protocol, a line feed would begin a new variable.
fn one_line(text: &str) -> String {
    text.replace('\n', "; ")
}

/// Sends notifications. A failure does not matter to the program itself.
fn send(states: &[NotifyState<'_>]) {
    if states.is_empty() {
        return;
    }
    if let Err(cause) = notify(states) {
        tracing::debug!("cannot notify the service manager: {cause}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_has_the_rate_and_the_lag() {
        let (mut line, began) = (StatusLine::default(), Instant::now());
        let status = |rows, unread| EngineStatus {
            rows,
            unread,
            epoch: Some(7),
            preparation: None,
            settings_taken: 0,
        };
        let after = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(line.update(&EngineStatus::default(), began), None);
        assert_eq!(line.update(&status(100, 5), after(1)), None, "the interval has not passed");
        let text = line.update(&status(4000, 2048), after(4));
        assert_eq!(text.unwrap(), "epoch 7, 1,000 rows/s, 2.00 KiB unread, behind for 3 seconds");
        assert_eq!(line.update(&status(4000, 0), after(5)), None);
        let text = line.update(&status(4200, 0), after(6));
        assert_eq!(text.unwrap(), "epoch 7, 100 rows/s, nothing unread");
    }
}
