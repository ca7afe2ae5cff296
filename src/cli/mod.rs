//! The command line: arguments, commands and exit codes.

pub mod args;
pub mod commands;
pub mod exit_code;
