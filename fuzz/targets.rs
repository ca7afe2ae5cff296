//! The fuzz targets. Each function takes any bytes, and must neither panic nor allocate a lot of memory.
//! `cargo fuzz run decode` searches for bytes that make `decode` fail. `tests/durability/corpus.rs` runs all
//! targets on the corpus.

#![allow(dead_code, reason = "each fuzz target uses one of these functions")]

use std::io;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use music_insights::catalog::load;
use music_insights::ingest::decode::timestamp::TimestampReader;
use music_insights::ingest::decode::{DecodePath, Decoder};
use music_insights::ingest::source::framing::{Eof, Frame, LineFramer};
use music_insights::model::dialect::columns::{ColumnName, LogColumns};
use music_insights::model::dialect::timestamp_format::TimestampFormat;
use music_insights::model::dialect::{CatalogDialect, Dialect};
use music_insights::model::dictionary::Dictionaries;
use music_insights::model::{Batch, Chunk, Content, Input, InputId};
use music_insights::state::checkpoint::generation::Generation;
use music_insights::state::checkpoint::table::TableReader;
use music_insights::storage::{DiskFile, FileIdentity};
use music_insights::time::date_range::DateRange;
use music_insights::time::zone::Zone;

/// A chunk size in bytes that is larger than all generated inputs.
const WHOLE: usize = 64 << 10;

/// The timezone of local times. Its clocks skip an hour each spring.
static ZONE: LazyLock<Zone> = LazyLock::new(|| Zone::named("Europe/Berlin").expect("the timezone exists"));

/// Decodes a log. Both decoding paths and all chunk sizes must give the same result.
pub(crate) fn decode(bytes: &[u8]) {
    decode_as("a.csv", &Arc::default(), bytes);
}

/// Decodes a log of JSON Lines, with a key in the outer object and one in a nested object.
pub(crate) fn json_lines(bytes: &[u8]) {
    let columns = LogColumns { song_id: ColumnName::Name("song.id".to_owned()), ..LogColumns::default() };
    decode_as("a.jsonl", &Arc::new(Dialect { columns, ..Dialect::default() }), bytes);
}

fn decode_as(name: &str, dialect: &Arc<Dialect>, bytes: &[u8]) {
    let whole = read(name, dialect, bytes, WHOLE, DecodePath::Fast);
    let slow = read(name, dialect, bytes, WHOLE, DecodePath::Slow);
    assert_eq!(whole, slow, "the decoding paths give different results");
    let small = read(name, dialect, bytes, 100, DecodePath::Fast);
    assert_eq!(whole, small, "a smaller chunk size gives a different result");
}

/// Parses timestamps. The first line is the form, and all other lines are cells. A cell must be read alike
/// before and after other cells.
pub(crate) fn timestamp(bytes: &[u8]) {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let form = std::str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
    let Ok(format) = form.parse::<TimestampFormat>() else { return };
    assert_eq!(format.to_string(), form);
    let reader = || TimestampReader::new(&ZONE, 4_000_000_000, &format);
    let mut shared = reader();
    for cell in lines {
        let read = shared.read(cell);
        assert_eq!(read, reader().read(cell), "the cells before a cell change its time");
        if let Ok(time) = read {
            assert!((0..=4_000_000_000).contains(&time.instant()));
            assert!(time.nanos < 1_000_000_000);
            assert!(!cell.is_empty());
        }
    }
}

/// The plays of a log and its rejects with their positions, both in order.
fn read(
    name: &str,
    dialect: &Arc<Dialect>,
    bytes: &[u8],
    chunk: usize,
    lane: DecodePath,
) -> (Vec<String>, Vec<String>) {
    let input = Arc::new(Input { id: InputId(0), label: name.to_owned() });
    let decoder = Decoder {
        dictionaries: Arc::new(Dictionaries::default()),
        zone: ZONE.clone(),
        max_future: 172_800,
        dialect: Arc::clone(dialect),
        dates: DateRange::default(),
    };
    let mut framer = LineFramer::with_chunk(input, chunk).with_dialect(dialect, Path::new(name));
    let (mut plays, mut rejects) = (Vec::new(), Vec::new());
    let mut reader = bytes;
    loop {
        let chunk: Chunk = match framer
            .next(&mut reader, Eof::Final, 1_750_000_000)
            .expect("reading from memory succeeds")
        {
            Frame::Chunk(chunk) | Frame::Refused(chunk, _) => chunk,
            Frame::Ignored(_) | Frame::EarlierHeader => continue,
            Frame::End => return (plays, rejects),
        };
        if let Content::Lines(_, text) = &chunk.content {
            assert_eq!(chunk.span.to - chunk.span.from, text.as_bytes().len() as u64);
        }
        let batch: Batch = decoder.decode_in(lane, chunk);
        let cell = |field| String::from_utf8(batch.text.field(field).to_vec()).expect("cells are UTF-8");
        plays.extend((0..batch.plays()).map(|row| {
            let (user, song) = (cell(batch.user_cells[row]), cell(batch.song_cells[row]));
            format!("{user},{song},{:?},{}", batch.play_times[row], batch.millis[row])
        }));
        rejects.extend(batch.rejects.iter().map(|reject| format!("{reject:?}")));
    }
}

/// Parses a catalog.
pub(crate) fn catalog(bytes: &[u8]) {
    let western = "windows-1252".parse().expect("the encoding exists");
    for dialect in [
        CatalogDialect::default(),
        CatalogDialect { quoting: false, ..CatalogDialect::default() },
        CatalogDialect { encoding: western, ..CatalogDialect::default() },
    ] {
        if let Ok(rows) = futures::executor::block_on(load::parse(bytes, &dialect)) {
            let dictionaries = Dictionaries::default();
            let catalog = rows.catalog(&dictionaries);
            assert!(catalog.len() <= dictionaries.songs.read().len() as u64);
        }
    }
}

/// Parses a generation, a table of numbers and a table of bytes.
pub(crate) fn checkpoint(bytes: &[u8]) {
    if let Ok(generation) = Generation::parse(bytes) {
        assert_eq!(Generation::parse(generation.to_text().as_bytes()).ok(), Some(generation));
    }
    let file = Memory(bytes.to_vec());
    let entries = bytes.first().copied().unwrap_or_default().into();
    let mut reader = TableReader::new(&file, 0, bytes.len() as u64, entries);
    while let Ok(Some(_)) = reader.next_number() {}
    let mut reader = TableReader::new(&file, 1, (bytes.len() as u64).saturating_sub(1), entries);
    let mut value = Vec::new();
    while let Ok(Some(_)) = reader.next_bytes(&mut value) {
        assert!(value.len() <= bytes.len());
    }
}

/// A file in memory.
#[derive(Debug)]
struct Memory(Vec<u8>);

impl DiskFile for Memory {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(bytes.len());
        bytes[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok((0, 0))
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.truncate(len as usize);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
