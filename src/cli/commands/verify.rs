//! `music-insights verify`: is what is published what the inputs come to?

use crate::cli::args::VerifyArgs;
use crate::cli::commands::logs::find_logs_of_arguments;
use crate::cli::commands::print::print;
use crate::cli::commands::runtime::run_until_stopped;
use crate::engine::coordinator::RunMode;
use crate::ingest::source::stdin::is_stdin;
use crate::model::error::Error;

use crate::model::shutdown::Shutdown;
use crate::publish::manifest::Manifest;
use crate::storage::real::RealDisk;
use crate::time::clock::Clock;
use crate::verify::{Report, Verify};

/// Runs the command.
///
/// # Errors
/// A difference (65), or what makes it impossible to verify.
pub fn run(args: VerifyArgs) -> Result<(), Error> {
    let settings = args.common.settings()?;
    let disk = RealDisk::without_fsync();
    let manifest = Manifest::read(&disk, &settings.output)?;
    // Held until the end, so that nothing changes meanwhile.
    let mut locks = Vec::new();
    let mut logs = Vec::new();
    match manifest.as_ref().map(|manifest| manifest.producer.as_str()) {
        Some(producer) if producer == RunMode::Watch.name() => {
            locks.push(disk.lock(&settings.output)?);
            if settings.state.is_dir() {
                locks.push(disk.lock(&settings.state)?);
            }
        }
        Some(_) => {
            locks.push(disk.lock(&settings.output)?);
            logs = find_logs_of_arguments(args.logs, &settings)?;
            if logs.iter().any(|log| is_stdin(log)) {
                let message = "verify reads logs more than once, so it cannot read stdin: name a file";
                return Err(Error::Usage(message.to_owned()));
            }
        }
        None => {}
    }
    let stop = Shutdown::default();
    let clock = Clock::System.now();
    let verify = Verify { settings: settings.clone(), disk, logs, now: args.now, clock, stop: stop.clone() };
    let report = run_until_stopped(&settings, &stop, verify.run())?;
    print(&text(&report))?;
    match report.differences.len() {
        0 => Ok(()),
        count => {
            let output = settings.output.display();
            Err(Error::Differs(format!(
                "{output}: {count} differences; --fresh makes the output anew from its inputs"
            )))
        }
    }
}

fn text(report: &Report) -> String {
    let kinds =
        [("right", &report.right), ("unverifiable", &report.unverifiable), ("differs", &report.differences)];
    let lines = kinds
        .into_iter()
        .flat_map(|(kind, lines)| lines.iter().map(move |line| format!("{kind:<13} {line}\n")));
    lines.collect()
}
