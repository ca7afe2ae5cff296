//! `music-insights replay`: finished logs to insights.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::checkpoint::recover::Wishes;
use crate::cli::ReplayArgs;
use crate::clock::Clock;
use crate::commands::{run_until_stopped, say, summary};
use crate::disk::real::RealDisk;
use crate::dispatch::{Live, Producer};
use crate::failure::Failure;
use crate::pipeline::Pipeline;
use crate::progress::{Progress, Unit};
use crate::settings::Settings;
use crate::source::compressed::Storage;
use crate::source::lines::CHUNK;
use crate::source::replay::{Replay, find_logs};
use crate::source::stdin::is_stdin;
use crate::stop::Stop;

/// Runs the command.
///
/// # Errors
/// The first thing that is missing, or cannot be read or written.
pub fn run(args: ReplayArgs) -> Result<(), Failure> {
    let began = Instant::now();
    let settings = args.settings()?;
    let logs = find_arguments(args.logs, &settings)?;
    let now = args.now.unwrap_or_else(|| Clock::System.now());
    let progress = Arc::new(Progress::new(bytes_of(&logs), Unit::Bytes));
    let (delimiter, stop) = (settings.input.delimiter, Stop::default());
    let source = {
        let stop = stop.clone();
        move |outlet: &_, _| Replay { logs, delimiter, now, chunk: CHUNK }.run(outlet, &stop)
    };
    let pipeline = Pipeline {
        settings: settings.clone(),
        disk: RealDisk::quick(),
        producer: Producer::Replay,
        clock: Clock::Stopped(now),
        wishes: Wishes { fresh: args.fresh, rollback: false },
        progress: Arc::clone(&progress),
        live: Live::alone(&settings),
    };
    let outcome = run_until_stopped(&settings, &stop, pipeline.run(source))?;
    progress.finish();
    if stop.is_set() {
        tracing::warn!("stopped before the end: the output holds only what was read until then");
    }
    say(&summary(&outcome, &settings, began.elapsed()))
}

/// The logs that the arguments name, or those of the incoming folder.
///
/// # Errors
/// The first argument that names nothing.
pub fn find_arguments(mut arguments: Vec<PathBuf>, settings: &Settings) -> Result<Vec<PathBuf>, Failure> {
    if arguments.is_empty() {
        arguments.push(settings.incoming.clone());
    }
    let logs = find_logs(&arguments)?;
    if logs.is_empty() {
        tracing::warn!("{}: there are no logs", arguments[0].display());
    }
    Ok(logs)
}

/// The bytes to read, if no log is compressed or stdin, for then nobody knows.
fn bytes_of(logs: &[PathBuf]) -> Option<u64> {
    let sizes = logs.iter().map(|path| match Storage::of(path) {
        _ if is_stdin(path) => None,
        Storage::Plain => path.metadata().ok().map(|metadata| metadata.len()),
        Storage::Gzip | Storage::Zstd | Storage::Parquet => None,
    });
    sizes.sum()
}
