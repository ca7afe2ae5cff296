//! `music-insights replay`: finished logs to insights.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::cli::args::ReplayArgs;
use crate::cli::commands::{run_until_stopped, say, summary};
use crate::engine::coordinator::{ControlHandles, RunMode};
use crate::engine::pipeline::Pipeline;
use crate::ingest::source::compression::Compression;
use crate::ingest::source::framing::CHUNK;
use crate::ingest::source::replay::{Replay, find_logs};
use crate::ingest::source::stdin::is_stdin;
use crate::model::error::Error;

use crate::model::shutdown::Shutdown;
use crate::settings::Settings;
use crate::state::checkpoint::recover::StartOptions;
use crate::storage::real::RealDisk;
use crate::telemetry::progress::{Progress, Unit};
use crate::time::clock::Clock;

/// Runs the command.
///
/// # Errors
/// The first thing that is missing, or cannot be read or written.
pub fn run(args: ReplayArgs) -> Result<(), Error> {
    let began = Instant::now();
    let settings = args.settings()?;
    if let Some(address) = args.cluster.clone() {
        return run_on_cluster(address, args, &settings, began);
    }
    let logs = find_arguments(args.logs, &settings)?;
    let now = args.now.unwrap_or_else(|| Clock::System.now());
    let progress = Arc::new(Progress::new(bytes_of(&logs), Unit::Bytes));
    let (delimiter, stop) = (settings.input.delimiter, Shutdown::default());
    let source = {
        let stop = stop.clone();
        move |events: &_, _| Replay { logs, delimiter, now, chunk: CHUNK }.run(events, &stop)
    };
    let pipeline = Pipeline {
        settings: settings.clone(),
        disk: RealDisk::without_fsync(),
        producer: RunMode::Replay,
        clock: Clock::Stopped(now),
        options: StartOptions { fresh: args.fresh, rollback: false },
        progress: Arc::clone(&progress),
        live: ControlHandles::alone(&settings),
    };
    let outcome = run_until_stopped(&settings, &stop, pipeline.run(source))?;
    progress.finish();
    if stop.is_requested() {
        tracing::warn!("stopped before the end: the output holds only what was read until then");
    }
    say(&summary(&outcome, &settings, began.elapsed()))
}

#[cfg(feature = "cluster")]
fn run_on_cluster(
    address: String,
    args: ReplayArgs,
    settings: &Settings,
    began: Instant,
) -> Result<(), Error> {
    let logs = if args.logs.is_empty() { vec![settings.incoming.clone()] } else { args.logs };
    let run = crate::cluster::ClusterRun {
        address,
        tables: args.tables,
        logs,
        settings: settings.clone(),
        disk: RealDisk::without_fsync(),
        options: StartOptions { fresh: args.fresh, rollback: false },
        now: args.now.unwrap_or_else(|| Clock::System.now()),
    };
    let stop = Shutdown::default();
    let outcome = run_until_stopped(settings, &stop, run.run(&stop))?;
    say(&summary(&outcome, settings, began.elapsed()))
}

#[cfg(not(feature = "cluster"))]
fn run_on_cluster(_: String, _: ReplayArgs, _: &Settings, _: Instant) -> Result<(), Error> {
    Err(crate::cli::commands::executor::without_cluster())
}

/// The logs that the arguments name, or those of the incoming folder.
///
/// # Errors
/// The first argument that names nothing.
pub fn find_arguments(mut arguments: Vec<PathBuf>, settings: &Settings) -> Result<Vec<PathBuf>, Error> {
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
    let sizes = logs.iter().map(|path| match Compression::of(path) {
        _ if is_stdin(path) => None,
        Compression::Plain => path.metadata().ok().map(|metadata| metadata.len()),
        Compression::Gzip | Compression::Zstd | Compression::Parquet => None,
    });
    sizes.sum()
}
