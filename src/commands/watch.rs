//! `music-insights watch`: insights as rows arrive.

use std::sync::Arc;
use std::time::Instant;

use crate::cli::WatchArgs;
use crate::clock::Clock;
use crate::commands::{run_until_stopped, say, summary};
use crate::dispatch::Producer;
use crate::failure::Failure;
use crate::pipeline::Pipeline;
use crate::progress::Progress;
use crate::source::Stop;
use crate::source::watch::Watch;

/// Runs the command.
///
/// # Errors
/// The first thing that is missing, or cannot be read or written.
pub fn run(args: &WatchArgs) -> Result<(), Failure> {
    let began = Instant::now();
    let settings = args.settings()?;
    settings.check_folders()?;
    let watch = Watch::new(&settings.incoming, settings.input.last_line_wait.0, args.once)?;
    let stop = Stop::default();
    let source = {
        let stop = stop.clone();
        move |outlet: &_| watch.run(outlet, &stop)
    };
    let pipeline = Pipeline {
        settings: settings.clone(),
        producer: Producer::Watch,
        clock: Clock::System,
        fresh: false,
        progress: Arc::new(Progress::silent()),
    };
    tracing::info!("watching {}, publishing to {}", settings.incoming.display(), settings.output.display());
    let outcome = run_until_stopped(&settings, &stop, pipeline.run(source))?;
    say(&summary(&outcome, &settings, began.elapsed()))
}
