//! Errors that end a command, with one variant per cause. The error of a file operation has the underlying
//! error as its source.

use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};

/// The reason why a command failed. Messages are in lower case.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The settings are wrong, or do not match the state.
    #[error("{0}")]
    Config(String),
    /// An input is missing or cannot be read.
    #[error("{0}")]
    MissingInput(String),
    /// The state or the published output is damaged.
    #[error("{0}")]
    Damaged(String),
    /// Rows or files were rejected, so the result is not accepted.
    #[error("{0}")]
    Rejected(String),
    /// The published output differs from the recomputed output.
    #[error("{0}")]
    Differs(String),
    /// Reading or writing failed.
    #[error("{0}")]
    Io(String),
    /// Another process has locked the folder.
    #[error("{0}")]
    Busy(String),
    /// A bug in this program.
    #[error("{0}")]
    Bug(String),
    /// A file operation failed.
    #[error("cannot {op} {}: {source}", Escaped(path))]
    File {
        /// The role of the file.
        role: FileRole,
        /// The operation.
        op: Op,
        /// The file or folder.
        path: PathBuf,
        /// The error of the file system.
        source: io::Error,
    },
    /// The file needs a feature that this build lacks.
    #[error("cannot read {}: {source}", Escaped(path))]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The missing feature.
        source: io::Error,
    },
    /// The address of the server cannot be used.
    #[error(
        "cannot listen on {address}: {source}; choose a different address with --http, or use --http off"
    )]
    Listen {
        /// The address, as in the setting `http`.
        address: String,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// A path without control characters.
struct Escaped<'a>(&'a Path);

impl Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_string_lossy().chars().try_for_each(|char| {
            if char.is_control() {
                write!(formatter, "{}", char.escape_default())
            } else {
                write!(formatter, "{char}")
            }
        })
    }
}

/// The role of a file, which determines the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRole {
    /// A log, a catalog, or another file that the user has named.
    Input,
    /// A file that an earlier commit relies on.
    Committed,
    /// A file or folder to be created, replaced or removed.
    Output,
    /// An open file that is read, written or synced.
    Open,
}

/// A file operation, as a verb for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Create a file or folder.
    Create,
    /// Find the files of a pattern or folder.
    Find,
    /// Load a table of the state.
    Load,
    /// Lock a folder.
    Lock,
    /// Merge segments of the state.
    MergeSegments,
    /// Open a file.
    Open,
    /// Read a file or folder.
    Read,
    /// Remove a file.
    Remove,
    /// Replace a file by renaming a new file.
    Replace,
    /// Sync a file or folder.
    Sync,
    /// Shorten a file to its committed length.
    Truncate,
    /// Write to a file.
    Write,
}

impl Display for Op {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Create => "create",
            Self::Find => "find",
            Self::Load => "load",
            Self::Lock => "lock",
            Self::MergeSegments => "merge segments in",
            Self::Open => "open",
            Self::Read => "read",
            Self::Remove => "remove",
            Self::Replace => "replace",
            Self::Sync => "sync",
            Self::Truncate => "truncate",
            Self::Write => "write to",
        })
    }
}

impl Error {
    /// The error of a file operation.
    pub fn file(role: FileRole, op: Op, path: &Path, source: io::Error) -> Self {
        Self::File { role, op, path: path.to_owned(), source }
    }
}
