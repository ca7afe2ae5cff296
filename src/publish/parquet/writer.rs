//! Converts the CSV lines of an insight to a Parquet file.

use std::io::{self, Write};
use std::sync::Arc;

use ::parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::types::Type;

use crate::ingest::decode::record::Record;
use crate::ingest::decode::timestamp::TimestampReader;
use crate::insights::{Column, ColumnType, MESSAGE};
use crate::model::dialect::timestamp_format::TimestampFormat;
use crate::time::zone::Zone;

/// Number of rows in a row group. A row group stays in memory until it is complete.
const GROUP: usize = 128 << 10;
/// The latest time of a play, in seconds since 1970-01-01T00:00:00Z: the end of year 9999.
const LATEST: i64 = 253_402_300_799;

/// A Parquet file under construction. Text is UTF-8, counts are 64-bit integers, other numbers are
/// doubles, and times are microseconds in UTC. The bytes depend only on the rows, not on how the text was
/// split into pieces.
pub struct ParquetWriter<W: Write + Send> {
    columns: &'static [Column],
    file: SerializedFileWriter<W>,
    cells: Vec<Cells>,
    zone: Zone,
    record: Record,
    /// An incomplete last line.
    partial: Vec<u8>,
    expected: Expected,
    /// Number of rows in the row group in memory.
    buffered: usize,
    /// Number of rows in complete row groups.
    written: u64,
}

/// The kind of the next line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Header,
    Row,
    /// A text that explains why the table has no rows.
    Message,
}

/// The cells of one column in the row group in memory.
enum Cells {
    Text(Vec<ByteArray>),
    Whole(Vec<i64>),
    Number(Vec<f64>),
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Starts a file.
    ///
    /// # Errors
    /// Writing fails.
    pub fn new(columns: &'static [Column], out: W) -> io::Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by("music-insights".to_owned())
            .build();
        let start = || {
            let fields: Result<Vec<_>, _> =
                columns.iter().map(|column| field(column).map(Arc::new)).collect();
            let schema = Type::group_type_builder("row").with_fields(fields?).build()?;
            SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))
        };
        Ok(Self {
            columns,
            file: start().map_err(io_error)?,
            cells: columns.iter().map(Cells::of).collect(),
            zone: Zone::named("UTC").expect("UTC is a zone"),
            record: Record::default(),
            partial: Vec::new(),
            expected: Expected::Header,
            buffered: 0,
            written: 0,
        })
    }

    /// Adds CSV text in pieces of any length. The first line is the header.
    ///
    /// # Errors
    /// Writing fails, or a line does not match the columns.
    pub fn push(&mut self, text: &[u8]) -> io::Result<()> {
        let whole = memchr::memrchr(b'\n', text).map_or(0, |last| last + 1);
        let (mut lines, rest) = text.split_at(whole);
        if whole > 0 && !self.partial.is_empty() {
            let end = memchr::memchr(b'\n', lines).expect("the text ends with a line feed");
            let mut line = std::mem::take(&mut self.partial);
            line.extend_from_slice(&lines[..end]);
            self.add_line(&line)?;
            lines = &lines[end + 1..];
        }
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            self.add_line(&line[..line.len() - 1])?;
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    fn add_line(&mut self, line: &[u8]) -> io::Result<()> {
        match self.expected {
            Expected::Header => {
                self.expected = if line == MESSAGE.as_bytes() { Expected::Message } else { Expected::Row };
                Ok(())
            }
            Expected::Message => Ok(()),
            Expected::Row => {
                let is_record = self.record.read(line).is_ok() && self.record.len() == self.columns.len();
                let zone = &self.zone;
                let fields = self.cells.iter_mut().zip(self.columns).zip(self.record.fields());
                let mut parsed = fields.map(|((cells, column), cell)| cells.push(column.kind, zone, cell));
                if !is_record || !parsed.all(|parsed| parsed.is_some()) {
                    let line = String::from_utf8_lossy(line).into_owned();
                    return Err(io::Error::new(io::ErrorKind::InvalidData, format!("invalid row: {line}")));
                }
                drop(parsed);
                self.buffered += 1;
                if self.buffered == GROUP { self.write_group() } else { Ok(()) }
            }
        }
    }

    fn write_group(&mut self) -> io::Result<()> {
        let mut write = || {
            let mut group = self.file.next_row_group()?;
            for cells in &mut self.cells {
                match cells {
                    Cells::Text(cells) => write_column::<ByteArrayType, _>(&mut group, cells),
                    Cells::Whole(cells) => write_column::<Int64Type, _>(&mut group, cells),
                    Cells::Number(cells) => write_column::<DoubleType, _>(&mut group, cells),
                }?;
            }
            group.close().map(drop)
        };
        write().map_err(io_error)?;
        self.written += self.buffered as u64;
        self.buffered = 0;
        Ok(())
    }

    /// Number of rows so far. A message does not count as a row.
    pub fn rows(&self) -> u64 {
        self.written + self.buffered as u64
    }

    /// Writes the last row group and the footer, and returns the underlying writer.
    ///
    /// # Errors
    /// Writing fails.
    pub fn finish(mut self) -> io::Result<W> {
        if self.buffered > 0 {
            self.write_group()?;
        }
        self.file.into_inner().map_err(io_error)
    }
}

impl<W: Write + Send> std::fmt::Debug for ParquetWriter<W> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ParquetWriter").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl Cells {
    fn of(column: &Column) -> Self {
        match column.kind {
            ColumnType::Text => Self::Text(Vec::new()),
            ColumnType::Integer | ColumnType::Time => Self::Whole(Vec::new()),
            ColumnType::Number => Self::Number(Vec::new()),
        }
    }

    /// Adds a cell. Returns `None` if the cell is not a value of the column's type.
    fn push(&mut self, kind: ColumnType, zone: &Zone, cell: &[u8]) -> Option<()> {
        match self {
            Self::Text(cells) => cells.push(ByteArray::from(cell.to_vec())),
            Self::Whole(cells) if kind == ColumnType::Time => {
                let play_time = TimestampReader::new(zone, LATEST, &TimestampFormat::Iso).read(cell).ok()?;
                cells.push(play_time.instant() * 1_000_000 + i64::from(play_time.nanos / 1000));
            }
            Self::Whole(cells) => cells.push(std::str::from_utf8(cell).ok()?.parse().ok()?),
            Self::Number(cells) => cells.push(std::str::from_utf8(cell).ok()?.parse().ok()?),
        }
        Some(())
    }
}

fn field(column: &Column) -> Result<Type, ParquetError> {
    let (physical, logical) = match column.kind {
        ColumnType::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        ColumnType::Integer => (Physical::INT64, None),
        ColumnType::Number => (Physical::DOUBLE, None),
        ColumnType::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
    };
    Type::primitive_type_builder(column.name, physical)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(logical)
        .build()
}

fn write_column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    cells: &mut Vec<T::T>,
) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.expect("the schema has a column for each of `self.cells`");
    column.typed::<T>().write_batch(cells, None, None)?;
    cells.clear();
    column.close()
}

fn io_error(cause: ParquetError) -> io::Error {
    match cause {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(cause) => *cause,
            Err(cause) => io::Error::other(cause),
        },
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::parquet::csv_of;
    use crate::insights::columns;
    use crate::text::push_cell;
    use proptest::prelude::*;
    use std::io::{Read, Seek};

    fn write(insight: &str, pieces: &[&[u8]]) -> Vec<u8> {
        let mut writer = ParquetWriter::new(columns(insight).unwrap(), Vec::new()).unwrap();
        for piece in pieces {
            writer.push(piece).unwrap();
        }
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> String {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        let mut text = String::new();
        csv_of(file, Vec::new()).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_message_is_not_a_row_and_a_malformed_row_is_an_error() {
        let text = b"message\nNo users found with genre loyalty score above 0.8.\n";
        assert_eq!(
            read(&write("genre_loyalty_scores", &[text])),
            "user_id,genre,genre_plays,total_plays,loyalty_score\n"
        );
        let mut writer = ParquetWriter::new(columns("genre_loyalty_scores").unwrap(), Vec::new()).unwrap();
        writer.push(text).unwrap();
        assert_eq!(writer.rows(), 0);
        for line in ["u1,s1\n", "u1,s1,x,t\n", "u1,s1,-,t,more\n", "u1,s1,\"1,t\n"] {
            let columns = columns("happy_recommendations").unwrap();
            let mut writer = ParquetWriter::new(columns, Vec::new()).unwrap();
            assert!(
                writer.push(format!("user_id,song_id,sad_count,title\n{line}").as_bytes()).is_err(),
                "{line}"
            );
        }
    }

    proptest! {
        #[test]
        fn rows_survive_a_round_trip_however_the_text_is_split(
            rows in proptest::collection::vec(
                ("[a-c,\"é=]{1,4}", "[a-c,\"é=]{0,4}", 0_i64..4_000_000_000, 0_u32..1_000_000, 0_u32..86_400_000),
                0..3000,
            ),
            splits in proptest::collection::vec(any::<proptest::sample::Index>(), 0..5),
        ) {
            let header = "song_id,user_id,timestamp,duration_sec,title,artist,genre,mood\n";
            let (mut text, mut expected) = (header.as_bytes().to_vec(), header.as_bytes().to_vec());
            for (id, title, second, micros, millis) in rows {
                let time = chrono::DateTime::from_timestamp(second, micros * 1000).unwrap();
                // The same instant, written with a different offset.
                let elsewhere = time.with_timezone(&chrono::FixedOffset::east_opt(5400).unwrap());
                let trimmed = |time: &str| time.trim_end_matches('0').trim_end_matches('.').to_owned();
                let local = trimmed(&elsewhere.format("%Y-%m-%dT%H:%M:%S.%6f").to_string()) + "+01:30";
                let utc = trimmed(&time.format("%Y-%m-%d %H:%M:%S.%6f").to_string()) + "Z";
                let seconds = f64::from(millis) / 1000.0;
                for (out, time) in [(&mut text, local), (&mut expected, utc)] {
                    for (cell, end) in
                        [(&*id, ','), ("u", ','), (&*time, ','), (&*seconds.to_string(), ','), (&*title, ',')]
                    {
                        push_cell(out, cell.as_bytes());
                        out.push(end as u8);
                    }
                    out.extend_from_slice(b"a,,\n");
                }
            }
            let mut at: Vec<usize> = splits.iter().map(|split| split.index(text.len())).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            let bytes = write("enriched_logs", &pieces);
            prop_assert_eq!(&bytes, &write("enriched_logs", &[&text]));
            prop_assert_eq!(read(&bytes).into_bytes(), expected);
        }
    }
}
