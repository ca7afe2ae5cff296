//! What can go wrong in a cluster, and whose fault it is.

use std::fmt::{self, Display, Write as _};

use serde::{Deserialize, Serialize};

/// Whose fault it is; callers make exit codes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
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
    /// A job that lost an executor, and may do better another time.
    Lost,
}

/// What went wrong, in lower case, for people.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterError {
    /// Whose fault it is.
    pub fault: ErrorKind,
    message: String,
}

/// What surrounds the trouble of a worker, to be found again in whatever the engine makes of it.
const MARKS: (&str, &str) = ("<music-insights ", ">");

impl ClusterError {
    /// Trouble with a message in lower case.
    pub fn new(fault: ErrorKind, message: impl Into<String>) -> Self {
        Self { fault, message: message.into() }
    }

    /// Trouble of a job: that of a worker if it was one, else the engine's words.
    pub fn of_job(cause: &impl Display) -> Self {
        let text = cause.to_string();
        Self::of_worker(&text).unwrap_or_else(|| Self::new(ErrorKind::Job, text))
    }

    /// What a worker hands to the engine: text that survives being quoted and wrapped on its way to the client.
    pub(crate) fn on_its_way(&self) -> String {
        let text = serde_json::to_string(self).expect("trouble is plain data");
        let mut hex = String::new();
        for byte in text.bytes() {
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
        }
        format!("{self} {}{hex}{}", MARKS.0, MARKS.1)
    }

    fn of_worker(text: &str) -> Option<Self> {
        let start = text.find(MARKS.0)? + MARKS.0.len();
        let hex = &text[start..start + text[start..].find(MARKS.1)?];
        let digits = |at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(digits).collect();
        serde_json::from_slice(&bytes?).ok()
    }
}

impl Display for ClusterError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for ClusterError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trouble_of_a_worker_is_found_again_however_it_was_quoted() {
        let trouble = ClusterError::new(ErrorKind::Missing, "cannot read \"ä>b\": gone");
        let wrapped = format!("{:?}", format!("{:?}", trouble.on_its_way()));
        let found = ClusterError::of_job(&wrapped);
        assert_eq!((found.fault, found.to_string()), (trouble.fault, trouble.to_string()));
        assert_eq!(ClusterError::of_job(&"a plan").fault, ErrorKind::Job);
    }
}
