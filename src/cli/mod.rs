//! The command line: arguments and commands.

pub mod args;
pub mod commands;
pub mod exit_code;
