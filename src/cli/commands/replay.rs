//! `music-insights replay`: computes all insights from finished logs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::cli::args::ReplayArgs;
use crate::cli::commands::logs::find_logs_of_arguments;
use crate::cli::commands::print::print;
use crate::cli::commands::runtime::run_until_stopped;
use crate::cli::commands::summary::summary;
use crate::engine::coordinator::{ControlHandles, RunMode};
use crate::engine::pipeline::Pipeline;
use crate::engine::tally::Acceptance;
use crate::ingest::source::EventSender;
use crate::ingest::source::compression::Compression;
use crate::ingest::source::framing::CHUNK;
use crate::ingest::source::replay::Replay;
use crate::ingest::source::stdin::is_stdin;
use crate::model::error::Error;
use crate::model::shutdown::Shutdown;
use crate::settings::Settings;
use crate::state::checkpoint::recover::StartOptions;
use crate::storage::real::RealDisk;
use crate::telemetry::progress::{Progress, Unit};
use crate::text::shown;
use crate::time::clock::Clock;
use crate::time::date_range::DateRange;

/// Processes the logs on this machine or on a cluster, and prints a summary.
///
/// # Errors
/// Invalid settings, a missing input, or a failed read or write.
pub fn run(args: ReplayArgs) -> Result<(), Error> {
    let began = Instant::now();
    let settings = args.common.settings()?;
    let dates = args.dates.range()?;
    if let Some(address) = args.cluster.clone() {
        return run_on_cluster(address, args, &settings, dates, began);
    }
    if settings.output.starts_with("s3:") {
        let message = format!("{}: only `replay --cluster` writes to a bucket", shown(&settings.output));
        return Err(Error::Usage(message));
    }
    let logs = find_logs_of_arguments(args.logs, &settings, args.allow_empty)?;
    let now = args.now.unwrap_or_else(|| Clock::System.now());
    let progress = Arc::new(Progress::new(bytes_of(&logs), Unit::Bytes));
    let (dialect, shutdown) = (settings.dialect(), Shutdown::default());
    let allow_empty = args.allow_empty;
    let reads_once = settings.input.may_start_over();
    let source = {
        let shutdown = shutdown.clone();
        move |events: &EventSender, _| {
            Replay { logs, dialect, now, chunk: CHUNK, allow_empty, reads_once }.run(events, &shutdown)?;
            if shutdown.is_requested() && !events.has_sent_data() {
                // Empty tables would replace the output of an earlier run.
                return Err(Error::Io("stopped before any row was read; nothing was published".to_owned()));
            }
            Ok(())
        }
    };
    let pipeline = Pipeline {
        settings: settings.clone(),
        disk: RealDisk::without_fsync(),
        mode: RunMode::Replay,
        dates,
        acceptance: Some(Acceptance { strict: args.strict, allow_empty }),
        clock: Clock::Stopped(now),
        options: StartOptions { fresh: args.fresh, ..StartOptions::default() },
        progress: Arc::clone(&progress),
        control: ControlHandles::alone(&settings),
    };
    let run = run_until_stopped(&settings, &shutdown, pipeline.run(source))?;
    progress.finish();
    if shutdown.is_requested() {
        tracing::warn!("stopped before the end of the logs; the output covers only the rows read so far");
    }
    print(&summary(&run, &settings, began.elapsed()))
}

#[cfg(feature = "cluster")]
fn run_on_cluster(
    address: String,
    args: ReplayArgs,
    settings: &Settings,
    dates: DateRange,
    began: Instant,
) -> Result<(), Error> {
    let logs = if args.logs.is_empty() { vec![settings.incoming.clone()] } else { args.logs };
    let cluster_run = crate::cluster::ClusterRun {
        address,
        tables: args.tables,
        logs,
        settings: settings.clone(),
        disk: RealDisk::without_fsync(),
        options: StartOptions { fresh: args.fresh, ..StartOptions::default() },
        acceptance: Acceptance { strict: args.strict, allow_empty: args.allow_empty },
        dates,
        allow_empty: args.allow_empty,
        now: args.now.unwrap_or_else(|| Clock::System.now()),
    };
    let shutdown = Shutdown::default();
    let run = run_until_stopped(settings, &shutdown, cluster_run.run(&shutdown))?;
    print(&summary(&run, settings, began.elapsed()))
}

#[cfg(not(feature = "cluster"))]
fn run_on_cluster(_: String, _: ReplayArgs, _: &Settings, _: DateRange, _: Instant) -> Result<(), Error> {
    Err(crate::cli::commands::executor::without_cluster())
}

/// The total size of the logs; `None` if any log is stdin, a compressed file or a Parquet file.
fn bytes_of(logs: &[PathBuf]) -> Option<u64> {
    let sizes = logs.iter().map(|path| match Compression::of(path) {
        _ if is_stdin(path) => None,
        Compression::Plain => path.metadata().ok().map(|metadata| metadata.len()),
        _ => None,
    });
    sizes.sum()
}
