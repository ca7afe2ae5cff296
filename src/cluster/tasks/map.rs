//! Reads logs: makes a file of sums, a file of enriched rows, a file of rejects, and a file with the sums of
//! periods.
//!
//! A source reads a log on a thread of its own. The thread of the job decodes the chunks, and adds each batch
//! to the ledger, the sums of periods, the rejects and the enriched rows. Only enriched rows are written
//! while logs are read. The other files are made in memory, and written when all logs of the job are read.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use music_insights_ballista::error::{ClusterError, ErrorKind};
use music_insights_ballista::open_file::open;
use music_insights_ballista::shared_storage::{self, NewFile, child};
use tokio::sync::mpsc;

use crate::catalog::Catalog;
use crate::cluster::job::{
    LogCounts, LogRange, LogReport, MapJob, MapReport, RejectExample, RowRange, Sums, SumsFile,
};
use crate::cluster::sums::write_ledger;
use crate::cluster::tasks::log_ranges::{LogSource, OpenRange};
use crate::cluster::tasks::periods::PeriodsFile;
use crate::cluster::tasks::{Tasks, io_error, parse, reject_file};
use crate::engine::tally::SHOWN;
use crate::ingest::decode::Decoder;
use crate::ingest::source::{Event, EventSender};
use crate::insights::enriched_logs::{EnrichedLogs, EnrichedRows, NAME};
use crate::ledger::Ledger;
use crate::ledger::periods::PeriodPlays;
use crate::model::Batch;
use crate::model::dictionary::Dictionaries;
use crate::model::rejects::by_code;
use crate::publish::formula_escape::FormulaEscape;
use crate::state::input_progress::InputTracker;
use crate::time::zone::Zone;

/// The maximum number of bundles of events that wait for the decoder.
const QUEUE: usize = 2;
/// The maximum number of plays that are rendered before their rows are written.
const PIECE: usize = 1024;
/// The names of the files in the folder of a job.
const SUMS: &str = "sums";
const ENRICHED: &str = "enriched";
const REJECTS: &str = "rejects";
const PERIODS: &str = "periods";

/// The files of a job while its logs are read.
struct Mapper {
    decoder: Decoder,
    ledger: Ledger,
    periods: PeriodsFile,
    enriched: Option<EnrichedFile>,
    rejects: Vec<u8>,
    log: OpenLog,
}

/// The log that is being read.
struct OpenLog {
    inputs: InputTracker,
    report: LogReport,
}

/// The file of enriched rows.
struct EnrichedFile {
    insight: EnrichedLogs,
    rows: EnrichedRows,
    escape: FormulaEscape,
    escaped: Vec<u8>,
    file: NewFile,
    bytes: u64,
}

impl Tasks {
    /// Reads logs. Writes the files to the folder of the job.
    pub(super) fn map(&self, job: &MapJob, work_dir: &Path) -> Result<MapReport, ClusterError> {
        let config = &job.config;
        let zone = Zone::named(&config.timezone).ok_or_else(|| {
            let message = format!("this executor has no time zone {}", config.timezone);
            ClusterError::new(ErrorKind::Setup, message)
        })?;
        let dictionaries = Arc::new(Dictionaries::default());
        let dialect = Arc::new(config.dialect.clone());
        let folder = parse(&job.folder)?;
        let enriched = job.catalog.as_ref().map(|file| {
            let insight = EnrichedLogs::new(Arc::new(self.catalog(file, &dictionaries)?));
            let file = NewFile::create(&child(&folder, ENRICHED), work_dir)?;
            let escape = FormulaEscape::of(NAME, config.escape_formulas);
            let rows = EnrichedRows::default();
            Ok::<_, ClusterError>(EnrichedFile { insight, rows, escape, escaped: Vec::new(), file, bytes: 0 })
        });
        let mut period_plays =
            PeriodPlays::new(config.periods, config.night_window(), None, &BTreeMap::new());
        period_plays.set_today(job.today);
        let mut mapper = Mapper {
            decoder: Decoder {
                dictionaries: Arc::clone(&dictionaries),
                zone,
                max_future: config.max_future as i64,
                dialect: Arc::clone(&dialect),
                dates: job.dates,
            },
            ledger: Ledger::new(config.night_window()),
            periods: PeriodsFile::new(period_plays, config.night_window()),
            enriched: enriched.transpose()?,
            rejects: Vec::new(),
            log: OpenLog::new(config.max_bad_lines),
        };
        let mut logs = Vec::new();
        for log in &job.logs {
            let url = parse(&log.url)?;
            let source = |path, range| LogSource { path, dialect: &dialect, now: job.now, range };
            let start = if let Some((from, to)) = log.range {
                let file = open(&url, &self.runtime)?;
                mapper.read(source(Path::new(url.path()), Some(OpenRange { file, from, to })))
            } else {
                let file = self.runtime.block_on(shared_storage::fetch(&url, work_dir))?;
                mapper.read(source(file.path(), None))
            }?;
            logs.push(mapper.end_log(log, start, config.max_bad_lines, job.now));
        }
        mapper.ledger.cut();
        mapper.periods.write(&dictionaries);
        let PeriodsFile { bytes: periods_bytes, mut periods, .. } = mapper.periods;
        let sums = write_ledger(&mapper.ledger, &dictionaries);
        let [sums_url, rejects_url, periods_url] = [SUMS, REJECTS, PERIODS].map(|name| child(&folder, name));
        let file = SumsFile { url: sums_url.to_string(), offset: 0, bytes: sums.bytes.len() as u64 };
        let text = |id: Vec<u8>| String::from_utf8_lossy(&id).into_owned();
        let sample = sums.sample.into_iter().map(text).collect();
        self.runtime.block_on(async {
            shared_storage::write(&sums_url, sums.bytes).await?;
            if let Some(enriched) = mapper.enriched {
                enriched.file.store().await?;
            }
            for (url, bytes) in [(&rejects_url, mapper.rejects), (&periods_url, periods_bytes)] {
                if !bytes.is_empty() {
                    shared_storage::write(url, bytes).await?;
                }
            }
            Ok::<(), ClusterError>(())
        })?;
        for period in &mut periods {
            period.file.url = periods_url.to_string();
        }
        for log in &mut logs {
            log.enriched.url = child(&folder, ENRICHED).into();
            log.rejects.url = rejects_url.to_string();
        }
        Ok(MapReport { sums: Sums { file, sample }, periods, logs })
    }
}

impl OpenLog {
    fn new(max_bad_lines: u64) -> Self {
        Self { inputs: InputTracker::new(max_bad_lines), report: LogReport::default() }
    }
}

impl Mapper {
    /// Reads a log. Returns the offset of the first line that was read.
    fn read(&mut self, source: LogSource<'_>) -> Result<u64, ClusterError> {
        let (sender, mut bundles) = mpsc::channel(QUEUE);
        std::thread::scope(|scope| {
            let source = scope.spawn(move || source.run(&EventSender::new(sender)));
            let mut applied = Ok(());
            while let Some(bundle) = bundles.blocking_recv() {
                applied = bundle.into_iter().try_for_each(|event| self.apply(event));
                if applied.is_err() {
                    break;
                }
            }
            // If a file cannot be written, this stops the source.
            bundles.close();
            let read = source.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            applied.and(read.map_err(|error| io_error(&error)))
        })
    }

    /// Adds an event of the source to the files.
    fn apply(&mut self, event: Event) -> Result<(), ClusterError> {
        match event {
            Event::Grown(input, size) => self.log.inputs.record_size(&input, size),
            Event::Advanced(input, position) => {
                self.log.report.lines = position.lines;
                self.log.inputs.advance(&input, position);
            }
            // A job never continues a log, so it needs no fingerprint.
            Event::Identified(..) => {}
            Event::StartedOver => unreachable!("a log of a job is checked before it is read"),
            Event::Failed(error) => return Err(io_error(&error)),
            Event::Data(chunk) => {
                let mut batch = self.decoder.decode(chunk);
                self.log.report.lines = batch.position.lines;
                if self.log.inputs.apply(&mut batch, &Catalog::default()) {
                    return self.observe(&batch);
                }
            }
        }
        Ok(())
    }

    /// Adds a batch to the files.
    fn observe(&mut self, batch: &Batch) -> Result<(), ClusterError> {
        self.ledger.observe(batch);
        self.periods.add(batch, &self.decoder.dictionaries);
        let counts = &mut self.log.report.counts;
        counts.plays += batch.plays() as u64;
        counts.future += u64::from(batch.future);
        counts.outside += batch.outside.len() as u64;
        for &time in &batch.outside.times {
            let (first, last) = counts.outside_times.unwrap_or((time, time));
            counts.outside_times = Some((first.min(time), last.max(time)));
        }
        let latest = batch.play_times.iter().max_by_key(|time| time.instant());
        counts.latest = counts.latest.max(latest.map(|time| (time.instant(), time.local)));
        for reject in &batch.rejects {
            counts.examples.entry(reject.reason.code().to_owned()).or_insert_with(|| RejectExample {
                line: reject.line,
                raw: reject.raw[..reject.raw.len().min(SHOWN)].to_vec(),
                refusal: batch.refused.clone(),
            });
            reject_file::push(&mut self.rejects, reject);
        }
        self.enriched.as_mut().map_or(Ok(()), |enriched| enriched.append(batch))
    }

    /// Ends a log, and returns its report. `start` is the offset of the first line that was read. The URLs
    /// are still empty.
    fn end_log(&mut self, log: &LogRange, start: u64, max_bad_lines: u64, now: i64) -> LogReport {
        let OpenLog { inputs, report } = std::mem::replace(&mut self.log, OpenLog::new(max_bad_lines));
        let written = |before: &RowRange, bytes: u64| RowRange {
            url: String::new(),
            offset: before.offset,
            bytes: bytes - before.offset,
        };
        let enriched = self.enriched.as_ref().map_or(0, |enriched| enriched.bytes);
        let (enriched, rejects) =
            (written(&report.enriched, enriched), written(&report.rejects, self.rejects.len() as u64));
        self.log.report.enriched.offset = enriched.offset + enriched.bytes;
        self.log.report.rejects.offset = rejects.offset + rejects.bytes;
        let counts = LogCounts {
            bytes: inputs.bytes().saturating_sub(start),
            rows: inputs.rows(),
            rejected: by_code(inputs.rejected()),
            now,
            ..report.counts
        };
        LogReport { number: log.number, counts, enriched, rejects, ..report }
    }
}

impl EnrichedFile {
    fn append(&mut self, batch: &Batch) -> Result<(), ClusterError> {
        for start in (0..batch.plays()).step_by(PIECE) {
            self.rows.clear();
            let plays = start..batch.plays().min(start + PIECE);
            self.insight.append(batch, plays, &mut self.rows, |_, _| {});
            let text = self.escape.apply(self.rows.text.as_bytes(), &mut self.escaped);
            self.bytes += text.len() as u64;
            let written = self.file.write_all(text);
            written
                .map_err(|source| ClusterError::with_source(ErrorKind::Io, "cannot write rows", source))?;
        }
        Ok(())
    }
}
