//! `music-insights executor`: a node of a cluster.

use crate::cli::args::ExecutorArgs;
use crate::model::error::Error;
#[cfg(not(feature = "cluster"))]

/// Runs the command until it is told to stop.
///
/// # Errors
/// If the scheduler is out of reach or of another version, or the work folder cannot be used.
#[cfg(feature = "cluster")]
pub fn run(args: &ExecutorArgs) -> Result<(), Error> {
    args.settings()?;
    crate::cluster::node::run(args)
}

/// Says that this program cannot.
///
/// # Errors
/// Always.
#[cfg(not(feature = "cluster"))]
pub fn run(args: &ExecutorArgs) -> Result<(), Error> {
    args.settings()?;
    Err(without_cluster())
}

/// What is asked for needs a larger program.
#[cfg(not(feature = "cluster"))]
pub fn without_cluster() -> Error {
    let message = "this program was built without its part for clusters; build it with `cargo build --release --features \
                   cluster`";
    Error::Config(message.to_owned())
}
