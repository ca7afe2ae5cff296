//! The executor process.

use std::path::PathBuf;
use std::sync::Arc;

use music_insights_ballista::executor::{self, ProcessConfig};
use music_insights_ballista::logging;
use music_insights_ballista::scheduler::parse_address;

use crate::cluster::tasks::Tasks;
use crate::model::error::Error;
use crate::storage::real::RealDisk;
use crate::text::shown;

/// The stack size of a thread. The engine traverses deep plans recursively.
const STACK_BYTES: usize = 32 << 20;

/// Settings of an executor.
#[derive(Clone, Debug)]
pub struct ExecutorConfig {
    /// The address of the scheduler, such as `df://scheduler:50050`.
    pub scheduler: String,
    /// The address to listen on.
    pub listen: String,
    /// The host name under which other machines reach this machine; `listen` if absent.
    pub advertise: Option<String>,
    /// The port from which the client fetches reports.
    pub port: u16,
    /// The port for tasks, used only if the scheduler pushes tasks.
    pub task_port: u16,
    /// The number of tasks that run at the same time; the number of processors if absent.
    pub cores: Option<usize>,
    /// The folder for temporary files; a folder in the system's temporary folder if absent.
    pub work_dir: Option<PathBuf>,
}

/// Runs an executor until it is stopped.
///
/// # Errors
/// If the scheduler cannot be reached or runs a different version, or if the work folder cannot be created.
pub fn run(config: ExecutorConfig) -> Result<(), Error> {
    let scheduler = parse_address(&config.scheduler)?;
    let cores = config.cores.or_else(|| std::thread::available_parallelism().ok().map(Into::into));
    let work_dir = config.work_dir.unwrap_or_else(|| default_work_dir(config.port));
    logging::forward(
        |is_error, text| {
            if is_error { tracing::error!("{text}") } else { tracing::warn!("{text}") }
        },
    );
    let process = ProcessConfig {
        scheduler,
        bind_host: config.listen,
        external_host: config.advertise,
        port: config.port,
        grpc_port: config.task_port,
        cores: cores.unwrap_or(1),
        work_dir,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|cause| Error::Bug(format!("cannot start the runtime: {cause}")))?;
    tracing::info!(
        "connecting to the scheduler {}; runs up to {} tasks at a time; temporary files in {}",
        config.scheduler,
        process.cores,
        shown(&process.work_dir)
    );
    runtime.block_on(async {
        let tasks = Tasks::new(tokio::runtime::Handle::current(), RealDisk::without_fsync());
        Ok(executor::run(process, Arc::new(tasks)).await?)
    })
}

/// The work folder of the executor on this port. No other executor on this machine uses the same folder.
fn default_work_dir(port: u16) -> PathBuf {
    std::env::temp_dir().join(format!("music-insights-executor-{port}"))
}
