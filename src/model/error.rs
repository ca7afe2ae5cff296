//! Why a command ends early: a message for people and an exit code for scripts.

use std::fmt::{self, Display};
use std::io;
use std::path::Path;

/// Exit codes, after BSD's `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The command line is wrong.
    Usage = 64,
    /// Data that should be sound is not.
    Data = 65,
    /// An input is missing or cannot be read.
    NoInput = 66,
    /// A bug of ours.
    Software = 70,
    /// The output cannot be created.
    CannotCreate = 73,
    /// Reading or writing failed.
    Io = 74,
    /// Another process is at work on the same folder.
    Busy = 75,
    /// The configuration is wrong.
    Config = 78,
}

/// The end of a command that could not do its work.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    message: String,
}

impl Failure {
    /// A failure with a message in lower case.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// What can be said of an I/O error: what we wanted, of which path, and the cause.
    pub fn io(exit: Exit, wanted: &str, path: &Path, cause: &io::Error) -> Self {
        Self::new(exit, format!("cannot {wanted} {}: {cause}", path.display()))
    }
}

impl Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
