//! Queries over tables.

use std::sync::Arc;

use ballista::prelude::SessionContextExt;
use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::SessionContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::prelude::{col, lit};
use futures::StreamExt;
use url::Url;

use crate::error::ClusterError;
use crate::rows::Rows;
use crate::session::Session;
use crate::shared_storage::store_for;
use crate::sql::Query;
use crate::tables::{Table, listing};

/// The tables of a query, each with its files.
pub type TableFiles = Vec<(Table, Vec<Url>)>;

/// The rows of a query on a cluster, as they arrive. The query starts when the first rows are requested.
pub struct RowStream {
    session: Session,
    query: Query,
    tables: TableFiles,
    inputs: Option<(i64, i64)>,
    batches: Option<SendableRecordBatchStream>,
}

impl std::fmt::Debug for RowStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RowStream").field("query", &self.query.name).finish_non_exhaustive()
    }
}

impl RowStream {
    /// Creates the stream of the rows that a query over tables returns.
    #[must_use]
    pub fn new(session: &Session, query: &Query, tables: &TableFiles) -> Self {
        let (session, query, tables) = (session.clone(), query.clone(), tables.clone());
        Self { session, query, tables, inputs: None, batches: None }
    }

    /// Limits `plays` and `rejects` to a range of input numbers, both ends included.
    #[must_use]
    pub fn of_inputs(self, inputs: Option<(i64, i64)>) -> Self {
        Self { inputs, ..self }
    }

    /// Returns the next rows, or `None` at the end. Rows are only valid if [no executor was lost] during the query.
    ///
    /// # Errors
    /// If the query fails, or an executor or the scheduler is lost.
    ///
    /// [no executor was lost]: crate::liveness::LiveExecutors::still_live
    pub async fn next(&mut self) -> Result<Option<Rows>, ClusterError> {
        match self.next_batch().await {
            Ok(batch) => batch.as_ref().map(Rows::of).transpose(),
            Err(error) => Err(self.session.classify(error).await),
        }
    }

    async fn next_batch(&mut self) -> Result<Option<RecordBatch>, ClusterError> {
        let batches = if let Some(batches) = &mut self.batches {
            batches
        } else {
            let batches = start(&self.session, &self.query, &self.tables, self.inputs).await?;
            self.batches.insert(batches)
        };
        Ok(batches.next().await.transpose()?)
    }
}

async fn start(
    session: &Session,
    query: &Query,
    tables: &TableFiles,
    inputs: Option<(i64, i64)>,
) -> Result<SendableRecordBatchStream, ClusterError> {
    let state = SessionStateBuilder::new().with_default_features().with_config(session.config()).build();
    let context = SessionContext::remote_with_state(session.scheduler().url(), state).await?;
    for (table, files) in tables {
        if let Some(url) = files.first().filter(|url| url.scheme() != "file") {
            context.register_object_store(url, store_for(url)?);
        }
        let all = listing(*table, files)?;
        let provider: Arc<dyn TableProvider> = match inputs {
            Some((from, to)) if matches!(table, Table::Plays | Table::Rejects) => {
                let of_inputs = col("input").between(lit(from), lit(to));
                context.read_table(all)?.filter(of_inputs)?.into_view()
            }
            _ => all,
        };
        context.register_table(table.name(), provider)?;
    }
    Ok(with_parameters(context.sql(query.sql).await?, query)?.execute_stream().await?)
}

/// Runs a query in this process, without a cluster. Only tests call this function.
///
/// # Errors
/// If the query fails.
pub async fn run_locally(query: &Query, tables: &TableFiles) -> Result<Vec<Rows>, ClusterError> {
    let context = SessionContext::new();
    for (table, files) in tables {
        context.register_table(table.name(), listing(*table, files)?)?;
    }
    let frame = context.sql(query.sql).await?;
    let batches = with_parameters(frame, query)?.collect().await?;
    batches.iter().map(Rows::of).collect()
}

fn with_parameters(frame: DataFrame, query: &Query) -> Result<DataFrame, DataFusionError> {
    if query.parameters.is_empty() {
        return Ok(frame);
    }
    let values: Vec<_> = query.parameters.iter().map(|(name, value)| (*name, value.scalar())).collect();
    frame.with_param_values(values)
}
