//! Reads a Parquet file as CSV text: a header, and one line per row.

use std::any::Any;
use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::DataType;
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};

use crate::ingest::parquet::cell::{Meaning, NANOS, push};
use crate::model::dialect::columns::{CATALOG_FIELDS, LOG_FIELDS};

/// Rows per batch.
const BATCH: usize = 1024;

/// Reads a Parquet file as CSV text. This function reads nothing yet; the file is read while the text is
/// read.
///
/// # Errors
/// Never fails. A damaged file causes an error in a later read.
pub fn csv_of(file: File) -> io::Result<Box<dyn Read + Send>> {
    Ok(Box::new(CsvReader { unopened: Some(file), rows: None, text: Vec::new(), at: 0 }))
}

struct CsvReader {
    unopened: Option<File>,
    rows: Option<Rows>,
    /// Formatted lines. Their first `at` bytes were already read.
    text: Vec<u8>,
    at: usize,
}

impl Read for CsvReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.text.len() {
            self.text.clear();
            self.at = 0;
            // The Parquet library panics on some damaged files.
            let filled = catch_unwind(AssertUnwindSafe(|| self.fill()));
            match filled.unwrap_or_else(|panic| Err(damaged(&panic_message(&*panic)))) {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(cause) => return Err(io::Error::new(io::ErrorKind::InvalidData, cause)),
            }
        }
        let read = (&self.text[self.at..]).read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

impl CsvReader {
    /// Formats the next lines. Returns false at the end of the file.
    fn fill(&mut self) -> Result<bool, ParquetError> {
        if let Some(file) = self.unopened.take() {
            let rows = Rows::open(file)?;
            for (index, column) in rows.columns.iter().enumerate() {
                if index > 0 {
                    self.text.push(b',');
                }
                push_field(&mut self.text, column.name.as_bytes());
            }
            self.text.push(b'\n');
            self.rows = Some(rows);
            return Ok(true);
        }
        let rows = self.rows.as_mut().ok_or_else(|| damaged("the file could not be opened"))?;
        let Some(count) = rows.read()? else { return Ok(false) };
        for row in 0..count {
            for (index, column) in rows.columns.iter().enumerate() {
                if index > 0 {
                    self.text.push(b',');
                }
                if !push_field(&mut self.text, column.cells.get(row)) {
                    break;
                }
            }
            self.text.push(b'\n');
        }
        Ok(true)
    }
}

/// Appends a field, with quotes if needed.
///
/// If the field has a line feed, only the part before it is appended, and the quote stays open. The
/// decoder then rejects the line, as it does for a CSV file. In this case, the result is false, and no
/// more fields may follow.
fn push_field(text: &mut Vec<u8>, field: &[u8]) -> bool {
    let line_feed = memchr::memchr(b'\n', field);
    let quoted = field.iter().any(|&byte| matches!(byte, b'"' | b'\r' | b'\n' | b','));
    if !quoted {
        text.extend_from_slice(field);
        return true;
    }
    text.push(b'"');
    for &byte in &field[..line_feed.unwrap_or(field.len())] {
        text.push(byte);
        if byte == b'"' {
            text.push(b'"');
        }
    }
    if line_feed.is_none() {
        text.push(b'"');
    }
    line_feed.is_none()
}

/// The rows of a file, in batches.
struct Rows {
    file: SerializedFileReader<File>,
    columns: Vec<Column>,
    /// Index of the next row group.
    next: usize,
    /// Number of unread rows in the current row group.
    left: usize,
}

/// A column, and its cells in the current batch.
struct Column {
    index: usize,
    name: String,
    meaning: Meaning,
    /// Whether the column may have nulls. A null becomes an empty cell.
    optional: bool,
    /// The reader of this column in the current row group.
    reader: Option<ColumnReader>,
    cells: Cells,
}

#[derive(Default)]
struct Cells {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Cells {
    fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.text[start..self.ends[row]]
    }
}

impl Rows {
    fn open(file: File) -> Result<Self, ParquetError> {
        let file = SerializedFileReader::new(file)?;
        let schema = file.metadata().file_metadata().schema_descr();
        // Nested and repeated columns cannot be written as cells.
        let flat = schema.columns().iter().enumerate().filter(|(_, column)| column.path().parts().len() == 1);
        let mut columns: Vec<Column> = flat
            .filter(|(_, column)| column.max_rep_level() == 0)
            .map(|(index, column)| Column {
                index,
                name: column.name().to_owned(),
                meaning: Meaning::of(column),
                optional: column.max_def_level() > 0,
                reader: None,
                cells: Cells::default(),
            })
            .collect();
        // If the file has no required column, all columns are kept, so that the reject shows their
        // names.
        let required =
            |column: &Column| LOG_FIELDS.iter().chain(&CATALOG_FIELDS).any(|name| *name == column.name);
        if columns.iter().any(required) {
            columns.retain(required);
        }
        if columns.is_empty() {
            return Err(damaged("the file has no flat columns"));
        }
        Ok(Self { file, columns, next: 0, left: 0 })
    }

    /// Reads the next batch and returns its number of rows. `None` at the end of the file.
    fn read(&mut self) -> Result<Option<usize>, ParquetError> {
        while self.left == 0 {
            if self.next == self.file.metadata().num_row_groups() {
                return Ok(None);
            }
            let group = self.file.get_row_group(self.next)?;
            let rows = group.metadata().num_rows();
            self.left =
                usize::try_from(rows).map_err(|_| damaged("a row group has a negative number of rows"))?;
            for column in &mut self.columns {
                column.reader = Some(group.get_column_reader(column.index)?);
            }
            self.next += 1;
        }
        let count = self.left.min(BATCH);
        for column in &mut self.columns {
            column.read(count)?;
        }
        self.left -= count;
        Ok(Some(count))
    }
}

impl Column {
    fn read(&mut self, count: usize) -> Result<(), ParquetError> {
        let Self { meaning, optional, reader, cells, .. } = self;
        let reader = reader.as_mut().ok_or_else(|| damaged("a row group lacks a column"))?;
        let mut rows = Batch { cells, optional: *optional, count };
        let unsigned = *meaning == Meaning::Unsigned;
        match reader {
            ColumnReader::BoolColumnReader(reader) => {
                rows.read(reader, |out, value| push(out, format_args!("{value}")))
            }
            ColumnReader::Int32ColumnReader(reader) => rows.read(reader, |out, &value| {
                meaning.push_whole(out, if unsigned { i128::from(value as u32) } else { i128::from(value) });
            }),
            ColumnReader::Int64ColumnReader(reader) => rows.read(reader, |out, &value| {
                meaning.push_whole(out, if unsigned { i128::from(value as u64) } else { i128::from(value) });
            }),
            // Programs that write this type store times in UTC.
            ColumnReader::Int96ColumnReader(reader) => rows.read(reader, |out, value| {
                Meaning::Time { per_second: NANOS, utc: true }.push_whole(out, i128::from(value.to_nanos()));
            }),
            // Writes the shortest decimal that parses to the same number.
            ColumnReader::FloatColumnReader(reader) => {
                rows.read(reader, |out, value| push(out, format_args!("{value}")))
            }
            ColumnReader::DoubleColumnReader(reader) => {
                rows.read(reader, |out, value| push(out, format_args!("{value}")))
            }
            ColumnReader::ByteArrayColumnReader(reader) => {
                rows.read(reader, |out, value| meaning.push_bytes(out, value.data()))
            }
            ColumnReader::FixedLenByteArrayColumnReader(reader) => {
                rows.read(reader, |out, value| meaning.push_bytes(out, value.data()))
            }
        }
    }
}

/// A batch of cells that is being read.
struct Batch<'a> {
    cells: &'a mut Cells,
    optional: bool,
    count: usize,
}

impl Batch<'_> {
    fn read<T: DataType>(
        &mut self,
        reader: &mut ColumnReaderImpl<T>,
        push: impl Fn(&mut Vec<u8>, &T::T),
    ) -> Result<(), ParquetError> {
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let (rows, ..) =
            reader.read_records(self.count, self.optional.then_some(&mut levels), None, &mut values)?;
        let has_value = |row: usize| !self.optional || levels.get(row).is_some_and(|&level| level > 0);
        if rows != self.count || (0..rows).filter(|&row| has_value(row)).count() != values.len() {
            return Err(damaged("a column has more or fewer values than its row group has rows"));
        }
        self.cells.text.clear();
        self.cells.ends.clear();
        let mut values = values.iter();
        for row in 0..rows {
            if let Some(value) = has_value(row).then(|| values.next()).flatten() {
                push(&mut self.cells.text, value);
            }
            self.cells.ends.push(self.cells.text.len());
        }
        Ok(())
    }
}

fn damaged(what: &str) -> ParquetError {
    ParquetError::General(what.to_owned())
}

/// The message of a panic.
fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown error".to_owned())
}
