//! `music-insights executor`: an executor of a cluster.

use crate::cli::args::ExecutorArgs;
#[cfg(feature = "cluster")]
use crate::cluster::executor::ExecutorConfig;
use crate::model::error::Error;

/// Runs an executor until it is stopped.
///
/// # Errors
/// If the scheduler cannot be reached or has another version, or the work folder cannot be created.
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
        memory: args.memory.map(|memory| memory.0),
        work_dir: args.work_dir.clone(),
    })
}

/// Refuses the command, because this program was built without the feature `cluster`.
///
/// # Errors
/// Always, exit code 78.
#[cfg(not(feature = "cluster"))]
pub fn run(args: &ExecutorArgs) -> Result<(), Error> {
    args.logging.settings()?;
    Err(without_cluster())
}

/// The error of a program without the feature `cluster`.
#[cfg(not(feature = "cluster"))]
pub fn without_cluster() -> Error {
    let message = "this program was built without the feature `cluster`; build it with `cargo build --release --features \
                   cluster`";
    Error::Config(message.to_owned())
}
