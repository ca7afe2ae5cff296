//! Maps errors of the cluster to errors of the command.

use music_insights_ballista::error::{ClusterError, ErrorKind};

use crate::model::error::Error;

impl From<ClusterError> for Error {
    fn from(error: ClusterError) -> Self {
        let message = error.to_string();
        match error.kind {
            ErrorKind::Address => Self::Usage(message),
            ErrorKind::Missing => Self::MissingInput(format!(
                "{message}; all machines of a cluster must see the logs and the tables at the same paths: use a \
                 shared folder or s3://"
            )),
            ErrorKind::Io | ErrorKind::Lost => Self::Io(message),
            ErrorKind::Setup => Self::Config(message),
            ErrorKind::Job => Self::Bug(message),
        }
    }
}

/// Why an attempt to run the queries failed.
#[derive(Debug)]
pub enum AttemptError {
    /// An executor was lost. Another attempt may succeed.
    Lost(ClusterError),
    /// The error is permanent: another attempt would fail, too.
    Failed(Error),
}

impl From<ClusterError> for AttemptError {
    fn from(error: ClusterError) -> Self {
        match error.kind {
            ErrorKind::Lost => Self::Lost(error),
            _ => Self::Failed(error.into()),
        }
    }
}

impl From<Error> for AttemptError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
