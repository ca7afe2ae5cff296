//! The binary. It parses the arguments, runs the command, and sets the exit code.

use std::process;

use clap::Parser;
use clap::error::ErrorKind;
use music_insights::cli::args::Cli;
use music_insights::cli::commands;
use music_insights::cli::exit_code::{ExitCode, exit_code};
use music_insights::storage::{allocator, descriptors};
use music_insights::telemetry::logging;

fn main() -> process::ExitCode {
    allocator::limit_arenas();
    descriptors::raise_limit();
    logging::start();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap prints help and the version to stdout, and errors to stderr.
            let _ = error.print();
            let is_requested = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return process::ExitCode::from(if is_requested { 0 } else { ExitCode::Usage as u8 });
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
