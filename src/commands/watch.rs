//! `music-insights watch`: insights as rows arrive.

use std::sync::Arc;
use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::checkpoint::recover::Wishes;
use crate::cli::WatchArgs;
use crate::clock::Clock;
use crate::commands::hangup::Hangup;
use crate::commands::{run_until_stopped, say, summary};
use crate::disk::real::RealDisk;
use crate::dispatch::{Live, Producer};
use crate::failure::{Exit, Failure};
use crate::pipeline::Pipeline;
use crate::progress::Progress;
use crate::pulse::Pulse;
use crate::source::finished::PutAway;
use crate::source::tail::LastLines;
use crate::source::watch::{Rules, Watch, check_folder};
use crate::stop::Stop;
use crate::supervisor::Supervisor;

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
    let rules = Rules {
        folder: settings.incoming.clone(),
        last_lines: LastLines { wait: input.last_line_wait.0, once: args.once },
        put_away: PutAway {
            disk: disk.clone(),
            when_done: input.when_done,
            archive_dir: input.archive_dir.clone(),
            after: input.done_after.0,
        },
    };
    let source = {
        let stop = stop.clone();
        move |outlet: &_, resume| Watch::new(rules, resume)?.run(outlet, &stop)
    };
    let (sender, settings_to_come) = watch::channel(Arc::new(settings.clone()));
    let pipeline = Pipeline {
        settings: settings.clone(),
        disk,
        producer: Producer::Watch,
        clock: Clock::System,
        wishes: Wishes { rollback: args.rollback, fresh: args.fresh },
        progress: Arc::new(Progress::silent()),
        live: Live { pulse: pulse.clone(), settings: settings_to_come },
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
