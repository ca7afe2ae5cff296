//! The owner of the state: takes in batches in order, and at a cut lets all insights publish.
//!
//! One loop, no locks: something happens, and it is applied. Everything that depends on the order
//! of events is decided here.

mod control;
mod flush;
mod show;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_stream::{Stream, StreamExt};

use crate::catalog::reload::CatalogVersion;
use crate::engine::coordinator::control::{HEARTBEAT, ticks};
use crate::engine::coordinator::show::ListenerSet;
use crate::engine::workers::{EnrichedMessage, SnapshotRequest};
use crate::ingest::source::Event;
use crate::ingest::source::archive::RetirableInput;
use crate::insights::NAMES;
use crate::ledger::listens::Sealed;
use crate::ledger::{Changes, Ledger};
use crate::model::dictionary::{Dictionaries, SortedIds};
use crate::model::error::Error;

use crate::model::{Batch, Epoch, ReaderState, Reason, Reject, SongId, UserId};
use crate::publish::REJECTS;
use crate::publish::manifest::{InsightEntry, Manifest};
use crate::publish::parquet::folder_of;
use crate::publish::rolling_file::RollingFile;
use crate::settings::Settings;
use crate::state::checkpoint::committer::Committer;
use crate::state::checkpoint::load::Loaded;
use crate::state::input_progress::InputTracker;
use crate::storage::SharedDisk;
use crate::telemetry::progress::Progress;
use crate::text::{escape_bytes, path_text, push_cell, push_integer};
use crate::time::civil::Week;
use crate::time::clock::Clock;

pub use crate::engine::coordinator::control::ControlHandles;

/// The payload of an [`Event`] behind the decoders.
#[derive(Debug)]
pub struct Decoded {
    /// The plays and rejects of a chunk.
    pub batch: Box<Batch>,
    /// When the chunk was read, for the measurement of freshness.
    pub read_at: SystemTime,
}

/// Who writes the output, which decides when there is a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunMode {
    /// One cut, at the end.
    Replay,
    /// A cut at every interval with news, and at the end.
    Watch,
}

impl RunMode {
    /// How the manifest calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Watch => "watch",
        }
    }
}

/// The channels to the tasks of the insights.
#[derive(Debug)]
pub struct Tasks {
    /// Those that take snapshots, by name.
    pub snapshots: SnapshotTasks,
    /// The one that appends, if it is enabled.
    pub enriched: Option<mpsc::Sender<EnrichedMessage>>,
}

/// Insights that take snapshots, by name, with the ways to their tasks.
pub type SnapshotTasks = Vec<(&'static str, mpsc::Sender<SnapshotRequest>)>;

/// What the owner works with.
#[derive(Debug)]
pub struct CoordinatorDeps {
    /// The settings.
    pub settings: Settings,
    /// Where files are written.
    pub disk: SharedDisk,
    /// Who writes the output.
    pub producer: RunMode,
    /// Tells which week it is.
    pub clock: Clock,
    /// The dictionaries, which the decoders share.
    pub dictionaries: Arc<Dictionaries>,
    /// The insights.
    pub tasks: Tasks,
    /// The catalog, and those to come.
    pub versions: watch::Receiver<Arc<CatalogVersion>>,
    /// The log of rejected rows.
    pub rejects: RollingFile,
    /// The last epoch that a reader has seen.
    pub epoch: Epoch,
    /// Where progress is shown.
    pub progress: Arc<Progress>,
    /// Commits, if what was read must outlive the process.
    pub committer: Option<Committer>,
    /// The epoch that was committed last, by an earlier process.
    pub resumed: Option<Resumed>,
    /// Where inputs are told of that may be put away.
    pub retirable: std::sync::mpsc::Sender<Vec<RetirableInput>>,
    /// What reaches it beside rows.
    pub live: ControlHandles,
    /// Starts the tasks of insights, when settings have changed what they say.
    pub spawn_insights: fn(&SharedDisk, &Settings) -> SnapshotTasks,
}

/// An epoch that an earlier process has committed, and may have published or not.
#[derive(Debug)]
pub struct Resumed {
    /// What it says.
    pub manifest: Manifest,
    /// Whether the output says so, too.
    pub published: bool,
    /// The insights whose files are as it says.
    pub insights: BTreeMap<String, InsightEntry>,
}

/// The owner.
#[derive(Debug)]
pub struct Coordinator {
    parts: CoordinatorDeps,
    ledger: Arc<Ledger>,
    /// A full buffer of listens, which is sorted and merged while others are filled.
    sealing: Option<JoinHandle<Sealed>>,
    inputs: InputTracker,
    /// Rows, bytes and inputs of earlier processes.
    before: (u64, u64, usize),
    user_order: Arc<SortedIds<UserId>>,
    song_order: Arc<SortedIds<SongId>>,
    catalog: Arc<CatalogVersion>,
    /// Bad rows of catalogs that were reported; a later version does not report them again.
    catalog_rejects: HashSet<(Reason, Vec<u8>)>,
    published: BTreeMap<String, InsightEntry>,
    /// What has changed up to the last cut.
    changes: Arc<Changes>,
    manifest: Option<Manifest>,
    /// Whether anything has happened since the last cut that a reader would see.
    news: bool,
    week: Week,
    quiet_since: Instant,
    /// How often new settings were taken over.
    settings_taken: u64,
    /// Everybody who has a play in an epoch, for those who look.
    listeners: ListenerSet,
    /// When the oldest row was read that is in no epoch yet.
    unpublished_since: Option<SystemTime>,
}

/// What a run came to.
#[derive(Debug)]
pub struct RunSummary {
    /// The last manifest.
    pub manifest: Manifest,
    /// Plays taken in, by earlier processes too.
    pub plays: u64,
    /// Rows that this process has taken in.
    pub rows: u64,
    /// Bytes that this process has taken in.
    pub bytes: u64,
}

/// What the insights have not seen yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RefreshScope {
    /// Plays since the last cut.
    Plays,
    /// Those, and the catalog.
    Catalog,
    /// All plays that were ever taken in, and the catalog.
    Everything,
}

/// Header of `_rejects`.
pub const REJECTS_HEADER: &[u8] = b"file,line,byte_offset,reason,raw\n";
/// How long there must have been no news until what is no news is saved.
const QUIET: Duration = Duration::from_millis(500);
/// After a flush no other begins for as long as it took, so that a state whose files take longer
/// to write than the interval does not stop the reading.
const REST: u32 = 1;

impl Coordinator {
    /// An owner of what was taken in before.
    pub fn new(parts: CoordinatorDeps, loaded: Loaded) -> Self {
        let catalog = Arc::clone(&parts.versions.borrow());
        Self {
            ledger: Arc::new(loaded.ledger),
            sealing: None,
            before: (loaded.inputs.rows(), loaded.inputs.bytes(), loaded.inputs.len()),
            inputs: loaded.inputs,
            user_order: Arc::default(),
            song_order: Arc::default(),
            catalog,
            catalog_rejects: loaded.catalog_rejects,
            published: BTreeMap::new(),
            changes: Arc::default(),
            manifest: None,
            news: true,
            week: Week(i64::MIN),
            quiet_since: Instant::now(),
            settings_taken: 0,
            listeners: ListenerSet::default(),
            unpublished_since: None,
            parts,
        }
    }

    /// Runs until the stream ends, then publishes what is left to publish.
    ///
    /// # Errors
    /// The first thing that cannot be written.
    pub async fn run(
        mut self,
        mut decoded: impl Stream<Item = Event<Decoded>> + Unpin,
    ) -> Result<RunSummary, Error> {
        self.note_catalog()?;
        let mut tick = ticks(self.parts.settings.flush_interval.0);
        let mut heartbeat = ticks(HEARTBEAT);
        if let Some(resumed) = self.parts.resumed.take() {
            self.resume(resumed).await?;
            self.report_status();
        }
        loop {
            tokio::select! {
                next = decoded.next() => match next {
                    Some(decoded) => self.apply(decoded).await?,
                    None => break,
                },
                _ = tick.tick(), if self.parts.producer == RunMode::Watch => {
                    match self.flush_news().await? {
                        Some(took) => {
                            let until_next = self.parts.settings.flush_interval.0.saturating_sub(took);
                            tick.reset_after(until_next.max(took * REST));
                            self.report_status();
                        }
                        None => self.save_in_quiet()?,
                    }
                }
                _ = heartbeat.tick() => self.report_status(),
                Ok(()) = self.parts.live.settings.changed() => {
                    self.take_settings().await?;
                    tick = ticks(self.parts.settings.flush_interval.0);
                }
            }
        }
        self.flush_news().await?;
        let manifest = self.manifest.expect("the beginning is news, so there was a cut");
        Ok(RunSummary {
            manifest,
            plays: self.ledger.plays(),
            rows: self.inputs.rows() - self.before.0,
            bytes: self.inputs.bytes() - self.before.1,
        })
    }

    async fn apply(&mut self, decoded: Event<Decoded>) -> Result<(), Error> {
        let since;
        let mut batch = match decoded {
            Event::Grown(input, size) => {
                self.inputs.record_size(&input, size);
                self.measure_inputs();
                return Ok(());
            }
            Event::Identified(input, fingerprint) => {
                self.inputs.record_fingerprint(&input, fingerprint);
                return Ok(());
            }
            Event::Advanced(input, position) => {
                if position.state == ReaderState::Finished {
                    self.parts.live.metrics.files_completed.inc();
                }
                self.inputs.advance(&input, position);
                return Ok(());
            }
            // Nothing is published: what an earlier run has left is better than a part.
            Event::Failed(failure) => return Err(failure),
            Event::Data(Decoded { batch, read_at }) => {
                since = read_at;
                batch
            }
        };
        let (rows, bytes) = (self.inputs.rows(), self.inputs.bytes());
        let counts = self.inputs.apply(&mut batch, &self.catalog.catalog);
        self.measure(&batch, self.inputs.rows() - rows, self.inputs.bytes() - bytes);
        if !counts || self.inputs.rows() == rows {
            return Ok(());
        }
        self.news = true;
        self.unpublished_since.get_or_insert(since);
        let rejects = reject_lines(&batch.input.label, &batch.rejects);
        if !rejects.is_empty() {
            tokio::task::block_in_place(|| self.parts.rejects.append(&rejects))?;
        }
        let batch = Arc::new(*batch);
        if let Some(enriched) = &self.parts.tasks.enriched {
            let message = EnrichedMessage::Batch(Arc::clone(&batch));
            self.parts.live.metrics.send("enrich", enriched, message).await.map_err(|_| ended())?;
        }
        Arc::make_mut(&mut self.ledger).append(&batch);
        if self.ledger.listens().is_full() {
            self.finish_sealing().await;
            let full = Arc::make_mut(&mut self.ledger).tables_mut().listens.take_unsealed();
            self.sealing = Some(spawn_blocking(move || full.seal()));
        }
        Ok(())
    }

    /// Counts what a batch has brought.
    fn measure(&self, batch: &Batch, rows: u64, bytes: u64) {
        self.parts.progress.advance(rows, bytes);
        let metrics = &self.parts.live.metrics;
        metrics.events.inc_by(rows);
        metrics.bytes_read.inc_by(bytes);
        for reject in &batch.rejects {
            metrics.events_rejected.with_label_values(&[reject.reason.code()]).inc();
        }
        self.measure_inputs();
    }

    /// Puts back the listens that are being sealed, so that they can be read.
    async fn finish_sealing(&mut self) {
        if let Some(sealing) = self.sealing.take() {
            let sealed = sealing.await.expect("sealing does not panic");
            Arc::make_mut(&mut self.ledger).tables_mut().listens.put_back(sealed);
        }
    }

    /// Publishes a cut if there is news, and says how long that took.
    async fn flush_news(&mut self) -> Result<Option<Duration>, Error> {
        let week = self.week_of_now();
        let follows_week = self.parts.settings.follows_current_week();
        let new_week = follows_week && week != self.week;
        let newer_catalog = self.newer_catalog();
        if !self.news && !new_week && newer_catalog.is_none() {
            return Ok(None);
        }
        let began = Instant::now();
        self.week = week;
        if let Some(version) = newer_catalog {
            self.catalog = version;
            self.note_catalog()?;
            self.flush(RefreshScope::Catalog).await?;
        } else {
            self.flush(if self.manifest.is_none() { RefreshScope::Catalog } else { RefreshScope::Plays })
                .await?;
        }
        self.parts.live.metrics.flush_duration.observe(began.elapsed().as_secs_f64());
        self.news = false;
        self.quiet_since = Instant::now();
        Ok(Some(began.elapsed()))
    }

    fn week_of_now(&self) -> Week {
        let now = self.parts.clock.now();
        Week::of_local(now + i64::from(self.parts.settings.timezone.0.offset_at(now)))
    }

    /// The newest catalog, if it is another than the one in force.
    fn newer_catalog(&self) -> Option<Arc<CatalogVersion>> {
        let newest = self.parts.versions.borrow();
        let newer = newest.catalog.fingerprint() != self.catalog.catalog.fingerprint();
        newer.then(|| Arc::clone(&newest))
    }

    /// Goes on from what an earlier process has committed: what it has not published any more is
    /// published now. If the catalog or a setting has changed since, that is news.
    async fn resume(&mut self, resumed: Resumed) -> Result<(), Error> {
        self.week = self.week_of_now();
        self.published = resumed.insights;
        let enabled: Vec<&str> = self.enabled();
        self.published.retain(|name, _| enabled.contains(&name.as_str()));
        let staged = self.stage(RefreshScope::Everything).await?;
        let taken = tokio::task::block_in_place(|| {
            let manifest = self.manifest_of(&staged)?;
            if !manifest.says_the_same(&resumed.manifest) || self.parts.epoch.0 != resumed.manifest.epoch {
                return self.commit(staged, manifest);
            }
            self.publish(staged)?;
            if !resumed.published {
                Manifest::publish(
                    &self.parts.disk,
                    &self.parts.settings.output,
                    &resumed.manifest.to_text(),
                )?;
            }
            self.manifest = Some(resumed.manifest);
            self.publish_epoch();
            self.retire()
        });
        self.news = false;
        taken
    }

    async fn flush(&mut self, new: RefreshScope) -> Result<(), Error> {
        let staged = self.stage(new).await?;
        tokio::task::block_in_place(|| {
            let manifest = self.manifest_of(&staged)?;
            self.commit(staged, manifest)
        })
    }

    /// Takes note of the catalog in force: its metadata, and its bad rows that none before it had.
    fn note_catalog(&mut self) -> Result<(), Error> {
        let known = |reject: &&Reject| !self.catalog_rejects.contains(&(reject.reason, reject.raw.clone()));
        let new: Vec<Reject> = self.catalog.rejects.iter().filter(known).cloned().collect();
        self.catalog_rejects.extend(new.iter().map(|reject| (reject.reason, reject.raw.clone())));
        if let Some(committer) = &mut self.parts.committer {
            if self.parts.tasks.enriched.is_some() {
                committer.note_catalog(&self.catalog.catalog, &self.parts.dictionaries);
            }
            committer.note_catalog_rejects(&new);
        }
        if new.is_empty() {
            return Ok(());
        }
        let lines = reject_lines(&path_text(&self.parts.settings.songs), &new);
        tokio::task::block_in_place(|| self.parts.rejects.append(&lines))
    }
}

/// The lines of `_rejects` for rejects of one file.
pub fn reject_lines(file: &str, rejects: &[Reject]) -> Vec<u8> {
    let mut lines = Vec::new();
    for reject in rejects {
        push_cell(&mut lines, file.as_bytes());
        for number in [reject.line, reject.offset] {
            lines.push(b',');
            push_integer(&mut lines, number);
        }
        lines.push(b',');
        lines.extend_from_slice(reject.reason.code().as_bytes());
        lines.push(b',');
        push_cell(&mut lines, escape_bytes(&reject.raw).as_bytes());
        lines.push(b'\n');
    }
    lines
}

/// A task has ended before its time; what it died of is said where tasks are joined.
fn ended() -> Error {
    Error::Bug("a task has ended unexpectedly".to_owned())
}

/// Where the folders of an output are that a killed run may have left temporary files in.
pub fn output_folders(output: &Path) -> impl Iterator<Item = PathBuf> {
    let names = NAMES.into_iter().chain([REJECTS]);
    let parquet = NAMES.map(|name| folder_of(output, name));
    names.map(|name| output.join(name)).chain(parquet).chain([output.to_owned()])
}
