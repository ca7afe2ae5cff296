//! The client's side: what a run asks of a cluster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ballista::prelude::SessionContextExt;
use ballista_core::execution_plans::execute_physical_plan;
use ballista_core::extension::SessionConfigExt;
use ballista_core::object_store::session_config_with_s3_support;
use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::arrow::array::{Array, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::SessionContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::prelude::{col, lit};
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;
use url::Url;

use crate::BALLISTA_VERSION;
use crate::orders::{plan_of, texts_of};
use crate::places::store_of;
use crate::sql::Query;
use crate::tables::{Table, listing};
use crate::trouble::{Fault, Trouble};

/// The port of a scheduler whose address names none.
const PORT: u16 = 50050;
/// How long to wait for the scheduler's answer to a short question.
const ANSWER: Duration = Duration::from_secs(10);
/// How long to wait for the first executor.
const FIRST_EXECUTOR: Duration = Duration::from_secs(30);
/// The smallest number of partitions that a query is cut into.
const PARTITIONS: usize = 4;

/// A cluster, as a run sees it.
#[derive(Clone)]
pub struct Cluster {
    /// Where the scheduler answers.
    scheduler: String,
    /// The name of all jobs of this run, by which they are found again.
    run: String,
    http: reqwest::Client,
    partitions: usize,
    cores: usize,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cluster").field("scheduler", &self.scheduler).finish_non_exhaustive()
    }
}

/// How far the jobs of a run are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// Stages that are done.
    pub stages_done: usize,
    /// Stages in all, as far as they are planned.
    pub stages: usize,
    /// Tasks that are done, of the stages that have begun.
    pub tasks_done: usize,
    /// Tasks of these stages.
    pub tasks: usize,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Executor {
    specification: Specification,
}

#[derive(Deserialize)]
struct Specification {
    vcores: Option<usize>,
}

#[derive(Deserialize)]
struct Job {
    job_id: String,
    job_name: String,
    status: String,
    num_stages: usize,
    completed_stages: usize,
}

#[derive(Deserialize)]
struct Stages {
    stages: Vec<Stage>,
}

#[derive(Deserialize)]
struct Stage {
    tasks: Vec<Option<Task>>,
}

#[derive(Deserialize)]
struct Task {
    status: serde_json::Value,
}

impl Cluster {
    /// Finds the scheduler of an address such as `df://scheduler:50050`, and at least one executor.
    ///
    /// # Errors
    /// If the address is none, nobody answers there, or what answers is of another version.
    pub async fn find(address: &str, run: &str) -> Result<Self, Trouble> {
        let (host, port) = scheduler_of(address)?;
        let scheduler = format!("http://{host}:{port}");
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER).build();
        let http =
            http.map_err(|cause| Trouble::new(Fault::Io, format!("cannot ask for {address}: {cause}")))?;
        let mut cluster =
            Self { scheduler, run: run.to_owned(), http, partitions: PARTITIONS, cores: PARTITIONS };
        cluster.check_version(address).await?;
        cluster.find_executors(address).await?;
        Ok(cluster)
    }

    async fn check_version(&self, address: &str) -> Result<(), Trouble> {
        let asked = self.ask::<Version>("/api/version").await;
        let version = asked.map_err(|cause| {
            let message = format!(
                "no scheduler answers at {address}: {cause}; start one with `ballista-scheduler` (version \
                 {BALLISTA_VERSION}), or look at the address"
            );
            Trouble::new(Fault::Io, message)
        })?;
        let major = |version: &str| version.split('.').next().map(str::to_owned);
        if let Some(Version { version }) = version
            && major(&version) != major(BALLISTA_VERSION)
        {
            let message = format!(
                "the scheduler at {address} is Ballista {version}, but this program was built for {BALLISTA_VERSION}; \
                 all programs of a cluster must be of one version"
            );
            return Err(Trouble::new(Fault::Setup, message));
        }
        Ok(())
    }

    /// Waits for an executor, and cuts queries into as many parts as there are cores.
    async fn find_executors(&mut self, address: &str) -> Result<(), Trouble> {
        let began = Instant::now();
        loop {
            let executors = self.ask::<Vec<Executor>>("/api/executors").await;
            // A scheduler that was built without its HTTP interface says nothing of them.
            let Some(executors) = executors.ok().flatten() else { return Ok(()) };
            let cores: usize =
                executors.iter().map(|executor| executor.specification.vcores.unwrap_or(1)).sum();
            if cores > 0 {
                (self.partitions, self.cores) = (cores.max(PARTITIONS), cores);
                return Ok(());
            }
            if began.elapsed() > FIRST_EXECUTOR {
                let message = format!(
                    "no executor has come to the scheduler at {address}; start some with `music-insights executor \
                     --scheduler {address}`"
                );
                return Err(Trouble::new(Fault::Setup, message));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// How many tasks the executors run at a time, as far as that is known.
    #[must_use]
    pub fn cores(&self) -> usize {
        self.cores
    }

    /// What the scheduler answers to a short question; nothing if it does not know it.
    async fn ask<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<Option<T>, reqwest::Error> {
        let answer = self.http.get(format!("{}{path}", self.scheduler)).send().await?;
        if !answer.status().is_success() {
            return Ok(None);
        }
        let bytes = answer.bytes().await?;
        Ok(serde_json::from_slice(&bytes).ok())
    }

    fn context(&self, config: datafusion::prelude::SessionConfig) -> SessionStateBuilder {
        SessionStateBuilder::new().with_default_features().with_config(config)
    }

    fn config(&self) -> datafusion::prelude::SessionConfig {
        session_config_with_s3_support()
            .with_target_partitions(self.partitions)
            .with_ballista_job_name(&self.run)
            .set_usize("ballista.scheduler.max_partitions_per_task", 1)
            // The adaptive planner of 55.0 plans for ever where a table turns out to be empty, and then no job of the
            // scheduler goes on.
            .set_bool("ballista.planner.adaptive.enabled", false)
    }

    /// Hands out orders, each to be done by one executor; returns the receipts in no particular order.
    ///
    /// # Errors
    /// If an order cannot be carried out anywhere, or the scheduler is lost.
    pub async fn hand_out(&self, orders: &[String]) -> Result<Vec<String>, Trouble> {
        let failed = |cause| self.failed(&cause);
        let config = self.config();
        let (ballista, codec) = (config.ballista_config(), BallistaPhysicalExtensionCodec::default());
        let plan = plan_of(orders).map_err(failed)?;
        let batches = execute_physical_plan::<PhysicalPlanNode>(
            self.scheduler.clone(),
            &ballista,
            plan,
            &codec,
            new_session(),
            config,
        );
        let batches: Vec<RecordBatch> = batches.await.map_err(failed)?.try_collect().await.map_err(failed)?;
        let receipts: Vec<String> = batches.iter().flat_map(texts_of).collect();
        if receipts.iter().any(|receipt| orders.contains(receipt)) {
            let message = "an executor of this cluster is not music-insights but another program; start executors \
                           with `music-insights executor`";
            return Err(Trouble::new(Fault::Setup, message));
        }
        Ok(receipts)
    }

    /// Asks a query of tables.
    ///
    /// # Errors
    /// If the engine gives it up, or the scheduler is lost.
    pub async fn ask_query(&self, query: &Query, tables: &[(Table, Vec<Url>)]) -> Result<Answer, Trouble> {
        self.ask_query_of(query, tables, None).await
    }

    /// Asks a query of tables, but of those that keep logs row by row only of the logs with these numbers, from
    /// and to.
    ///
    /// # Errors
    /// If the engine gives it up, or the scheduler is lost.
    pub async fn ask_query_of(
        &self,
        query: &Query,
        tables: &[(Table, Vec<Url>)],
        logs: Option<(i64, i64)>,
    ) -> Result<Answer, Trouble> {
        let failed = |cause| self.failed(&cause);
        let state = self.context(self.config()).build();
        let context = SessionContext::remote_with_state(&self.scheduler, state).await.map_err(failed)?;
        for (table, files) in tables {
            if let Some(url) = files.first().filter(|url| url.scheme() != "file") {
                context.register_object_store(url, store_of(url)?);
            }
            let listing = listing(*table, files)?;
            let shown: Arc<dyn TableProvider> = match logs {
                Some((from, to)) if matches!(table, Table::Plays | Table::Rejects) => {
                    let all = context.read_table(listing).map_err(failed)?;
                    all.filter(col("input").between(lit(from), lit(to))).map_err(failed)?.into_view()
                }
                _ => listing,
            };
            context.register_table(table.name(), shown).map_err(failed)?;
        }
        let frame = context.sql(query.sql).await.map_err(failed)?;
        let values: Vec<_> = query.parameters.iter().map(|(name, value)| (*name, value.scalar())).collect();
        let frame =
            if values.is_empty() { frame } else { frame.with_param_values(values).map_err(failed)? };
        let batches = frame.execute_stream().await.map_err(failed)?;
        Ok(Answer { batches, cluster: self.clone() })
    }

    /// How far the jobs of this run are that have not ended; nothing if there are none, or nobody knows.
    pub async fn stand(&self) -> Option<Stand> {
        let jobs = self.ask::<Vec<Job>>("/api/jobs").await.ok()??;
        let mut stand = None;
        for job in jobs.iter().filter(|job| job.job_name == self.run && job.status == "Running") {
            let stand = stand.get_or_insert_with(Stand::default);
            stand.stages_done += job.completed_stages;
            stand.stages += job.num_stages;
            let path = format!("/api/job/{}/stages", job.job_id);
            let Ok(Some(Stages { stages })) = self.ask(&path).await else { continue };
            let done = |task: &&Option<Task>| task.as_ref().is_some_and(|task| task.status == "Successful");
            stand.tasks += stages.iter().map(|stage| stage.tasks.len()).sum::<usize>();
            stand.tasks_done += stages.iter().flat_map(|stage| &stage.tasks).filter(done).count();
        }
        stand
    }

    /// Ends the jobs of this run, whose results nobody will read any more.
    pub async fn cancel(&self) {
        let Ok(Some(jobs)) = self.ask::<Vec<Job>>("/api/jobs").await else { return };
        for job in jobs.iter().filter(|job| job.job_name == self.run) {
            // It may have ended meanwhile.
            let _ = self.http.patch(format!("{}/api/job/{}", self.scheduler, job.job_id)).send().await;
        }
    }

    /// What a job failed of, in as few words as the engine leaves us.
    fn failed(&self, cause: &datafusion::error::DataFusionError) -> Trouble {
        let text = cause.to_string();
        if text.contains("transport error")
            || text.contains("GrpcConnectionError")
            || text.contains("tcp connect error")
        {
            let message = format!("the scheduler at {} is gone: {text}", self.scheduler);
            return Trouble::new(Fault::Io, message);
        }
        Trouble::new(Fault::Job, text)
    }
}

/// Host and port of a scheduler's address such as `df://scheduler:50050`.
///
/// # Errors
/// If it is none.
pub fn scheduler_of(address: &str) -> Result<(String, u16), Trouble> {
    let wrong = || {
        let message = format!("{address} is not the address of a cluster, such as df://scheduler:{PORT}");
        Trouble::new(Fault::Address, message)
    };
    let url = Url::parse(address).map_err(|_| wrong())?;
    let host = url.host_str().filter(|_| url.scheme() == "df").ok_or_else(wrong)?;
    Ok((host.to_owned(), url.port().unwrap_or(PORT)))
}

/// A session for each job: they share nothing.
fn new_session() -> String {
    datafusion::execution::context::SessionContext::new().session_id()
}

/// The rows that answer a query, as they come.
pub struct Answer {
    batches: SendableRecordBatchStream,
    cluster: Cluster,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Answer").finish_non_exhaustive()
    }
}

impl Answer {
    /// The next rows; nothing at the end.
    ///
    /// # Errors
    /// If the executor that holds them is lost.
    pub async fn next(&mut self) -> Result<Option<Rows>, Trouble> {
        match self.batches.next().await {
            None => Ok(None),
            Some(Err(cause)) => Err(self.cluster.failed(&cause)),
            Some(Ok(batch)) => Rows::of(&batch).map(Some),
        }
    }
}

/// Rows of cells as text.
#[derive(Debug)]
pub struct Rows {
    columns: Vec<Arc<StringArray>>,
    len: usize,
}

impl Rows {
    /// The rows of a batch.
    ///
    /// # Errors
    /// If a cell has no text.
    pub fn of(batch: &RecordBatch) -> Result<Self, Trouble> {
        let text = |column: &Arc<dyn Array>| {
            let column = cast(column, &DataType::Utf8).map_err(|cause| Trouble::of_job(&cause))?;
            Ok(Arc::new(column.as_string::<i32>().clone()))
        };
        let columns = batch.columns().iter().map(text).collect::<Result<_, Trouble>>()?;
        Ok(Self { columns, len: batch.num_rows() })
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The cells of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn cells(&self, row: usize) -> impl Iterator<Item = &str> {
        self.columns.iter().map(move |column| column.value(row))
    }
}
