//! The wiring: the only file that makes channels and spawns tasks.
//!
//! Every channel is bounded, so whoever is behind slows down those before it, up to the reading of
//! files. The end of the source closes the channels one after the other.

use std::any::Any;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::catalog::reload;
use crate::engine::coordinator::{
    ControlHandles, Coordinator, CoordinatorDeps, Decoded, REJECTS_HEADER, RunMode, RunSummary,
    SnapshotTasks, Tasks, output_folders,
};
use crate::engine::recovery::{self, Recovered};
use crate::engine::workers::{EnrichedMessage, EnrichedTask, take_snapshots};
use crate::ingest::decode::Decoder;
use crate::ingest::source::watch::Resume;
use crate::ingest::source::{Event, EventSender};
use crate::insights::Insight;
use crate::insights::enriched_logs::{self, EnrichedLogs};
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;
use crate::model::{Batch, Chunk};

use crate::publish::rolling_file::RollingFile;
use crate::publish::{OutputFormats, REJECTS};
use crate::settings::Settings;
use crate::state::checkpoint::recover::StartOptions;
use crate::storage::failpoint::fail_point;
use crate::storage::{SharedDisk, create_folder, is_temporary, remove_from};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::progress::Progress;
use crate::time::clock::Clock;

/// Events between the source and the decoders: one that is read while another waits.
const SOURCE_QUEUE: usize = 2;
/// Batches that are decoded or on the way to it: the owner looks after other things from time to
/// time, and there should be work for it and for the decoders whenever it comes back.
const DECODED_QUEUE: usize = 4;
/// Batches that wait to be enriched: enough to bridge the sealing of a run of the ledger.
const ENRICHED_QUEUE: usize = 4;
/// Requests for a snapshot: a cut is answered before the next is made.
const SNAPSHOT_QUEUE: usize = 1;

/// A run from a source to an output folder.
#[derive(Debug)]
pub struct Pipeline {
    /// The settings.
    pub settings: Settings,
    /// Where files are written.
    pub disk: SharedDisk,
    /// Who runs it.
    pub producer: RunMode,
    /// What time it is.
    pub clock: Clock,
    /// How a start deals with what is there.
    pub options: StartOptions,
    /// Where progress is shown.
    pub progress: Arc<Progress>,
    /// What reaches the run while it goes on.
    pub live: ControlHandles,
}

impl Pipeline {
    /// Runs a source through everything until it ends.
    ///
    /// # Errors
    /// The first thing that cannot be read or written.
    pub async fn run<S>(self, source: S) -> Result<RunSummary, Error>
    where
        S: FnOnce(&EventSender, Resume) -> Result<(), Error> + Send + 'static,
    {
        let Self { settings, disk, producer, clock, options, progress, live } = self;
        // A catalog that is missing leaves no trace in the output.
        let rows = reload::read(&settings.songs, settings.input.delimiter).await?;
        let _locks = take_locks(&disk, &settings, producer)?;
        let dictionaries = Arc::new(Dictionaries::default());
        let start = tokio::task::block_in_place(|| match producer {
            RunMode::Replay => recovery::replay(&disk, &settings, options),
            RunMode::Watch => recovery::watch(&disk, &settings, options, &dictionaries),
        })?;
        for folder in output_folders(&settings.output) {
            remove_from(&*disk, &folder, is_temporary)?;
        }
        let version = Arc::new(reload::build(rows, &dictionaries));
        let catalog = Arc::clone(&version.catalog);
        let (sender, versions) = watch::channel(version);
        if producer == RunMode::Watch {
            tokio::spawn(reload::watch_catalog(
                settings.songs.clone(),
                settings.input.delimiter,
                Arc::clone(&dictionaries),
                sender,
                Arc::clone(&live.metrics),
            ));
        }

        let Recovered { loaded, committer, unmatched, resumed, epoch, logs } = start;
        let folder = settings.output.join(REJECTS);
        let rejects = RollingFile::resume(&disk, &folder, REJECTS_HEADER, u64::MAX, &logs.rejects)?;
        let (enriched, enriched_task) = if settings.insights.enriched_logs.enabled {
            let folder = settings.output.join(enriched_logs::NAME);
            let roll_bytes = settings.insights.enriched_logs.roll_bytes.0;
            let log = RollingFile::resume(&disk, &folder, enriched_logs::HEADER, roll_bytes, &logs.enriched)?;
            // After a restart, plays may wait for songs of a catalog that has come meanwhile: the first
            // cut brings it, and with it those plays.
            let insight = EnrichedLogs::new(if resumed.is_some() { Arc::default() } else { catalog });
            let published = resumed.as_ref().and_then(|resumed| resumed.insights.get(enriched_logs::NAME));
            let parquet = published.map_or(&[][..], |entry| &entry.parquet);
            let (sender, task) = spawn_enriched(
                EnrichedTask::new(
                    insight,
                    log,
                    unmatched,
                    Arc::clone(&dictionaries),
                    OutputFormats::of(&settings),
                )
                .with_parquet(parquet),
            );
            (Some(sender), Some(task))
        } else {
            (None, None)
        };
        fail_point("recover.done");
        disk.wait_for_room();
        let snapshots = spawn_insights(&disk, &settings);
        let (retirable, settled_receiver) = std::sync::mpsc::channel();
        let resume =
            Resume { inputs: loaded.inputs.known(), retirable: settled_receiver, fresh: options.fresh };
        let source = move |events: &EventSender| source(events, resume);
        let (decoded, source) = spawn_source(&settings, &dictionaries, &live.metrics, source);
        let tasks = Tasks { snapshots, enriched };
        let parts = CoordinatorDeps {
            settings,
            disk,
            producer,
            clock,
            dictionaries,
            tasks,
            versions,
            rejects,
            epoch,
            progress,
            committer,
            resumed,
            retirable,
            live,
            spawn_insights,
        };
        let outcome = Coordinator::new(parts, loaded).run(decoded).await;

        // A task that failed is the cause of what its neighbours say.
        source.await.map_err(|cause| died(&cause))?;
        if let Some(task) = enriched_task {
            task.await.map_err(|cause| died(&cause))??;
        }
        outcome
    }
}

/// Held until the run is over.
type Locks = Vec<Box<dyn Any + Send>>;

/// Takes the locks of all folders that are written.
fn take_locks(disk: &SharedDisk, settings: &Settings, producer: RunMode) -> Result<Locks, Error> {
    let state = (producer == RunMode::Watch).then_some(&settings.state);
    let folders = [&settings.output].into_iter().chain(state);
    folders
        .map(|folder| {
            create_folder(&**disk, folder)?;
            disk.lock(folder)
        })
        .collect()
}

/// Starts a source and the decoders behind it.
pub fn spawn_source<S>(
    settings: &Settings,
    dictionaries: &Arc<Dictionaries>,
    metrics: &Arc<Metrics>,
    source: S,
) -> (impl tokio_stream::Stream<Item = Event<Decoded>> + Unpin + use<S>, JoinHandle<()>)
where
    S: FnOnce(&EventSender) -> Result<(), Error> + Send + 'static,
{
    let (sender, events) = mpsc::channel(SOURCE_QUEUE);
    let source = spawn_blocking(move || {
        let events = EventSender::new(sender);
        if let Err(failure) = source(&events) {
            // If nobody listens any more, there was a failure before this one.
            let _ = events.send(Event::Failed(failure));
        }
    });
    let decoder = Arc::new(Decoder {
        dictionaries: Arc::clone(dictionaries),
        zone: settings.timezone.0.clone(),
        max_future: settings.input.max_future.0.as_secs() as i64,
    });
    let (sender, decoding) = mpsc::channel(DECODED_QUEUE);
    tokio::spawn(decode_all(events, decoder, settings.decoders(), sender, Arc::clone(metrics)));
    let decoded = ReceiverStream::new(decoding).then(|event: Event<Decoding>| event.then(Decoding::join));
    (Box::pin(decoded), source)
}

/// A chunk that is being decoded.
struct Decoding {
    batch: JoinHandle<Batch>,
    read_at: SystemTime,
}

impl Decoding {
    /// Starts to decode a chunk as soon as there is a permit.
    async fn start(chunk: Chunk, decoder: &Arc<Decoder>, permits: &Arc<Semaphore>) -> Self {
        let read_at = SystemTime::now();
        let permit = Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed");
        let decoder = Arc::clone(decoder);
        let batch = spawn_blocking(move || {
            let batch = decoder.decode(chunk);
            drop(permit);
            batch
        });
        Self { batch, read_at }
    }

    /// Waits for the batch.
    async fn join(self) -> Decoded {
        Decoded { batch: Box::new(self.batch.await.expect("decoding does not panic")), read_at: self.read_at }
    }
}

/// Decodes several chunks of a source in parallel, ahead of the coordinator, and sends them on in order.
async fn decode_all(
    mut events: mpsc::Receiver<Event>,
    decoder: Arc<Decoder>,
    at_a_time: usize,
    decoding: mpsc::Sender<Event<Decoding>>,
    metrics: Arc<Metrics>,
) {
    let permits = Arc::new(Semaphore::new(at_a_time));
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            // Nobody listens any more; letting go of the events tells the source.
            () = decoding.closed() => None,
        };
        let Some(event) = event else { return };
        let next = event.then(|chunk| Decoding::start(chunk, &decoder, &permits)).await;
        if metrics.send("apply", &decoding, next).await.is_err() {
            return;
        }
    }
}

/// Starts the task of each enabled insight that takes snapshots.
fn spawn_insights(disk: &SharedDisk, settings: &Settings) -> SnapshotTasks {
    let spawn = |insight: Box<dyn Insight>| {
        let (sender, requests) = mpsc::channel(SNAPSHOT_QUEUE);
        let (name, disk, output) = (insight.name(), disk.clone(), settings.output.clone());
        let formats = OutputFormats::of(settings);
        spawn_blocking(move || take_snapshots(insight, &disk, &output, formats, requests));
        (name, sender)
    };
    settings.insights.enabled_snapshots().into_iter().map(spawn).collect()
}

/// The way to the task of `enriched_logs`, and its end.
type EnrichedHandle = (mpsc::Sender<EnrichedMessage>, JoinHandle<Result<(), Error>>);

fn spawn_enriched(task: EnrichedTask) -> EnrichedHandle {
    let (sender, messages) = mpsc::channel(ENRICHED_QUEUE);
    (sender, spawn_blocking(move || task.run(messages)))
}

fn died(cause: &tokio::task::JoinError) -> Error {
    Error::Bug(format!("a task has died: {cause}"))
}
