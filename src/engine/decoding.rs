//! The stages before the coordinator: a source in its own thread, and the decoders that follow it.

use std::sync::Arc;
use std::time::SystemTime;

use futures::{Stream, StreamExt, stream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_stream::wrappers::ReceiverStream;

use crate::engine::rendering::{RenderedRows, Renderer};
use crate::ingest::decode::Decoder;
use crate::ingest::source::{Bundle, Event, EventSender};
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;
use crate::model::{Batch, Chunk};
use crate::settings::Settings;
use crate::telemetry::metrics::Metrics;
use crate::time::date_range::DateRange;

/// Maximum number of bundles that wait for the decoders. The source reads the next bundle while these bundles
/// wait.
const SOURCE_QUEUE: usize = 2;
/// Maximum number of bundles that are being decoded or wait for the coordinator. The queue keeps the decoders
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
    let bundles = ReceiverStream::new(decoding).then(Decoding::join);
    (Box::pin(bundles.flat_map(stream::iter)), source)
}

/// What is done with each chunk.
struct DecodeStage {
    decoder: Decoder,
    renderer: Option<Renderer>,
}

impl DecodeStage {
    fn decode_bundle(&self, bundle: Bundle, read_at: SystemTime) -> DecodedBundle {
        let decode = |chunk: Chunk| {
            let batch = self.decoder.decode(chunk);
            let rendered = self.renderer.as_ref().map(|renderer| renderer.render(&batch));
            Decoded { batch: Box::new(batch), rendered, read_at }
        };
        bundle.into_iter().map(|event| event.map(decode)).collect()
    }
}

/// A bundle after decoding.
type DecodedBundle = Vec<Event<Decoded>>;

/// A bundle that is being decoded.
enum Decoding {
    /// The bundle has nothing to decode.
    Done(DecodedBundle),
    Running(JoinHandle<DecodedBundle>),
}

impl Decoding {
    /// Starts to decode a bundle as soon as a permit is free.
    async fn start(bundle: Bundle, stage: &Arc<DecodeStage>, permits: &Arc<Semaphore>) -> Self {
        let read_at = SystemTime::now();
        if !bundle.iter().any(|event| matches!(event, Event::Data(_))) {
            return Self::Done(stage.decode_bundle(bundle, read_at));
        }
        let permit = Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed");
        let stage = Arc::clone(stage);
        Self::Running(spawn_blocking(move || {
            let decoded = stage.decode_bundle(bundle, read_at);
            drop(permit);
            decoded
        }))
    }

    /// Waits for the batches.
    async fn join(self) -> DecodedBundle {
        match self {
            Self::Done(decoded) => decoded,
            Self::Running(thread) => thread.await.expect("decoding does not panic"),
        }
    }
}

/// Decodes up to `parallel` bundles at the same time, and sends the batches to the coordinator in order.
async fn decode_all(
    mut bundles: mpsc::Receiver<Bundle>,
    stage: Arc<DecodeStage>,
    parallel: usize,
    decoding: mpsc::Sender<Decoding>,
    metrics: Arc<Metrics>,
) {
    let permits = Arc::new(Semaphore::new(parallel));
    loop {
        let bundle = tokio::select! {
            bundle = bundles.recv() => bundle,
            // The coordinator has ended. Dropping `bundles` stops the source.
            () = decoding.closed() => None,
        };
        let Some(bundle) = bundle else { return };
        let next = Decoding::start(bundle, &stage, &permits).await;
        if metrics.send("apply", &decoding, next).await.is_err() {
            return;
        }
    }
}
