//! Executes jobs on an executor. A job either reads a log into tables or merges tables.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use music_insights_ballista::error::{ClusterError, ErrorKind};
use music_insights_ballista::jobs::JobHandler;
use music_insights_ballista::shared_storage::{self, child};
use music_insights_ballista::tables::{INPUT_TABLES, merge};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use url::Url;

use crate::cluster::job::{Job, JobKind, JobReport, REPORT, ReadLog};
use crate::cluster::log_tables::{LogTables, temporary_file};
use crate::ingest::source::EventSender;
use crate::ingest::source::framing::CHUNK;
use crate::ingest::source::replay::Replay;
use crate::model::shutdown::Shutdown;

/// The maximum number of chunks that wait for the decoder.
const QUEUE: usize = 2;

/// Reads logs and merges tables. The source and the decoder are the same as in all other commands.
#[derive(Debug)]
pub struct LogReader {
    /// The runtime that runs the requests to stores.
    runtime: Handle,
}

impl LogReader {
    /// Creates a reader that runs its requests to stores on this runtime.
    pub fn new(runtime: Handle) -> Self {
        Self { runtime }
    }

    fn read(&self, log: &ReadLog, work_dir: &Path, target: &Url) -> Result<JobReport, ClusterError> {
        let file = self.runtime.block_on(shared_storage::fetch(&parse(&log.url)?, work_dir))?;
        let mut tables = LogTables::create(log, work_dir)?;
        let stop = Shutdown::default();
        let source = Replay {
            allow_empty: true,
            logs: vec![file.path().to_owned()],
            dialect: Arc::new(log.config.dialect.clone()),
            now: log.now,
            chunk: CHUNK,
            // The tables of a job cannot be taken back.
            reads_once: false,
        };
        let (sender, mut bundles) = mpsc::channel(QUEUE);
        std::thread::scope(|scope| {
            let source = scope.spawn(|| source.run(&EventSender::new(sender), &stop));
            let mut applied = Ok(());
            while let Some(bundle) = bundles.blocking_recv() {
                applied = bundle.into_iter().try_for_each(|event| tables.apply(event));
                if applied.is_err() {
                    break;
                }
            }
            // If the decoder failed, this stops the source.
            bundles.close();
            let read = source.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            applied.and(read.map_err(|error| ClusterError::new(ErrorKind::Io, error.to_string())))
        })?;
        let finished = tables.finish(log.now)?;
        for (table, file) in INPUT_TABLES.into_iter().zip(&finished.files) {
            self.runtime.block_on(shared_storage::upload(file, &child(target, &table.file())))?;
        }
        Ok(JobReport { folder: String::new(), tables: finished.rows, log: Some(finished.counts) })
    }

    fn merge(&self, folders: &[String], work_dir: &Path, target: &Url) -> Result<JobReport, ClusterError> {
        let folders: Vec<Url> = folders.iter().map(|folder| parse(folder)).collect::<Result<_, _>>()?;
        let mut tables = BTreeMap::new();
        for table in INPUT_TABLES {
            let merged = temporary_file(work_dir)?;
            let files: Vec<Url> = folders.iter().map(|folder| child(folder, &table.file())).collect();
            let rows = self.runtime.block_on(merge(table, &files, &merged))?;
            self.runtime.block_on(shared_storage::upload(&merged, &child(target, &table.file())))?;
            tables.insert(table.name().to_owned(), rows);
        }
        Ok(JobReport { folder: String::new(), tables, log: None })
    }
}

impl JobHandler for LogReader {
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
        let target = parse(&job.folder)?;
        let report_file = child(&target, REPORT);
        // An earlier executor may have completed this job, but was lost before the client fetched the report.
        if let Some(report) = self.runtime.block_on(shared_storage::read(&report_file))? {
            return Ok(String::from_utf8_lossy(&report).into_owned());
        }
        let report = match &job.kind {
            JobKind::Read(log) => self.read(log, work_dir, &target)?,
            JobKind::Merge(folders) => self.merge(folders, work_dir, &target)?,
        };
        let report = JobReport { folder: job.folder, ..report };
        let report = serde_json::to_string(&report).expect("a report is valid JSON");
        self.runtime.block_on(shared_storage::write(&report_file, report.clone().into_bytes()))?;
        Ok(report)
    }
}

fn parse(url: &str) -> Result<Url, ClusterError> {
    Url::parse(url).map_err(|source| ClusterError::with_source(ErrorKind::Address, url, source))
}
