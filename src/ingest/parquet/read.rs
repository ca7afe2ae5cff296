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
use crate::ingest::parquet::choose::{self, ChosenColumn};
use crate::model::dialect::columns::{ColumnName, LogColumns};
use crate::model::layout::TypedCells;

/// Rows per batch.
const BATCH: usize = 1024;

/// Reads a Parquet file as CSV text with the wanted columns; none stands for all columns. This function reads
/// nothing yet; the file is read while the text is read.
///
/// # Errors
/// Never fails. A damaged file causes an error in a later read.
pub fn csv_of(file: File, wanted: Vec<ColumnName>) -> io::Result<Box<dyn Read + Send>> {
    Ok(Box::new(CsvReader { unopened: Some((file, wanted)), rows: None, text: Vec::new(), at: 0 }))
}

/// Which cells of a log have types. All, if the file cannot be read.
pub fn typed_cells(file: File, columns: &LogColumns) -> TypedCells {
    let typed = || {
        let file = SerializedFileReader::new(file)?;
        choose::typed_cells(file.metadata().file_metadata().schema_descr(), columns)
    };
    // The Parquet library panics on some damaged files.
    let typed = catch_unwind(AssertUnwindSafe(typed));
    typed.ok().and_then(Result::ok).unwrap_or(TypedCells { timestamp: true, duration: true })
}

struct CsvReader {
    unopened: Option<(File, Vec<ColumnName>)>,
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
        if let Some((file, wanted)) = self.unopened.take() {
            let rows = Rows::open(file, &wanted)?;
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
                if let Some(leaf) = &column.leaf
                    && !push_field(&mut self.text, leaf.cells.get(row))
                {
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

/// A column of the text.
struct Column {
    name: String,
    /// `None` if all cells are empty.
    leaf: Option<Leaf>,
}

/// A column of the file, and its cells in the current batch.
struct Leaf {
    index: usize,
    meaning: Meaning,
    /// The definition level of a value. A value with a lower level is null, which becomes an empty cell.
    defined: i16,
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
    fn open(file: File, wanted: &[ColumnName]) -> Result<Self, ParquetError> {
        let file = SerializedFileReader::new(file)?;
        let schema = file.metadata().file_metadata().schema_descr();
        let leaf = |index| {
            let column = schema.column(index);
            let (meaning, defined) = (Meaning::of(&column), column.max_def_level());
            Leaf { index, meaning, defined, reader: None, cells: Cells::default() }
        };
        let chosen = choose::choose(schema, wanted)?.into_iter();
        let columns =
            chosen.map(|ChosenColumn { name, leaf: index }| Column { name, leaf: index.map(leaf) }).collect();
        Ok(Self { file, columns, next: 0, left: 0 })
    }

    fn leaves(&mut self) -> impl Iterator<Item = &mut Leaf> {
        self.columns.iter_mut().filter_map(|column| column.leaf.as_mut())
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
            for leaf in self.columns.iter_mut().filter_map(|column| column.leaf.as_mut()) {
                leaf.reader = Some(group.get_column_reader(leaf.index)?);
            }
            self.next += 1;
        }
        let count = self.left.min(BATCH);
        for leaf in self.leaves() {
            leaf.read(count)?;
        }
        self.left -= count;
        Ok(Some(count))
    }
}

impl Leaf {
    fn read(&mut self, count: usize) -> Result<(), ParquetError> {
        let Self { meaning, defined, reader, cells, .. } = self;
        let reader = reader.as_mut().ok_or_else(|| damaged("a row group lacks a column"))?;
        let mut rows = Batch { cells, defined: *defined, count };
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
    /// The definition level of a value that is not null.
    defined: i16,
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
            reader.read_records(self.count, (self.defined > 0).then_some(&mut levels), None, &mut values)?;
        let has_value =
            |row: usize| self.defined == 0 || levels.get(row).is_some_and(|&level| level == self.defined);
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
