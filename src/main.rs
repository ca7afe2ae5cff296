//! Parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use music_insights::cli::Cli;
use music_insights::failure::Exit;

fn main() -> ExitCode {
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).without_time();
    log.with_max_level(tracing::Level::INFO).init();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are no error; everything else is wrong usage.
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(Exit::Usage as u8) };
        }
    };
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit as u8)
        }
    }
}
