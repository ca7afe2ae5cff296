//! The commands, one file each: from arguments to a run of the pipeline and its summary.

pub mod check;
pub mod completions;
pub mod config;
pub mod executor;
pub mod generate;
pub mod man;
pub mod replay;
pub mod report;
pub mod settings_reload;
pub mod state;
pub mod verify;
pub mod watch;

use std::fmt::Write as _;
use std::future::Future;
use std::io::Write as _;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::args::Command;
use crate::engine::coordinator::RunSummary;
use crate::model::error::Error;

use crate::model::shutdown::Shutdown;
use crate::settings::Settings;

/// Does what the command line asks for.
///
/// # Errors
/// Why it could not be done, with the exit code.
pub fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Replay(args) => replay::run(args),
        Command::Executor(args) => executor::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Generate(args) => generate::run_command(&args),
        Command::Check(args) => check::run(args),
        Command::Verify(args) => verify::run(args),
        Command::State(args) => state::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Report(args) => report::run(&args),
    }
}

/// Exit code after a second signal, as a shell would report the first kind.
const INTERRUPTED: i32 = 130;

/// Runs a command on a runtime, with signals that stop it: the first one gently, the second at once.
fn run_until_stopped<T>(
    settings: &Settings,
    stop: &Shutdown,
    command: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    // The owner, a worker for the rest, and decoders and insights on threads of their own.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(settings.decoders() + 64)
        .enable_all()
        .build()
        .map_err(|cause| Error::Bug(format!("cannot start the runtime: {cause}")))?;
    runtime.block_on(async {
        let failed = |cause| Error::Bug(format!("cannot listen for signals: {cause}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let stop = stop.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if stop.is_requested() {
                    std::process::exit(INTERRUPTED);
                }
                stop.request();
                tracing::info!("stopping: what was begun is finished first; a second signal ends at once");
            }
        });
        command.await
    })
}

/// Says on stdout what a command came to.
///
/// # Errors
/// If stdout cannot be written, exit code 74; that nobody listens any more is no error.
fn say(text: &str) -> Result<(), Error> {
    say_bytes(text.as_bytes())
}

fn say_bytes(bytes: &[u8]) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::Io(format!("cannot write to stdout: {cause}")))
        }
        _ => Ok(()),
    }
}

/// What a run came to, for people.
fn summary(outcome: &RunSummary, settings: &Settings, took: Duration) -> String {
    let manifest = &outcome.manifest;
    let totals = &manifest.totals;
    let seconds = took.as_secs_f64().max(0.001);
    let mut text = format!(
        "read      {} rows ({}) from {} files in {seconds:.2} s, {} rows/s\n",
        HumanCount(outcome.rows),
        HumanBytes(outcome.bytes),
        HumanCount(totals.inputs),
        HumanCount((outcome.rows as f64 / seconds) as u64),
    );
    if outcome.rows < totals.rows {
        let _ = writeln!(text, "in all    {} rows, with those of earlier runs", HumanCount(totals.rows));
    }
    let _ = writeln!(
        text,
        "plays     {}, of which {} of songs that are not in the catalog ({} songs)",
        HumanCount(outcome.plays),
        HumanCount(totals.unmatched),
        HumanCount(manifest.catalog.songs)
    );
    let _ = writeln!(text, "rejected  {}", rejected_text(&totals.rejected));
    if !manifest.catalog.rejected.is_empty() {
        let _ = writeln!(text, "catalog   {}", rejected_text(&manifest.catalog.rejected));
    }
    if !manifest.unfinished.is_empty() {
        let _ = writeln!(text, "unread    {} files have more than was read", manifest.unfinished.len());
    }
    let parts = manifest
        .insights
        .values()
        .chain([&manifest.rejects])
        .flat_map(|entry| entry.parts.iter().chain(&entry.parquet));
    let (files, bytes) = parts.fold((1, 0), |(files, bytes), part| (files + 1, bytes + part.bytes));
    let _ =
        writeln!(text, "written   {files} files ({}) to {}", HumanBytes(bytes), settings.output.display());
    for (name, entry) in &manifest.insights {
        let _ = writeln!(text, "  {name:<26} {} rows", HumanCount(entry.rows));
    }
    text
}

/// Counts by reason in one line.
fn rejected_text(rejected: &std::collections::BTreeMap<String, u64>) -> String {
    let total: u64 = rejected.values().sum();
    let reasons: Vec<String> =
        rejected.iter().map(|(code, rows)| format!("{code} {}", HumanCount(*rows))).collect();
    let colon = if reasons.is_empty() { "" } else { ": " };
    format!("{} rows{colon}{}", HumanCount(total), reasons.join(", "))
}
