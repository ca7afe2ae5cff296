//! The connection of a client to a cluster.

use std::time::{Duration, Instant};

use ballista_core::execution_plans::execute_physical_plan;
use ballista_core::extension::SessionConfigExt;
use ballista_core::object_store::session_config_with_s3_support;
use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionContext;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::TryStreamExt;

use crate::BALLISTA_VERSION;
use crate::error::{ClusterError, ErrorKind};
use crate::jobs::{plan_for, texts_of};
use crate::lost::is_lost_text;
use crate::scheduler::{Executor, SchedulerClient, parse_address};

/// The maximum time to wait for the first executor.
const FIRST_EXECUTOR_TIMEOUT: Duration = Duration::from_secs(30);
/// The interval at which the client asks the scheduler for the first executor.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// The maximum number of times that jobs are submitted if executors are lost.
const ATTEMPTS: usize = 4;
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_secs(2);
/// The number of cores that is assumed if the scheduler does not report it, and the minimum number of
/// partitions.
const MIN_PARTITIONS: usize = 4;

/// A client's connection to a cluster. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Session {
    scheduler: SchedulerClient,
    /// The name of all scheduler jobs of this session. It identifies them in the scheduler's list of jobs.
    name: String,
    partitions: usize,
    cores: usize,
}

/// The progress of the running jobs of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobProgress {
    /// The number of finished stages.
    pub finished_stages: usize,
    /// The number of stages planned so far.
    pub stages: usize,
    /// The number of finished tasks of the planned stages.
    pub finished_tasks: usize,
    /// The number of tasks of the planned stages.
    pub tasks: usize,
}

impl Session {
    /// Connects to the scheduler at an address such as `df://scheduler:50050`, and waits for the first executor.
    ///
    /// # Errors
    /// If the address is invalid, the scheduler does not answer or runs a different version, or there is no executor.
    pub async fn connect(address: &str, name: &str) -> Result<Self, ClusterError> {
        let (host, port) = parse_address(address)?;
        let scheduler = SchedulerClient::new(&host, port).map_err(|source| {
            ClusterError::with_source(ErrorKind::Io, format!("cannot connect to {address}"), source)
        })?;
        let mut session =
            Self { scheduler, name: name.to_owned(), partitions: MIN_PARTITIONS, cores: MIN_PARTITIONS };
        session.check_version(address).await?;
        session.wait_for_executor(address).await?;
        Ok(session)
    }

    async fn check_version(&self, address: &str) -> Result<(), ClusterError> {
        let found = self.scheduler.version().await.map_err(|source| {
            let context = format!(
                "no scheduler answers at {address}; check the address, or start one with `ballista-scheduler` \
                 (version {BALLISTA_VERSION})"
            );
            ClusterError::with_source(ErrorKind::Io, context, source)
        })?;
        let major = |version: &str| version.split('.').next().map(str::to_owned);
        match found {
            Some(version) if major(&version) != major(BALLISTA_VERSION) => {
                let message = format!(
                    "the scheduler at {address} is Ballista {version}, but this program needs {BALLISTA_VERSION}; \
                     all programs of a cluster must run the same version"
                );
                Err(ClusterError::new(ErrorKind::Setup, message))
            }
            _ => Ok(()),
        }
    }

    /// Waits for an executor, and counts the cores of all executors.
    async fn wait_for_executor(&mut self, address: &str) -> Result<(), ClusterError> {
        let began = Instant::now();
        loop {
            // A scheduler without the REST API does not report its executors.
            let Some(executors) = self.scheduler.executors().await.ok().flatten() else { return Ok(()) };
            let cores = executors.iter().map(Executor::cores).sum();
            if cores > 0 {
                (self.partitions, self.cores) = (MIN_PARTITIONS.max(cores), cores);
                return Ok(());
            }
            if began.elapsed() > FIRST_EXECUTOR_TIMEOUT {
                let message = format!(
                    "no executor is registered at the scheduler {address}; start one with `music-insights executor \
                     --scheduler {address}`"
                );
                return Err(ClusterError::new(ErrorKind::Setup, message));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The number of tasks that all executors together run at the same time. If the scheduler does not report it, the
    /// number is an estimate.
    #[must_use]
    pub fn cores(&self) -> usize {
        self.cores
    }

    /// The settings of the engine for jobs.
    pub(crate) fn config(&self) -> SessionConfig {
        session_config_with_s3_support()
            .with_target_partitions(self.partitions)
            .with_ballista_job_name(&self.name)
            .set_usize("ballista.scheduler.max_partitions_per_task", 1)
            // The adaptive planner of Ballista 55.0 never finishes if a table is empty, and then blocks all jobs.
            .set_bool("ballista.planner.adaptive.enabled", false)
    }

    /// Submits jobs and returns their reports, in any order. Each job runs on one executor. If an executor is lost,
    /// the client submits all these jobs again.
    ///
    /// # Errors
    /// If a job fails, executors are lost several times in a row, or the scheduler is lost.
    pub async fn submit(&self, jobs: &[String]) -> Result<Vec<String>, ClusterError> {
        for attempts_left in (0..ATTEMPTS).rev() {
            match self.submit_once(jobs).await {
                Ok(reports) if reports.iter().any(|report| jobs.contains(report)) => {
                    let message = "an executor of this cluster is not music-insights, or has another version; start \
                                   executors with `music-insights executor`";
                    return Err(ClusterError::new(ErrorKind::Setup, message));
                }
                Ok(reports) if reports.len() >= jobs.len() || attempts_left == 0 => return Ok(reports),
                // Some reports were lost with an executor. A job that has already run returns its report at
                // once.
                Ok(_) => {}
                Err(error) => {
                    let error = self.classify(error.into()).await;
                    if error.kind != ErrorKind::Lost || attempts_left == 0 {
                        return Err(error);
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        unreachable!("the last attempt returns")
    }

    async fn submit_once(&self, jobs: &[String]) -> Result<Vec<String>, DataFusionError> {
        let config = self.config();
        let (ballista, codec) = (config.ballista_config(), BallistaPhysicalExtensionCodec::default());
        // Sessions share no data, so each submission gets its own session.
        let session_id = SessionContext::new().session_id();
        let batches = execute_physical_plan::<PhysicalPlanNode>(
            self.scheduler.url().to_owned(),
            &ballista,
            plan_for(jobs)?,
            &codec,
            session_id,
            config,
        );
        let batches: Vec<RecordBatch> = batches.await?.try_collect().await?;
        Ok(batches.iter().flat_map(texts_of).collect())
    }

    /// The progress of the running jobs of this session; `None` if no job is running, or if the scheduler does not
    /// report jobs.
    pub async fn progress(&self) -> Option<JobProgress> {
        let jobs = self.scheduler.jobs().await.ok()??;
        let mut total = None;
        for job in jobs.iter().filter(|job| job.name == self.name && job.is_running()) {
            let progress = total.get_or_insert_with(JobProgress::default);
            progress.finished_stages += job.completed_stages;
            progress.stages += job.num_stages;
            for stage in self.scheduler.stages(job).await.ok().flatten().unwrap_or_default() {
                progress.tasks += stage.tasks();
                progress.finished_tasks += stage.finished_tasks();
            }
        }
        total
    }

    /// Cancels all jobs of this session.
    pub async fn cancel(&self) {
        let Ok(Some(jobs)) = self.scheduler.jobs().await else { return };
        for job in jobs.iter().filter(|job| job.name == self.name) {
            // If the request fails, the job only finishes needlessly.
            let _ = self.scheduler.cancel(job).await;
        }
    }

    /// Finds out whether a job failed because the scheduler or an executor was lost.
    pub(crate) async fn classify(&self, error: ClusterError) -> ClusterError {
        if !matches!(error.kind, ErrorKind::Job | ErrorKind::Lost) {
            return error;
        }
        if self.scheduler.version().await.is_err() {
            let context = format!("the scheduler at {} is gone", self.scheduler.url());
            return ClusterError::with_source(ErrorKind::Io, context, error);
        }
        if error.kind == ErrorKind::Lost || is_lost_text(&error.to_string()) {
            return ClusterError::with_source(ErrorKind::Lost, "an executor was lost", error);
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use super::*;

    fn session_at(port: u16) -> Session {
        let scheduler = SchedulerClient::new("127.0.0.1", port).unwrap();
        Session { scheduler, name: "test".to_owned(), partitions: MIN_PARTITIONS, cores: 1 }
    }

    async fn submit_error(port: u16) -> String {
        let error = session_at(port).submit_once(&["job".to_owned()]).await.unwrap_err();
        ClusterError::from(error).to_string()
    }

    #[tokio::test]
    async fn a_refused_connection_is_recognised() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = submit_error(port).await;
        assert!(is_lost_text(&error), "{error}");
    }

    #[tokio::test]
    async fn a_broken_connection_is_recognised() {
        for response in ["", "HTTP/1.1 400 Bad Request\r\n\r\n"] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            std::thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    let _ = stream.write_all(response.as_bytes());
                }
            });
            let error = submit_error(port).await;
            assert!(is_lost_text(&error), "{response:?}: {error}");
        }
    }

    #[tokio::test]
    async fn without_the_scheduler_a_failed_job_is_no_lost_executor() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = session_at(port).classify(ClusterError::new(ErrorKind::Lost, "transport error")).await;
        assert_eq!(error.kind, ErrorKind::Io);
        assert!(error.to_string().contains("is gone"), "{error}");
    }
}
