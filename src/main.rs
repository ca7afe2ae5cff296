//! Parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use music_insights::cli::args::Cli;
use music_insights::cli::commands;
use music_insights::model::error::Exit;
use music_insights::storage::allocator;
use music_insights::telemetry::logging;

fn main() -> ExitCode {
    allocator::limit_arenas();
    logging::start();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are no error; everything else is wrong usage.
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(Exit::Usage as u8) };
        }
    };
    let code = match commands::run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let exit = failure.exit as u8;
            tracing::error!(exit, "{failure}");
            ExitCode::from(exit)
        }
    };
    logging::finish();
    code
}
