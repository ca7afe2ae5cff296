//! Maps errors of the cluster to errors of the command.

use music_insights_ballista::error::{ClusterError, ErrorKind};

use crate::model::error::Error;

impl From<ClusterError> for Error {
    fn from(error: ClusterError) -> Self {
        let message = error.to_string();
        match error.kind {
            ErrorKind::Address => Self::Usage(message),
            ErrorKind::Missing => Self::MissingInput(format!(
                "{message}; all machines of a cluster must see the logs, the tables and the output at the same paths: \
                 use a shared folder or s3://"
            )),
            ErrorKind::Io | ErrorKind::Lost => Self::Io(message),
            ErrorKind::Full => Self::Io(format!(
                "{message}; make room on the disks of the output and of the executors, then run the command again"
            )),
            ErrorKind::Setup | ErrorKind::Denied => Self::Config(message),
            ErrorKind::Job => Self::Bug(message),
        }
    }
}
