//! On an executor: a log becomes tables, with the same reading and decoding as everywhere.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use music_insights_ballista::orders::Worker;
use music_insights_ballista::places::{self, Fetched};
use music_insights_ballista::tables::{self, Cell, OF_INPUTS, Table, TableWriter};
use music_insights_ballista::trouble::{ClusterError, ErrorKind};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use url::Url;

use crate::catalog::Catalog;
use crate::cluster::job::{Job, JobReport, LogCounts, RECEIPT, ReadLog, Task};
use crate::ingest::decode::Decoder;
use crate::ingest::source::framing::CHUNK;
use crate::ingest::source::replay::Replay;
use crate::ingest::source::{Event, EventSender};
use crate::ledger::Ledger;
use crate::model::dictionary::Dictionaries;
use crate::model::rejects::by_code;
use crate::model::shutdown::Shutdown;
use crate::model::{Batch, PlayTime, SongId};
use crate::state::input_progress::InputTracker;
use crate::text::line_buffer::LineBuffer;
use crate::text::{TimestampWriter, escape_bytes, push_seconds};
use crate::time::civil::Week;
use crate::time::zone::Zone;

/// Chunks that are read while another is decoded.
const QUEUE: usize = 2;
/// The longest timestamp and duration, with what stands between them.
const TIME_AND_DURATION: usize = 96;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// Reads logs and merges tables.
#[derive(Debug)]
pub struct Reader {
    /// Where stores are waited for.
    runtime: Handle,
}

impl Reader {
    /// A reader that waits for stores on this runtime.
    pub fn new(runtime: Handle) -> Self {
        Self { runtime }
    }

    fn read(&self, log: &ReadLog, folder: &Path, target: &Url) -> Result<JobReport, ClusterError> {
        let url = parse(&log.url)?;
        let fetched: Fetched = self.runtime.block_on(places::fetch(&url, folder))?;
        let mut tables = Tables::new(log, folder)?;
        let stop = Shutdown::default();
        let source = Replay {
            logs: vec![fetched.path().to_owned()],
            delimiter: log.shape.delimiter,
            now: log.now,
            chunk: CHUNK,
        };
        let (sender, mut events) = mpsc::channel(QUEUE);
        let read = std::thread::scope(|scope| {
            let reading = scope.spawn(|| source.run(&EventSender::new(sender), &stop));
            let mut taken = Ok(());
            while let Some(event) = events.blocking_recv() {
                taken = tables.take(event);
                if taken.is_err() {
                    break;
                }
            }
            // Lets go of a source that is still at it.
            events.close();
            let read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            taken.and(read.map_err(|failure| ClusterError::new(ErrorKind::Io, failure.to_string())))
        });
        read?;
        let (tables, counts) = tables.finish(log.now)?;
        for (table, file) in OF_INPUTS.into_iter().zip(&tables.files) {
            self.runtime.block_on(places::send(file, &places::below(target, &table.file())))?;
        }
        Ok(JobReport { folder: String::new(), tables: tables.rows, log: Some(counts) })
    }

    fn merge(&self, folders: &[String], folder: &Path, target: &Url) -> Result<JobReport, ClusterError> {
        let folders: Vec<Url> = folders.iter().map(|folder| parse(folder)).collect::<Result<_, _>>()?;
        let mut rows = BTreeMap::new();
        for table in OF_INPUTS {
            let file = draft(folder)?;
            let files: Vec<Url> = folders.iter().map(|folder| places::below(folder, &table.file())).collect();
            let merged = self.runtime.block_on(async {
                let merged = tables::merge(table, &files, &file).await?;
                places::send(&file, &places::below(target, &table.file())).await.map(|_| merged)
            });
            rows.insert(table.name().to_owned(), merged?);
        }
        Ok(JobReport { folder: String::new(), tables: rows, log: None })
    }
}

impl Worker for Reader {
    fn carry_out(&self, order: &str, folder: &Path) -> Result<String, ClusterError> {
        let unreadable =
            |cause| ClusterError::new(ErrorKind::Setup, format!("an order cannot be read: {cause}"));
        let order: Job = serde_json::from_str(order).map_err(unreadable)?;
        if order.program != env!("CARGO_PKG_VERSION") {
            let message = format!(
                "an order of music-insights {} has come to an executor of {}; all of a cluster must be of one version",
                order.program,
                env!("CARGO_PKG_VERSION")
            );
            return Err(ClusterError::new(ErrorKind::Setup, message));
        }
        let target = parse(&order.folder)?;
        let place = places::below(&target, RECEIPT);
        // Done before by an executor that was lost before its receipt was fetched.
        if let Some(done) = self.runtime.block_on(places::read(&place))? {
            return Ok(String::from_utf8_lossy(&done).into_owned());
        }
        let receipt = match &order.task {
            Task::Read(log) => self.read(log, folder, &target)?,
            Task::Merge(folders) => self.merge(folders, folder, &target)?,
        };
        let receipt = JobReport { folder: order.folder, ..receipt };
        let receipt = serde_json::to_string(&receipt).expect("a receipt is plain data");
        self.runtime.block_on(places::write(&place, receipt.clone().into_bytes()))?;
        Ok(receipt)
    }
}

fn parse(url: &str) -> Result<Url, ClusterError> {
    Url::parse(url).map_err(|cause| ClusterError::new(ErrorKind::Address, format!("{url}: {cause}")))
}

/// A file for a table on its way, which goes when it is dropped.
fn draft(folder: &Path) -> Result<tempfile::TempPath, ClusterError> {
    let made = tempfile::Builder::new().prefix(".table-").tempfile_in(folder);
    let unwritable =
        |cause| ClusterError::new(ErrorKind::Io, format!("cannot write to {}: {cause}", folder.display()));
    Ok(made.map_err(unwritable)?.into_temp_path())
}

/// The tables of a log while it is read.
struct Tables {
    number: i64,
    keeps_plays: bool,
    decoder: Decoder,
    dictionaries: Arc<Dictionaries>,
    inputs: InputTracker,
    ledger: Ledger,
    /// Plays and milliseconds by song and week.
    song_weeks: HashMap<(SongId, Week), (i64, i64)>,
    plays: TableWriter,
    rejects: TableWriter,
    /// Rows of `rejects`.
    rejected: i64,
    /// Files of the tables, in the order of [`OF_INPUTS`].
    files: Vec<tempfile::TempPath>,
    timestamps: TimestampWriter,
    times: LineBuffer,
}

/// The finished files of a log.
struct Finished {
    files: Vec<tempfile::TempPath>,
    rows: BTreeMap<String, u64>,
}

impl Tables {
    fn new(log: &ReadLog, folder: &Path) -> Result<Self, ClusterError> {
        let shape = &log.shape;
        let zone = Zone::named(&shape.timezone).ok_or_else(|| {
            ClusterError::new(ErrorKind::Setup, format!("this executor knows no zone {}", shape.timezone))
        })?;
        let dictionaries = Arc::new(Dictionaries::default());
        let files: Vec<_> = OF_INPUTS.iter().map(|_| draft(folder)).collect::<Result<_, _>>()?;
        let create = |table| TableWriter::create(table, file_of(&files, table));
        Ok(Self {
            number: i64::from(log.number),
            keeps_plays: shape.enriched_logs,
            decoder: Decoder {
                dictionaries: Arc::clone(&dictionaries),
                zone,
                max_future: shape.max_future as i64,
            },
            inputs: InputTracker::new(shape.max_bad_lines),
            ledger: Ledger::new(shape.night_window()),
            song_weeks: HashMap::new(),
            plays: create(Table::Plays)?,
            rejects: create(Table::Rejects)?,
            rejected: 0,
            dictionaries,
            files,
            timestamps: TimestampWriter::default(),
            times: LineBuffer::default(),
        })
    }

    fn take(&mut self, event: Event) -> Result<(), ClusterError> {
        match event {
            Event::Grown(input, size) => self.inputs.grow(&input, size),
            Event::Advanced(input, position) => self.inputs.pass(&input, position),
            Event::Identified(..) => {}
            Event::Failed(failure) => return Err(ClusterError::new(ErrorKind::Io, failure.to_string())),
            Event::Data(chunk) => {
                let mut batch = self.decoder.decode(chunk);
                if self.inputs.take(&mut batch, &Catalog::default()) {
                    return self.observe(&batch);
                }
            }
        }
        Ok(())
    }

    fn observe(&mut self, batch: &Batch) -> Result<(), ClusterError> {
        if self.keeps_plays {
            self.keep_plays(batch)?;
        }
        self.ledger.observe(batch);
        for ((&song, play_time), &millis) in batch.songs.iter().zip(&batch.play_times).zip(&batch.millis) {
            let (plays, sum) = self.song_weeks.entry((song, Week::of_local(play_time.local))).or_default();
            *plays += 1;
            *sum += i64::from(millis);
        }
        for reject in &batch.rejects {
            self.rejects.push(&[
                Cell::Number(self.number),
                Cell::Number(self.rejected),
                Cell::Number(reject.line as i64),
                Cell::Number(reject.offset as i64),
                Cell::Text(reject.reason.code().as_bytes()),
                Cell::Text(escape_bytes(&reject.raw).as_bytes()),
            ])?;
            self.rejected += 1;
        }
        Ok(())
    }

    fn keep_plays(&mut self, batch: &Batch) -> Result<(), ClusterError> {
        let (users, songs) = (self.dictionaries.users.read(), self.dictionaries.songs.read());
        let first = self.ledger.plays() as i64;
        for (row, place) in (0..batch.plays()).zip(first..) {
            let (timestamp, duration) = time_and_duration(
                &mut self.times,
                &mut self.timestamps,
                batch.play_times[row],
                batch.millis[row],
            );
            self.plays.push(&[
                Cell::Number(self.number),
                Cell::Number(place),
                Cell::Text(users.text(batch.users[row])),
                Cell::Text(songs.text(batch.songs[row])),
                Cell::Text(timestamp),
                Cell::Text(duration),
            ])?;
        }
        Ok(())
    }

    fn finish(mut self, now: i64) -> Result<(Finished, LogCounts), ClusterError> {
        let counts = LogCounts {
            bytes: self.inputs.bytes(),
            rows: self.inputs.rows(),
            plays: self.ledger.plays(),
            rejected: by_code(self.inputs.rejected()),
            latest: self.ledger.latest(),
            now,
        };
        let changes = self.ledger.cut();
        let (users, songs) = (self.dictionaries.users.read(), self.dictionaries.songs.read());
        let mut listens = TableWriter::create(Table::Listens, file_of(&self.files, Table::Listens))?;
        let mut nights = TableWriter::create(Table::Nights, file_of(&self.files, Table::Nights))?;
        for &user in &changes.users {
            let text = Cell::Text(users.text(user));
            let mut pushed = Ok(());
            self.ledger.listens().of(user).for_each(|song, plays| {
                if pushed.is_ok() {
                    pushed = listens.push(&[text, Cell::Text(songs.text(song)), Cell::Number(plays as i64)]);
                }
            });
            pushed?;
            let at_night = self.ledger.nights().of(user);
            if at_night > 0 {
                nights.push(&[text, Cell::Number(i64::from(at_night))])?;
            }
        }
        let mut song_weeks = TableWriter::create(Table::SongWeeks, file_of(&self.files, Table::SongWeeks))?;
        let mut weeks: Vec<_> = self.song_weeks.drain().collect();
        weeks.sort_unstable_by_key(|&(key, _)| key);
        for ((song, week), (plays, millis)) in weeks {
            let monday = week.seconds().start / DAY;
            let text = Cell::Text(songs.text(song));
            song_weeks.push(&[text, Cell::Number(monday), Cell::Number(plays), Cell::Number(millis)])?;
        }
        let writers = [
            (Table::Listens, listens),
            (Table::SongWeeks, song_weeks),
            (Table::Nights, nights),
            (Table::Plays, self.plays),
            (Table::Rejects, self.rejects),
        ];
        let mut rows = BTreeMap::new();
        for (table, writer) in writers {
            rows.insert(table.name().to_owned(), writer.finish()?);
        }
        Ok((Finished { files: self.files, rows }, counts))
    }
}

fn file_of(files: &[tempfile::TempPath], table: Table) -> &Path {
    let index = OF_INPUTS.iter().position(|&other| other == table).expect("a table of inputs");
    &files[index]
}

/// How `enriched_logs` writes them.
fn time_and_duration<'a>(
    text: &'a mut LineBuffer,
    timestamps: &mut TimestampWriter,
    play_time: PlayTime,
    millis: u32,
) -> (&'a [u8], &'a [u8]) {
    text.clear();
    let mut line = text.line(TIME_AND_DURATION);
    timestamps.push(&mut line, play_time);
    line.store(b",", 1);
    push_seconds(&mut line, millis);
    line.end();
    let bytes = text.as_bytes();
    let comma = memchr::memchr(b',', bytes).expect("the comma from above");
    (&bytes[..comma], &bytes[comma + 1..])
}
