//! Parse, run, exit code.

use std::process;

use clap::Parser;
use clap::error::ErrorKind;
use music_insights::cli::args::Cli;
use music_insights::cli::commands;
use music_insights::cli::exit_code::{ExitCode, exit_code};
use music_insights::storage::allocator;
use music_insights::telemetry::logging;

fn main() -> process::ExitCode {
    allocator::limit_arenas();
    logging::start();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are no error; everything else is wrong usage.
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return process::ExitCode::from(if asked { 0 } else { ExitCode::Usage as u8 });
        }
    };
    let code = match commands::run(cli.command) {
        Ok(()) => 0,
        Err(error) => {
            let exit = exit_code(&error) as u8;
            tracing::error!(exit, "{error}");
            exit
        }
    };
    logging::finish();
    process::ExitCode::from(code)
}
