//! Executes jobs on an executor. Sources, decoder, ledger, insights and output are the same as in all other commands.
//!
//! The kinds of jobs:
//!
//! ```text
//! map         reads logs, and writes sums, enriched rows, rejects, and sums of periods
//! merge       adds up files of sums
//! tables      renders the slices of listeners, and the tables of songs
//! periods     writes the sums of periods for a map job, and renders the tables of a period
//! parts       puts tables and parts of `enriched_logs` together in the output folder
//! compare     compares published files with recomputed ones
//! ```
//!
//! Used by several of them:
//!
//! ```text
//! log_ranges  reads a log, or a range of it
//! reject_file the rejects of logs as a file
//! sums_files  fetches sums
//! ```

mod compare;
mod log_ranges;
mod map;
mod merge;
mod parts;
mod periods;
pub mod reject_file;
mod sums_files;
mod tables;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use music_insights_ballista::error::{ClusterError, ErrorKind, is_full};
use music_insights_ballista::jobs::JobHandler;
use music_insights_ballista::shared_storage;
use tokio::runtime::Handle;
use url::Url;

use crate::catalog::{Catalog, Songs};
use crate::cluster::bucket::BucketDisk;
use crate::cluster::inputs::is_object;
use crate::cluster::job::{CatalogFile, Job, JobKind, JobReport, JobResult, Target};
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;
use crate::storage::SharedDisk;
use crate::storage::failpoint::fail_point;

/// Executes jobs.
#[derive(Debug)]
pub struct Tasks {
    /// The runtime that runs the requests to stores.
    runtime: Handle,
    /// The disk of outputs in the file system.
    disk: SharedDisk,
    /// The disk of outputs in buckets, once one was needed.
    bucket: OnceLock<SharedDisk>,
    /// The catalog of the last job. Most jobs of a run have the same one.
    catalog: Mutex<Option<(CatalogFile, Arc<Songs>)>>,
    /// The number of jobs of this process that have staged files in an output.
    staged: AtomicU64,
}

impl Tasks {
    /// Creates a handler that runs its requests to stores on this runtime.
    pub fn new(runtime: Handle, disk: SharedDisk) -> Self {
        Self {
            runtime,
            disk,
            bucket: OnceLock::new(),
            catalog: Mutex::default(),
            staged: AtomicU64::default(),
        }
    }

    /// Does the work of a job. Before its report is written, a test can crash the executor.
    fn run(&self, kind: &JobKind, work_dir: &Path) -> Result<JobResult, ClusterError> {
        let result = self.result_of(kind, work_dir);
        fail_point(match kind {
            JobKind::Map(_) => "task.map",
            JobKind::Merge(_) => "task.merge",
            JobKind::Listeners(_) => "task.listeners",
            JobKind::Songs(_) => "task.songs",
            JobKind::Table(_) => "task.table",
            JobKind::Part(_) => "task.part",
            JobKind::Period(_) => "task.period",
            JobKind::Compare(_) => "task.compare",
        });
        result
    }

    fn result_of(&self, kind: &JobKind, work_dir: &Path) -> Result<JobResult, ClusterError> {
        match kind {
            JobKind::Map(job) => self.map(job, work_dir).map(JobResult::Map),
            JobKind::Merge(job) => self.merge(job).map(JobResult::Merged),
            JobKind::Listeners(job) => self.listeners(job).map(JobResult::Slices),
            JobKind::Songs(job) => self.songs(job).map(JobResult::Tables),
            JobKind::Table(job) => self.table(job).map(JobResult::Tables),
            JobKind::Part(job) => self.part(job).map(JobResult::Part),
            JobKind::Period(job) => self.period(job).map(JobResult::Period),
            JobKind::Compare(job) => self.compare(job).map(JobResult::Compared),
        }
    }

    /// The catalog in a file that the client has uploaded. Adds its songs to the dictionaries.
    fn catalog(&self, file: &CatalogFile, dictionaries: &Dictionaries) -> Result<Catalog, ClusterError> {
        let damaged = || ClusterError::new(ErrorKind::Io, format!("{} is damaged", file.url));
        let fingerprint = u128::from_str_radix(&file.fingerprint, 16).map_err(|_| damaged())?;
        let mut last = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let songs = match &*last {
            Some((known, songs)) if known == file => Arc::clone(songs),
            _ => {
                let bytes = self.runtime.block_on(shared_storage::read(&parse(&file.url)?))?;
                let missing =
                    || ClusterError::new(ErrorKind::Missing, format!("{} does not exist", file.url));
                let songs = Songs::from_bytes(&bytes.ok_or_else(missing)?).ok_or_else(damaged)?;
                let songs = Arc::new(songs);
                *last = Some((file.clone(), Arc::clone(&songs)));
                songs
            }
        };
        drop(last);
        Ok(Catalog::new(&songs, dictionaries, fingerprint))
    }

    /// The disk that an output is written to.
    fn disk_of(&self, target: &Target) -> Result<SharedDisk, ClusterError> {
        if !is_object(Path::new(&target.output)) {
            return Ok(Arc::clone(&self.disk));
        }
        if let Some(disk) = self.bucket.get() {
            return Ok(Arc::clone(disk));
        }
        let disk = BucketDisk::open().map_err(|error| io_error(&error))?;
        Ok(Arc::clone(self.bucket.get_or_init(|| disk)))
    }

    /// A tag for temporary names that no other attempt at a job has.
    fn new_tag(&self) -> String {
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        format!(".{}-{number}", super::unique_name())
    }
}

impl JobHandler for Tasks {
    fn execute(&self, job: &str, work_dir: &Path) -> Result<String, ClusterError> {
        let version = env!("CARGO_PKG_VERSION");
        let job: Job = serde_json::from_str(job).map_err(|source| {
            let context = format!(
                "music-insights {version} cannot read a job; all programs of a cluster must run the same version"
            );
            ClusterError::with_source(ErrorKind::Setup, context, source)
        })?;
        if job.program != version {
            let message = format!(
                "a job of music-insights {} reached an executor of version {version}; all programs of a cluster must \
                 have one version",
                job.program
            );
            return Err(ClusterError::new(ErrorKind::Setup, message));
        }
        let report_file = parse(&job.report)?;
        // Another executor may have completed this job, but was lost before the client fetched the report.
        if let Some(report) = self.runtime.block_on(shared_storage::read(&report_file))? {
            return Ok(String::from_utf8_lossy(&report).into_owned());
        }
        let report = JobReport { result: self.run(&job.kind, work_dir)?, job: job.report };
        let report = serde_json::to_string(&report).expect("a report is valid JSON");
        self.runtime.block_on(shared_storage::write(&report_file, report.clone().into_bytes()))?;
        Ok(report)
    }
}

/// Parses a URL.
pub(super) fn parse(url: &str) -> Result<Url, ClusterError> {
    Url::parse(url).map_err(|source| ClusterError::with_source(ErrorKind::Address, url, source))
}

/// An error of the output or of the sources, for the client.
fn io_error(error: &Error) -> ClusterError {
    let kind = match error {
        Error::MissingInput(_) => ErrorKind::Missing,
        error if is_full(error) => ErrorKind::Full,
        _ => ErrorKind::Io,
    };
    ClusterError::new(kind, error.to_string())
}

/// Makes an error of damaged sums that names their file.
fn damaged(url: &str) -> impl Fn(std::io::Error) -> ClusterError {
    move |source| ClusterError::with_source(ErrorKind::Io, url, source)
}
