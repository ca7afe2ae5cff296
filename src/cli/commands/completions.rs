//! `music-insights completions`: what a shell needs to complete commands and flags.

use clap::CommandFactory as _;
use clap_complete::generate;

use crate::cli::args::{Cli, CompletionsArgs};
use crate::cli::commands::say_bytes;
use crate::model::error::Error;

/// Runs the command.
///
/// # Errors
/// If stdout cannot be written.
pub fn run(args: &CompletionsArgs) -> Result<(), Error> {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), env!("CARGO_PKG_NAME"), &mut script);
    say_bytes(&script)
}
