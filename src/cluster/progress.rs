//! Shows the progress of a run on a terminal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use music_insights_ballista::session::{JobProgress, Session};
use music_insights_ballista::shared_storage;

use crate::cluster::job::{JobReport, JobResult};
use crate::cluster::tasks::parse;
use crate::model::error::Error;
use crate::model::shutdown::Shutdown;
use crate::telemetry::progress::{Rate, Tasks};

/// The interval between two updates of the progress, and between two checks for a shutdown.
const INTERVAL: Duration = Duration::from_millis(500);
/// If a run makes no progress for this long, a warning is printed.
const STALL: Duration = Duration::from_mins(2);
/// The number of reports per core that one update looks for. Jobs end in about the order in which they are submitted.
const REPORTS_PER_CORE: usize = 2;

/// The current step of a run.
#[derive(Debug, Default)]
pub(super) struct RunProgress {
    step: Mutex<Step>,
    is_published: AtomicBool,
}

#[derive(Debug, Default)]
struct Step {
    /// A verb such as `reading`.
    verb: &'static str,
    reading: Option<Reading>,
}

/// The progress of reading logs, from the reports of finished jobs.
#[derive(Debug)]
struct Reading {
    began: Instant,
    /// The number of bytes in all new logs. For compressed logs, it is an estimate.
    all: u64,
    bytes: u64,
    rows: u64,
    /// The URLs of the reports that are not there yet, each with the bytes of its job.
    pending: Vec<(String, u64)>,
}

impl RunProgress {
    /// Notes that the output is published.
    pub(super) fn set_published(&self) {
        self.is_published.store(true, Ordering::Relaxed);
    }

    /// Whether the output is published.
    pub(super) fn is_published(&self) -> bool {
        self.is_published.load(Ordering::Relaxed)
    }

    /// Begins a step. The verb is for the progress line, such as `rendering`.
    pub(super) fn begin(&self, verb: &'static str) {
        self.change(|step| *step = Step { verb, reading: None });
    }

    /// Begins to read this many bytes.
    pub(super) fn begin_reading(&self, all: u64) {
        let reading = Reading { began: Instant::now(), all, bytes: 0, rows: 0, pending: Vec::new() };
        self.change(|step| *step = Step { verb: "reading", reading: Some(reading) });
    }

    /// Adds jobs that read logs: the URLs of their reports, and their numbers of bytes.
    pub(super) fn expect(&self, jobs: impl Iterator<Item = (String, u64)>) {
        self.change(|step| {
            if let Some(reading) = &mut step.reading {
                reading.pending.extend(jobs);
            }
        });
    }

    /// Looks for reports: those of the first `limit` jobs whose reports are not there yet.
    async fn look_for_reports(&self, limit: usize) {
        let pending = self.change(|step| {
            let pending = step.reading.as_ref().map(|reading| &reading.pending);
            pending.map(|pending| pending.iter().take(limit).cloned().collect::<Vec<_>>())
        });
        for (url, bytes) in pending.unwrap_or_default() {
            let Ok(place) = parse(&url) else { continue };
            // Without a report, the line only shows less.
            let Ok(Some(text)) = shared_storage::read(&place).await else { continue };
            let Ok(JobReport { result: JobResult::Map(report), .. }) = serde_json::from_slice(&text) else {
                continue;
            };
            let rows: u64 = report.logs.iter().map(|log| log.counts.rows).sum();
            self.change(|step| {
                if let Some(reading) = &mut step.reading {
                    reading.rows += rows;
                    reading.bytes += bytes;
                    reading.pending.retain(|(other, _)| *other != url);
                }
            });
        }
    }

    fn rate(&self) -> Option<Rate> {
        self.change(|step| step.reading.as_ref().and_then(|reading| reading.rate(reading.began.elapsed())))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Step) -> T) -> T {
        change(&mut self.step.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Reading {
    /// The rate after some time; `None` before the first report.
    fn rate(&self, elapsed: Duration) -> Option<Rate> {
        let seconds = elapsed.as_secs_f64();
        if self.bytes == 0 || seconds <= 0.0 {
            return None;
        }
        let rest = self.all.saturating_sub(self.bytes) as f64 / self.bytes as f64;
        Some(Rate {
            rows_per_second: (self.rows as f64 / seconds) as u64,
            percent: (self.bytes.min(self.all) * 100).checked_div(self.all).unwrap_or(100),
            left: elapsed.mul_f64(rest),
        })
    }
}

/// Does some work of a session, and shows its progress. A shutdown cancels the jobs of the session, and `stopped` is
/// the error.
pub(super) async fn unless_stopped<T>(
    work: impl Future<Output = Result<T, Error>>,
    session: &Session,
    progress: &RunProgress,
    stop: &Shutdown,
    stopped: impl FnOnce() -> Error,
) -> Result<T, Error> {
    let line = Tasks::new();
    let outcome = tokio::select! {
        outcome = work => outcome,
        () = show_until_shutdown(session, progress, &line, stop) => {
            session.cancel().await;
            Err(stopped())
        }
    };
    line.finish();
    outcome
}

/// Shows the progress of a session until a shutdown is requested. Prints a warning if there is no progress.
async fn show_until_shutdown(session: &Session, progress: &RunProgress, line: &Tasks, stop: &Shutdown) {
    let mut stall = StallDetector { last: None, since: Instant::now() };
    while !stop.is_requested() {
        tokio::time::sleep(INTERVAL).await;
        let jobs = session.progress().await;
        if let Some(jobs) = jobs.filter(|_| line.is_visible()) {
            if stall.last != Some(jobs) {
                progress.look_for_reports(session.cores() * REPORTS_PER_CORE).await;
            }
            let verb = progress.change(|step| step.verb);
            line.show(verb, jobs.finished_tasks, jobs.tasks, progress.rate());
        }
        if stall.is_stalled(jobs, Instant::now()) {
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
    use url::Url;

    use super::*;
    use crate::cluster::job::{LogCounts, LogReport, MapReport};

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

    #[tokio::test]
    async fn the_rate_comes_from_the_reports_of_finished_jobs() {
        let folder = tempfile::tempdir().unwrap();
        let url = |number: u32| {
            Url::from_file_path(folder.path().join(format!("report-{number}.json"))).unwrap().to_string()
        };
        let progress = RunProgress::default();
        progress.begin_reading(1000);
        progress.expect((0..4).map(|number| (url(number), 250)));
        progress.look_for_reports(9).await;
        assert_eq!(progress.rate(), None);
        for number in [0, 3] {
            let counts = LogCounts { rows: 500, ..LogCounts::default() };
            let log = LogReport { counts, ..LogReport::default() };
            let result = JobResult::Map(MapReport { logs: vec![log], ..MapReport::default() });
            let report = JobReport { job: url(number), result };
            std::fs::write(
                folder.path().join(format!("report-{number}.json")),
                serde_json::to_vec(&report).unwrap(),
            )
            .unwrap();
        }
        // Only the first two are looked for.
        progress.look_for_reports(2).await;
        let rate = || progress.change(|step| step.reading.as_ref().unwrap().rate(Duration::from_secs(2)));
        let expected = |rows_per_second, percent, left| {
            Some(Rate { rows_per_second, percent, left: Duration::from_secs(left) })
        };
        assert_eq!(rate(), expected(250, 25, 6));
        progress.look_for_reports(9).await;
        progress.look_for_reports(9).await;
        assert_eq!(rate(), expected(500, 50, 2));
        progress.begin("rendering");
        assert_eq!(progress.rate(), None);
    }
}
