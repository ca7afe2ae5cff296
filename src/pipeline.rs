//! The wiring: the only file that makes channels and spawns tasks.
//!
//! Every channel is bounded, so whoever is behind slows down those before it, up to the reading of
//! files. The end of the source closes the channels one after the other.

use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_stream::wrappers::ReceiverStream;

use crate::clock::Clock;
use crate::decode::Decoder;
use crate::dispatch::{Decoded, Dispatch, Outcome, Parts, Producer, REJECTS_HEADER, Tasks, output_folders};
use crate::failure::{Exit, Failure};
use crate::insights::Insight;
use crate::insights::avg_listen_time_per_song::AvgListenTimePerSong;
use crate::insights::enriched_logs::{self, EnrichedLogs};
use crate::insights::genre_loyalty_scores::GenreLoyaltyScores;
use crate::insights::happy_recommendations::HappyRecommendations;
use crate::insights::night_owl_users::NightOwlUsers;
use crate::insights::top_songs_this_week::TopSongsThisWeek;
use crate::insights::user_favorite_genres::UserFavoriteGenres;
use crate::model::Epoch;
use crate::names::Names;
use crate::output::REJECTS;
use crate::output::disk::{is_temporary, remove_from};
use crate::output::lock::Lock;
use crate::output::log::PartedLog;
use crate::output::manifest::Manifest;
use crate::progress::Progress;
use crate::reload;
use crate::settings::Settings;
use crate::source::{Event, Outlet};
use crate::tasks::{EnrichedMessage, EnrichedTask, take_snapshots};
use crate::waiting::WaitingPlays;

/// Events between the source and the decoders: one that is read while another waits.
const SOURCE_QUEUE: usize = 2;
/// Batches that wait to be enriched: enough to bridge the sealing of a run of the ledger.
const ENRICHED_QUEUE: usize = 16;
/// Requests for a snapshot: a cut is answered before the next is made.
const SNAPSHOT_QUEUE: usize = 1;

/// A run from a source to an output folder.
#[derive(Debug)]
pub struct Pipeline {
    /// The settings.
    pub settings: Settings,
    /// Who runs it.
    pub producer: Producer,
    /// What time it is.
    pub clock: Clock,
    /// Whether the output of a `watch` may be replaced.
    pub fresh: bool,
    /// Where progress is shown.
    pub progress: Arc<Progress>,
}

impl Pipeline {
    /// Runs a source through everything until it ends.
    ///
    /// # Errors
    /// The first thing that cannot be read or written.
    pub async fn run<S>(self, source: S) -> Result<Outcome, Failure>
    where
        S: FnOnce(&Outlet) -> Result<(), Failure> + Send + 'static,
    {
        let Self { settings, producer, clock, fresh, progress } = self;
        // A catalog that is missing leaves no trace in the output.
        let names = Arc::new(Names::default());
        let version = Arc::new(reload::load(&settings.songs, &names).await?);
        let _lock = Lock::take(&settings.output)?;
        let epoch = check_producer(&settings.output, producer, fresh)?;
        for folder in output_folders(&settings.output) {
            remove_from(&folder, is_temporary)?;
        }
        let catalog = Arc::clone(&version.catalog);
        let (sender, versions) = watch::channel(version);
        let _state_lock = match producer {
            Producer::Replay => None,
            Producer::Watch => {
                tokio::spawn(reload::follow(settings.songs.clone(), Arc::clone(&names), sender));
                Some(Lock::take(&settings.state)?)
            }
        };

        let rejects = PartedLog::begin(&settings.output.join(REJECTS), REJECTS_HEADER, u64::MAX)?;
        let (enriched, enriched_task) = if settings.insights.enriched_logs.enabled {
            let waiting = match producer {
                Producer::Replay => None,
                Producer::Watch => Some(WaitingPlays::create(&settings.state)?),
            };
            let (sender, task) = spawn_enriched(&settings, EnrichedLogs::new(catalog), waiting, &names)?;
            (Some(sender), Some(task))
        } else {
            (None, None)
        };
        let snapshots = spawn_insights(&settings);
        let (decoded, source) = spawn_source(&settings, &names, source);
        let tasks = Tasks { snapshots, enriched };
        let parts = Parts { settings, producer, clock, names, tasks, versions, rejects, epoch, progress };
        let dispatch = Dispatch::new(parts);
        let outcome = dispatch.run(decoded).await;

        // A task that failed is the cause of what its neighbours say.
        source.await.map_err(|cause| died(&cause))?;
        if let Some(task) = enriched_task {
            task.await.map_err(|cause| died(&cause))??;
        }
        outcome
    }
}

/// Starts a source and the decoders behind it.
pub fn spawn_source<S>(
    settings: &Settings,
    names: &Arc<Names>,
    source: S,
) -> (impl tokio_stream::Stream<Item = Decoded> + Unpin + use<S>, JoinHandle<()>)
where
    S: FnOnce(&Outlet) -> Result<(), Failure> + Send + 'static,
{
    let (sender, events) = mpsc::channel(SOURCE_QUEUE);
    let source = spawn_blocking(move || {
        let outlet = Outlet::new(sender);
        if let Err(failure) = source(&outlet) {
            // If nobody listens any more, there was a failure before this one.
            let _ = outlet.send(Event::Failed(failure));
        }
    });
    let decoder = Arc::new(Decoder {
        names: Arc::clone(names),
        zone: settings.timezone.0.clone(),
        max_future: settings.input.max_future.0.as_secs() as i64,
    });
    let decode = move |event| {
        let decoder = Arc::clone(&decoder);
        async move {
            match event {
                Event::Size(input, size) => Decoded::Size(input, size),
                Event::Passed(input, offset) => Decoded::Passed(input, offset),
                Event::Failed(failure) => Decoded::Failed(failure),
                Event::Chunk(chunk) => {
                    let batch = spawn_blocking(move || decoder.decode(chunk)).await;
                    Decoded::Batch(Box::new(batch.expect("decoding does not panic")))
                }
            }
        }
    };
    // One more than there are decoders, so that none waits for the owner to fetch its batch.
    let batches = ReceiverStream::new(events).map(decode).buffered(settings.decoders() + 1);
    (Box::pin(batches), source)
}

/// Starts the task of each enabled insight that takes snapshots.
fn spawn_insights(settings: &Settings) -> Vec<(&'static str, mpsc::Sender<crate::tasks::SnapshotRequest>)> {
    let insights = &settings.insights;
    let all: [(bool, Box<dyn Insight>); 6] = [
        (
            insights.user_favorite_genres.enabled,
            Box::new(UserFavoriteGenres::new(insights.user_favorite_genres.clone())),
        ),
        (
            insights.avg_listen_time_per_song.enabled,
            Box::new(AvgListenTimePerSong::new(insights.avg_listen_time_per_song.clone())),
        ),
        (
            insights.top_songs_this_week.enabled,
            Box::new(TopSongsThisWeek::new(insights.top_songs_this_week.clone())),
        ),
        (
            insights.happy_recommendations.enabled,
            Box::new(HappyRecommendations::new(insights.happy_recommendations.clone())),
        ),
        (
            insights.genre_loyalty_scores.enabled,
            Box::new(GenreLoyaltyScores::new(insights.genre_loyalty_scores.clone())),
        ),
        (insights.night_owl_users.enabled, Box::new(NightOwlUsers::new(insights.night_owl_users.clone()))),
    ];
    let enabled = all.into_iter().filter(|(enabled, _)| *enabled);
    enabled
        .map(|(_, insight)| {
            let (sender, requests) = mpsc::channel(SNAPSHOT_QUEUE);
            let (name, output) = (insight.name(), settings.output.clone());
            spawn_blocking(move || take_snapshots(insight, &output, requests));
            (name, sender)
        })
        .collect()
}

/// The way to the task of `enriched_logs`, and its end.
type EnrichedHandle = (mpsc::Sender<EnrichedMessage>, JoinHandle<Result<(), Failure>>);

fn spawn_enriched(
    settings: &Settings,
    insight: EnrichedLogs,
    waiting: Option<WaitingPlays>,
    names: &Arc<Names>,
) -> Result<EnrichedHandle, Failure> {
    let folder = settings.output.join(enriched_logs::NAME);
    let roll_bytes = settings.insights.enriched_logs.roll_bytes.0;
    let log = PartedLog::begin(&folder, enriched_logs::HEADER, roll_bytes)?;
    let task = EnrichedTask::new(insight, log, waiting, Arc::clone(names));
    let (sender, messages) = mpsc::channel(ENRICHED_QUEUE);
    Ok((sender, spawn_blocking(move || task.run(messages))))
}

/// Whether this producer may write where another has; returns the epoch to go on from.
fn check_producer(output: &Path, producer: Producer, fresh: bool) -> Result<Epoch, Failure> {
    let manifest = match Manifest::read(output) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => return Ok(Epoch(0)),
        // Whoever wants everything anew does not care for what was there.
        Err(_) if fresh => return Ok(Epoch(0)),
        Err(failure) => return Err(failure),
    };
    if manifest.producer != Producer::Watch.name() {
        return Ok(Epoch(0));
    }
    if producer == Producer::Replay && !fresh {
        let message = format!(
            "{} is the output of a watch; name another with --output, or replace it with --fresh",
            output.display()
        );
        return Err(Failure::new(Exit::Config, message));
    }
    Ok(Epoch(if producer == Producer::Watch { manifest.epoch } else { 0 }))
}

fn died(cause: &tokio::task::JoinError) -> Failure {
    Failure::new(Exit::Software, format!("a task has died: {cause}"))
}
