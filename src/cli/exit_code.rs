//! The exit codes of errors.

use crate::model::error::{Error, FileRole};

/// Exit codes from BSD's `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// The command line is wrong.
    Usage = 64,
    /// The state, the output or the catalog is damaged, rows were rejected, or the output differs from the
    /// recomputed output.
    Data = 65,
    /// An input is missing or cannot be read.
    NoInput = 66,
    /// A bug in this program.
    Software = 70,
    /// The output cannot be created.
    CannotCreate = 73,
    /// Reading or writing failed.
    Io = 74,
    /// Another process has locked the folder.
    Busy = 75,
    /// The settings are wrong.
    Config = 78,
}

/// The exit code of an error.
pub fn exit_code(error: &Error) -> ExitCode {
    match error {
        Error::Usage(_) => ExitCode::Usage,
        Error::Damaged(_) | Error::Differs(_) | Error::Rejected(_) => ExitCode::Data,
        Error::MissingInput(_) => ExitCode::NoInput,
        Error::Bug(_) => ExitCode::Software,
        Error::Io(_) | Error::Listen { .. } => ExitCode::Io,
        Error::Busy(_) => ExitCode::Busy,
        Error::Config(_) | Error::Unsupported { .. } => ExitCode::Config,
        Error::File { role, .. } => match role {
            FileRole::Input => ExitCode::NoInput,
            FileRole::Committed => ExitCode::Data,
            FileRole::Output => ExitCode::CannotCreate,
            FileRole::Open => ExitCode::Io,
        },
    }
}
