//! The fuzz targets. Each function takes any bytes, and must neither panic nor allocate a lot of memory.
//! `cargo fuzz run decode` searches for bytes that make `decode` fail. `tests/durability/corpus.rs` runs all
//! targets on the corpus.

#![allow(dead_code, reason = "each fuzz target uses one of these functions")]

use std::io;
use std::sync::{Arc, LazyLock};

use music_insights::catalog::load;
use music_insights::ingest::decode::{DecodePath, Decoder};
use music_insights::ingest::source::framing::{Eof, Frame, LineFramer};
use music_insights::model::dialect::CatalogDialect;
use music_insights::model::dictionary::Dictionaries;
use music_insights::model::{Batch, Chunk, Content, Input, InputId};
use music_insights::state::checkpoint::generation::Generation;
use music_insights::state::checkpoint::table::TableReader;
use music_insights::storage::DiskFile;
use music_insights::time::zone::Zone;

/// A chunk size in bytes that is larger than all generated inputs.
const WHOLE: usize = 64 << 10;

/// The timezone of local times. Its clocks skip an hour each spring.
static ZONE: LazyLock<Zone> = LazyLock::new(|| Zone::named("Europe/Berlin").expect("the timezone exists"));

/// Decodes a log. Both decoding paths and all chunk sizes must give the same result.
pub(crate) fn decode(bytes: &[u8]) {
    let whole = read(bytes, WHOLE, DecodePath::Fast);
    assert_eq!(whole, read(bytes, WHOLE, DecodePath::Slow), "the decoding paths give different results");
    assert_eq!(whole, read(bytes, 100, DecodePath::Fast), "a smaller chunk size gives a different result");
}

/// The plays of a log and its rejects with their positions, both in order.
fn read(bytes: &[u8], chunk: usize, lane: DecodePath) -> (Vec<String>, Vec<String>) {
    let input = Arc::new(Input { id: InputId(0), label: "a.csv".to_owned() });
    let decoder = Decoder {
        dictionaries: Arc::new(Dictionaries::default()),
        zone: ZONE.clone(),
        max_future: 172_800,
        dialect: Arc::default(),
    };
    let mut framer = LineFramer::with_chunk(input, chunk);
    let (mut plays, mut rejects) = (Vec::new(), Vec::new());
    let mut reader = bytes;
    loop {
        let chunk: Chunk = match framer
            .next(&mut reader, Eof::Final, 1_750_000_000)
            .expect("reading from memory succeeds")
        {
            Frame::Chunk(chunk) | Frame::Refused(chunk, _) => chunk,
            Frame::Ignored(_) => continue,
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
    if let Ok(rows) = futures::executor::block_on(load::parse(bytes, &CatalogDialect::default())) {
        let dictionaries = Dictionaries::default();
        let catalog = rows.catalog(&dictionaries);
        assert!(catalog.len() <= dictionaries.songs.read().len() as u64);
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

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.truncate(len as usize);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
