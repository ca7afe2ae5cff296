//! `music-insights generate`: a synthetic catalog and listening logs, at once or as a live feed.
//!
//! What the rows are is decided in [`crate::generate`]; here they become files, in the time and the folder asked for.

mod feed;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::cli::args::GenerateCommand;
use crate::cli::commands::generate::feed::feed;
use crate::cli::commands::{run_until_stopped, say};
use crate::generate::feed::SLICE;
use crate::generate::{GenerateArgs, Plan, PlayLog, text};
use crate::model::error::Error;

use crate::model::shutdown::Shutdown;
use crate::storage::real::RealDisk;
use crate::storage::staged_file::StagedFile;
use crate::storage::{DiskFile, append, create_folder};
use crate::telemetry::progress::{Progress, Unit};
use crate::time::clock::Clock;

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// The catalog.
    pub catalog: PathBuf,
    /// The songs in it.
    pub songs: u32,
    /// The folder of the listening logs.
    pub incoming: PathBuf,
    /// The listening logs written.
    pub files: u64,
    /// The rows in them.
    pub rows: u64,
    /// The bytes in them, headers included.
    pub bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// The stop flag ended it before all rows were there. (An endless feed always ends so.)
    pub stopped: bool,
}

impl fmt::Display for Generated {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { catalog, songs, incoming, files, rows, bytes, elapsed, .. } = self;
        let (catalog, incoming) = (catalog.display(), incoming.display());
        write!(
            out,
            "{songs} songs in {catalog}; {rows} rows ({bytes} bytes) in {files} files in {incoming}; {elapsed:.1?}"
        )
    }
}

/// Runs the command: until all rows are there, or a signal stops it.
///
/// # Errors
/// The first file or folder that cannot be made, exit code 73.
pub fn run_command(command: &GenerateCommand) -> Result<(), Error> {
    let settings = command.settings()?;
    let args = &command.generate;
    let stop = Shutdown::default();
    let progress = Progress::new(args.total(), Unit::Rows);
    let made = run_until_stopped(&settings, &stop, async {
        tokio::task::block_in_place(|| run(args, stop.flag(), &progress))
    })?;
    progress.finish();
    say(&format!("{made}\n"))
}

/// Writes the catalog, then the listening logs, until all rows are there or `stop` is set.
///
/// # Errors
///
/// The first file or folder that cannot be made; no temporary file is left behind.
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
            // The clock starts when it is first asked, lest the time to set up be caught up with.
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

/// What has been written, complete and under its final name.
#[derive(Debug, Default)]
struct Tally {
    files: u64,
    rows: u64,
    bytes: u64,
}

fn write_catalog(plan: &Plan, path: &Path) -> Result<(), Error> {
    let mut text = Vec::new();
    plan.catalog().append(&mut text);
    let mut log = LogFile::create(path)?;
    log.write(&text)?;
    log.publish()
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
        let mut draft = LogFile::create(&incoming.join(format!("plays-{file:05}.csv")))?;
        draft.write(text::HEADER)?;
        let mut left = until(file + 1) - until(file);
        while left > 0 {
            if stop.load(Ordering::Relaxed) {
                // Half a file under the name of a whole one would not be what the seed promises.
                return Ok(tally);
            }
            let rows = left.min(SLICE);
            text.clear();
            log.append(rows, &mut text);
            draft.write(&text)?;
            draft.rows += rows;
            progress.advance(rows, rows);
            left -= rows;
        }
        tally.add(&draft);
        draft.publish()?;
    }
    Ok(tally)
}

impl Tally {
    fn add(&mut self, draft: &LogFile) {
        self.files += 1;
        self.rows += draft.rows;
        self.bytes += draft.bytes;
    }
}

/// A log under a temporary name, which becomes visible whole or not at all.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    draft: StagedFile,
    file: Box<dyn DiskFile>,
    rows: u64,
    bytes: u64,
}

impl LogFile {
    fn create(path: &Path) -> Result<Self, Error> {
        let (draft, file) = StagedFile::create(&RealDisk::without_fsync(), path)?;
        Ok(Self { path: path.to_owned(), draft, file, rows: 0, bytes: 0 })
    }

    fn write(&mut self, text: &[u8]) -> Result<(), Error> {
        self.bytes += text.len() as u64;
        append(&mut *self.file, &self.path, text)
    }

    fn publish(self) -> Result<(), Error> {
        self.draft.commit()
    }
}
