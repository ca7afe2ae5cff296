//! `music-insights watch`: insights as rows arrive.

use std::sync::Arc;
use std::time::Instant;

use crate::checkpoint::recover::Wishes;
use crate::cli::WatchArgs;
use crate::clock::Clock;
use crate::commands::{run_until_stopped, say, summary};
use crate::disk::real::RealDisk;
use crate::dispatch::Producer;
use crate::failure::Failure;
use crate::pipeline::Pipeline;
use crate::progress::Progress;
use crate::source::finished::PutAway;
use crate::source::tail::LastLines;
use crate::source::watch::{Rules, Watch, check_folder};
use crate::stop::Stop;

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
    let disk = RealDisk::durable(stop.clone());
    let input = &settings.input;
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
    };
    let source = {
        let stop = stop.clone();
        move |outlet: &_, resume| Watch::new(rules, resume)?.run(outlet, &stop)
    };
    let pipeline = Pipeline {
        settings: settings.clone(),
        disk,
        producer: Producer::Watch,
        clock: Clock::System,
        wishes: Wishes { rollback: args.rollback, fresh: args.fresh },
        progress: Arc::new(Progress::silent()),
    };
    tracing::info!("watching {}, publishing to {}", settings.incoming.display(), settings.output.display());
    let outcome = run_until_stopped(&settings, &stop, pipeline.run(source))?;
    say(&summary(&outcome, &settings, began.elapsed()))
}
