//! What is fuzzed: each function takes any bytes and must neither panic nor ask for much memory.
//! `cargo fuzz run decode` looks for new inputs; `tests/corpus.rs` runs those that were found.

#![allow(dead_code, reason = "each fuzz target uses one of them")]

use std::io;
use std::sync::{Arc, LazyLock};

use music_insights::catalog::load;
use music_insights::ingest::decode::{DecodePath, Decoder};
use music_insights::ingest::source::framing::{Eof, Frame, LineFramer};
use music_insights::model::delimiter::Delimiter;
use music_insights::model::dictionary::Dictionaries;
use music_insights::model::{Batch, Chunk, Content, Input, InputId};
use music_insights::state::checkpoint::generation::Generation;
use music_insights::state::checkpoint::table::TableReader;
use music_insights::storage::DiskFile;
use music_insights::time::zone::Zone;

/// Bytes per chunk: more than a fuzzer comes up with.
const WHOLE: usize = 64 << 10;

/// Where local times are of: a zone that skips some.
static ZONE: LazyLock<Zone> = LazyLock::new(|| Zone::named("Europe/Berlin").expect("Berlin is a zone"));

/// A log: cut in small pieces and in one, decoded in both lanes, it comes to the same.
pub(crate) fn decode(bytes: &[u8]) {
    let whole = read(bytes, WHOLE, DecodePath::Fast);
    assert_eq!(whole, read(bytes, WHOLE, DecodePath::Slow), "the paths differ");
    assert_eq!(whole, read(bytes, 100, DecodePath::Fast), "the pieces differ");
}

/// Plays and rejects with their places, in order.
fn read(bytes: &[u8], chunk: usize, lane: DecodePath) -> (Vec<String>, Vec<String>) {
    let input = Arc::new(Input { id: InputId(0), label: "a.csv".to_owned() });
    let decoder =
        Decoder { dictionaries: Arc::new(Dictionaries::default()), zone: ZONE.clone(), max_future: 172_800 };
    let mut framer = LineFramer::with_chunk(input, chunk);
    let (mut plays, mut rejects) = (Vec::new(), Vec::new());
    let mut reader = bytes;
    loop {
        let chunk: Chunk = match framer.next(&mut reader, Eof::Final, 1_750_000_000).expect("memory is read")
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

/// A catalog.
pub(crate) fn catalog(bytes: &[u8]) {
    if let Ok(rows) = futures::executor::block_on(load::parse(bytes, Delimiter::COMMA)) {
        let dictionaries = Dictionaries::default();
        let catalog = rows.catalog(&dictionaries);
        assert!(catalog.len() <= dictionaries.songs.read().len() as u64);
    }
}

/// A generation, and tables of numbers and of bytes.
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
