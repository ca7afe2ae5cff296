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
use crate::clock::Clock;
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
use crate::text::{escape_bytes, path_text, push_cell, push_integer};
use crate::values::WeekChoice;

/// What reaches the owner.
#[derive(Debug)]
pub enum Decoded {
    /// An input has so many bytes by now.
    Size(Arc<Input>, u64),
    /// An input was read to this offset, bytes without rows included.
    Passed(Arc<Input>, u64),
    /// The source cannot go on.
    Failed(Failure),
    /// More plays and rejects.
    Batch(Box<Batch>),
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

/// The channels to the tasks of the insights.
#[derive(Debug)]
pub struct Tasks {
    /// Those that take snapshots, by name.
    pub snapshots: Vec<(&'static str, mpsc::Sender<SnapshotRequest>)>,
    /// The one that appends, if it is enabled.
    pub enriched: Option<mpsc::Sender<EnrichedMessage>>,
}

/// What the owner works with.
#[derive(Debug)]
pub struct Parts {
    /// The settings.
    pub settings: Settings,
    /// Who writes the output.
    pub producer: Producer,
    /// Tells which week it is.
    pub clock: Clock,
    /// The dictionaries, which the decoders share.
    pub names: Arc<Names>,
    /// The insights.
    pub tasks: Tasks,
    /// The catalog, and those to come.
    pub versions: watch::Receiver<Arc<CatalogVersion>>,
    /// A fresh log for rejected rows.
    pub rejects: PartedLog,
    /// The last epoch that a reader has seen.
    pub epoch: Epoch,
    /// Where progress is shown.
    pub progress: Arc<Progress>,
}

/// The owner.
#[derive(Debug)]
pub struct Dispatch {
    parts: Parts,
    ledger: Arc<Ledger>,
    inputs: Inputs,
    user_order: Arc<Order<UserId>>,
    song_order: Arc<Order<SongId>>,
    catalog: Arc<CatalogVersion>,
    /// Bad rows of the catalog in force; a later version does not report them again.
    catalog_rejects: HashSet<(Reason, Vec<u8>)>,
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
    /// An owner without plays.
    pub fn new(parts: Parts) -> Self {
        let catalog = Arc::clone(&parts.versions.borrow());
        Self {
            ledger: Arc::new(Ledger::new(parts.settings.insights.night_owl_users.window())),
            inputs: Inputs::new(parts.settings.input.max_bad_lines),
            parts,
            user_order: Arc::default(),
            song_order: Arc::default(),
            catalog,
            catalog_rejects: HashSet::new(),
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
        let mut tick = interval(self.parts.settings.flush_interval.0);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once, when there is nothing to publish but emptiness.
        tick.tick().await;
        loop {
            tokio::select! {
                next = decoded.next() => match next {
                    Some(decoded) => self.apply(decoded).await?,
                    None => break,
                },
                _ = tick.tick(), if self.parts.producer == Producer::Watch => {
                    if let Some(took) = self.flush_news(&mut manifest).await? {
                        tick.reset_after(self.parts.settings.flush_interval.0.max(took * REST));
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
            Decoded::Passed(input, offset) => {
                self.inputs.pass(&input, offset);
                return Ok(());
            }
            // Nothing is published: what an earlier run has left is better than a part.
            Decoded::Failed(failure) => return Err(failure),
            Decoded::Batch(batch) => batch,
        };
        let (rows, bytes) = (self.inputs.rows(), self.inputs.bytes());
        let counts = self.inputs.take(&mut batch, &self.catalog.catalog);
        self.parts.progress.advance(self.inputs.rows() - rows, self.inputs.bytes() - bytes);
        if !counts || self.inputs.rows() == rows {
            return Ok(());
        }
        self.news = true;
        self.parts.rejects.append(&reject_lines(&batch.input.label, &batch.rejects))?;
        let batch = Arc::new(*batch);
        if let Some(enriched) = &self.parts.tasks.enriched {
            enriched.send(EnrichedMessage::Batch(Arc::clone(&batch))).await.map_err(|_| ended())?;
        }
        Arc::make_mut(&mut self.ledger).observe(&batch);
        Ok(())
    }

    /// Publishes a cut if there is news, and says how long that took.
    async fn flush_news(&mut self, manifest: &mut Option<Manifest>) -> Result<Option<Duration>, Failure> {
        let now = self.parts.clock.now();
        let week = Week::of_local(now + i64::from(self.parts.settings.timezone.0.offset_at(now)));
        let follows_week = self.parts.settings.insights.top_songs_this_week.week == WeekChoice::Current;
        let new_week = follows_week && week != self.week;
        let newer_catalog = self.newer_catalog();
        if !self.news && !new_week && newer_catalog.is_none() {
            return Ok(None);
        }
        let began = Instant::now();
        self.week = week;
        *manifest = Some(self.flush(newer_catalog).await?);
        self.news = false;
        Ok(Some(began.elapsed()))
    }

    /// The newest catalog, if it is another than the one in force.
    fn newer_catalog(&self) -> Option<Arc<CatalogVersion>> {
        let newest = self.parts.versions.borrow();
        let newer = newest.catalog.fingerprint() != self.catalog.catalog.fingerprint();
        newer.then(|| Arc::clone(&newest))
    }

    async fn flush(&mut self, newer_catalog: Option<Arc<CatalogVersion>>) -> Result<Manifest, Failure> {
        let new_catalog = newer_catalog.is_some() || self.published.is_empty();
        if let Some(version) = newer_catalog {
            let old = std::mem::replace(&mut self.catalog, version);
            self.report_catalog_rejects(&old.rejects)?;
        }
        self.parts.epoch = Epoch(self.parts.epoch.0 + 1);
        let cut = tokio::task::block_in_place(|| self.cut(new_catalog));
        let entries = self.publish(Arc::new(cut)).await?;
        let unmatched = self.unmatched();
        tokio::task::block_in_place(|| {
            self.published = entries;
            let manifest = self.manifest(unmatched)?;
            manifest.publish(&self.parts.settings.output)?;
            Ok(manifest)
        })
    }

    fn cut(&mut self, new_catalog: bool) -> Cut {
        let changes = Arc::make_mut(&mut self.ledger).cut();
        Arc::make_mut(&mut self.user_order).extend(&self.parts.names.users.read());
        Arc::make_mut(&mut self.song_order).extend(&self.parts.names.songs.read());
        Cut {
            ledger: Arc::clone(&self.ledger),
            changes: Arc::new(changes),
            catalog: Arc::clone(&self.catalog.catalog),
            new_catalog,
            names: Arc::clone(&self.parts.names),
            user_order: Arc::clone(&self.user_order),
            song_order: Arc::clone(&self.song_order),
            current_week: self.week,
        }
    }

    /// Lets every insight write what has changed, then makes all of it visible.
    async fn publish(&mut self, cut: Arc<Cut>) -> Result<BTreeMap<String, InsightEntry>, Failure> {
        let mut answers = Vec::new();
        for (name, requests) in &self.parts.tasks.snapshots {
            let (answer, answered) = oneshot::channel();
            let cut = Arc::clone(&cut);
            requests.send(SnapshotRequest { cut, answer }).await.map_err(|_| ended())?;
            answers.push((*name, answered));
        }
        drop(cut);
        let mut parts = None;
        if let Some(enriched) = &self.parts.tasks.enriched {
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
            remove_from(&self.parts.settings.output.join(name), |file| is_part(file) || is_temporary(file))?;
        }
        Ok(())
    }

    fn manifest(&mut self, unmatched: u64) -> Result<Manifest, Failure> {
        let catalog = &self.catalog.catalog;
        let mut rejected = ReasonCounts::new();
        count(&mut rejected, &self.catalog.rejects);
        Ok(Manifest {
            version: Manifest::version(),
            producer: self.parts.producer.name().to_owned(),
            epoch: self.parts.epoch.0,
            generated_at: DateTime::<Utc>::from(SystemTime::now())
                .to_rfc3339_opts(SecondsFormat::Millis, true),
            totals: self.inputs.totals(unmatched),
            unfinished: self.inputs.unfinished(),
            catalog: CatalogEntry {
                path: path_text(&self.parts.settings.songs),
                songs: catalog.len(),
                rejected: by_code(&rejected),
                fingerprint: hash_text(catalog.fingerprint()),
            },
            insights: self.published.clone(),
            rejects: InsightEntry::new(self.parts.rejects.publish()?),
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
        self.parts.rejects.append(&reject_lines(&path_text(&self.parts.settings.songs), &new))
    }
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
