//! Errors of a cluster: the kinds of errors, and their encoding on the way from an executor to the client.

use std::error::Error;
use std::fmt::{Display, Write as _};
use std::io;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use serde::{Deserialize, Serialize};

use crate::lost::is_lost;

/// The kind of an error. A program derives its exit code from the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// An address or a URL is invalid.
    Address,
    /// A file or an object does not exist on a machine that needs it.
    Missing,
    /// A store denies access to an object.
    Denied,
    /// A process does not answer, or a file or an object cannot be read or written.
    Io,
    /// A disk is full.
    Full,
    /// The programs of the cluster have incompatible versions, or there is no executor.
    Setup,
    /// The engine ended a job with an error of its own, such as a bug.
    Job,
    /// A job failed because an executor was lost. Another attempt may succeed.
    Lost,
}

/// An error of a cluster. The message is in lower case.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ClusterError {
    /// The kind of the error.
    pub kind: ErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The part of an error that an executor sends to the client. The source of the error is not sent.
#[derive(Serialize, Deserialize)]
struct WireError {
    kind: ErrorKind,
    message: String,
}

/// Delimiters of an encoded error inside an error text of the engine.
const WIRE_DELIMITERS: (&str, &str) = ("<music-insights ", ">");

impl ClusterError {
    /// Creates an error without a source.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Creates an error with a source. In the message, the text of the source follows `context`. If the source says that
    /// a disk is full, the kind is [`ErrorKind::Full`] instead of [`ErrorKind::Io`].
    pub fn with_source(
        kind: ErrorKind,
        context: impl Display,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        let source = source.into();
        let is_full = kind == ErrorKind::Io && is_full(&*source);
        let kind = if is_full { ErrorKind::Full } else { kind };
        Self { kind, message: format!("{context}: {source}"), source: Some(source) }
    }

    /// Encodes the error as text. The encoding survives the quoting and wrapping that the engine does on the way to
    /// the client.
    pub(crate) fn to_wire(&self) -> String {
        let error = WireError { kind: self.kind, message: self.message.clone() };
        let json = serde_json::to_string(&error).expect("a kind and a string are valid JSON");
        let mut hex = String::new();
        for byte in json.bytes() {
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
        }
        format!("{self} {}{hex}{}", WIRE_DELIMITERS.0, WIRE_DELIMITERS.1)
    }

    /// Decodes the error that an executor encoded, from an error text of the engine.
    fn from_wire(text: &str) -> Option<Self> {
        let start = text.find(WIRE_DELIMITERS.0)? + WIRE_DELIMITERS.0.len();
        let hex = &text[start..start + text[start..].find(WIRE_DELIMITERS.1)?];
        let digits = |at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(digits).collect();
        let WireError { kind, message } = serde_json::from_slice(&bytes?).ok()?;
        Some(Self::new(kind, message))
    }
}

/// Whether an error, or one of its causes, says that a disk is full.
#[must_use]
pub fn is_full(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source()).any(|error| {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    })
}

/// The error of a job handler if the text contains one, otherwise the error of the engine.
impl From<DataFusionError> for ClusterError {
    fn from(error: DataFusionError) -> Self {
        let message = error.to_string();
        Self::from_wire(&message).unwrap_or_else(|| {
            let kind = if is_lost(&error) { ErrorKind::Lost } else { ErrorKind::Job };
            Self { kind, message, source: Some(Box::new(error)) }
        })
    }
}

impl From<ArrowError> for ClusterError {
    fn from(error: ArrowError) -> Self {
        DataFusionError::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_job_handler_survives_quoting() {
        let sent = ClusterError::new(ErrorKind::Missing, "cannot read \"ä>b\": gone");
        let quoted = format!("{:?}", format!("{:?}", sent.to_wire()));
        let received = ClusterError::from(DataFusionError::Execution(quoted));
        assert_eq!((received.kind, received.to_string()), (sent.kind, sent.to_string()));
    }

    #[test]
    fn a_full_disk_is_recognised_behind_other_errors() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let inner = ClusterError::with_source(ErrorKind::Missing, "a file", full);
        let error = ClusterError::with_source(ErrorKind::Io, "cannot write", inner);
        assert_eq!(error.kind, ErrorKind::Full);
        let other = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(ClusterError::with_source(ErrorKind::Io, "cannot write", other).kind, ErrorKind::Io);
    }

    #[test]
    fn an_error_of_the_engine_keeps_its_text_and_source() {
        let error = ClusterError::from(DataFusionError::Plan("no such column".to_owned()));
        assert_eq!(error.kind, ErrorKind::Job);
        assert!(error.to_string().contains("no such column") && error.source().is_some());
    }
}
