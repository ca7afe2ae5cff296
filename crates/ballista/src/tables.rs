//! The tables: their columns, and how they are written and merged.
//!
//! Three are sums and know nothing of the catalog, so that those of many inputs add up; the other two keep what
//! `enriched_logs` and `_rejects` need row by row.

use std::fs::File;
use std::path::Path;
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

use crate::places;
use crate::trouble::{ClusterError, ErrorKind};

/// A table that executors make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// How often users have played songs.
    Listens,
    /// Plays and milliseconds of songs by week.
    SongWeeks,
    /// Plays of users in the night window.
    Nights,
    /// Every play, for `enriched_logs`.
    Plays,
    /// Every reject, for `_rejects`.
    Rejects,
    /// The catalog; the client makes it.
    Songs,
}

/// All tables that come of inputs.
pub const OF_INPUTS: [Table; 5] =
    [Table::Listens, Table::SongWeeks, Table::Nights, Table::Plays, Table::Rejects];

impl Table {
    /// What queries call it.
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

    /// The name of its file.
    pub fn file(self) -> String {
        format!("{}.parquet", self.name())
    }

    /// Its columns.
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

    /// The query that makes one table of several: sums by key, and rows in their order.
    fn merged(self) -> &'static str {
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

/// Files of a table as the engine reads them.
///
/// # Errors
/// If a URL is none.
pub fn listing(table: Table, files: &[Url]) -> Result<Arc<ListingTable>, ClusterError> {
    let broken = |cause| ClusterError::of_job(&cause);
    let urls: Vec<ListingTableUrl> = files
        .iter()
        .map(|file| ListingTableUrl::parse(file.as_str()).map_err(broken))
        .collect::<Result<_, _>>()?;
    let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(".parquet");
    let config = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(options)
        .with_schema(table.schema());
    Ok(Arc::new(ListingTable::try_new(config).map_err(broken)?))
}

/// A value of a row.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'a> {
    /// UTF-8.
    Text(&'a [u8]),
    /// A number.
    Number(i64),
}

/// Rows of a batch.
const BATCH: usize = 32 << 10;

/// Writes a table row by row.
#[derive(Debug)]
pub struct TableWriter {
    schema: SchemaRef,
    columns: Vec<Builder>,
    pending: usize,
    rows: u64,
    writer: ArrowWriter<File>,
}

#[derive(Debug)]
enum Builder {
    Text(StringBuilder),
    Count(Int64Builder),
    Week(Int32Builder),
}

impl TableWriter {
    /// Begins a file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(table: Table, path: &Path) -> Result<Self, ClusterError> {
        let schema = table.schema();
        let file = File::create(path).map_err(|cause| unwritable(&path.display(), &cause))?;
        let columns = schema.fields().iter().map(|field| match field.data_type() {
            DataType::Int64 => Builder::Count(Int64Builder::new()),
            DataType::Int32 => Builder::Week(Int32Builder::new()),
            _ => Builder::Text(StringBuilder::new()),
        });
        let columns = columns.collect();
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties()))
            .map_err(|cause| unwritable(&path.display(), &cause))?;
        Ok(Self { schema, columns, pending: 0, rows: 0, writer })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// What the file system says.
    ///
    /// # Panics
    /// If the cells are not those of the table, or a text is not UTF-8.
    pub fn push(&mut self, cells: &[Cell<'_>]) -> Result<(), ClusterError> {
        assert_eq!(cells.len(), self.columns.len(), "a row of {}", self.schema);
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            match (column, cell) {
                (Builder::Text(column), Cell::Text(text)) => {
                    column.append_value(std::str::from_utf8(text).expect("ids and metadata are UTF-8"));
                }
                (Builder::Count(column), Cell::Number(number)) => column.append_value(*number),
                (Builder::Week(column), Cell::Number(number)) => {
                    column.append_value(i32::try_from(*number).expect("a day of this era"));
                }
                _ => panic!("a row of {}", self.schema),
            }
        }
        self.pending += 1;
        self.rows += 1;
        if self.pending == BATCH { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), ClusterError> {
        let columns = self.columns.iter_mut().map(|column| match column {
            Builder::Text(column) => Arc::new(column.finish()) as ArrayRef,
            Builder::Count(column) => Arc::new(column.finish()),
            Builder::Week(column) => Arc::new(column.finish()),
        });
        let columns = columns.collect();
        self.pending = 0;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns);
        let batch = batch.map_err(|cause| ClusterError::of_job(&cause))?;
        self.writer.write(&batch).map_err(|cause| unwritable(&"a table", &cause))
    }

    /// Ends the file; returns its number of rows.
    ///
    /// # Errors
    /// What the file system says.
    pub fn finish(mut self) -> Result<u64, ClusterError> {
        if self.pending > 0 {
            self.write()?;
        }
        self.writer.close().map_err(|cause| unwritable(&"a table", &cause))?;
        Ok(self.rows)
    }
}

fn properties() -> WriterProperties {
    WriterProperties::builder().set_compression(Compression::LZ4_RAW).build()
}

fn unwritable(what: &impl std::fmt::Display, cause: &impl std::fmt::Display) -> ClusterError {
    ClusterError::new(ErrorKind::Io, format!("cannot write {what}: {cause}"))
}

/// Makes one file of several of a table, on this machine alone. Returns its number of rows.
///
/// # Errors
/// If a file cannot be read, or the other not written.
pub async fn merge(table: Table, files: &[Url], into: &Path) -> Result<u64, ClusterError> {
    let broken = |cause| ClusterError::of_job(&cause);
    let config = SessionConfig::new().with_target_partitions(1);
    let context =
        SessionContext::new_with_config_rt(config, RuntimeEnvBuilder::new().build_arc().map_err(broken)?);
    if let Some(url) = files.first().filter(|url| url.scheme() != "file") {
        context.register_object_store(url, places::store_of(url)?);
    }
    context.register_table(table.name(), listing(table, files)?).map_err(broken)?;
    let frame = context.sql(table.merged()).await.map_err(broken)?;
    let mut batches = frame.execute_stream().await.map_err(broken)?;
    let file = File::create(into).map_err(|cause| unwritable(&into.display(), &cause))?;
    let schema = table.schema();
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties()))
        .map_err(|cause| unwritable(&into.display(), &cause))?;
    let mut rows = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(broken)?;
        // Sums may be null to the engine, which they never are.
        let batch = RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec());
        let batch = batch.map_err(|cause| ClusterError::of_job(&cause))?;
        rows += batch.num_rows() as u64;
        writer.write(&batch).map_err(|cause| unwritable(&into.display(), &cause))?;
    }
    writer.close().map_err(|cause| unwritable(&into.display(), &cause))?;
    Ok(rows)
}
