//! A node of a cluster: the process that runs an executor.

use std::path::PathBuf;
use std::sync::Arc;

use music_insights_ballista::executor::{self, Setup};
use music_insights_ballista::messages;
use music_insights_ballista::session::scheduler_of;

use crate::cli::args::ExecutorArgs;
use crate::cluster::failure_of;
use crate::cluster::read::Reader;
use crate::model::error::Error;

/// Plans are trees that are walked by functions which call themselves.
const STACK: usize = 32 << 20;

/// Runs an executor until it is told to stop.
///
/// # Errors
/// If the scheduler is out of reach or of another version, or the work folder cannot be used.
pub fn run(args: &ExecutorArgs) -> Result<(), Error> {
    let scheduler = scheduler_of(&args.scheduler).map_err(|trouble| failure_of(&trouble))?;
    let cores = args.cores.or_else(|| std::thread::available_parallelism().ok().map(Into::into));
    let work_dir = args.work_dir.clone().unwrap_or_else(|| own_folder(args.port));
    messages::forward(
        |is_error, text| {
            if is_error { tracing::error!("{text}") } else { tracing::warn!("{text}") }
        },
    );
    let setup = Setup {
        scheduler,
        bind_host: args.listen.clone(),
        external_host: args.advertise.clone(),
        port: args.port,
        grpc_port: args.task_port,
        cores: cores.unwrap_or(1),
        memory: args.memory.map(|memory| memory.0),
        work_dir,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .map_err(|cause| Error::Bug(format!("cannot start the runtime: {cause}")))?;
    tracing::info!(
        "works for {} with {} tasks at a time, in {}",
        args.scheduler,
        setup.cores,
        setup.work_dir.display()
    );
    runtime.block_on(async {
        let reader = Arc::new(Reader::new(tokio::runtime::Handle::current()));
        executor::run(setup, reader).await.map_err(|trouble| failure_of(&trouble))
    })
}

/// A folder that no other executor of this machine uses.
fn own_folder(port: u16) -> PathBuf {
    std::env::temp_dir().join(format!("music-insights-executor-{port}"))
}
