//! The client's side: what a run asks of a cluster.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ballista::prelude::SessionContextExt;
use ballista_core::execution_plans::execute_physical_plan;
use ballista_core::extension::SessionConfigExt;
use ballista_core::object_store::session_config_with_s3_support;
use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::arrow::array::{Array, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
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
use crate::trouble::{ClusterError, ErrorKind};

/// The port of a scheduler whose address names none.
const PORT: u16 = 50050;
/// How long to wait for the scheduler's answer to a short question.
const ANSWER: Duration = Duration::from_secs(10);
/// How long to wait for the first executor.
const FIRST_EXECUTOR: Duration = Duration::from_secs(30);
/// Milliseconds after which an executor is not taken for alive, which says so every second.
const SILENCE: u64 = 4000;
/// How often is looked for executors.
const LOOK: Duration = Duration::from_millis(100);
/// How often a job is begun that has lost an executor.
const TRIES: usize = 4;
/// What the engine says if a node is lost.
const LOST: [&str; 6] =
    ["transport", "GrpcConnection", "tcp connect", "Fetch", "ConnectError", "h2 protocol"];
/// How long to wait before another try.
const PAUSE: Duration = Duration::from_secs(2);
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
    id: String,
    /// When the scheduler heard of it, in milliseconds since 1970.
    last_seen: Option<u64>,
    specification: Specification,
}

#[derive(Deserialize)]
struct Specification {
    vcores: Option<usize>,
}

#[derive(Deserialize)]
struct Job {
    #[serde(rename = "job_id")]
    id: String,
    #[serde(rename = "job_name")]
    name: String,
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
    pub async fn find(address: &str, run: &str) -> Result<Self, ClusterError> {
        let (host, port) = scheduler_of(address)?;
        let scheduler = format!("http://{host}:{port}");
        let http = http_client().map_err(|cause| {
            ClusterError::new(ErrorKind::Io, format!("cannot ask for {address}: {cause}"))
        })?;
        let mut cluster =
            Self { scheduler, run: run.to_owned(), http, partitions: PARTITIONS, cores: PARTITIONS };
        cluster.check_version(address).await?;
        cluster.find_executors(address).await?;
        Ok(cluster)
    }

    async fn check_version(&self, address: &str) -> Result<(), ClusterError> {
        let asked = self.ask::<Version>("/api/version").await;
        let version = asked.map_err(|cause| {
            let message = format!(
                "no scheduler answers at {address}: {cause}; start one with `ballista-scheduler` (version \
                 {BALLISTA_VERSION}), or look at the address"
            );
            ClusterError::new(ErrorKind::Io, message)
        })?;
        let major = |version: &str| version.split('.').next().map(str::to_owned);
        if let Some(Version { version }) = version
            && major(&version) != major(BALLISTA_VERSION)
        {
            let message = format!(
                "the scheduler at {address} is Ballista {version}, but this program was built for {BALLISTA_VERSION}; \
                 all programs of a cluster must be of one version"
            );
            return Err(ClusterError::new(ErrorKind::Setup, message));
        }
        Ok(())
    }

    /// Waits for an executor, and cuts queries into as many parts as there are cores.
    async fn find_executors(&mut self, address: &str) -> Result<(), ClusterError> {
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
                return Err(ClusterError::new(ErrorKind::Setup, message));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The executors that were heard of as lately as any; nothing if the scheduler does not say.
    pub async fn executors(&self) -> Option<BTreeSet<String>> {
        let executors = self.ask::<Vec<Executor>>("/api/executors").await.ok()??;
        let latest = executors.iter().filter_map(|executor| executor.last_seen).max().unwrap_or_default();
        // One that has been silent for longer may be dead already, and then gets no task of what comes next.
        let is_alive = |executor: &Executor| executor.last_seen.unwrap_or_default() + SILENCE >= latest;
        Some(executors.into_iter().filter(is_alive).map(|executor| executor.id).collect())
    }

    /// Whether all of these executors are still there, as they themselves say from now on.
    ///
    /// Where an executor is lost, the scheduler of 55.0 lets tasks be done again, and then some rows count twice. So
    /// what was answered meanwhile must not be believed.
    pub async fn keeps(&self, executors: Option<&BTreeSet<String>>) -> bool {
        let Some(expected) = executors else { return true };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        loop {
            let Ok(Some(found)) = self.ask::<Vec<Executor>>("/api/executors").await else { return true };
            let seen: HashMap<&str, u64> = found
                .iter()
                .map(|executor| (executor.id.as_str(), executor.last_seen.unwrap_or_default()))
                .collect();
            if expected.iter().any(|id| !seen.contains_key(id.as_str())) {
                return false;
            }
            // Full seconds count, so this is at least one after the last answer.
            if expected.iter().all(|id| seen[id.as_str()] > now) {
                return true;
            }
            tokio::time::sleep(LOOK).await;
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
    /// If an order cannot be carried out, an executor is lost again and again, or the scheduler is.
    pub async fn hand_out(&self, orders: &[String]) -> Result<Vec<String>, ClusterError> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            match self.hand_out_once(orders).await {
                Err(cause) => match self.failed(&cause).await {
                    // Its receipts are lost with an executor; those who ask again get them at once.
                    ClusterError { fault: ErrorKind::Lost, .. } if tries > 0 => {
                        tokio::time::sleep(PAUSE).await
                    }
                    trouble => return Err(trouble),
                },
                Ok(receipts) if receipts.iter().any(|receipt| orders.contains(receipt)) => {
                    let message = "an executor of this cluster is not music-insights but another program; start \
                                   executors with `music-insights executor`";
                    return Err(ClusterError::new(ErrorKind::Setup, message));
                }
                Ok(receipts) if receipts.len() < orders.len() && tries > 0 => tokio::time::sleep(PAUSE).await,
                Ok(receipts) => return Ok(receipts),
            }
        }
    }

    async fn hand_out_once(&self, orders: &[String]) -> Result<Vec<String>, DataFusionError> {
        let config = self.config();
        let (ballista, codec) = (config.ballista_config(), BallistaPhysicalExtensionCodec::default());
        let plan = plan_of(orders)?;
        let batches = execute_physical_plan::<PhysicalPlanNode>(
            self.scheduler.clone(),
            &ballista,
            plan,
            &codec,
            new_session(),
            config,
        );
        let batches: Vec<RecordBatch> = batches.await?.try_collect().await?;
        Ok(batches.iter().flat_map(texts_of).collect())
    }

    /// Asks a query of tables.
    #[must_use]
    pub fn ask_query(&self, query: &Query, tables: &[(Table, Vec<Url>)]) -> Answer {
        self.ask_query_of(query, tables, None)
    }

    /// Asks a query of tables, but of those that keep logs row by row only of the logs with these numbers, from
    /// and to.
    #[must_use]
    pub fn ask_query_of(
        &self,
        query: &Query,
        tables: &[(Table, Vec<Url>)],
        logs: Option<(i64, i64)>,
    ) -> Answer {
        Answer { cluster: self.clone(), query: query.clone(), tables: tables.to_vec(), logs, batches: None }
    }

    async fn begin(
        &self,
        query: &Query,
        tables: &[(Table, Vec<Url>)],
        logs: Option<(i64, i64)>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        let external = |trouble| DataFusionError::External(Box::new(trouble));
        let state = SessionStateBuilder::new().with_default_features().with_config(self.config()).build();
        let context = SessionContext::remote_with_state(&self.scheduler, state).await?;
        for (table, files) in tables {
            if let Some(url) = files.first().filter(|url| url.scheme() != "file") {
                context.register_object_store(url, store_of(url).map_err(external)?);
            }
            let listing = listing(*table, files).map_err(external)?;
            let shown: Arc<dyn TableProvider> = match logs {
                Some((from, to)) if matches!(table, Table::Plays | Table::Rejects) => {
                    let all = context.read_table(listing)?;
                    all.filter(col("input").between(lit(from), lit(to)))?.into_view()
                }
                _ => listing,
            };
            context.register_table(table.name(), shown)?;
        }
        with_values(context.sql(query.sql).await?, query)?.execute_stream().await
    }

    /// How far the jobs of this run are that have not ended; nothing if there are none, or nobody knows.
    pub async fn stand(&self) -> Option<Stand> {
        let jobs = self.ask::<Vec<Job>>("/api/jobs").await.ok()??;
        let mut stand = None;
        for job in jobs.iter().filter(|job| job.name == self.run && job.status == "Running") {
            let stand = stand.get_or_insert_with(Stand::default);
            stand.stages_done += job.completed_stages;
            stand.stages += job.num_stages;
            let path = format!("/api/job/{}/stages", job.id);
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
        for job in jobs.iter().filter(|job| job.name == self.run) {
            // It may have ended meanwhile.
            let _ = self.http.patch(format!("{}/api/job/{}", self.scheduler, job.id)).send().await;
        }
    }

    /// What a job failed of; if it is no fault of its own, whether it is worth another try.
    async fn failed(&self, cause: &DataFusionError) -> ClusterError {
        let trouble = ClusterError::of_job(cause);
        if trouble.fault != ErrorKind::Job {
            return trouble;
        }
        if self.ask::<Version>("/api/version").await.is_err() {
            return ClusterError::new(
                ErrorKind::Io,
                format!("the scheduler at {} is gone: {trouble}", self.scheduler),
            );
        }
        let is_lost = LOST.iter().any(|word| trouble.to_string().contains(word));
        if is_lost {
            ClusterError::new(ErrorKind::Lost, format!("an executor was lost: {trouble}"))
        } else {
            trouble
        }
    }
}

/// Who asks a scheduler short questions.
pub(crate) fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder().no_proxy().timeout(ANSWER).build()
}

/// Host and port of a scheduler's address such as `df://scheduler:50050`.
///
/// # Errors
/// If it is none.
pub fn scheduler_of(address: &str) -> Result<(String, u16), ClusterError> {
    let wrong = || {
        let message = format!("{address} is not the address of a cluster, such as df://scheduler:{PORT}");
        ClusterError::new(ErrorKind::Address, message)
    };
    let url = Url::parse(address).map_err(|_| wrong())?;
    let host = url.host_str().filter(|_| url.scheme() == "df").ok_or_else(wrong)?;
    Ok((host.to_owned(), url.port().unwrap_or(PORT)))
}

/// A session for each job: they share nothing.
fn new_session() -> String {
    datafusion::execution::context::SessionContext::new().session_id()
}

/// Asks a query of tables in this process, without a cluster: the same SQL, for tests and for a look.
///
/// # Errors
/// If the engine gives it up.
pub async fn ask_here(query: &Query, tables: &[(Table, Vec<Url>)]) -> Result<Vec<Rows>, ClusterError> {
    let failed = |cause: DataFusionError| ClusterError::of_job(&cause);
    let context = SessionContext::new();
    for (table, files) in tables {
        context.register_table(table.name(), listing(*table, files)?).map_err(failed)?;
    }
    let frame = context.sql(query.sql).await.map_err(failed)?;
    let batches = with_values(frame, query).map_err(failed)?.collect().await.map_err(failed)?;
    batches.iter().map(Rows::of).collect()
}

/// A query with its parameters.
fn with_values(frame: DataFrame, query: &Query) -> Result<DataFrame, DataFusionError> {
    if query.parameters.is_empty() {
        return Ok(frame);
    }
    let values: Vec<_> = query.parameters.iter().map(|(name, value)| (*name, value.scalar())).collect();
    frame.with_param_values(values)
}

/// The rows that answer a query, as they come; the query begins when the first is wanted.
pub struct Answer {
    cluster: Cluster,
    query: Query,
    tables: Vec<(Table, Vec<Url>)>,
    logs: Option<(i64, i64)>,
    batches: Option<SendableRecordBatchStream>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Answer").field("query", &self.query.name).finish_non_exhaustive()
    }
}

impl Answer {
    /// The next rows; nothing at the end. They only count if [no executor was lost](Cluster::keeps) meanwhile.
    ///
    /// # Errors
    /// If the engine gives the query up, or a node is lost.
    pub async fn next(&mut self) -> Result<Option<Rows>, ClusterError> {
        match self.next_batch().await {
            Ok(batch) => batch.as_ref().map(Rows::of).transpose(),
            Err(cause) => Err(self.cluster.failed(&cause).await),
        }
    }

    async fn next_batch(&mut self) -> Result<Option<RecordBatch>, DataFusionError> {
        if self.batches.is_none() {
            self.batches = Some(self.cluster.begin(&self.query, &self.tables, self.logs).await?);
        }
        match &mut self.batches {
            Some(batches) => batches.next().await.transpose(),
            None => Ok(None),
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
    pub fn of(batch: &RecordBatch) -> Result<Self, ClusterError> {
        let text = |column: &Arc<dyn Array>| {
            let column = cast(column, &DataType::Utf8).map_err(|cause| ClusterError::of_job(&cause))?;
            Ok(Arc::new(column.as_string::<i32>().clone()))
        };
        let columns = batch.columns().iter().map(text).collect::<Result<_, ClusterError>>()?;
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
