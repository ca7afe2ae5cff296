//! Rows of a result, with cells as text.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;

use crate::error::ClusterError;

/// Some rows of a result.
#[derive(Debug)]
pub struct Rows {
    columns: Vec<Arc<StringArray>>,
    len: usize,
}

impl Rows {
    /// The rows of a batch.
    ///
    /// # Errors
    /// If a column cannot be cast to text.
    pub fn of(batch: &RecordBatch) -> Result<Self, ClusterError> {
        let to_text = |column: &Arc<dyn Array>| {
            let column = cast(column, &DataType::Utf8)?;
            Ok(Arc::new(column.as_string::<i32>().clone()))
        };
        let columns = batch.columns().iter().map(to_text).collect::<Result<_, ClusterError>>()?;
        Ok(Self { columns, len: batch.num_rows() })
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The cells of a row.
    ///
    /// # Panics
    /// If `row` is out of range.
    pub fn cells(&self, row: usize) -> impl Iterator<Item = &str> {
        self.columns.iter().map(move |column| column.value(row))
    }
}
