//! `music-insights executor`: an executor of a Ballista cluster.

use crate::cli::args::ExecutorArgs;
use crate::model::error::Error;

/// Runs the executor until it is stopped.
///
/// # Errors
/// If the scheduler cannot be reached or has another version, or the work folder cannot be used.
#[cfg(feature = "cluster")]
pub fn run(args: &ExecutorArgs) -> Result<(), Error> {
    args.logging.settings()?;
    crate::cluster::node::run(args)
}

/// Refuses to run.
///
/// # Errors
/// Always: this build lacks the feature `cluster`.
#[cfg(not(feature = "cluster"))]
pub fn run(args: &ExecutorArgs) -> Result<(), Error> {
    args.logging.settings()?;
    Err(without_cluster())
}

/// The error of every cluster command in a build without the feature `cluster`.
#[cfg(not(feature = "cluster"))]
pub fn without_cluster() -> Error {
    Error::Config(
        "this program was built without cluster support; build it with `cargo build --release --features cluster`"
            .to_owned(),
    )
}
