//! `music-insights watch`: insights as rows arrive.

use std::sync::Arc;
use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::state::checkpoint::recover::Wishes;
use crate::cli::args::WatchArgs;
use crate::time::clock::Clock;
use crate::cli::commands::settings_reload::Hangup;
use crate::cli::commands::{run_until_stopped, say, summary};
use crate::storage::real::RealDisk;
use crate::engine::coordinator::{Live, Producer};
use crate::model::error::{Exit, Failure};
use crate::serve::http::{Access, Server, Sources, read_token};
use crate::telemetry::metrics::Meters;
use crate::engine::pipeline::Pipeline;
use crate::telemetry::progress::Progress;
use crate::telemetry::heartbeat::Pulse;
use crate::settings::{Http, Settings};
use crate::ingest::source::archive::PutAway;
use crate::ingest::source::tail::LastLines;
use crate::ingest::source::watch::{Rules, Watch, check_folder};
use crate::model::shutdown::Stop;
use crate::telemetry::systemd::Supervisor;

/// Runs the command.
///
/// # Errors
/// The first thing that is missing, or cannot be read or written.
pub fn run(args: &WatchArgs) -> Result<(), Failure> {
    let began = Instant::now();
    let settings = args.settings()?;
    settings.check_folders()?;
    check_folder(&settings.incoming)?;
    let stop = Stop::default();
    let pulse = Pulse::default();
    let disk = RealDisk::durable_with(stop.clone(), pulse.clone());
    let input = &settings.input;
    let meters: Arc<Meters> = Arc::default();
    let rules = Rules {
        folder: settings.incoming.clone(),
        delimiter: input.delimiter,
        last_lines: LastLines { wait: input.last_line_wait.0, once: args.once },
        put_away: PutAway {
            disk: disk.clone(),
            when_done: input.when_done,
            archive_dir: input.archive_dir.clone(),
            after: input.done_after.0,
        },
        meters: Arc::clone(&meters),
    };
    let source = {
        let stop = stop.clone();
        move |outlet: &_, resume| Watch::new(rules, resume)?.run(outlet, &stop)
    };
    let (views, looking) = watch::channel(None);
    let sources = Sources {
        views: looking,
        meters: Arc::clone(&meters),
        disk: disk.clone(),
        standings: pulse.feel(),
        settings: settings.clone(),
    };
    // Whoever waits for the end has nothing to look at.
    let server = if args.once { None } else { serve(&settings, sources)? };
    let (sender, settings_to_come) = watch::channel(Arc::new(settings.clone()));
    let pipeline = Pipeline {
        settings: settings.clone(),
        disk,
        producer: Producer::Watch,
        clock: Clock::System,
        wishes: Wishes { rollback: args.rollback, fresh: args.fresh },
        progress: Arc::new(Progress::silent()),
        live: Live {
            pulse: pulse.clone(),
            settings: settings_to_come,
            meters,
            views: server.is_some().then_some(views),
        },
    };
    let supervisor = Arc::new(Supervisor::default());
    let hangup = Hangup {
        args: args.clone(),
        settings: settings.clone(),
        sender,
        standings: pulse.feel(),
        supervisor: Arc::clone(&supervisor),
    };
    tracing::info!("watching {}, publishing to {}", settings.incoming.display(), settings.output.display());
    let run = async {
        let failed = |cause| Failure::new(Exit::Software, format!("cannot listen for signals: {cause}"));
        let hangups = signal(SignalKind::hangup()).map_err(failed)?;
        tokio::spawn(hangup.follow(hangups));
        let (told, standings, stop) = (Arc::clone(&supervisor), pulse.feel(), stop.clone());
        tokio::spawn(async move { told.follow(standings, stop).await });
        let outcome = pipeline.run(source).await;
        supervisor.stopping();
        outcome
    };
    let outcome = run_until_stopped(&settings, &stop, run)?;
    say(&summary(&outcome, &settings, began.elapsed()))
}

/// Starts to serve the page, unless it is switched off.
fn serve(settings: &Settings, sources: Sources) -> Result<Option<Server>, Failure> {
    let Http::On(address) = &settings.http else { return Ok(None) };
    let token = settings.http_token_file.as_deref().map(read_token).transpose()?;
    let hosts = settings.http_hosts.split(',').map(|host| host.trim().to_owned());
    let hosts = hosts.filter(|host| !host.is_empty()).collect();
    match Server::start(address, Access::new(token, hosts), sources) {
        Ok(server) => {
            tracing::info!("dashboard at http://{}", server.address());
            Ok(Some(server))
        }
        // Somebody else's dashboard is no reason to leave plays alone, if nobody has asked for ours.
        Err(failure) if settings.http == Settings::default().http && failure.exit == Exit::Io => {
            tracing::warn!("{failure}; going on without a dashboard");
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}
