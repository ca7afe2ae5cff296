//! The executor process: a Ballista executor that also executes jobs by means of a [`JobHandler`].

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::object_store::session_config_with_s3_support;
use ballista_core::serde::protobuf::{
    RuntimeStatsReport, ShuffleWritePartition, TaskColumnStats, WindowStateReport,
};
use ballista_core::{ConfigProducer, JobId};
use ballista_executor::execution_engine::{DefaultExecutionEngine, ExecutionEngine, QueryStageExecutor};
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::prelude::SessionConfig;

use crate::error::{ClusterError, ErrorKind};
use crate::jobs::{JobHandler, with_handler};
use crate::scheduler::SchedulerClient;

/// The interval of heartbeats. The default of 60 s would delay the detection of a lost executor.
const HEARTBEAT_SECONDS: u64 = 1;

/// Settings of an executor process.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    /// Host and port of the scheduler.
    pub scheduler: (String, u16),
    /// The address to listen on.
    pub bind_host: String,
    /// The host name under which other machines reach this machine; `bind_host` if absent.
    pub external_host: Option<String>,
    /// The port from which the client fetches reports.
    pub port: u16,
    /// The port for tasks.
    pub grpc_port: u16,
    /// The number of tasks that run at the same time. A task executes one job.
    pub cores: usize,
    /// The folder for temporary files.
    pub work_dir: PathBuf,
}

/// Runs an executor until it is stopped.
///
/// # Errors
/// If the scheduler cannot be reached or runs a different version, if a port is in use, or if the
/// work folder cannot be created.
pub async fn run(
    config: ProcessConfig,
    handler: Arc<dyn JobHandler>,
) -> std::result::Result<(), ClusterError> {
    let (scheduler_host, scheduler_port) = config.scheduler.clone();
    std::fs::create_dir_all(&config.work_dir).map_err(|source| {
        ClusterError::with_source(
            ErrorKind::Io,
            format!("cannot create {}", config.work_dir.display()),
            source,
        )
    })?;
    for (port, flag) in [(config.port, "--port"), (config.grpc_port, "--task-port")] {
        // Ballista would end without an error.
        std::net::TcpListener::bind((config.bind_host.as_str(), port)).map_err(|source| {
            let context = format!("cannot listen on {}:{port} ({flag})", config.bind_host);
            ClusterError::with_source(ErrorKind::Io, context, source)
        })?;
    }
    let engine = Engine { inner: DefaultExecutionEngine::new(), handler, work_dir: config.work_dir.clone() };
    let session_config: ConfigProducer = Arc::new(session_config_with_s3_support);
    let policy = scheduling_policy(&scheduler_host, scheduler_port).await;
    let process = ExecutorProcessConfig {
        bind_host: config.bind_host,
        external_host: config.external_host,
        port: config.port,
        grpc_port: config.grpc_port,
        scheduler_host,
        scheduler_port,
        vcores: config.cores,
        task_scheduling_policy: policy,
        work_dir: Some(config.work_dir.display().to_string()),
        executor_heartbeat_interval_seconds: HEARTBEAT_SECONDS,
        override_execution_engine: Some(Arc::new(engine)),
        override_config_producer: Some(session_config),
        ..ExecutorProcessConfig::default()
    };
    let ended = start_executor_process(Arc::new(process)).await;
    ended.map_err(|source| {
        let (host, port) = &config.scheduler;
        let context = format!(
            "no connection to the scheduler at {host}:{port}; check that it runs and is Ballista {}",
            crate::BALLISTA_VERSION
        );
        ClusterError::with_source(ErrorKind::Io, context, source)
    })
}

/// The scheduling policy of the scheduler. Executors must use the same policy. If the scheduler does not report its
/// policy, it pushes tasks, which is the default.
async fn scheduling_policy(host: &str, port: u16) -> TaskSchedulingPolicy {
    let pulls = match SchedulerClient::new(host, port) {
        Ok(scheduler) => scheduler.pulls_tasks().await.ok().flatten(),
        Err(_) => None,
    };
    if pulls.unwrap_or_default() {
        TaskSchedulingPolicy::PullStaged
    } else {
        TaskSchedulingPolicy::PushStaged
    }
}

/// Ballista's engine, extended by jobs.
struct Engine {
    inner: DefaultExecutionEngine,
    handler: Arc<dyn JobHandler>,
    work_dir: PathBuf,
}

impl ExecutionEngine for Engine {
    fn create_query_stage_exec(
        &self,
        job_id: JobId,
        stage_id: usize,
        task_id: usize,
        global_output_partition_ids: Vec<usize>,
        plan: Arc<dyn ExecutionPlan>,
        work_dir: &str,
        config: &SessionConfig,
    ) -> Result<Arc<dyn QueryStageExecutor>> {
        let plan = with_handler(plan, &self.handler, &self.work_dir)?;
        let stage = self.inner.create_query_stage_exec(
            job_id,
            stage_id,
            task_id,
            global_output_partition_ids,
            plan,
            work_dir,
            config,
        )?;
        Ok(Arc::new(FailFast(stage)))
    }
}

/// A stage of a job. Each error of the stage makes the whole job fail.
///
/// If a partition cannot be fetched, the scheduler of Ballista 55.0 runs the previous stage again, and some
/// rows count twice. If the error is plain text instead, the scheduler gives up on the job. If an executor
/// was lost, the client then submits the jobs again.
#[derive(Debug)]
struct FailFast(Arc<dyn QueryStageExecutor>);

impl Display for FailFast {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, formatter)
    }
}

#[async_trait]
impl QueryStageExecutor for FailFast {
    async fn execute_query_stage(
        &self,
        task_id: usize,
        context: Arc<TaskContext>,
    ) -> Result<Vec<ShuffleWritePartition>> {
        let executed = self.0.execute_query_stage(task_id, context).await;
        executed.map_err(|error| DataFusionError::Execution(ClusterError::from(error).to_wire()))
    }

    fn collect_plan_metrics(&self) -> Vec<MetricsSet> {
        self.0.collect_plan_metrics()
    }

    fn collect_runtime_stats_reports(&self) -> Vec<RuntimeStatsReport> {
        self.0.collect_runtime_stats_reports()
    }

    fn collect_window_state_reports(&self) -> Result<Vec<WindowStateReport>> {
        self.0.collect_window_state_reports()
    }

    fn collect_column_stats(&self) -> Vec<TaskColumnStats> {
        self.0.collect_column_stats()
    }
}
