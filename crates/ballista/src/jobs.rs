//! Jobs: work that is not a query. The client submits jobs, and executors execute them.
//!
//! A stock scheduler accepts only DataFusion plans. The client therefore sends jobs as rows of an in-memory table.
//! Each row is a partition, and any scheduler makes one task of each partition. Our executors recognise the table by
//! the name of its only column. They execute the job and return a report instead of the row. A stock executor returns
//! the row unchanged, and the client detects this.
//!
//! If an executor is lost, another executor executes the same jobs again. A job must therefore have the same
//! result every time, and its files must appear completely or not at all.

use std::fmt::{self, Debug};
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, SendableRecordBatchStream,
};
use futures::{StreamExt, TryStreamExt};

use crate::error::ClusterError;

/// The only column of a table of jobs, and of a table of reports.
pub const COLUMN: &str = "music_insights_job";

/// Executes jobs on an executor.
pub trait JobHandler: Debug + Send + Sync {
    /// Executes a job and returns its report. The call may block. Temporary files belong in `work_dir`.
    ///
    /// # Errors
    /// If the job fails. The submission then fails with this error.
    fn execute(&self, job: &str, work_dir: &Path) -> std::result::Result<String, ClusterError>;
}

/// Creates a plan that returns the jobs, each in its own partition.
///
/// # Errors
/// If the engine cannot build the plan.
pub(crate) fn plan_for(jobs: &[String]) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = schema();
    let partitions: Vec<Vec<RecordBatch>> =
        jobs.iter().map(|job| Ok(vec![batch_of(&schema, &[job.as_str()])?])).collect::<Result<_>>()?;
    Ok(MemorySourceConfig::try_new_exec(&partitions, schema, None)?)
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(COLUMN, DataType::Utf8, false)]))
}

fn batch_of(schema: &SchemaRef, texts: &[&str]) -> Result<RecordBatch> {
    Ok(RecordBatch::try_new(Arc::clone(schema), vec![Arc::new(StringArray::from(texts.to_vec()))])?)
}

/// The jobs or reports in a batch.
pub(crate) fn texts_of(batch: &RecordBatch) -> Vec<String> {
    let texts = batch.column(0).as_string_opt::<i32>();
    texts.map(|texts| texts.iter().flatten().map(str::to_owned).collect()).unwrap_or_default()
}

/// Replaces each table of jobs in a plan with a node that executes the jobs.
///
/// # Errors
/// If the engine cannot transform the plan.
pub(crate) fn with_handler(
    plan: Arc<dyn ExecutionPlan>,
    handler: &Arc<dyn JobHandler>,
    work_dir: &Path,
) -> Result<Arc<dyn ExecutionPlan>> {
    let is_job_table = |node: &Arc<dyn ExecutionPlan>| {
        let schema = node.schema();
        schema.fields().len() == 1
            && schema.field(0).name() == COLUMN
            && node.downcast_ref::<DataSourceExec>().is_some()
    };
    let replace = |node: Arc<dyn ExecutionPlan>| {
        if !is_job_table(&node) {
            return Ok(Transformed::no(node));
        }
        let (handler, work_dir) = (Arc::clone(handler), Arc::from(work_dir));
        Ok(Transformed::yes(Arc::new(JobsExec { jobs: node, handler, work_dir }) as Arc<dyn ExecutionPlan>))
    };
    Ok(plan.transform_up(replace)?.data)
}

/// Executes the jobs that its child node returns, and returns the reports of these jobs.
#[derive(Debug)]
struct JobsExec {
    jobs: Arc<dyn ExecutionPlan>,
    handler: Arc<dyn JobHandler>,
    work_dir: Arc<Path>,
}

impl DisplayAs for JobsExec {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JobsExec")
    }
}

impl ExecutionPlan for JobsExec {
    fn name(&self) -> &'static str {
        "JobsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.jobs.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        // The engine sees a leaf, so no optimizer rule rewrites the table below this node.
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = schema();
        let jobs = self.jobs.execute(partition, context)?;
        let (handler, work_dir) = (Arc::clone(&self.handler), Arc::clone(&self.work_dir));
        let reports = jobs.and_then({
            let schema = Arc::clone(&schema);
            move |batch| {
                execute_batch(batch, Arc::clone(&handler), Arc::clone(&work_dir), Arc::clone(&schema))
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, reports.boxed())))
    }
}

/// Executes the jobs of a batch, one after the other.
async fn execute_batch(
    jobs: RecordBatch,
    handler: Arc<dyn JobHandler>,
    work_dir: Arc<Path>,
    schema: SchemaRef,
) -> Result<RecordBatch> {
    let mut reports = Vec::new();
    for job in texts_of(&jobs) {
        let (handler, work_dir) = (Arc::clone(&handler), Arc::clone(&work_dir));
        let executed = tokio::task::spawn_blocking(move || handler.execute(&job, &work_dir)).await;
        let report = executed.map_err(|panic| DataFusionError::External(Box::new(panic)))?;
        reports.push(report.map_err(|error| DataFusionError::Execution(error.to_wire()))?);
    }
    let reports: Vec<&str> = reports.iter().map(String::as_str).collect();
    batch_of(&schema, &reports)
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::collect;

    use super::*;
    use crate::error::ErrorKind;

    #[derive(Debug)]
    struct Shout;

    impl JobHandler for Shout {
        fn execute(&self, job: &str, _: &Path) -> std::result::Result<String, ClusterError> {
            if job == "fail" {
                return Err(ClusterError::new(ErrorKind::Missing, "no such log"));
            }
            Ok(job.to_uppercase())
        }
    }

    async fn run(jobs: &[&str]) -> Result<Vec<String>> {
        let jobs: Vec<String> = jobs.iter().map(|&job| job.to_owned()).collect();
        let handler: Arc<dyn JobHandler> = Arc::new(Shout);
        let plan = with_handler(plan_for(&jobs)?, &handler, Path::new("."))?;
        let batches = collect(plan, Arc::new(TaskContext::default())).await?;
        let mut reports: Vec<String> = batches.iter().flat_map(texts_of).collect();
        reports.sort();
        Ok(reports)
    }

    #[tokio::test]
    async fn reports_replace_jobs() {
        assert_eq!(run(&["a", "b", "c"]).await.unwrap(), ["A", "B", "C"]);
    }

    #[tokio::test]
    async fn an_error_of_a_job_reaches_the_client_with_its_kind() {
        let error = ClusterError::from(run(&["a", "fail"]).await.unwrap_err());
        assert_eq!((error.kind, error.to_string().as_str()), (ErrorKind::Missing, "no such log"));
    }
}
