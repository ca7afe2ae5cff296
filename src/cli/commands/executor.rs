//! `music-insights executor`: an executor of a Ballista cluster.

use crate::cli::args::ExecutorArgs;
#[cfg(feature = "cluster")]
use crate::cluster::executor::ExecutorConfig;
use crate::model::error::Error;

/// Runs an executor until a signal stops it.
///
/// # Errors
/// If the scheduler cannot be reached or runs a different version, or if the work folder cannot be used.
#[cfg(feature = "cluster")]
pub fn run(args: &ExecutorArgs) -> Result<(), Error> {
    args.logging.settings()?;
    crate::cluster::executor::run(ExecutorConfig {
        scheduler: args.scheduler.clone(),
        listen: args.listen.clone(),
        advertise: args.advertise.clone(),
        port: args.port,
        task_port: args.task_port,
        cores: args.cores,
        work_dir: args.work_dir.clone(),
    })
}

/// Fails, because this build has no cluster support.
///
/// # Errors
/// Always, exit code 78.
#[cfg(not(feature = "cluster"))]
pub fn run(args: &ExecutorArgs) -> Result<(), Error> {
    args.logging.settings()?;
    Err(without_cluster())
}

/// The error of cluster commands in a build without cluster support.
#[cfg(not(feature = "cluster"))]
pub fn without_cluster() -> Error {
    let message = "this program was built without cluster support; build it with \
                   `cargo build --release --features cluster`";
    Error::Config(message.to_owned())
}
