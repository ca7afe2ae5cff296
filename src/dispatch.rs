//! The owner of the state: takes in batches in order, and at a cut lets all insights publish.
//!
//! One loop, no locks: something happens, and it is applied. Everything that depends on the order
//! of events is decided here.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::{Stream, StreamExt};

use crate::civil::Week;
use crate::failure::{Exit, Failure};
use crate::inputs::{Inputs, ReasonCounts, by_code, count};
use crate::insights::{Cut, NAMES, enriched_logs};
use crate::ledger::Ledger;
use crate::model::{Batch, Epoch, Input, Reason, Reject, SongId, UserId};
use crate::names::{Names, Order};
use crate::output::disk::{is_part, is_temporary, remove_from};
use crate::output::log::PartedLog;
use crate::output::manifest::{CatalogEntry, InsightEntry, Manifest, hash_text};
use crate::progress::Progress;
use crate::reload::CatalogVersion;
use crate::settings::Settings;
use crate::tasks::{EnrichedMessage, SnapshotRequest};
use crate::text::{escape_bytes, push_cell, push_integer};
use crate::values::WeekChoice;

/// What reaches the owner.
#[derive(Debug)]
pub enum Decoded {
    /// An input has so many bytes by now.
    Size(Arc<Input>, u64),
    /// More plays and rejects.
    Batch(Batch),
}

/// Who writes the output, which decides when there is a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Producer {
    /// One cut, at the end.
    Replay,
    /// A cut at every interval with news, and at the end.
    Watch,
}

impl Producer {
    /// How the manifest calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Watch => "watch",
        }
    }
}

/// The clock that decides which week it is; `replay --now` stops it.
pub type Clock = Box<dyn Fn() -> i64 + Send>;

/// The channels to the tasks of the insights.
#[derive(Debug)]
pub struct Tasks {
    /// Those that take snapshots, by name.
    pub snapshots: Vec<(&'static str, mpsc::Sender<SnapshotRequest>)>,
    /// The one that appends, if it is enabled.
    pub enriched: Option<mpsc::Sender<EnrichedMessage>>,
}

/// The owner.
pub struct Dispatch {
    settings: Settings,
    producer: Producer,
    clock: Clock,
    names: Arc<Names>,
    tasks: Tasks,
    versions: watch::Receiver<Arc<CatalogVersion>>,
    progress: Arc<Progress>,
    ledger: Arc<Ledger>,
    inputs: Inputs,
    user_order: Arc<Order<UserId>>,
    song_order: Arc<Order<SongId>>,
    catalog: Arc<CatalogVersion>,
    /// Bad rows of the catalog in force; a later version does not report them again.
    catalog_rejects: HashSet<(Reason, Vec<u8>)>,
    rejects: PartedLog,
    epoch: Epoch,
    published: BTreeMap<String, InsightEntry>,
    /// Whether anything has happened since the last cut that a reader would see.
    news: bool,
    week: Week,
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// The last manifest.
    pub manifest: Manifest,
    /// Plays taken in.
    pub plays: u64,
}

/// Header of `_rejects`.
pub const REJECTS_HEADER: &[u8] = b"file,line,byte_offset,reason,raw\n";
/// After a flush no other begins for as long as it took, so that a state whose files take longer
/// to write than the interval does not stop the reading.
const REST: u32 = 1;

impl Dispatch {
    /// An owner without plays. `rejects` is a fresh log; `last_epoch` is what a reader has seen.
    #[allow(clippy::too_many_arguments, reason = "called once, from the wiring")]
    pub fn new(
        settings: Settings,
        producer: Producer,
        clock: Clock,
        names: Arc<Names>,
        tasks: Tasks,
        mut versions: watch::Receiver<Arc<CatalogVersion>>,
        rejects: PartedLog,
        last_epoch: Epoch,
        progress: Arc<Progress>,
    ) -> Self {
        let window = settings.insights.night_owl_users.window();
        let catalog = Arc::clone(&versions.borrow_and_update());
        Self {
            inputs: Inputs::new(settings.input.max_bad_lines),
            settings,
            producer,
            clock,
            names,
            tasks,
            versions,
            progress,
            ledger: Arc::new(Ledger::new(window)),
            user_order: Arc::default(),
            song_order: Arc::default(),
            catalog,
            catalog_rejects: HashSet::new(),
            rejects,
            epoch: last_epoch,
            published: BTreeMap::new(),
            news: true,
            week: Week(i64::MIN),
        }
    }

    /// Runs until the stream ends, then publishes what is left to publish.
    ///
    /// # Errors
    /// The first thing that cannot be written.
    pub async fn run(mut self, mut decoded: impl Stream<Item = Decoded> + Unpin) -> Result<Outcome, Failure> {
        self.report_catalog_rejects(&[])?;
        let mut manifest = None;
        let mut tick = interval(self.settings.flush_interval.0);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once, when there is nothing to publish but emptiness.
        tick.tick().await;
        loop {
            tokio::select! {
                next = decoded.next() => match next {
                    Some(decoded) => self.apply(decoded).await?,
                    None => break,
                },
                _ = tick.tick(), if self.producer == Producer::Watch => {
                    if let Some(took) = self.flush_news(&mut manifest).await? {
                        tick.reset_after(self.settings.flush_interval.0.max(took * REST));
                    }
                }
            }
        }
        self.flush_news(&mut manifest).await?;
        let manifest = manifest.expect("the beginning is news, so there was a cut");
        Ok(Outcome { manifest, plays: self.ledger.plays() })
    }

    async fn apply(&mut self, decoded: Decoded) -> Result<(), Failure> {
        let mut batch = match decoded {
            Decoded::Size(input, size) => {
                self.inputs.grow(&input, size);
                return Ok(());
            }
            Decoded::Batch(batch) => batch,
        };
        let (rows, bytes) = (self.inputs.rows(), self.inputs.bytes());
        let counts = self.inputs.take(&mut batch, &self.catalog.catalog);
        self.progress.advance(self.inputs.rows() - rows, self.inputs.bytes() - bytes);
        if !counts || self.inputs.rows() == rows {
            return Ok(());
        }
        self.news = true;
        self.rejects.append(&reject_lines(&batch.input.label, &batch.rejects))?;
        let batch = Arc::new(batch);
        if let Some(enriched) = &self.tasks.enriched {
            enriched.send(EnrichedMessage::Batch(Arc::clone(&batch))).await.map_err(|_| ended())?;
        }
        Arc::make_mut(&mut self.ledger).observe(&batch);
        Ok(())
    }

    /// Publishes a cut if there is news, and says how long that took.
    async fn flush_news(&mut self, manifest: &mut Option<Manifest>) -> Result<Option<Duration>, Failure> {
        let week =
            Week::of_local((self.clock)() + i64::from(self.settings.timezone.0.offset_at((self.clock)())));
        let follows_week = self.settings.insights.top_songs_this_week.week == WeekChoice::Current;
        let new_week = follows_week && week != self.week;
        let new_catalog = self.versions.has_changed().unwrap_or(false);
        if !self.news && !new_week && !new_catalog {
            return Ok(None);
        }
        let began = Instant::now();
        self.week = week;
        *manifest = Some(self.flush().await?);
        self.news = false;
        Ok(Some(began.elapsed()))
    }

    async fn flush(&mut self) -> Result<Manifest, Failure> {
        let first = self.published.is_empty();
        let version = Arc::clone(&self.versions.borrow_and_update());
        let new_catalog = !Arc::ptr_eq(&version, &self.catalog);
        if new_catalog {
            let old = std::mem::replace(&mut self.catalog, version);
            self.report_catalog_rejects(&old.rejects)?;
        }
        self.epoch = Epoch(self.epoch.0 + 1);
        let cut = tokio::task::block_in_place(|| self.cut(new_catalog || first));
        let entries = self.publish(Arc::new(cut)).await?;
        let unmatched = self.unmatched();
        tokio::task::block_in_place(|| {
            self.published = entries;
            let manifest = self.manifest(unmatched)?;
            manifest.publish(&self.settings.output)?;
            Ok(manifest)
        })
    }

    fn cut(&mut self, new_catalog: bool) -> Cut {
        let changes = Arc::make_mut(&mut self.ledger).cut();
        Arc::make_mut(&mut self.user_order).extend(&self.names.users.read());
        Arc::make_mut(&mut self.song_order).extend(&self.names.songs.read());
        Cut {
            ledger: Arc::clone(&self.ledger),
            changes: Arc::new(changes),
            catalog: Arc::clone(&self.catalog.catalog),
            new_catalog,
            names: Arc::clone(&self.names),
            user_order: Arc::clone(&self.user_order),
            song_order: Arc::clone(&self.song_order),
            current_week: self.week,
        }
    }

    /// Lets every insight write what has changed, then makes all of it visible.
    async fn publish(&mut self, cut: Arc<Cut>) -> Result<BTreeMap<String, InsightEntry>, Failure> {
        let mut answers = Vec::new();
        for (name, requests) in &self.tasks.snapshots {
            let (answer, answered) = oneshot::channel();
            let cut = Arc::clone(&cut);
            requests.send(SnapshotRequest { cut, answer }).await.map_err(|_| ended())?;
            answers.push((*name, answered));
        }
        drop(cut);
        let mut parts = None;
        if let Some(enriched) = &self.tasks.enriched {
            let (answer, answered) = oneshot::channel();
            let catalog = Arc::clone(&self.catalog.catalog);
            enriched.send(EnrichedMessage::Cut { catalog, answer }).await.map_err(|_| ended())?;
            parts = Some(answered);
        }
        let mut snapshots = Vec::new();
        for (name, answered) in answers {
            snapshots.extend(answered.await.map_err(|_| ended())??.map(|snapshot| (name, snapshot)));
        }
        let mut published = self.published.clone();
        if let Some(parts) = parts {
            let parts = parts.await.map_err(|_| ended())?;
            published.insert(enriched_logs::NAME.to_owned(), InsightEntry::new(parts));
        }
        tokio::task::block_in_place(|| {
            for (name, snapshot) in snapshots {
                let before = published.get(name).map(|entry| entry.parts.as_slice());
                if before != Some(std::slice::from_ref(snapshot.entry())) {
                    published.insert(name.to_owned(), InsightEntry::new(vec![snapshot.publish()?]));
                }
            }
            self.remove_disabled(&published)?;
            Ok(published)
        })
    }

    /// Removes what an earlier run has published of insights that are disabled now.
    fn remove_disabled(&self, published: &BTreeMap<String, InsightEntry>) -> Result<(), Failure> {
        for name in NAMES.iter().filter(|&&name| !published.contains_key(name)) {
            remove_from(&self.settings.output.join(name), |file| is_part(file) || is_temporary(file))?;
        }
        Ok(())
    }

    fn manifest(&mut self, unmatched: u64) -> Result<Manifest, Failure> {
        let catalog = &self.catalog.catalog;
        let mut rejected = ReasonCounts::new();
        count(&mut rejected, &self.catalog.rejects);
        Ok(Manifest {
            version: Manifest::version(),
            producer: self.producer.name().to_owned(),
            epoch: self.epoch.0,
            generated_at: DateTime::<Utc>::from(SystemTime::now())
                .to_rfc3339_opts(SecondsFormat::Millis, true),
            totals: self.inputs.totals(unmatched),
            unfinished: self.inputs.unfinished(),
            catalog: CatalogEntry {
                path: path_text(&self.settings.songs),
                songs: catalog.len(),
                rejected: by_code(&rejected),
                fingerprint: hash_text(catalog.fingerprint()),
            },
            insights: self.published.clone(),
            rejects: InsightEntry::new(self.rejects.publish()?),
        })
    }

    /// Plays of songs that are not in the catalog.
    fn unmatched(&self) -> u64 {
        let songs = (0..self.song_order.ids().len() as u32).map(SongId);
        let unknown = songs.filter(|&song| !self.catalog.catalog.contains(song));
        unknown.map(|song| self.ledger.song_plays().total(song).plays).sum()
    }

    /// Writes the bad rows of the catalog in force that `old` did not have.
    fn report_catalog_rejects(&mut self, old: &[Reject]) -> Result<(), Failure> {
        self.catalog_rejects.extend(old.iter().map(|reject| (reject.reason, reject.raw.clone())));
        let known = |reject: &&Reject| !self.catalog_rejects.contains(&(reject.reason, reject.raw.clone()));
        let new: Vec<Reject> = self.catalog.rejects.iter().filter(known).cloned().collect();
        self.rejects.append(&reject_lines(&path_text(&self.settings.songs), &new))
    }
}

/// A path as text, as rejects and the manifest show it.
fn path_text(path: &std::path::Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    escape_bytes(path.as_os_str().as_bytes())
}

/// The lines of `_rejects` for rejects of one file.
fn reject_lines(file: &str, rejects: &[Reject]) -> Vec<u8> {
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
fn ended() -> Failure {
    Failure::new(Exit::Software, "a task has ended unexpectedly")
}

/// Where the folders of an output are that a killed run may have left temporary files in.
pub fn output_folders(output: &std::path::Path) -> impl Iterator<Item = PathBuf> {
    let names = NAMES.into_iter().chain([crate::output::REJECTS]);
    names.map(|name| output.join(name)).chain([output.to_owned()])
}
