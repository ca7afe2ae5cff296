//! The stages before the coordinator: a source in its own thread, and the decoders that follow it.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};

use crate::engine::rendering::{RenderedRows, Renderer};
use crate::ingest::decode::Decoder;
use crate::ingest::source::{Event, EventSender};
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;
use crate::model::{Batch, Chunk};
use crate::settings::Settings;
use crate::telemetry::metrics::Metrics;
use crate::time::date_range::DateRange;

/// Maximum number of events that wait for the decoders. The source reads the next chunk while these events
/// wait.
const SOURCE_QUEUE: usize = 2;
/// Maximum number of batches that are being decoded or wait for the coordinator. The queue keeps the decoders
/// busy during a flush. After the flush, the queue keeps the coordinator busy.
const DECODED_QUEUE: usize = 4;

/// The payload of an [`Event`] after decoding.
#[derive(Debug)]
pub struct Decoded {
    /// The plays and rejects of a chunk.
    pub batch: Box<Batch>,
    /// The enriched rows of the plays; `None` without a renderer.
    pub rendered: Option<RenderedRows>,
    /// The time at which the source read the chunk. The program measures freshness from this time.
    pub read_at: SystemTime,
}

/// Starts a source and its decoders. Only plays within `dates` count. With a renderer, the decoders also render
/// the enriched rows. Returns the decoded events in the order of the source, and the handle of the source's
/// thread.
pub fn spawn_source<S>(
    settings: &Settings,
    dates: DateRange,
    dictionaries: &Arc<Dictionaries>,
    metrics: &Arc<Metrics>,
    renderer: Option<Renderer>,
    source: S,
) -> (impl Stream<Item = Event<Decoded>> + Unpin + use<S>, JoinHandle<()>)
where
    S: FnOnce(&EventSender) -> Result<(), Error> + Send + 'static,
{
    let (sender, events) = mpsc::channel(SOURCE_QUEUE);
    let source = spawn_blocking(move || {
        let events = EventSender::new(sender);
        if let Err(error) = source(&events) {
            // The channel is closed only if the engine has already failed. The run then reports that failure.
            let _ = events.send(Event::Failed(error));
        }
    });
    let decoder = Decoder {
        dictionaries: Arc::clone(dictionaries),
        zone: settings.timezone.0.clone(),
        max_future: settings.input.max_future.0.as_secs() as i64,
        dialect: settings.dialect(),
        dates,
    };
    let stage = Arc::new(DecodeStage { decoder, renderer });
    let (sender, decoding) = mpsc::channel(DECODED_QUEUE);
    tokio::spawn(decode_all(events, stage, settings.decoders(), sender, Arc::clone(metrics)));
    let batches = ReceiverStream::new(decoding).then(|event: Event<Decoding>| event.then(Decoding::join));
    (Box::pin(batches), source)
}

/// What is done with each chunk.
struct DecodeStage {
    decoder: Decoder,
    renderer: Option<Renderer>,
}

impl DecodeStage {
    fn process(&self, chunk: Chunk) -> (Batch, Option<RenderedRows>) {
        let batch = self.decoder.decode(chunk);
        let rendered = self.renderer.as_ref().map(|renderer| renderer.render(&batch));
        (batch, rendered)
    }
}

/// A chunk that is being decoded.
struct Decoding {
    batch: JoinHandle<(Batch, Option<RenderedRows>)>,
    read_at: SystemTime,
}

impl Decoding {
    /// Starts to decode a chunk as soon as a permit is free.
    async fn start(chunk: Chunk, stage: &Arc<DecodeStage>, permits: &Arc<Semaphore>) -> Self {
        let read_at = SystemTime::now();
        let permit = Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed");
        let stage = Arc::clone(stage);
        let batch = spawn_blocking(move || {
            let batch = stage.process(chunk);
            drop(permit);
            batch
        });
        Self { batch, read_at }
    }

    /// Waits for the batch.
    async fn join(self) -> Decoded {
        let (batch, rendered) = self.batch.await.expect("decoding does not panic");
        Decoded { batch: Box::new(batch), rendered, read_at: self.read_at }
    }
}

/// Decodes up to `parallel` chunks at the same time, and sends the batches to the coordinator in order.
async fn decode_all(
    mut events: mpsc::Receiver<Event>,
    stage: Arc<DecodeStage>,
    parallel: usize,
    decoding: mpsc::Sender<Event<Decoding>>,
    metrics: Arc<Metrics>,
) {
    let permits = Arc::new(Semaphore::new(parallel));
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            // The coordinator has ended. Dropping `events` stops the source.
            () = decoding.closed() => None,
        };
        let Some(event) = event else { return };
        let next = event.then(|chunk| Decoding::start(chunk, &stage, &permits)).await;
        if metrics.send("apply", &decoding, next).await.is_err() {
            return;
        }
    }
}
