//! `music-insights watch`: tails a folder and publishes insights as rows arrive.

use std::sync::Arc;
use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cli::args::WatchArgs;
use crate::cli::commands::print::print;
use crate::cli::commands::runtime::run_until_stopped;
use crate::cli::commands::settings_reload::SettingsReloader;
use crate::cli::commands::summary::summary;
use crate::engine::coordinator::{ControlHandles, RunMode};
use crate::engine::pipeline::Pipeline;
use crate::engine::tally::Acceptance;
use crate::ingest::source::archive::Archiver;
use crate::ingest::source::tail::{LastLines, MAX_HELD};
use crate::ingest::source::watch::{ROLL_WAIT, Watch, WatchOptions, check_folder};
use crate::model::error::Error;
use crate::model::shutdown::Shutdown;
use crate::serve::http::{Access, Server, Sources, read_token};
use crate::settings::{Http, Settings};
use crate::state::checkpoint::recover::StartOptions;
use crate::storage::descriptors;
use crate::storage::real::RealDisk;
use crate::telemetry::heartbeat::Heartbeat;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::progress::Progress;
use crate::telemetry::systemd::ServiceNotifier;
use crate::text::shown;
use crate::time::clock::Clock;
use crate::time::date_range::DateRange;

/// The logs that `watch` keeps open may take one of this many parts of the limit on open files.
const OPEN_LOGS: usize = 4;

/// Runs the pipeline and the HTTP server, reloads settings on SIGHUP, and prints a summary at the end.
///
/// # Errors
/// Invalid settings, a missing input, or a failed read or write.
pub fn run(args: &WatchArgs) -> Result<(), Error> {
    let began = Instant::now();
    let settings = args.common.settings()?;
    settings.check_folders()?;
    check_folder(&settings.incoming)?;
    descriptors::fill_reserve();
    let shutdown = Shutdown::default();
    let heartbeat = Heartbeat::default();
    let disk = RealDisk::with_fsync_and_heartbeat(shutdown.clone(), heartbeat.clone());
    let input = &settings.input;
    let metrics: Arc<Metrics> = Arc::default();
    let rules = WatchOptions {
        folder: settings.incoming.clone(),
        rules: input.folder_rules(),
        dialect: settings.dialect(),
        last_lines: LastLines { wait: input.last_line_wait.0, once: args.once },
        roll_wait: ROLL_WAIT,
        max_held: MAX_HELD,
        archiver: Archiver {
            // A separate disk, because the other one waits until writing works, and reading must not wait.
            disk: RealDisk::with_fsync(shutdown.clone()),
            when_done: input.when_done,
            archive_dir: input.archive_dir.clone(),
            after: input.done_after.0,
        },
        max_open: descriptors::share(OPEN_LOGS),
        metrics: Arc::clone(&metrics),
    };
    let source = {
        let shutdown = shutdown.clone();
        move |events: &_, resume| Watch::new(rules, resume)?.run(events, &shutdown)
    };
    let (epoch_sender, epochs) = watch::channel(None);
    let sources = Sources {
        epochs,
        metrics: Arc::clone(&metrics),
        disk: disk.clone(),
        engine_status: heartbeat.subscribe(),
        settings: settings.clone(),
    };
    // With `--once`, the program exits after publishing, so a dashboard would be useless.
    let server = if args.once { None } else { serve(&settings, sources)? };
    let (settings_sender, settings_updates) = watch::channel(Arc::new(settings.clone()));
    let pipeline = Pipeline {
        settings: settings.clone(),
        disk,
        mode: RunMode::Watch,
        dates: DateRange::default(),
        // A `watch` that runs on only warns.
        acceptance: args.once.then_some(Acceptance { strict: args.strict, allow_empty: args.allow_empty }),
        clock: Clock::System,
        options: StartOptions {
            rollback: args.rollback,
            fresh: args.fresh,
            allow_empty: args.allow_empty,
            retry_rejected: args.retry_rejected,
            accept_missing_output: args.accept_missing_output,
        },
        progress: Arc::new(Progress::silent()),
        control: ControlHandles {
            heartbeat: heartbeat.clone(),
            settings: settings_updates,
            metrics,
            epochs: server.is_some().then_some(epoch_sender),
        },
    };
    let notifier = Arc::new(ServiceNotifier::default());
    let reloader = SettingsReloader {
        args: args.common.clone(),
        settings: settings.clone(),
        sender: settings_sender,
        engine_status: heartbeat.subscribe(),
        notifier: Arc::clone(&notifier),
    };
    tracing::info!("watching {}, publishing to {}", shown(&settings.incoming), shown(&settings.output));
    let run = async {
        let failed = |cause| Error::Bug(format!("cannot listen for signals: {cause}"));
        let hangups = signal(SignalKind::hangup()).map_err(failed)?;
        tokio::spawn(reloader.run(hangups));
        let (status_notifier, status, shutdown) =
            (Arc::clone(&notifier), heartbeat.subscribe(), shutdown.clone());
        tokio::spawn(async move { status_notifier.forward(status, shutdown).await });
        let run = Box::pin(pipeline.run(source)).await;
        notifier.stopping();
        run
    };
    let run = run_until_stopped(&settings, &shutdown, run)?;
    print(&summary(&run, &settings, began.elapsed()))?;
    run.verdict
}

/// Starts the HTTP server, unless it is switched off.
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
        // If the default address cannot be used, `watch` continues without the dashboard. If the user chose
        // the address, the error ends the program.
        Err(error @ Error::Listen { .. }) if settings.http == Settings::default().http => {
            tracing::warn!("{error}; continuing without the dashboard");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
