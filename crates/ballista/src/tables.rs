//! Tables: defines their columns, and writes and merges them.
//!
//! `listens`, `song_weeks` and `nights` contain sums that do not depend on the catalog. The sums of several inputs can
//! therefore be added. `plays` and `rejects` contain the rows of `enriched_logs` and `_rejects`.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Builder, Int64Builder, RecordBatch, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use url::Url;

use crate::error::{ClusterError, ErrorKind};
use crate::shared_storage::store_for;

/// A table. The client writes `songs`, and executors write the other tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Number of plays by user and song.
    Listens,
    /// Number of plays and their total duration in milliseconds, by song and week.
    SongWeeks,
    /// Number of plays at night, by user.
    Nights,
    /// All plays, for `enriched_logs`.
    Plays,
    /// All rejects, for `_rejects`.
    Rejects,
    /// The songs of the catalog. The client writes this table.
    Songs,
}

/// The tables that an executor makes of an input.
pub const INPUT_TABLES: [Table; 5] =
    [Table::Listens, Table::SongWeeks, Table::Nights, Table::Plays, Table::Rejects];

impl Table {
    /// The name of the table in queries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Listens => "listens",
            Self::SongWeeks => "song_weeks",
            Self::Nights => "nights",
            Self::Plays => "plays",
            Self::Rejects => "rejects",
            Self::Songs => "songs",
        }
    }

    /// The name of a file of this table.
    pub fn file(self) -> String {
        format!("{}.parquet", self.name())
    }

    /// The columns of the table.
    pub fn schema(self) -> SchemaRef {
        let text = |name| Field::new(name, DataType::Utf8, false);
        let count = |name| Field::new(name, DataType::Int64, false);
        let fields = match self {
            Self::Listens => vec![text("user_id"), text("song_id"), count("plays")],
            Self::SongWeeks => {
                let week = Field::new("week", DataType::Int32, false);
                vec![text("song_id"), week, count("plays"), count("millis")]
            }
            Self::Nights => vec![text("user_id"), count("plays")],
            Self::Plays => {
                let ids = [text("user_id"), text("song_id"), text("timestamp"), text("duration_sec")];
                [count("input"), count("place")].into_iter().chain(ids).collect()
            }
            Self::Rejects => {
                let numbers = [count("input"), count("place"), count("line"), count("byte_offset")];
                numbers.into_iter().chain([text("reason"), text("raw")]).collect()
            }
            Self::Songs => ["song_id", "title", "artist", "genre", "mood"].map(text).to_vec(),
        };
        Arc::new(Schema::new(fields))
    }

    /// The query that merges several tables of this kind. It adds sums by key, and keeps other rows in order.
    fn merge_query(self) -> &'static str {
        match self {
            Self::Listens => {
                "SELECT user_id, song_id, sum(plays) AS plays FROM listens GROUP BY user_id, song_id ORDER BY user_id, song_id"
            }
            Self::SongWeeks => {
                "SELECT song_id, week, sum(plays) AS plays, sum(millis) AS millis FROM song_weeks GROUP BY song_id, week \
                 ORDER BY song_id, week"
            }
            Self::Nights => {
                "SELECT user_id, sum(plays) AS plays FROM nights GROUP BY user_id ORDER BY user_id"
            }
            Self::Plays => "SELECT * FROM plays ORDER BY input, place",
            Self::Rejects => "SELECT * FROM rejects ORDER BY input, place",
            Self::Songs => "SELECT * FROM songs ORDER BY song_id",
        }
    }
}

/// The files of a table as a data source of the engine.
///
/// # Errors
/// If a URL is invalid.
pub fn listing(table: Table, files: &[Url]) -> Result<Arc<ListingTable>, ClusterError> {
    let urls: Vec<ListingTableUrl> =
        files.iter().map(|file| ListingTableUrl::parse(file.as_str())).collect::<Result<_, _>>()?;
    let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(".parquet");
    let config = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(options)
        .with_schema(table.schema());
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// A cell of a row.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'a> {
    /// Text in UTF-8.
    Text(&'a [u8]),
    /// A count, a position, or a day since 1970-01-01.
    Number(i64),
}

/// The number of rows in a batch.
const BATCH_ROWS: usize = 32 << 10;

/// Writes a table row by row.
#[derive(Debug)]
pub struct TableWriter {
    schema: SchemaRef,
    columns: Vec<Builder>,
    /// The number of rows in `columns`.
    pending: usize,
    rows: u64,
    path: PathBuf,
    writer: ArrowWriter<File>,
}

#[derive(Debug)]
enum Builder {
    Text(StringBuilder),
    Count(Int64Builder),
    Week(Int32Builder),
}

impl TableWriter {
    /// Creates a file.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(table: Table, path: &Path) -> Result<Self, ClusterError> {
        let schema = table.schema();
        let file = File::create(path).map_err(|error| write_error(path, error))?;
        let columns = schema.fields().iter().map(|field| match field.data_type() {
            DataType::Int64 => Builder::Count(Int64Builder::new()),
            DataType::Int32 => Builder::Week(Int32Builder::new()),
            _ => Builder::Text(StringBuilder::new()),
        });
        let columns = columns.collect();
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties()))
            .map_err(|error| write_error(path, error))?;
        Ok(Self { schema, columns, pending: 0, rows: 0, path: path.to_owned(), writer })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// If a batch is full and cannot be written.
    ///
    /// # Panics
    /// If the cells do not match the columns, or if a text is not UTF-8.
    pub fn push(&mut self, cells: &[Cell<'_>]) -> Result<(), ClusterError> {
        assert_eq!(cells.len(), self.columns.len(), "a row of {}", self.schema);
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            match (column, cell) {
                (Builder::Text(column), Cell::Text(text)) => {
                    column.append_value(std::str::from_utf8(text).expect("ids and metadata are UTF-8"));
                }
                (Builder::Count(column), Cell::Number(number)) => column.append_value(*number),
                (Builder::Week(column), Cell::Number(number)) => {
                    column.append_value(i32::try_from(*number).expect("a Monday fits in 32 bits"));
                }
                _ => panic!("a row of {}", self.schema),
            }
        }
        self.pending += 1;
        self.rows += 1;
        if self.pending == BATCH_ROWS { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), ClusterError> {
        let columns = self.columns.iter_mut().map(|column| match column {
            Builder::Text(column) => Arc::new(column.finish()) as ArrayRef,
            Builder::Count(column) => Arc::new(column.finish()),
            Builder::Week(column) => Arc::new(column.finish()),
        });
        let columns = columns.collect();
        self.pending = 0;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.writer.write(&batch).map_err(|error| write_error(&self.path, error))
    }

    /// Completes the file and returns its number of rows.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn finish(mut self) -> Result<u64, ClusterError> {
        if self.pending > 0 {
            self.write()?;
        }
        self.writer.close().map_err(|error| write_error(&self.path, error))?;
        Ok(self.rows)
    }
}

fn properties() -> WriterProperties {
    WriterProperties::builder().set_compression(Compression::LZ4_RAW).build()
}

fn write_error(path: &Path, source: impl Into<Box<dyn Error + Send + Sync>>) -> ClusterError {
    ClusterError::with_source(ErrorKind::Io, format!("cannot write {}", path.display()), source)
}

/// Merges several files of a table into one file, in this process. Returns the number of rows in the new file.
///
/// # Errors
/// If a file cannot be read, or the target cannot be written.
pub async fn merge(table: Table, files: &[Url], target: &Path) -> Result<u64, ClusterError> {
    let config = SessionConfig::new().with_target_partitions(1);
    let context = SessionContext::new_with_config_rt(config, RuntimeEnvBuilder::new().build_arc()?);
    if let Some(url) = files.first().filter(|url| url.scheme() != "file") {
        context.register_object_store(url, store_for(url)?);
    }
    context.register_table(table.name(), listing(table, files)?)?;
    let frame = context.sql(table.merge_query()).await?;
    let mut batches = frame.execute_stream().await?;
    let file = File::create(target).map_err(|error| write_error(target, error))?;
    let schema = table.schema();
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties()))
        .map_err(|error| write_error(target, error))?;
    let mut rows = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        // The engine treats every sum as nullable. The sums of these queries are never null.
        let batch = RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec())?;
        rows += batch.num_rows() as u64;
        writer.write(&batch).map_err(|error| write_error(target, error))?;
    }
    writer.close().map_err(|error| write_error(target, error))?;
    Ok(rows)
}
