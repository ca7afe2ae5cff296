//! `music-insights verify`: recomputes all tables from the inputs and compares them with the published
//! output.

use crate::cli::args::VerifyArgs;
use crate::cli::commands::logs::find_logs_of_arguments;
use crate::cli::commands::print::print;
use crate::cli::commands::runtime::run_until_stopped;
use crate::engine::coordinator::RunMode;
use crate::ingest::source::stdin::is_stdin;
use crate::model::error::Error;
use crate::model::shutdown::Shutdown;
use crate::publish::manifest::Manifest;
use crate::settings::Settings;
use crate::storage::real::RealDisk;
use crate::text::shown;
use crate::time::clock::Clock;
use crate::verify::report::Report;
use crate::verify::verifier::Verifier;

/// Runs the command.
///
/// # Errors
/// A difference (65), a missing file (66), a damaged file (65), or different settings (78).
pub fn run(args: VerifyArgs) -> Result<(), Error> {
    let settings = args.common.settings()?;
    if let Some(address) = args.cluster.clone() {
        let report = run_on_cluster(address, args, &settings)?;
        return conclude(&report, &settings, "`music-insights replay --fresh` with the same flags");
    }
    if settings.output.starts_with("s3:") {
        let message = format!("{}: only `verify --cluster` reads a bucket", shown(&settings.output));
        return Err(Error::Usage(message));
    }
    let disk = RealDisk::without_fsync();
    let manifest = Manifest::read(&disk, &settings.output)?;
    let producer = manifest.as_ref().map(|manifest| manifest.producer.as_str());
    let is_watch = producer == Some(RunMode::Watch.name());
    // The locks are held until the end, so that the output and the state do not change.
    let mut locks = Vec::new();
    let mut logs = Vec::new();
    match producer {
        Some(_) if is_watch => {
            locks.push(disk.lock(&settings.output)?);
            if settings.state.is_dir() {
                locks.push(disk.lock(&settings.state)?);
            }
        }
        Some(_) => {
            locks.push(disk.lock(&settings.output)?);
            logs = find_logs_of_arguments(args.logs, &settings, true)?;
            if logs.iter().any(|log| is_stdin(log)) {
                let message =
                    "verify reads logs more than once, so it cannot read stdin; name a file instead";
                return Err(Error::Usage(message.to_owned()));
            }
        }
        None => {}
    }
    let shutdown = Shutdown::default();
    let verifier = Verifier {
        settings: settings.clone(),
        disk,
        logs,
        now: args.now,
        clock: Clock::System.now(),
        shutdown: shutdown.clone(),
    };
    let report = run_until_stopped(&settings, &shutdown, verifier.run())?;
    let way_out = if is_watch { "`music-insights watch --fresh`" } else { "`music-insights replay`" };
    conclude(&report, &settings, way_out)
}

#[cfg(feature = "cluster")]
fn run_on_cluster(address: String, args: VerifyArgs, settings: &Settings) -> Result<Report, Error> {
    let logs = if args.logs.is_empty() { vec![settings.incoming.clone()] } else { args.logs };
    let verifier = crate::cluster::verifying::ClusterVerifier {
        address,
        tables: args.tables,
        logs,
        settings: settings.clone(),
        disk: RealDisk::without_fsync(),
        now: args.now,
        clock: Clock::System.now(),
    };
    let shutdown = Shutdown::default();
    run_until_stopped(settings, &shutdown, verifier.run(&shutdown))
}

#[cfg(not(feature = "cluster"))]
fn run_on_cluster(_: String, _: VerifyArgs, _: &Settings) -> Result<Report, Error> {
    Err(crate::cli::commands::executor::without_cluster())
}

/// Prints a report.
///
/// # Errors
/// If there is a difference. The message has the way out.
fn conclude(report: &Report, settings: &Settings, way_out: &str) -> Result<(), Error> {
    print(&text(report))?;
    match report.differences.len() {
        0 => Ok(()),
        count => Err(Error::Differs(format!(
            "{}: {count} differences; run {way_out} to recompute the output from the inputs",
            shown(&settings.output)
        ))),
    }
}

fn text(report: &Report) -> String {
    let kinds = [
        ("verified", &report.verified),
        ("unverifiable", &report.unverifiable),
        ("differs", &report.differences),
    ];
    let lines = kinds
        .into_iter()
        .flat_map(|(kind, lines)| lines.iter().map(move |line| format!("{kind:<13} {line}\n")));
    lines.collect()
}
