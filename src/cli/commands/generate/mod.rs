//! `music-insights generate`: writes a synthetic catalog and logs, at once or as a live feed.
//!
//! [`crate::generate`] produces the rows. This module writes the rows to files at the right time.

mod feed;
mod log_file;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::cli::args::generate::{GenerateArgs, GenerateCommand};
use crate::cli::commands::generate::feed::feed;
use crate::cli::commands::generate::log_file::{LogFile, Tally};
use crate::cli::commands::print::print;
use crate::cli::commands::runtime::run_until_stopped;
use crate::generate::feed::SLICE;
use crate::generate::{Plan, PlayLog, text};
use crate::model::error::Error;
use crate::model::shutdown::Shutdown;
use crate::storage::create_folder;
use crate::storage::real::RealDisk;
use crate::telemetry::progress::{Progress, Unit};
use crate::text::shown;
use crate::time::clock::Clock;

/// The paths and sizes of the generated files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// The path of the catalog.
    pub catalog: PathBuf,
    /// Songs in the catalog.
    pub songs: u32,
    /// The folder of the logs.
    pub incoming: PathBuf,
    /// Number of logs.
    pub files: u64,
    /// Rows in the logs.
    pub rows: u64,
    /// Bytes in the logs, including headers.
    pub bytes: u64,
    /// Duration of the run.
    pub elapsed: Duration,
    /// Whether the run was stopped before its last row. Always true for an endless feed.
    pub stopped: bool,
}

impl fmt::Display for Generated {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { catalog, songs, incoming, files, rows, bytes, elapsed, .. } = self;
        let (catalog, incoming) = (shown(catalog), shown(incoming));
        write!(
            out,
            "{songs} songs in {catalog}; {rows} rows ({bytes} bytes) in {files} files in {incoming}; {elapsed:.1?}"
        )
    }
}

/// Runs the command until all rows are written or a signal stops it.
///
/// # Errors
/// The first file or folder that cannot be created.
pub fn run_command(command: &GenerateCommand) -> Result<(), Error> {
    let settings = command.logging.settings()?;
    let args = &command.generate;
    let shutdown = Shutdown::default();
    let progress = Progress::new(args.total(), Unit::Rows);
    let generated = run_until_stopped(&settings, &shutdown, async {
        tokio::task::block_in_place(|| run(args, shutdown.flag(), &progress))
    })?;
    progress.finish();
    print(&format!("{generated}\n"))
}

/// Writes the catalog, then the logs. Ends when all rows are written or `stop` is set.
///
/// # Errors
/// The first file or folder that cannot be created. After an error, temporary files are removed.
pub fn run(args: &GenerateArgs, stop: &AtomicBool, progress: &Progress) -> Result<Generated, Error> {
    let began = Instant::now();
    let plan = args.plan(Clock::System.now().unsigned_abs());
    let incoming = args.out.join("incoming");
    create_folder(&*RealDisk::without_fsync(), &incoming)?;
    let catalog = args.out.join("songs_metadata.csv");
    write_catalog(&plan, &catalog)?;
    let tally = match args.rate {
        None => write_logs(args, &plan, &incoming, stop, progress)?,
        Some(rate) => {
            // The clock starts at its first use, so the feed does not make up for the time of the setup.
            let mut first = None;
            let mut clock = || first.get_or_insert_with(Instant::now).elapsed();
            feed(args, rate, &plan, &incoming, stop, progress, &mut clock)?
        }
    };
    let Tally { files, rows, bytes } = tally;
    let stopped = args.total() != Some(rows);
    Ok(Generated {
        catalog,
        songs: plan.songs,
        incoming,
        files,
        rows,
        bytes,
        elapsed: began.elapsed(),
        stopped,
    })
}

fn write_catalog(plan: &Plan, path: &Path) -> Result<(), Error> {
    let mut text = Vec::new();
    plan.catalog().append(&mut text);
    let mut file = LogFile::create(path)?;
    file.write(&text)?;
    file.publish()
}

fn write_logs(
    args: &GenerateArgs,
    plan: &Plan,
    incoming: &Path,
    stop: &AtomicBool,
    progress: &Progress,
) -> Result<Tally, Error> {
    let total = u128::from(args.total().unwrap_or(0));
    let files = u64::from(args.files);
    let until = |file: u64| (total * u128::from(file) / u128::from(files)) as u64;
    let mut log = PlayLog::new(plan);
    let mut tally = Tally::default();
    let mut text = Vec::new();
    for file in 0..files {
        let mut log_file = LogFile::create(&incoming.join(format!("plays-{file:05}.csv")))?;
        log_file.write(text::HEADER)?;
        let mut left = until(file + 1) - until(file);
        while left > 0 {
            if stop.load(Ordering::Relaxed) {
                // The incomplete file is discarded, because the seed determines the content of each file.
                return Ok(tally);
            }
            let rows = left.min(SLICE);
            text.clear();
            log.append(rows, &mut text);
            log_file.write(&text)?;
            log_file.rows += rows;
            progress.advance(rows, rows);
            left -= rows;
        }
        tally.add(&log_file);
        log_file.publish()?;
    }
    Ok(tally)
}
