//! `music-insights executor`: a node of a cluster.

use crate::cli::args::ExecutorArgs;
#[cfg(feature = "cluster")]
use crate::cluster::executor::ExecutorConfig;
use crate::model::error::Error;

/// Runs the command until it is told to stop.
///
/// # Errors
/// If the scheduler is out of reach or of another version, or the work folder cannot be used.
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

/// Says that this program cannot.
///
/// # Errors
/// Always.
#[cfg(not(feature = "cluster"))]
pub fn run(args: &ExecutorArgs) -> Result<(), Error> {
    args.logging.settings()?;
    Err(without_cluster())
}

/// What is asked for needs a larger program.
#[cfg(not(feature = "cluster"))]
pub fn without_cluster() -> Error {
    let message = "this program was built without its part for clusters; build it with `cargo build --release --features \
                   cluster`";
    Error::Config(message.to_owned())
}
