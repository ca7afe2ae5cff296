//! Submits jobs and collects their results: jobs that read new logs, and jobs that add up small files of
//! sums.

use std::collections::{HashMap, HashSet};

use music_insights_ballista::session::Session;
use music_insights_ballista::shared_storage::child;
use url::Url;

use crate::cluster::Work;
use crate::cluster::index::Index;
use crate::cluster::inputs::Log;
use crate::cluster::job::{CatalogFile, Job, JobKind, JobReport, JobResult, LogRange, MapJob};
use crate::cluster::splits::{JobLogs, can_cut, cuttable, split, text_bytes};
use crate::model::error::Error;
use crate::state::checkpoint::generation::StateConfig;
use crate::storage::failpoint::fail_point;

/// The number of map jobs in one round. The client submits the jobs of a round together, and then writes the
/// index.
const JOBS_PER_ROUND: usize = 256;

impl Work<'_> {
    /// Reads logs on the executors. Returns the numbers of rows and bytes in these logs.
    pub(super) async fn read(
        &self,
        index: &mut Index,
        logs: &[Log],
        catalog: Option<CatalogFile>,
    ) -> Result<(u64, u64), Error> {
        if !logs.is_empty() {
            tracing::info!("{} of {} logs are new", logs.len(), self.logs.len());
        }
        let config = StateConfig::of(&self.args.settings);
        let cores = self.session.cores();
        let cuttable = if can_cut(&config.dialect, config.max_bad_lines) {
            cuttable(logs, cores).await?
        } else {
            HashSet::new()
        };
        let first = index.take_numbers(logs.len());
        let jobs = split(logs, first, cores, &cuttable);
        self.progress.begin_reading(logs.iter().map(text_bytes).sum());
        let map = MapJob {
            logs: Vec::new(),
            config,
            catalog,
            dates: self.args.dates,
            now: self.args.now,
            today: self.today(),
            folder: String::new(),
        };
        let (mut rows, mut bytes) = (0, 0);
        for (round, of_round) in rounds(&jobs).enumerate() {
            let of_round: Vec<(Job, &JobLogs)> = of_round
                .iter()
                .enumerate()
                .map(|(number, logs)| {
                    let number = round * JOBS_PER_ROUND + number;
                    (index.map_job(logs, &map, &self.tables, &self.run, number), logs)
                })
                .collect();
            self.progress
                .expect(of_round.iter().map(|(job, of_job)| (job.report.clone(), job_bytes(of_job, logs))));
            let mut results = submit(self.session, of_round.iter().map(|(job, _)| job)).await?;
            for (job, of_job) in of_round {
                let Some(JobResult::Map(report)) = results.remove(&job.report) else {
                    return Err(no_report(&job.report));
                };
                rows += report.logs.iter().map(|log| log.counts.rows).sum::<u64>();
                bytes += report.logs.iter().map(|log| log.counts.bytes).sum::<u64>();
                index.add(report, of_job, logs);
            }
            index.write(&self.tables).await?;
            fail_point("client.read");
        }
        Ok((rows, bytes))
    }

    /// Adds up small files of sums.
    pub(super) async fn merge(&self, index: &mut Index) -> Result<(), Error> {
        self.progress.begin("adding up");
        // The files that one round makes belong to the next size class.
        for round in 0.. {
            let jobs = index.merge_jobs(&self.tables, &format!("{}-{round}", self.run));
            if jobs.is_empty() {
                break;
            }
            let mut results = submit(self.session, jobs.iter().map(|(job, _)| job)).await?;
            for (job, merged) in &jobs {
                let Some(JobResult::Merged(sums)) = results.remove(&job.report) else {
                    return Err(no_report(&job.report));
                };
                index.replace(sums, merged);
            }
        }
        index.write(&self.tables).await
    }

    /// Submits jobs that make the output, and returns their results in order.
    pub(super) async fn submit_all(
        &self,
        kinds: Vec<JobKind>,
        round: usize,
    ) -> Result<Vec<JobResult>, Error> {
        submit_all(self.session, &child(&self.tables, &self.folder(round)), kinds).await
    }
}

/// Submits jobs whose reports go to a folder, and returns their results in order.
pub(super) async fn submit_all(
    session: &Session,
    folder: &Url,
    kinds: Vec<JobKind>,
) -> Result<Vec<JobResult>, Error> {
    let jobs = kinds.into_iter().enumerate().map(|(number, kind)| {
        let report = child(folder, &format!("report-{number}.json")).into();
        Job { program: env!("CARGO_PKG_VERSION").to_owned(), report, kind }
    });
    let jobs: Vec<Job> = jobs.collect();
    let mut results = submit(session, jobs.iter()).await?;
    jobs.iter().map(|job| results.remove(&job.report).ok_or_else(|| no_report(&job.report))).collect()
}

/// Submits jobs and returns their results by the URL of the report.
async fn submit(
    session: &Session,
    jobs: impl Iterator<Item = &Job>,
) -> Result<HashMap<String, JobResult>, Error> {
    let jobs: Vec<String> =
        jobs.map(|job| serde_json::to_string(job).expect("a job is valid JSON")).collect();
    let reports = session.submit(&jobs).await?;
    let reports = reports.iter().map(|report| {
        let report: JobReport = serde_json::from_str(report).map_err(|cause| {
            Error::Config(format!(
                "cannot read a job report: {cause}; all programs of a cluster must run the same version"
            ))
        })?;
        Ok((report.job, report.result))
    });
    reports.collect()
}

/// The number of bytes that a job reads. It is an estimate for compressed logs.
fn job_bytes(job: &JobLogs, logs: &[Log]) -> u64 {
    let bytes = |(place, log): &(usize, LogRange)| {
        log.range.map_or_else(|| text_bytes(&logs[*place]), |(from, to)| to - from)
    };
    job.iter().map(bytes).sum()
}

/// Jobs in rounds. All ranges of a log belong to one round, because the index lists only whole logs.
fn rounds(jobs: &[JobLogs]) -> impl Iterator<Item = &[JobLogs]> {
    let mut rest = jobs;
    std::iter::from_fn(move || {
        let last_log = |job: &JobLogs| job.last().map(|(index, _)| *index);
        let mut end = JOBS_PER_ROUND.min(rest.len());
        while end < rest.len() && last_log(&rest[end - 1]) == rest[end].first().map(|(index, _)| *index) {
            end += 1;
        }
        let (round, later) = rest.split_at(end);
        rest = later;
        (!round.is_empty()).then_some(round)
    })
}

pub(super) fn no_report(subject: &str) -> Error {
    Error::Bug(format!("no executor has reported on {subject}"))
}
