//! Rows of an insight, given as CSV lines, as a Parquet file.

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
use crate::time::zone::Zone;

/// Rows of a row group: what is kept in memory until it is written.
const GROUP: usize = 128 << 10;
/// The latest time, in seconds since 1970-01-01T00:00:00Z: the end of the years of four digits.
const LATEST: i64 = 253_402_300_799;

/// A Parquet file that is written. Text is UTF-8, counts are 64-bit integers, other numbers doubles,
/// and times microseconds in UTC; the same rows are the same bytes, however they came.
pub struct ParquetWriter<W: Write + Send> {
    columns: &'static [Column],
    file: SerializedFileWriter<W>,
    cells: Vec<Cells>,
    zone: Zone,
    record: Record,
    /// The beginning of a line of which the rest is still to come.
    partial: Vec<u8>,
    stand: Stand,
    /// Rows that are in no row group yet.
    waiting: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// Before the header.
    Start,
    /// Below it.
    Rows,
    /// Where there are no rows, but a message why.
    Message,
}

/// The cells of a column that are in no row group yet.
enum Cells {
    Text(Vec<ByteArray>),
    Whole(Vec<i64>),
    Number(Vec<f64>),
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// Those of writing.
    pub fn new(columns: &'static [Column], out: W) -> io::Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by("music-insights".to_owned())
            .build();
        let begin = || {
            let fields: Result<Vec<_>, _> =
                columns.iter().map(|column| field(column).map(Arc::new)).collect();
            let schema = Type::group_type_builder("row").with_fields(fields?).build()?;
            SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))
        };
        Ok(Self {
            columns,
            file: begin().map_err(io_error)?,
            cells: columns.iter().map(Cells::of).collect(),
            zone: Zone::named("UTC").expect("UTC is a zone"),
            record: Record::default(),
            partial: Vec::new(),
            stand: Stand::Start,
            waiting: 0,
        })
    }

    /// Takes CSV text, the header first, in pieces of any length.
    ///
    /// # Errors
    /// Those of writing, or a line that has not the columns.
    pub fn push(&mut self, text: &[u8]) -> io::Result<()> {
        let whole = memchr::memrchr(b'\n', text).map_or(0, |last| last + 1);
        let (mut lines, rest) = text.split_at(whole);
        if whole > 0 && !self.partial.is_empty() {
            let end = memchr::memchr(b'\n', lines).expect("a line ends there");
            let mut line = std::mem::take(&mut self.partial);
            line.extend_from_slice(&lines[..end]);
            self.take_line(&line)?;
            lines = &lines[end + 1..];
        }
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            self.take_line(&line[..line.len() - 1])?;
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    fn take_line(&mut self, line: &[u8]) -> io::Result<()> {
        match self.stand {
            Stand::Start => {
                self.stand = if line == MESSAGE.as_bytes() { Stand::Message } else { Stand::Rows };
                Ok(())
            }
            Stand::Message => Ok(()),
            Stand::Rows => {
                let read = self.record.read(line).is_ok() && self.record.len() == self.columns.len();
                let zone = &self.zone;
                let fields = self.cells.iter_mut().zip(self.columns).zip(self.record.fields());
                let mut taken = fields.map(|((cells, column), cell)| cells.take(column.kind, zone, cell));
                if !read || !taken.all(|taken| taken.is_some()) {
                    let line = String::from_utf8_lossy(line).into_owned();
                    return Err(io::Error::new(io::ErrorKind::InvalidData, format!("not a row: {line}")));
                }
                drop(taken);
                self.waiting += 1;
                if self.waiting == GROUP { self.write_group() } else { Ok(()) }
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
        self.waiting = 0;
        Ok(())
    }

    /// Writes what is left and the end, and gives back where it was written.
    ///
    /// # Errors
    /// Those of writing.
    pub fn finish(mut self) -> io::Result<W> {
        if self.waiting > 0 {
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

    /// Takes a cell; nothing if it is not what the column holds.
    fn take(&mut self, kind: ColumnType, zone: &Zone, cell: &[u8]) -> Option<()> {
        match self {
            Self::Text(cells) => cells.push(ByteArray::from(cell.to_vec())),
            Self::Whole(cells) if kind == ColumnType::Time => {
                let play_time = TimestampReader::new(zone, LATEST).read(cell).ok()?;
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
    let mut column = group.next_column()?.expect("a column for each of ours");
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
    use crate::model::delimiter::Delimiter;
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
        csv_of(file, Delimiter::COMMA).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_message_is_no_row_and_what_is_no_row_is_an_error() {
        let text = b"message\nNo users found with genre loyalty score above 0.8.\n";
        // Without columns that a log or a catalog has, all are read; `user_id` and `genre` are such.
        assert_eq!(read(&write("genre_loyalty_scores", &[text])), "user_id,genre\n");
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
        fn what_is_written_is_read_again_however_it_comes(
            rows in proptest::collection::vec(
                ("[a-c,\"é=]{1,4}", "[a-c,\"é=]{0,4}", 0_i64..4_000_000_000, 0_u32..1_000_000, 0_u32..86_400_000),
                0..3000,
            ),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..5),
        ) {
            let header = "song_id,user_id,timestamp,duration_sec,title,artist,genre,mood\n";
            let (mut text, mut expected) = (header.as_bytes().to_vec(), header.as_bytes().to_vec());
            for (id, title, second, micros, millis) in rows {
                let time = chrono::DateTime::from_timestamp(second, micros * 1000).unwrap();
                // Offsets are another way to say the same.
                let elsewhere = time.with_timezone(&chrono::FixedOffset::east_opt(5400).unwrap());
                let form = |time: &str| time.trim_end_matches('0').trim_end_matches('.').to_owned();
                let local = form(&elsewhere.format("%Y-%m-%dT%H:%M:%S.%6f").to_string()) + "+01:30";
                let utc = form(&time.format("%Y-%m-%d %H:%M:%S.%6f").to_string()) + "Z";
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
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            let bytes = write("enriched_logs", &pieces);
            prop_assert_eq!(&bytes, &write("enriched_logs", &[&text]));
            prop_assert_eq!(read(&bytes).into_bytes(), expected);
        }
    }
}
