//! `music-insights completions`: shell scripts that complete commands and flags.

use clap::CommandFactory as _;
use clap_complete::generate;

use crate::cli::args::{Cli, CompletionsArgs};
use crate::cli::commands::print::print_bytes;
use crate::model::error::Error;

/// Prints the completion script for a shell.
///
/// # Errors
/// If stdout cannot be written.
pub fn run(args: &CompletionsArgs) -> Result<(), Error> {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), env!("CARGO_PKG_NAME"), &mut script);
    print_bytes(&script)
}
