//! SQL over tables in this process, without a cluster. The SQL of an insight is its second definition; only tests run
//! it.
//!
//! The query of an insight is in a file next to the module of the insight. The settings of the insight are parameters
//! of the query, written `$name`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionContext;

use crate::error::ClusterError;

/// A query and the values of its parameters.
#[derive(Clone, Debug)]
pub struct Query {
    /// The table that the query computes, such as the name of an insight.
    pub name: &'static str,
    /// The SQL text.
    pub sql: &'static str,
    /// The values of the parameters, by name.
    pub parameters: Vec<(&'static str, Value)>,
}

/// The value of a parameter.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text.
    Text(String),
    /// A count, a limit, or a fraction in billionths.
    Number(i64),
    /// A week, as the number of days from 1970-01-01 to its Monday.
    Week(i32),
    /// A Boolean value.
    Flag(bool),
}

impl Value {
    fn scalar(&self) -> ScalarValue {
        match self {
            Self::Text(text) => ScalarValue::Utf8(Some(text.clone())),
            Self::Number(number) => ScalarValue::Int64(Some(*number)),
            Self::Week(week) => ScalarValue::Int32(Some(*week)),
            Self::Flag(flag) => ScalarValue::Boolean(Some(*flag)),
        }
    }
}

/// A column of a table.
#[derive(Clone, Debug)]
pub enum Column {
    /// Text.
    Text(Vec<String>),
    /// Counts or positions.
    Number(Vec<i64>),
    /// Weeks, as the numbers of days from 1970-01-01 to their Mondays.
    Week(Vec<i32>),
}

/// A table in memory: its name, and its columns with their names.
pub type Table<'a> = (&'a str, Vec<(&'a str, Column)>);

/// Runs a query over tables. Returns the rows, with cells as text.
///
/// # Errors
/// If the query fails.
pub async fn run_locally(query: &Query, tables: &[Table<'_>]) -> Result<Vec<Vec<String>>, ClusterError> {
    let context = SessionContext::new();
    for (name, columns) in tables {
        let columns = columns.iter().map(|(name, column)| (*name, array_of(column)));
        context.register_batch(*name, RecordBatch::try_from_iter(columns)?)?;
    }
    let frame = with_parameters(context.sql(query.sql).await?, query)?;
    let mut rows = Vec::new();
    for batch in frame.collect().await? {
        let to_text = |column: &ArrayRef| Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone());
        let columns: Vec<StringArray> =
            batch.columns().iter().map(to_text).collect::<Result<_, ClusterError>>()?;
        let row = |row: usize| columns.iter().map(|column| column.value(row).to_owned()).collect();
        rows.extend((0..batch.num_rows()).map(row));
    }
    Ok(rows)
}

fn array_of(column: &Column) -> Arc<dyn Array> {
    match column {
        Column::Text(texts) => Arc::new(StringArray::from(texts.clone())),
        Column::Number(numbers) => Arc::new(Int64Array::from(numbers.clone())),
        Column::Week(weeks) => Arc::new(Int32Array::from(weeks.clone())),
    }
}

fn with_parameters(frame: DataFrame, query: &Query) -> Result<DataFrame, DataFusionError> {
    if query.parameters.is_empty() {
        return Ok(frame);
    }
    let values: Vec<_> = query.parameters.iter().map(|(name, value)| (*name, value.scalar())).collect();
    frame.with_param_values(values)
}
