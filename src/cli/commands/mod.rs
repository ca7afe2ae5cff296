//! The commands, one file each.

pub mod check;
pub mod completions;
pub mod config;
pub mod executor;
pub mod generate;
pub mod health;
mod logs;
pub mod man;
mod print;
pub mod replay;
pub mod report;
mod runtime;
mod settings_reload;
pub mod state;
mod summary;
pub mod verify;
pub mod watch;

use crate::cli::args::Command;
use crate::model::error::Error;

/// Runs a command.
///
/// # Errors
/// The reason why the command failed. [`crate::cli::exit_code`] maps it to an exit code.
pub fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Replay(args) => replay::run(args),
        Command::Watch(args) => watch::run(&args),
        Command::Generate(args) => generate::run_command(&args),
        Command::Check(args) => check::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Report(args) => report::run(&args),
        Command::State(args) => state::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Executor(args) => executor::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
