//! Shows the progress of a run on a terminal.

use std::time::{Duration, Instant};

use music_insights_ballista::session::{JobProgress, Session};

use crate::model::shutdown::Shutdown;
use crate::telemetry::progress::Stages;

/// The interval between two updates of the progress, and between two checks for a shutdown.
const INTERVAL: Duration = Duration::from_millis(500);
/// If a run makes no progress for this long, a warning is printed.
const STALL: Duration = Duration::from_mins(2);

/// Shows the progress of a session until a shutdown is requested. Prints a warning if there is no progress.
pub(super) async fn show_until_shutdown(session: &Session, stages: &Stages, stop: &Shutdown) {
    let mut stall = StallDetector { last: None, since: Instant::now() };
    while !stop.is_requested() {
        tokio::time::sleep(INTERVAL).await;
        let progress = session.progress().await;
        if let Some(progress) = progress {
            stages.show(progress.finished_stages, progress.stages, progress.finished_tasks, progress.tasks);
        }
        if stall.is_stalled(progress, Instant::now()) {
            tracing::warn!(
                "no task finished for {} s; check the executors. A scheduler started with `--scheduler-policy \
                 pull-staged` recovers from lost executors",
                STALL.as_secs()
            );
        }
    }
}

struct StallDetector {
    last: Option<JobProgress>,
    since: Instant,
}

impl StallDetector {
    /// Whether jobs are running and [`STALL`] has passed since the last progress or the last warning.
    fn is_stalled(&mut self, progress: Option<JobProgress>, now: Instant) -> bool {
        let is_stalled = progress == self.last && progress.is_some() && now - self.since > STALL;
        if progress != self.last || is_stalled {
            (self.last, self.since) = (progress, now);
        }
        is_stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_reported_once_per_two_minutes() {
        let start = Instant::now();
        let mut stall = StallDetector { last: None, since: start };
        let mut at = |seconds, tasks: Option<usize>| {
            let progress = tasks.map(|tasks| JobProgress { finished_tasks: tasks, ..JobProgress::default() });
            stall.is_stalled(progress, start + Duration::from_secs(seconds))
        };
        assert!(!at(200, None), "no jobs run");
        assert!(!at(201, Some(1)) && !at(320, Some(1)));
        assert!(at(322, Some(1)) && !at(323, Some(1)));
        assert!(!at(440, Some(2)) && !at(559, Some(2)) && at(561, Some(2)));
    }
}
