//! Makes the tables of one log, on an executor.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use music_insights_ballista::error::{ClusterError, ErrorKind};
use music_insights_ballista::tables::{Cell, INPUT_TABLES, Table, TableWriter};
use tempfile::TempPath;

use crate::catalog::Catalog;
use crate::cluster::job::{LogCounts, ReadLog, RejectExample};
use crate::engine::tally::SHOWN;
use crate::ingest::decode::Decoder;
use crate::ingest::source::Event;
use crate::ledger::Ledger;
use crate::model::dictionary::Dictionaries;
use crate::model::rejects::by_code;
use crate::model::{Batch, PlayTime, SongId};
use crate::state::input_progress::InputTracker;
use crate::text::line_buffer::LineBuffer;
use crate::text::{TimestampWriter, escape_bytes, push_seconds, shown};
use crate::time::civil::Week;
use crate::time::date_range::DateRange;
use crate::time::zone::Zone;

/// The maximum length of a timestamp, a comma and a duration together.
const TIME_AND_DURATION: usize = 96;
/// Seconds per day.
const DAY: i64 = 86_400;

/// The tables of a log while the executor reads the log.
pub(super) struct LogTables {
    number: i64,
    keeps_plays: bool,
    decoder: Decoder,
    dictionaries: Arc<Dictionaries>,
    inputs: InputTracker,
    ledger: Ledger,
    /// Number of plays and their total duration in milliseconds, by song and week.
    song_weeks: HashMap<(SongId, Week), (i64, i64)>,
    plays: TableWriter,
    rejects: TableWriter,
    /// Number of rejected rows whose timestamp is too far in the future.
    future: u64,
    /// The first reject of each reason.
    examples: BTreeMap<String, RejectExample>,
    /// The number of rows in `rejects`.
    rejected: i64,
    /// The files of the tables, in the order of [`INPUT_TABLES`].
    files: Vec<TempPath>,
    timestamps: TimestampWriter,
    times: LineBuffer,
}

/// The finished tables of a log.
pub(super) struct FinishedTables {
    /// The files of the tables, in the order of [`INPUT_TABLES`].
    pub(super) files: Vec<TempPath>,
    /// The number of rows of each table, by name of the table.
    pub(super) rows: BTreeMap<String, u64>,
    pub(super) counts: LogCounts,
}

impl LogTables {
    /// Creates the files of the tables in `work_dir`.
    pub(super) fn create(log: &ReadLog, work_dir: &Path) -> Result<Self, ClusterError> {
        let config = &log.config;
        let zone = Zone::named(&config.timezone).ok_or_else(|| {
            let message = format!("this executor has no time zone {}", config.timezone);
            ClusterError::new(ErrorKind::Setup, message)
        })?;
        let dictionaries = Arc::new(Dictionaries::default());
        let files: Vec<_> =
            INPUT_TABLES.iter().map(|_| temporary_file(work_dir)).collect::<Result<_, _>>()?;
        let create = |table| TableWriter::create(table, file_of(&files, table));
        Ok(Self {
            number: i64::from(log.number),
            keeps_plays: config.enriched_logs,
            decoder: Decoder {
                dictionaries: Arc::clone(&dictionaries),
                zone,
                max_future: config.max_future as i64,
                dialect: Arc::new(config.dialect.clone()),
                dates: DateRange::default(),
            },
            inputs: InputTracker::new(config.max_bad_lines),
            ledger: Ledger::new(config.night_window()),
            song_weeks: HashMap::new(),
            plays: create(Table::Plays)?,
            rejects: create(Table::Rejects)?,
            future: 0,
            examples: BTreeMap::new(),
            rejected: 0,
            dictionaries,
            files,
            timestamps: TimestampWriter::default(),
            times: LineBuffer::default(),
        })
    }

    /// Adds an event of the source to the tables.
    pub(super) fn apply(&mut self, event: Event) -> Result<(), ClusterError> {
        match event {
            Event::Grown(input, size) => self.inputs.record_size(&input, size),
            Event::Advanced(input, position) => self.inputs.advance(&input, position),
            // An executor reads each log only once, so a log is never continued.
            Event::Identified(..) => {}
            Event::StartedOver => unreachable!("a log of a job is checked before it is read"),
            Event::Failed(error) => return Err(ClusterError::new(ErrorKind::Io, error.to_string())),
            Event::Data(chunk) => {
                let mut batch = self.decoder.decode(chunk);
                if self.inputs.apply(&mut batch, &Catalog::default()) {
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
        self.future += u64::from(batch.future);
        for reject in &batch.rejects {
            self.examples.entry(reject.reason.code().to_owned()).or_insert_with(|| RejectExample {
                line: reject.line,
                raw: reject.raw[..reject.raw.len().min(SHOWN)].to_vec(),
                refusal: batch.refused.clone(),
            });
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
                Cell::Text(users.resolve(batch.users[row])),
                Cell::Text(songs.resolve(batch.songs[row])),
                Cell::Text(timestamp),
                Cell::Text(duration),
            ])?;
        }
        Ok(())
    }

    /// Completes the files. `now` is the time that the decoder used as the current time.
    pub(super) fn finish(mut self, now: i64) -> Result<FinishedTables, ClusterError> {
        let counts = LogCounts {
            bytes: self.inputs.bytes(),
            rows: self.inputs.rows(),
            plays: self.ledger.plays(),
            rejected: by_code(self.inputs.rejected()),
            latest: self.ledger.latest(),
            now,
            future: self.future,
            examples: self.examples,
        };
        let changes = self.ledger.cut();
        let (users, songs) = (self.dictionaries.users.read(), self.dictionaries.songs.read());
        let mut listens = TableWriter::create(Table::Listens, file_of(&self.files, Table::Listens))?;
        let mut nights = TableWriter::create(Table::Nights, file_of(&self.files, Table::Nights))?;
        for &user in &changes.users {
            let text = Cell::Text(users.resolve(user));
            let mut pushed = Ok(());
            self.ledger.listens().of(user).for_each(|song, plays| {
                if pushed.is_ok() {
                    pushed =
                        listens.push(&[text, Cell::Text(songs.resolve(song)), Cell::Number(plays as i64)]);
                }
            });
            pushed?;
            let night_plays = self.ledger.nights().of(user);
            if night_plays > 0 {
                nights.push(&[text, Cell::Number(i64::from(night_plays))])?;
            }
        }
        let mut song_weeks = TableWriter::create(Table::SongWeeks, file_of(&self.files, Table::SongWeeks))?;
        let mut weeks: Vec<_> = self.song_weeks.drain().collect();
        weeks.sort_unstable_by_key(|&(key, _)| key);
        for ((song, week), (plays, millis)) in weeks {
            let monday = week.seconds().start / DAY;
            let text = Cell::Text(songs.resolve(song));
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
        Ok(FinishedTables { files: self.files, rows, counts })
    }
}

fn file_of(files: &[TempPath], table: Table) -> &Path {
    let index = INPUT_TABLES.iter().position(|&other| other == table).expect("a table of inputs");
    &files[index]
}

/// Formats a timestamp and a duration as in `enriched_logs`.
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
    let comma = memchr::memchr(b',', bytes).expect("a comma was stored above");
    (&bytes[..comma], &bytes[comma + 1..])
}

/// Creates a temporary file for a table. Dropping the returned path removes the file.
pub(super) fn temporary_file(work_dir: &Path) -> Result<TempPath, ClusterError> {
    let created = tempfile::Builder::new().prefix(".table-").tempfile_in(work_dir);
    let file = created.map_err(|source| {
        ClusterError::with_source(ErrorKind::Io, format!("cannot write to {}", shown(work_dir)), source)
    })?;
    Ok(file.into_temp_path())
}
