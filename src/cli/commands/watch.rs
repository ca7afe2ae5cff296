//! `music-insights watch`: insights as rows arrive.

use std::sync::Arc;
use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cli::args::WatchArgs;
use crate::cli::commands::settings_reload::SettingsReloader;
use crate::cli::commands::{run_until_stopped, say, summary};
use crate::engine::coordinator::{ControlHandles, RunMode};
use crate::engine::pipeline::Pipeline;
use crate::ingest::source::archive::Archiver;
use crate::ingest::source::tail::LastLines;
use crate::ingest::source::watch::{Watch, WatchOptions, check_folder};
use crate::model::error::Error;

use crate::model::shutdown::Shutdown;
use crate::serve::http::{Access, Server, Sources, read_token};
use crate::settings::{Http, Settings};
use crate::state::checkpoint::recover::StartOptions;
use crate::storage::real::RealDisk;
use crate::telemetry::heartbeat::Heartbeat;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::progress::Progress;
use crate::telemetry::systemd::ServiceNotifier;
use crate::time::clock::Clock;

/// Runs the command.
///
/// # Errors
/// The first thing that is missing, or cannot be read or written.
pub fn run(args: &WatchArgs) -> Result<(), Error> {
    let began = Instant::now();
    let settings = args.settings()?;
    settings.check_folders()?;
    check_folder(&settings.incoming)?;
    let stop = Shutdown::default();
    let heartbeat = Heartbeat::default();
    let disk = RealDisk::with_fsync_and_heartbeat(stop.clone(), heartbeat.clone());
    let input = &settings.input;
    let metrics: Arc<Metrics> = Arc::default();
    let rules = WatchOptions {
        folder: settings.incoming.clone(),
        delimiter: input.delimiter,
        last_lines: LastLines { wait: input.last_line_wait.0, once: args.once },
        archiver: Archiver {
            disk: disk.clone(),
            when_done: input.when_done,
            archive_dir: input.archive_dir.clone(),
            after: input.done_after.0,
        },
        metrics: Arc::clone(&metrics),
    };
    let source = {
        let stop = stop.clone();
        move |events: &_, resume| Watch::new(rules, resume)?.run(events, &stop)
    };
    let (epoch_sender, epochs) = watch::channel(None);
    let sources = Sources {
        epochs,
        metrics: Arc::clone(&metrics),
        disk: disk.clone(),
        engine_status: heartbeat.subscribe(),
        settings: settings.clone(),
    };
    // Whoever waits for the end has nothing to look at.
    let server = if args.once { None } else { serve(&settings, sources)? };
    let (sender, settings_to_come) = watch::channel(Arc::new(settings.clone()));
    let pipeline = Pipeline {
        settings: settings.clone(),
        disk,
        producer: RunMode::Watch,
        clock: Clock::System,
        options: StartOptions { rollback: args.rollback, fresh: args.fresh },
        progress: Arc::new(Progress::silent()),
        live: ControlHandles {
            heartbeat: heartbeat.clone(),
            settings: settings_to_come,
            metrics,
            epochs: server.is_some().then_some(epoch_sender),
        },
    };
    let supervisor = Arc::new(ServiceNotifier::default());
    let hangup = SettingsReloader {
        args: args.clone(),
        settings: settings.clone(),
        sender,
        standings: heartbeat.subscribe(),
        supervisor: Arc::clone(&supervisor),
    };
    tracing::info!("watching {}, publishing to {}", settings.incoming.display(), settings.output.display());
    let run = async {
        let failed = |cause| Error::Bug(format!("cannot listen for signals: {cause}"));
        let hangups = signal(SignalKind::hangup()).map_err(failed)?;
        tokio::spawn(hangup.follow(hangups));
        let (told, standings, stop) = (Arc::clone(&supervisor), heartbeat.subscribe(), stop.clone());
        tokio::spawn(async move { told.follow(standings, stop).await });
        let outcome = pipeline.run(source).await;
        supervisor.stopping();
        outcome
    };
    let outcome = run_until_stopped(&settings, &stop, run)?;
    say(&summary(&outcome, &settings, began.elapsed()))
}

/// Starts to serve the page, unless it is switched off.
fn serve(settings: &Settings, sources: Sources) -> Result<Option<Server>, Error> {
    let Http::On(address) = &settings.http else { return Ok(None) };
    let token = settings.http_token_file.as_deref().map(read_token).transpose()?;
    let hosts = settings.http_hosts.split(',').map(|host| host.trim().to_owned());
    let hosts = hosts.filter(|host| !host.is_empty()).collect();
    match Server::start(address, Access::new(token, hosts), sources) {
        Ok(server) => {
            tracing::info!("dashboard at http://{}", server.address());
            Ok(Some(server))
        }
        // A default address that is taken must not stop ingestion; an address from the settings must.
        Err(failure @ Error::Listen { .. }) if settings.http == Settings::default().http => {
            tracing::warn!("{failure}; going on without a dashboard");
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}
