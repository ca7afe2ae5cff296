//! The executor process.

use std::path::PathBuf;
use std::sync::Arc;

use music_insights_ballista::executor::{self, ProcessConfig};
use music_insights_ballista::logging;
use music_insights_ballista::scheduler::parse_address;

use crate::cluster::reader::LogReader;
use crate::model::error::Error;

/// Stack of a thread. The engine walks deep plans recursively.
const STACK_BYTES: usize = 32 << 20;

/// Settings of an executor.
#[derive(Clone, Debug)]
pub struct ExecutorConfig {
    /// The address of the scheduler, such as `df://scheduler:50050`.
    pub scheduler: String,
    /// The address to listen on.
    pub listen: String,
    /// The host name under which other machines reach this one; `listen` if absent.
    pub advertise: Option<String>,
    /// The port for data.
    pub port: u16,
    /// The port for tasks.
    pub task_port: u16,
    /// The number of tasks that run at a time; that of the processors if absent.
    pub cores: Option<usize>,
    /// Bytes of memory for all queries together; 70 % of the machine if absent.
    pub memory: Option<u64>,
    /// The folder for temporary files; one of the system's if absent.
    pub work_dir: Option<PathBuf>,
}

/// Runs an executor until it is stopped.
///
/// # Errors
/// If the scheduler cannot be reached or has another version, or the work folder cannot be created.
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
        memory: config.memory,
        work_dir,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|cause| Error::Bug(format!("cannot start the runtime: {cause}")))?;
    tracing::info!(
        "executor of {}: {} tasks at a time, temporary files in {}",
        config.scheduler,
        process.cores,
        process.work_dir.display()
    );
    runtime.block_on(async {
        let reader = Arc::new(LogReader::new(tokio::runtime::Handle::current()));
        Ok(executor::run(process, reader).await?)
    })
}

/// A folder for the executor on this port, which no other executor of this machine uses.
fn default_work_dir(port: u16) -> PathBuf {
    std::env::temp_dir().join(format!("music-insights-executor-{port}"))
}
