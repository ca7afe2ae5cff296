//! What can go wrong in a cluster, and whose fault it is.

use std::fmt::{self, Display};

/// Whose fault it is; callers make exit codes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An address that is none.
    Address,
    /// Something that a node cannot see.
    Missing,
    /// A node that does not answer, or a store that cannot be read or written.
    Io,
    /// Programs that do not belong together, or no executor at all.
    Setup,
    /// A job that the cluster gave up.
    Job,
}

/// What went wrong, in lower case, for people.
#[derive(Debug)]
pub struct Trouble {
    /// Whose fault it is.
    pub fault: Fault,
    message: String,
}

impl Trouble {
    /// Trouble with a message in lower case.
    pub fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self { fault, message: message.into() }
    }

    /// Trouble of a job: the engine's words, but for what surrounds them at each node on the way.
    pub fn of_job(cause: &impl Display) -> Self {
        Self::new(Fault::Job, cause.to_string())
    }
}

impl Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Trouble {}
