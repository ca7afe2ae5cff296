//! The process that takes orders and runs queries: a Ballista executor whose engine knows a [`Worker`].

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::extension::ballista_scalar_functions;
use ballista_core::object_store::{runtime_env_with_s3_support, session_config_with_s3_support};
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::serde::protobuf::{
    RuntimeStatsReport, ShuffleWritePartition, TaskColumnStats, WindowStateReport,
};
use ballista_core::{ConfigProducer, JobId, RuntimeProducer};
use ballista_executor::execution_engine::{DefaultExecutionEngine, ExecutionEngine, QueryStageExecutor};
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::prelude::SessionConfig;

use crate::connections::Connections;
use crate::orders::{Worker, with_worker};
use crate::session::http_client;
use crate::trouble::{ClusterError, ErrorKind};

/// How often an executor says that it is alive, so that what it was doing is soon given to another when it is not.
const HEARTBEAT_SECONDS: u64 = 1;

/// How an executor is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The scheduler: host and port.
    pub scheduler: (String, u16),
    /// The address on which others reach this executor; the others get it from the scheduler.
    pub bind_host: String,
    /// What the others call this machine, if not by its address.
    pub external_host: Option<String>,
    /// The port for data.
    pub port: u16,
    /// The port for tasks.
    pub grpc_port: u16,
    /// How many tasks run at a time.
    pub cores: usize,
    /// Bytes of memory for queries, in all; what goes beyond is spilled to disk.
    pub memory: Option<u64>,
    /// The folder for what only matters while a job runs.
    pub work_dir: PathBuf,
}

/// Runs an executor until it is told to stop.
///
/// # Errors
/// If the scheduler is out of reach or wants another version.
pub async fn run(setup: Setup, worker: Arc<dyn Worker>) -> std::result::Result<(), ClusterError> {
    let (scheduler_host, scheduler_port) = setup.scheduler.clone();
    std::fs::create_dir_all(&setup.work_dir).map_err(|cause| {
        ClusterError::new(ErrorKind::Io, format!("cannot create {}: {cause}", setup.work_dir.display()))
    })?;
    let engine = Engine {
        inner: DefaultExecutionEngine::with_client_pool(Arc::new(Connections::default())),
        worker,
        folder: setup.work_dir.clone(),
    };
    let config: ConfigProducer = Arc::new(session_config_with_s3_support);
    let spill = setup.work_dir.clone();
    let runtime: RuntimeProducer = Arc::new(move |config: &SessionConfig| runtime(config, &spill));
    let policy = policy_of(&scheduler_host, scheduler_port).await;
    let process = ExecutorProcessConfig {
        bind_host: setup.bind_host,
        external_host: setup.external_host,
        port: setup.port,
        grpc_port: setup.grpc_port,
        scheduler_host,
        scheduler_port,
        vcores: setup.cores,
        task_scheduling_policy: policy,
        work_dir: Some(setup.work_dir.display().to_string()),
        executor_heartbeat_interval_seconds: HEARTBEAT_SECONDS,
        memory_pool_size: setup.memory,
        override_execution_engine: Some(Arc::new(engine)),
        override_config_producer: Some(config),
        override_runtime_producer: Some(runtime),
        override_function_registry: Some(Arc::new(functions())),
        ..ExecutorProcessConfig::default()
    };
    let ended = start_executor_process(Arc::new(process)).await;
    ended.map_err(|cause| {
        let (host, port) = &setup.scheduler;
        let message = format!(
            "the executor cannot go on with the scheduler at {host}:{port}, which must run and be of Ballista {}: {cause}",
            crate::BALLISTA_VERSION
        );
        ClusterError::new(ErrorKind::Io, message)
    })
}

/// Whether tasks are pushed or pulled is the scheduler's choice, and an executor must do likewise. One that does not
/// say pushes, which is its default.
async fn policy_of(host: &str, port: u16) -> TaskSchedulingPolicy {
    let asked = async {
        let http = http_client().ok()?;
        let answer = http.get(format!("http://{host}:{port}/api/state")).send().await.ok()?;
        let state: serde_json::Value = serde_json::from_slice(&answer.bytes().await.ok()?).ok()?;
        Some(state["scheduling_policy"].as_str()?.to_lowercase().contains("pull"))
    };
    if asked.await.unwrap_or_default() {
        TaskSchedulingPolicy::PullStaged
    } else {
        TaskSchedulingPolicy::PushStaged
    }
}

/// What queries run in: stores of all kinds, and room to spill in the work folder.
fn runtime(config: &SessionConfig, spill: &Path) -> Result<Arc<RuntimeEnv>> {
    let stores = runtime_env_with_s3_support(config)?;
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![spill.to_owned()]));
    RuntimeEnvBuilder::from_runtime_env(&stores).with_disk_manager_builder(disk).build_arc()
}

/// All built-in functions: those of arrays, too, which the scheduler plans with and a stock executor does not know.
fn functions() -> BallistaFunctionRegistry {
    let mut functions = BallistaFunctionRegistry::default();
    let scalar =
        ballista_scalar_functions().into_iter().map(|function| (function.name().to_owned(), function));
    functions.scalar_functions.extend(scalar);
    functions
}

/// Ballista's own engine, with a worker for the orders.
struct Engine {
    inner: DefaultExecutionEngine,
    worker: Arc<dyn Worker>,
    folder: PathBuf,
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
        let plan = with_worker(plan, &self.worker, &self.folder)?;
        let stage = self.inner.create_query_stage_exec(
            job_id,
            stage_id,
            task_id,
            global_output_partition_ids,
            plan,
            work_dir,
            config,
        )?;
        Ok(Arc::new(Strict(stage)))
    }
}

/// A stage that fails for good.
///
/// Where a partition cannot be fetched, the scheduler of 55.0 lets the stage before be done again, and then some rows
/// count twice. The client rather asks once more.
#[derive(Debug)]
struct Strict(Arc<dyn QueryStageExecutor>);

impl Display for Strict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, formatter)
    }
}

#[async_trait]
impl QueryStageExecutor for Strict {
    async fn execute_query_stage(
        &self,
        task_id: usize,
        context: Arc<TaskContext>,
    ) -> Result<Vec<ShuffleWritePartition>> {
        let done = self.0.execute_query_stage(task_id, context).await;
        done.map_err(|cause| DataFusionError::Execution(ClusterError::of_job(&cause).on_its_way()))
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
