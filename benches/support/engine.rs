//! Wraps the stages of the engine for the benches.
//!
//! If an interface in `src/` changes, only this file has to change. The benches stay as they are.

#![allow(dead_code, reason = "each bench uses a part of this module")]

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use futures::executor::block_on;
use music_insights::catalog::{Catalog, load};
use music_insights::generate::ids::{Ids, Noun};
use music_insights::generate::line::Line;
use music_insights::generate::popularity::Popularity;
use music_insights::generate::rhythm::Pace;
use music_insights::generate::text;
use music_insights::generate::{Plan, PlayLog};
use music_insights::ingest::decode::{Decoder, header};
use music_insights::ingest::source::framing::CHUNK;
use music_insights::insights::SNAPSHOTS;
use music_insights::insights::enriched_logs::{EnrichedLogs, EnrichedRows};
use music_insights::ledger::Ledger;
use music_insights::model::dialect::CatalogDialect;
use music_insights::model::dictionary::Dictionaries;
use music_insights::model::sorted_ids::SortedIds;
use music_insights::model::{
    Chunk, Content, Field, Input, InputId, Layout, Position, SongId, Span, Text, UserId,
};
use music_insights::publish::OutputFormats;
use music_insights::publish::snapshot::Snapshot;
use music_insights::publish::table_folders::TableFolders;
use music_insights::settings::Settings;
use music_insights::storage::real::RealDisk;
use music_insights::time::civil::Week;
use music_insights::time::date_range::DateRange;

pub(crate) use music_insights::insights::{Cut, Insight};
pub(crate) use music_insights::model::Batch;

/// The names of the snapshots.
pub(crate) fn snapshots() -> [&'static str; SNAPSHOTS.len()] {
    SNAPSHOTS.map(|about| about.name)
}

/// The default settings. They are created once, because looking up a timezone takes longer than many rows.
static SETTINGS: LazyLock<Settings> = LazyLock::new(Settings::default);

/// The kinds of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// An id such as `user_17`.
    Short,
    /// A UUID with 36 characters.
    Uuid,
}

impl Look {
    fn ids(self) -> Ids {
        match self {
            Self::Short => Ids::Short,
            Self::Uuid => Ids::Uuid,
        }
    }
}

/// An endless, reproducible log. Most of its plays belong to a few popular songs.
#[derive(Debug)]
pub(crate) struct Feed {
    plan: Plan,
    log: PlayLog,
    catalog: Vec<u8>,
}

/// The time of the first play: 2025-03-20.
const START: u64 = 1_742_428_800;
/// The time of reading. It is later than all plays.
const NOW: i64 = 1_800_000_000;
/// Number of threads that an insight may use. With one thread, the times do not depend on the machine.
const THREADS: usize = 1;
/// The distance between the numbers of consecutive listeners. It is coprime to all numbers 2^a 5^b.
const SCATTER: u64 = 618_033_989;

impl Feed {
    /// A log of one week with about `rows` rows.
    pub(crate) fn new(users: u32, songs: u32, rows: u64, look: Look) -> Self {
        let pace = Pace::Rhythm { start: START, days: 7, rows };
        let plan = Plan { seed: 1, users, songs, popularity: Popularity::Zipf, ids: look.ids(), pace };
        let mut catalog = Vec::new();
        plan.catalog().append(&mut catalog);
        Self { plan, log: PlayLog::new(&plan), catalog }
    }

    /// The text of the next rows.
    pub(crate) fn rows(&mut self, rows: u64) -> Vec<u8> {
        let mut text = Vec::new();
        self.log.append(rows, &mut text);
        text
    }

    /// Writes the catalog and the next rows to the default places below a folder. The rows are divided into
    /// `logs` logs.
    pub(crate) fn write(&mut self, root: &Path, rows: u64, logs: u64) {
        let incoming = root.join("data/incoming");
        fs::create_dir_all(&incoming).expect("the folder is writable");
        fs::write(root.join("data/songs_metadata.csv"), &self.catalog)
            .expect("the folder has space for the file");
        for number in 0..logs {
            let log = [text::HEADER, &self.rows(rows / logs)].concat();
            fs::write(incoming.join(format!("plays-{number}.csv")), log)
                .expect("the folder has space for the file");
        }
    }

    /// One row for each listener. Works only with [`Look::Short`], and only if the number of listeners has no
    /// other prime factors than 2 and 5.
    pub(crate) fn everybody(&self) -> impl Iterator<Item = Vec<u8>> {
        let songs = self.plan.songs;
        let users = u64::from(self.plan.users);
        // As in real logs, the listeners are not in the order of their ids.
        let line = move |turn: u32| {
            let user = (u64::from(turn) * SCATTER % users) as u32 + 1;
            let song = user.wrapping_mul(2_654_435_761) % songs + 1;
            format!("user_{user},song_{song},2025-03-20 12:00:00,200\n").into_bytes()
        };
        (0..self.plan.users).map(line)
    }
}

/// The same rows with quoted ids. Quoted ids need the slow path.
pub(crate) fn quoted(rows: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(rows.len() * 5 / 4);
    for line in rows.split_inclusive(|&byte| byte == b'\n') {
        let mut fields = line.splitn(3, |&byte| byte == b',');
        for id in fields.by_ref().take(2) {
            text.push(b'"');
            text.extend_from_slice(id);
            text.extend_from_slice(b"\",");
        }
        text.extend(fields.flatten());
    }
    text
}

/// Splits rows into pieces of whole lines. The pieces are as long as the chunks of the program.
pub(crate) fn pieces(rows: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = rows;
    while !rest.is_empty() {
        let most = rest.len().min(CHUNK);
        let end = memchr::memrchr(b'\n', &rest[..most]).map_or(rest.len(), |at| at + 1);
        let (piece, behind) = rest.split_at(end);
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// A decoder with its dictionaries.
#[derive(Debug)]
pub(crate) struct Reader {
    decoder: Decoder,
    layout: Arc<Layout>,
    input: Arc<Input>,
}

impl Reader {
    /// Creates a reader with empty dictionaries.
    pub(crate) fn new() -> Self {
        let decoder = Decoder {
            dictionaries: Arc::new(Dictionaries::default()),
            zone: SETTINGS.timezone.0.clone(),
            max_future: SETTINGS.input.max_future.0.as_secs() as i64,
            dialect: SETTINGS.dialect(),
            dates: DateRange::default(),
        };
        let layout = Arc::new(header::default_layout(text::HEADER.trim_ascii_end()).expect("a header"));
        Self { decoder, layout, input: Arc::new(Input { id: InputId(0), label: "a.csv".to_owned() }) }
    }

    /// Makes a chunk from a piece, as a source does.
    pub(crate) fn chunk(&self, piece: &[u8]) -> Chunk {
        Chunk {
            input: Arc::clone(&self.input),
            span: Span { from: 0, to: piece.len() as u64, first_line: 2 },
            position: Position::default(),
            read_at: NOW,
            content: Content::Lines(Arc::clone(&self.layout), Text::new(piece.to_vec(), piece.len())),
        }
    }

    /// Decodes a chunk. All its rows must be plays.
    pub(crate) fn decode(&self, chunk: Chunk) -> Batch {
        let batch = self.decoder.decode(chunk);
        assert!(batch.rejects.is_empty(), "{:?}", batch.rejects);
        batch
    }

    /// Decodes rows into batches.
    pub(crate) fn read(&self, rows: &[u8]) -> Vec<Batch> {
        pieces(rows).into_iter().map(|piece| self.decode(self.chunk(piece))).collect()
    }
}

/// Only the dictionary of listeners.
#[derive(Debug, Default)]
pub(crate) struct Listeners(Dictionaries);

impl Listeners {
    /// Interns a column, and returns the number of ids in the column.
    pub(crate) fn intern(&self, column: &Column) -> u64 {
        self.0.users.intern_column(&column.text, &column.fields).len() as u64
    }
}

/// The approximate number of rows in a chunk.
const COLUMN: u64 = CHUNK as u64 / 50;

/// A column of ids.
#[derive(Debug, Default)]
pub(crate) struct Column {
    text: Text,
    fields: Vec<Field>,
}

impl Column {
    /// The given number of listener ids. Their order is fixed, and differs from the order of their numbers.
    pub(crate) fn of(ids: u64, look: Look) -> Self {
        Self::part(ids, 0..ids, look)
    }

    /// The same ids in several columns. Each column is as long as a column of a chunk.
    pub(crate) fn pieces(ids: u64, look: Look) -> Vec<Self> {
        let piece = |from| Self::part(ids, from..ids.min(from + COLUMN), look);
        (0..ids).step_by(COLUMN as usize).map(piece).collect()
    }

    fn part(ids: u64, rows: Range<u64>, look: Look) -> Self {
        let mut text = Vec::new();
        let mut fields = Vec::new();
        for row in rows {
            let mut id = Line::new();
            look.ids().write(Noun::User, (row * 7919 % ids) as u32, &mut id);
            fields.push(Field { start: text.len() as u32, len: id.bytes().len() as u32 });
            text.extend_from_slice(id.bytes());
            text.push(b',');
        }
        let len = text.len();
        Self { text: Text::new(text, len), fields }
    }
}

/// The data of the coordinator: the tables, the catalog and the sorted ids.
#[derive(Debug)]
pub(crate) struct State {
    ledger: Arc<Ledger>,
    catalog: Arc<Catalog>,
    new_catalog: bool,
    dictionaries: Arc<Dictionaries>,
    user_order: Arc<SortedIds<UserId>>,
    song_order: Arc<SortedIds<SongId>>,
}

impl State {
    /// A state with the catalog of a feed, but without plays.
    pub(crate) fn new(reader: &Reader, feed: &Feed) -> Self {
        let dictionaries = Arc::clone(&reader.decoder.dictionaries);
        let rows = block_on(load::parse(feed.catalog.as_slice(), &CatalogDialect::default()))
            .expect("the catalog has all columns");
        let mut ledger = Ledger::new(SETTINGS.night_window());
        // As in a `watch`, the runs are read at every flush, so they are merged early.
        ledger.tables_mut().listens.keep_unsaved();
        Self {
            ledger: Arc::new(ledger),
            catalog: Arc::new(rows.catalog(&dictionaries)),
            new_catalog: true,
            dictionaries,
            user_order: Arc::default(),
            song_order: Arc::default(),
        }
    }

    /// Adds a batch.
    pub(crate) fn observe(&mut self, batch: &Batch) {
        Arc::make_mut(&mut self.ledger).observe(batch);
    }

    /// Makes a cut, as a flush does. Drop each cut before you make the next cut. Otherwise the next cut
    /// copies tables.
    pub(crate) fn cut(&mut self) -> Cut {
        let ledger = Arc::make_mut(&mut self.ledger);
        let changes = ledger.cut();
        ledger.tables_mut().listens.take_unsaved();
        Arc::make_mut(&mut self.user_order).extend(&self.dictionaries.users.read());
        Arc::make_mut(&mut self.song_order).extend(&self.dictionaries.songs.read());
        Cut {
            period: None,
            ledger: Arc::clone(&self.ledger),
            changes: Arc::new(changes),
            catalog: Arc::clone(&self.catalog),
            new_catalog: std::mem::take(&mut self.new_catalog),
            dictionaries: Arc::clone(&self.dictionaries),
            user_order: Arc::clone(&self.user_order),
            song_order: Arc::clone(&self.song_order),
            current_week: Week::of_local(NOW),
            threads: THREADS,
        }
    }

    /// The number of known listeners.
    pub(crate) fn users(&self) -> usize {
        self.dictionaries.users.read().len()
    }

    /// The ids of the two most popular Happy songs, and the difference between their numbers of plays.
    pub(crate) fn leading_happy_songs(&self) -> ([Vec<u8>; 2], u64) {
        let plays = |song| self.ledger.song_plays().total(song).plays;
        let dictionaries = self.dictionaries.songs.read();
        let mut happy = self.catalog.happy_songs().to_vec();
        happy.sort_by_key(|&song| {
            std::cmp::Reverse((plays(song), std::cmp::Reverse(dictionaries.resolve(song).to_vec())))
        });
        let text = |place: usize| dictionaries.resolve(happy[place]).to_vec();
        ([text(0), text(1)], plays(happy[0]) - plays(happy[1]))
    }
}

/// Adds batches to new tables, and makes the tables readable.
pub(crate) fn tables(batches: &[Batch]) -> u64 {
    let mut ledger = Ledger::new(SETTINGS.night_window());
    for batch in batches {
        ledger.observe(batch);
    }
    ledger.cut().users.len() as u64
}

/// Renders rows of `enriched_logs`.
#[derive(Debug)]
pub(crate) struct Enriching {
    insight: EnrichedLogs,
    rows: EnrichedRows,
}

impl Enriching {
    /// Uses the catalog of a state.
    pub(crate) fn new(state: &State) -> Self {
        Self { insight: EnrichedLogs::new(Arc::clone(&state.catalog)), rows: EnrichedRows::default() }
    }

    /// Renders a batch, and returns the number of bytes in its rows. Ignores unmatched plays.
    pub(crate) fn append(&mut self, batch: &Batch) -> usize {
        self.rows.text.clear();
        self.insight.append(batch, 0..batch.plays(), &mut self.rows, |_, _| ());
        self.rows.text.as_bytes().len()
    }
}

/// Creates a new insight.
pub(crate) fn insight(name: &str) -> Box<dyn Insight> {
    let mut snapshots = SETTINGS.insights.enabled_snapshots().into_iter();
    snapshots.find(|insight| insight.name() == name).unwrap_or_else(|| panic!("{name} is not a snapshot"))
}

/// Refreshes an insight for a cut. Returns whether a row has changed.
pub(crate) fn refresh(insight: &mut dyn Insight, cut: &Cut) -> bool {
    insight.refresh(cut)
}

/// The size of the buffer in bytes. The bench clears a full buffer. A snapshot has a buffer of the same size,
/// and writes it to the file when it is full.
const RENDERED: usize = 256 << 10;

/// Renders all rows, and returns the number of rows including the header.
pub(crate) fn render(insight: &dyn Insight, cut: &Cut) -> u64 {
    let mut buffer = Vec::with_capacity(RENDERED);
    let rows = insight.render(cut, &mut |lines| {
        if buffer.len() + lines.len() > RENDERED {
            buffer.clear();
        }
        buffer.extend_from_slice(lines);
    });
    assert!(!std::hint::black_box(buffer).is_empty(), "the insight rendered no header");
    rows
}

/// Writes and publishes the file of an insight below a folder. Returns the number of its rows.
pub(crate) fn write_snapshot(folder: &Path, insight: &dyn Insight, cut: &Cut) -> u64 {
    let snapshot = Snapshot::write(
        &RealDisk::without_fsync(),
        &TableFolders::of(folder, insight.name()),
        insight.name(),
        OutputFormats::default(),
        &mut |emit| insight.render(cut, emit),
    )
    .expect("the folder is writable");
    snapshot.publish().expect("the folder is writable").rows
}
