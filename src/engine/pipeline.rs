//! The pipeline of a run. It connects the source, the decoders, the coordinator and the workers.
//!
//! All channels between the stages are bounded. A slow stage therefore slows down all earlier stages,
//! including the source that reads the files. At shutdown, the source ends first. Then the channels close
//! one after another.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::catalog::Catalog;
use crate::catalog::load::Rows;
use crate::catalog::reload::{self, CatalogVersion};
use crate::engine::coordinator::{
    ControlHandles, Coordinator, CoordinatorDeps, Locks, RunContext, RunSummary,
};
use crate::engine::periods::PeriodTables;
use crate::engine::recovery::{self, CommittedTables, Recovered};
use crate::engine::rendering::Renderer;
use crate::engine::run_mode::RunMode;
use crate::engine::tally::Acceptance;
use crate::engine::workers::{EnrichedWorker, InsightWorkers};
use crate::ingest::source::EventSender;
use crate::ingest::source::watch::Resume;
use crate::insights::enriched_logs::{self, EnrichedLogs};
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;
use crate::publish::append_only::{AppendOnlyWriter, TableCheck};
use crate::publish::cleanup::remove_temporary_files;
use crate::publish::epoch::Published;
use crate::publish::rejects::REJECTS_HEADER;
use crate::publish::{OutputFormats, REJECTS};
use crate::settings::Settings;
use crate::state::checkpoint::recover::StartOptions;
use crate::state::unmatched::UnmatchedPlays;
use crate::storage::failpoint::fail_point;
use crate::storage::{SharedDisk, create_folder};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::progress::Progress;
use crate::time::clock::Clock;
use crate::time::date_range::DateRange;

pub use crate::engine::decoding::spawn_source;

/// A run from a source to an output folder.
#[derive(Debug)]
pub struct Pipeline {
    /// The settings.
    pub settings: Settings,
    /// The file system of the output and the state.
    pub disk: SharedDisk,
    /// The command that runs the engine.
    pub mode: RunMode,
    /// The dates of the plays that count.
    pub dates: DateRange,
    /// What the run requires of its rows; `None` if the run is accepted whatever it rejects.
    pub acceptance: Option<Acceptance>,
    /// The clock. In a `replay` it stands still.
    pub clock: Clock,
    /// Whether to start from an empty state, and whether to accept an older generation.
    pub options: StartOptions,
    /// The progress bar.
    pub progress: Arc<Progress>,
    /// The connections to the rest of the program.
    pub control: ControlHandles,
}

impl Pipeline {
    /// Runs until the source ends.
    ///
    /// # Errors
    /// The first input that cannot be read, or the first file that cannot be written.
    pub async fn run<S>(self, source: S) -> Result<RunSummary, Error>
    where
        S: FnOnce(&EventSender, Resume) -> Result<(), Error> + Send + 'static,
    {
        let Self { settings, disk, mode, dates, acceptance, clock, options, progress, control } = self;
        // The catalog is read before anything is written. If it is missing, the output stays unchanged.
        let rows = reload::read(&settings.songs, &settings.catalog_dialect()).await?;
        let locks = take_locks(&disk, &settings, mode)?;
        let dictionaries = Arc::new(Dictionaries::default());
        let recovered = tokio::task::block_in_place(|| match mode {
            RunMode::Replay => recovery::replay(&disk, &settings, options),
            RunMode::Watch => recovery::watch(&disk, &settings, options, &dictionaries),
        })?;
        let songs_before = recovered.published.manifest().map_or(0, |manifest| manifest.catalog.songs);
        if rows.is_empty() && songs_before > 0 && !options.allow_empty {
            return Err(Error::Damaged(reload::lost_all_songs(&settings.songs, songs_before)));
        }
        remove_temporary_files(&disk, &settings.output)?;
        let versions =
            start_catalog(rows, &settings, mode, &dictionaries, &control.metrics, options.allow_empty);

        let Recovered { mut loaded, committer, unmatched, mut published, tables } = recovered;
        let committed = std::mem::take(&mut loaded.periods);
        let periods = PeriodTables::new(&disk, &settings, committed, mode == RunMode::Watch);
        let (rejects, check) = AppendOnlyWriter::resume_or_begin(
            &disk,
            &settings.output.join(REJECTS),
            REJECTS_HEADER,
            u64::MAX,
            &tables.rejects,
            tables.accept_loss,
        )?;
        note_check(&mut published, REJECTS, check);
        let catalog = Arc::clone(&versions.borrow().catalog);
        let (enriched, enriched_thread) = match enriched_worker(
            &disk,
            &settings,
            &tables,
            &mut published,
            unmatched,
            catalog,
            &dictionaries,
        )? {
            Some(worker) => {
                let (sender, thread) = worker.start();
                (Some(sender), Some(thread))
            }
            None => (None, None),
        };
        fail_point("recover.done");
        disk.wait_for_room();
        let workers = InsightWorkers::start(&disk, &settings, enriched);

        let (retirable, retirable_inputs) = std::sync::mpsc::channel();
        let resume =
            Resume { inputs: loaded.inputs.known(), retirable: retirable_inputs, fresh: options.fresh };
        let source = move |events: &EventSender| source(events, resume);
        let renderer = workers.has_enriched().then(|| Renderer::new(versions.clone()));
        let (events, source_thread) =
            spawn_source(&settings, dates, &dictionaries, &control.metrics, renderer, source);

        let accept_missing_output = options.accept_missing_output;
        let context =
            RunContext { settings, mode, dates, acceptance, clock, accept_missing_output, progress, control };
        let deps = CoordinatorDeps {
            context,
            dictionaries,
            periods,
            workers,
            versions,
            rejects,
            published,
            committer,
            retirable,
            locks,
        };
        let mut coordinator = Coordinator::new(deps, loaded);
        let outcome = coordinator.run(events).await;
        // The workers end now. The folders stay locked until all threads have ended.
        let _locks = coordinator.into_locks();

        // If a thread has failed, its error caused the error of the coordinator. The run returns the error of
        // the thread.
        join(source_thread).await?;
        if let Some(thread) = enriched_thread {
            join(thread).await??;
        }
        outcome
    }
}

/// Locks the folders that the run writes to.
fn take_locks(disk: &SharedDisk, settings: &Settings, mode: RunMode) -> Result<Locks, Error> {
    let lock = |folder: &Path| {
        create_folder(&**disk, folder)?;
        disk.lock(folder)
    };
    let output = lock(&settings.output)?;
    let state = (mode == RunMode::Watch).then(|| lock(&settings.state)).transpose()?;
    Ok(Locks { output, state })
}

/// Notes whether the committed files of an append-only table were missing.
fn note_check(published: &mut Published, table: &str, check: TableCheck) {
    match check {
        TableCheck::InPlace => {}
        TableCheck::Restored => published.note_damage(),
        TableCheck::RowsLost => published.note_rows_lost(table),
    }
}

/// Builds the catalog. In a `watch`, a task sends a new version whenever the file changes.
fn start_catalog(
    rows: Rows,
    settings: &Settings,
    mode: RunMode,
    dictionaries: &Arc<Dictionaries>,
    metrics: &Arc<Metrics>,
    allow_empty: bool,
) -> watch::Receiver<Arc<CatalogVersion>> {
    let (sender, versions) = watch::channel(Arc::new(reload::build(rows, dictionaries)));
    if mode == RunMode::Watch {
        tokio::spawn(reload::watch_catalog(
            settings.songs.clone(),
            settings.catalog_dialect(),
            Arc::clone(dictionaries),
            sender,
            Arc::clone(metrics),
            allow_empty,
        ));
    }
    versions
}

/// The worker that continues the committed table `enriched_logs`; `None` if the insight is disabled.
fn enriched_worker(
    disk: &SharedDisk,
    settings: &Settings,
    tables: &CommittedTables,
    published: &mut Published,
    unmatched: Option<UnmatchedPlays>,
    catalog: Arc<Catalog>,
    dictionaries: &Arc<Dictionaries>,
) -> Result<Option<EnrichedWorker>, Error> {
    let config = &settings.insights.enriched_logs;
    if !config.enabled {
        return Ok(None);
    }
    let (table, check) = AppendOnlyWriter::resume_or_begin(
        disk,
        &settings.output.join(enriched_logs::NAME),
        enriched_logs::HEADER,
        config.roll_bytes.0,
        &tables.enriched,
        tables.accept_loss,
    )?;
    note_check(published, enriched_logs::NAME, check);
    // While the program was down, the catalog may have gained songs of unmatched plays. The worker therefore
    // starts with an empty catalog. The first cut then brings the current catalog, and the worker appends the
    // plays of those songs.
    let first_catalog = if published.manifest().is_some() { Arc::default() } else { catalog };
    let insight = EnrichedLogs::new(first_catalog);
    let known = published.files(enriched_logs::NAME).filter(|_| check != TableCheck::RowsLost);
    let parquet = known.map_or(&[][..], |entry| &entry.parquet);
    let formats = OutputFormats::of(settings);
    let worker = EnrichedWorker::new(insight, table, unmatched, Arc::clone(dictionaries), formats);
    Ok(Some(worker.with_parquet(parquet)))
}

/// Waits for a thread.
async fn join<T>(thread: JoinHandle<T>) -> Result<T, Error> {
    thread.await.map_err(|cause| Error::Bug(format!("a thread has panicked: {cause}")))
}
