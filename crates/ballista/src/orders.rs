//! Orders: work that is not a query, handed out to executors and done by their host.
//!
//! A stock scheduler knows the plans of DataFusion and no others. So an order travels as a row of an in-memory
//! table, one partition each, which any scheduler can cut into tasks; our executors know that table by the name
//! of its only column and answer each order with a receipt instead of handing on the row. A task that is lost is
//! done again by another executor, so what an order makes must be the same each time, and appear at once or not
//! at all. A stock executor would hand back the orders themselves, which the client notices.

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

use crate::trouble::ClusterError;

/// The only column of the table of orders, and of that of receipts.
pub const COLUMN: &str = "music_insights_order";

/// Does what orders say, on the executor.
pub trait Worker: Debug + Send + Sync {
    /// Carries out an order and returns its receipt. It may block. Files that are only needed meanwhile go to
    /// `folder`.
    ///
    /// # Errors
    /// Why it cannot be done; another executor may then try.
    fn carry_out(&self, order: &str, folder: &Path) -> std::result::Result<String, ClusterError>;
}

/// The plan that hands out orders, a partition each.
///
/// # Errors
/// Those of the engine.
pub(crate) fn plan_of(orders: &[String]) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = schema();
    let partitions: Vec<Vec<RecordBatch>> =
        orders.iter().map(|order| Ok(vec![batch_of(&schema, &[order.as_str()])?])).collect::<Result<_>>()?;
    Ok(MemorySourceConfig::try_new_exec(&partitions, schema, None)?)
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(COLUMN, DataType::Utf8, false)]))
}

fn batch_of(schema: &SchemaRef, texts: &[&str]) -> Result<RecordBatch> {
    Ok(RecordBatch::try_new(Arc::clone(schema), vec![Arc::new(StringArray::from(texts.to_vec()))])?)
}

/// The texts of a batch of orders or receipts.
pub(crate) fn texts_of(batch: &RecordBatch) -> Vec<String> {
    let texts = batch.column(0).as_string_opt::<i32>();
    texts.map(|texts| texts.iter().flatten().map(str::to_owned).collect()).unwrap_or_default()
}

/// Puts a worker where a plan hands out orders.
///
/// # Errors
/// Those of the engine.
pub(crate) fn with_worker(
    plan: Arc<dyn ExecutionPlan>,
    worker: &Arc<dyn Worker>,
    folder: &Path,
) -> Result<Arc<dyn ExecutionPlan>> {
    let hands_out = |node: &Arc<dyn ExecutionPlan>| {
        let schema = node.schema();
        schema.fields().len() == 1
            && schema.field(0).name() == COLUMN
            && node.downcast_ref::<DataSourceExec>().is_some()
    };
    let employ = |node: Arc<dyn ExecutionPlan>| {
        if !hands_out(&node) {
            return Ok(Transformed::no(node));
        }
        let (worker, folder) = (Arc::clone(worker), Arc::from(folder));
        Ok(Transformed::yes(Arc::new(OrdersExec { orders: node, worker, folder }) as Arc<dyn ExecutionPlan>))
    };
    Ok(plan.transform_up(employ)?.data)
}

/// Answers orders with receipts.
#[derive(Debug)]
struct OrdersExec {
    orders: Arc<dyn ExecutionPlan>,
    worker: Arc<dyn Worker>,
    folder: Arc<Path>,
}

impl DisplayAs for OrdersExec {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OrdersExec")
    }
}

impl ExecutionPlan for OrdersExec {
    fn name(&self) -> &'static str {
        "OrdersExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.orders.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        // A leaf to others: there is nothing below it that they could change.
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
        let orders = self.orders.execute(partition, context)?;
        let (worker, folder) = (Arc::clone(&self.worker), Arc::clone(&self.folder));
        let answered = orders.and_then({
            let schema = Arc::clone(&schema);
            move |batch| {
                let (worker, folder, schema) =
                    (Arc::clone(&worker), Arc::clone(&folder), Arc::clone(&schema));
                async move {
                    let mut receipts = Vec::new();
                    for order in texts_of(&batch) {
                        let (worker, folder) = (Arc::clone(&worker), Arc::clone(&folder));
                        let done =
                            tokio::task::spawn_blocking(move || worker.carry_out(&order, &folder)).await;
                        let done = done.map_err(|cause| DataFusionError::External(Box::new(cause)))?;
                        receipts
                            .push(done.map_err(|trouble| DataFusionError::Execution(trouble.on_its_way()))?);
                    }
                    let receipts: Vec<&str> = receipts.iter().map(String::as_str).collect();
                    batch_of(&schema, &receipts)
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, answered.boxed())))
    }
}
