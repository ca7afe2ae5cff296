//! `replay` on a cluster. Executors turn logs into tables, and queries over these tables compute the insights.
//!
//! This module needs the feature `cluster`. Its parts, from top to bottom:
//!
//! ```text
//! mod         the run: find logs, submit jobs, run queries, publish
//! progress    the progress of a run
//! staging     stages the output of a run
//! queries     runs queries, and writes their rows to files of the output
//! index       the list of existing tables, with which the next run reads only new logs
//! executor    the executor process
//! reader      on an executor: executes jobs
//! log_tables  on an executor: makes the tables of one log
//! inputs      the logs of a run
//! job         jobs and job reports, as JSON
//! error       maps errors of the cluster to errors of the command
//! ```

pub mod error;
pub mod executor;
pub mod index;
pub mod inputs;
pub mod job;
mod log_tables;
mod progress;
pub mod queries;
pub mod reader;
mod staging;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use music_insights_ballista::liveness::LiveExecutors;
use music_insights_ballista::query::TableFiles;
use music_insights_ballista::session::Session;
use music_insights_ballista::shared_storage::{self, child};
use music_insights_ballista::tables::{INPUT_TABLES, Table, TableWriter};
use tempfile::TempPath;
use url::Url;

use crate::catalog::load::Rows as CatalogRows;
use crate::catalog::reload;
use crate::cluster::error::AttemptError;
use crate::cluster::index::Index;
use crate::cluster::inputs::{Log, is_object, url_of};
use crate::cluster::job::{Job, JobReport, LogCounts};
use crate::cluster::progress::show_until_shutdown;
use crate::cluster::staging::{StagedOutput, Staging, file_of};
use crate::engine::coordinator::{RunMode, RunSummary};
use crate::engine::recovery;
use crate::engine::tally::{Acceptance, RunTally};
use crate::model::InputId;
use crate::model::error::{Error, FileRole, Op};
use crate::model::shutdown::Shutdown;
use crate::publish::cleanup::remove_temporary_files;
use crate::publish::epoch::{CutSummary, Published};
use crate::publish::manifest::{CatalogEntry, Manifest};
use crate::settings::Settings;
use crate::state::checkpoint::generation::StateConfig;
use crate::state::checkpoint::recover::StartOptions;
use crate::storage::{SharedDisk, create_folder};
use crate::telemetry::progress::Stages;
use crate::text::{path_text, shown};
use crate::time::date_range::DateRange;

/// The default folder of the tables, inside the output.
const TABLES: &str = "_tables";
/// The folder of empty tables, for a run without logs.
const EMPTY_TABLES: &str = "none";
/// The number of jobs in one round. The client submits the jobs of a round together, and then writes the index.
const JOBS_PER_ROUND: usize = 256;
/// The maximum number of times that the queries run if executors are lost.
const ATTEMPTS: usize = 4;
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_secs(2);

/// A run on a cluster.
#[derive(Debug)]
pub struct ClusterRun {
    /// The address of the scheduler, such as `df://scheduler:50050`.
    pub address: String,
    /// The folder of the tables; a folder inside the output if absent.
    pub tables: Option<PathBuf>,
    /// The logs: files, folders, patterns or objects.
    pub logs: Vec<PathBuf>,
    /// The settings.
    pub settings: Settings,
    /// The disk that the output is written to.
    pub disk: SharedDisk,
    /// What to do with an existing output.
    pub options: StartOptions,
    /// What the run requires of its rows.
    pub acceptance: Acceptance,
    /// Whether an argument may name no log.
    pub allow_empty: bool,
    /// The current time, in seconds since 1970-01-01T00:00:00Z.
    pub now: i64,
}

impl ClusterRun {
    /// Runs until the insights are published. A shutdown ends the run, and nothing is published.
    ///
    /// # Errors
    /// The same errors as for `replay` on one machine, and errors of the cluster. With periods, exit code 78.
    pub async fn run(self, stop: &Shutdown) -> Result<RunSummary, Error> {
        let run = unique_name();
        if !self.settings.periods.rules().is_empty() {
            let message = "a cluster does not keep periods yet; run `replay` without --cluster, or set the numbers \
                           in [periods] to 0";
            return Err(Error::Config(message.to_owned()));
        }
        for folder in self.logs.iter().filter(|path| path.is_dir()) {
            self.settings.check_log_folder(folder)?;
        }
        let rules = self.settings.input.folder_rules();
        let logs = inputs::find(&self.logs, &rules, self.allow_empty).await?;
        let catalog = read_catalog(&self.settings).await?;
        create_folder(&*self.disk, &self.settings.output)?;
        let _lock = self.disk.lock(&self.settings.output)?;
        let published = self.prepare_output()?;
        let session = Session::connect(&self.address, &format!("music-insights {run}")).await?;
        let tables = url_of(&self.tables.clone().unwrap_or_else(|| self.settings.output.join(TABLES)))?;
        let work = Work { session: &session, tables, run, logs, catalog, args: &self };
        let stages = Stages::new();
        let outcome = tokio::select! {
            outcome = work.run(published) => outcome,
            () = show_until_shutdown(&session, &stages, stop) => {
                session.cancel().await;
                Err(Error::Io(
                    "stopped early: nothing was published; tables of finished rounds are kept for the next run".to_owned(),
                ))
            }
        };
        stages.finish();
        outcome
    }

    /// Refuses to replace the output of a `watch`, and removes temporary files of an interrupted run. The caller holds
    /// the lock of the output.
    fn prepare_output(&self) -> Result<Published, Error> {
        let recovered = recovery::replay(&self.disk, &self.settings, self.options)?;
        remove_temporary_files(&self.disk, &self.settings.output)?;
        Ok(recovered.published)
    }
}

/// A name that no other run has.
fn unique_name() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}{:x}", since.as_micros(), std::process::id())
}

/// A run with known logs, a loaded catalog and an open session.
struct Work<'a> {
    session: &'a Session,
    /// The folder of the tables.
    tables: Url,
    /// A name that no other run has.
    run: String,
    logs: Vec<Log>,
    catalog: CatalogRows,
    args: &'a ClusterRun,
}

impl Work<'_> {
    async fn run(self, mut published: Published) -> Result<RunSummary, Error> {
        let settings = &self.args.settings;
        let mut index = Index::read(&self.tables, &StateConfig::of(settings)).await?;
        let new = index.keep_only(&self.logs, self.args.now);
        let (rows, bytes) = self.read(&mut index, &new).await?;
        self.judge(&index)?;
        let songs = self.upload_songs().await?;
        let tables = self.table_files(&index, &songs).await?;
        let (staged, unmatched) = self.query(&index, &tables, &songs).await?;
        let plays = index.counts().map(|counts| counts.plays).sum();
        let manifest =
            tokio::task::block_in_place(|| self.publish(&mut published, staged, &index, unmatched))?;
        shared_storage::remove(&songs).await?;
        self.merge(&mut index).await?;
        index.remove_unlisted(&self.tables).await?;
        Ok(RunSummary { manifest, plays, rows, bytes, verdict: Ok(()) })
    }

    /// Decides from the counts of all logs whether the run is accepted. The tables of the logs are kept for the
    /// next run.
    fn judge(&self, index: &Index) -> Result<(), Error> {
        let settings = &self.args.settings;
        let by_url: BTreeMap<&str, (u32, &LogCounts)> =
            index.logs().map(|(number, log)| (log.url.as_str(), (number, &log.counts))).collect();
        let mut tally = RunTally::default();
        tally.set_catalog(&path_text(&settings.songs), &self.catalog.rejects);
        for log in &self.logs {
            let Some((number, counts)) = by_url.get(log.url.as_str()) else { continue };
            tally.add_log(&log.label, InputId(*number), counts.rows, counts.plays, counts.future);
            for (rows, example) in counts.rejects(&log.label) {
                tally.add_log_rejects(rows, example);
            }
        }
        if let Some(warning) = tally.clock_warning(self.args.now, settings.input.max_future) {
            tracing::warn!("{warning}");
        }
        tally.judge(self.args.acceptance, DateRange::default(), ", and nothing was published")
    }

    /// Makes tables of logs on the executors. Returns the numbers of rows and bytes in these logs.
    async fn read(&self, index: &mut Index, logs: &[Log]) -> Result<(u64, u64), Error> {
        if !logs.is_empty() {
            tracing::info!(
                "{} of {} logs are new; their tables go to {}",
                logs.len(),
                self.logs.len(),
                self.tables
            );
        }
        let (mut rows, mut bytes) = (0, 0);
        let jobs = index.read_jobs(logs, self.args.now, &self.tables, &self.run);
        for round in jobs.chunks(JOBS_PER_ROUND) {
            let reports = self.submit(round.iter().map(|(job, _)| job)).await?;
            for (job, log) in round {
                let report = reports.get(&job.folder).cloned().ok_or_else(|| no_report(&log.label))?;
                let counts = report.log.clone().unwrap_or_default();
                rows += counts.rows;
                bytes += counts.bytes;
                index.add(report, job, log);
            }
            index.write(&self.tables).await?;
        }
        Ok((rows, bytes))
    }

    /// Merges small folders of tables into larger ones.
    async fn merge(&self, index: &mut Index) -> Result<(), Error> {
        // The folders that one round makes belong to the next size class.
        for round in 0.. {
            let jobs = index.merge_jobs(&self.tables, &format!("{}-{round}", self.run));
            if jobs.is_empty() {
                break;
            }
            let reports = self.submit(jobs.iter().map(|(job, _)| job)).await?;
            for (job, merged) in &jobs {
                let report = reports.get(&job.folder).cloned().ok_or_else(|| no_report(&job.folder))?;
                index.replace(report, merged);
            }
        }
        index.write(&self.tables).await
    }

    /// Submits jobs and returns their reports by folder.
    async fn submit(&self, jobs: impl Iterator<Item = &Job>) -> Result<BTreeMap<String, JobReport>, Error> {
        let jobs: Vec<String> =
            jobs.map(|job| serde_json::to_string(job).expect("a job is valid JSON")).collect();
        let reports = self.session.submit(&jobs).await?;
        let reports = reports.iter().map(|report| {
            let report: JobReport = serde_json::from_str(report).map_err(|cause| {
                Error::Config(format!(
                    "cannot read a job report: {cause}; all programs of a cluster must run the same version"
                ))
            })?;
            Ok((report.folder.clone(), report))
        });
        reports.collect()
    }

    /// Uploads the catalog as a table.
    async fn upload_songs(&self) -> Result<Url, Error> {
        let file = temporary_file()?;
        queries::write_songs(&self.catalog.songs(), &file)?;
        let url = child(&self.tables, &format!("songs-{}.parquet", self.run));
        shared_storage::upload(&file, &url).await?;
        Ok(url)
    }

    /// The files of all tables. If there are no logs, each table is one file without rows.
    async fn table_files(&self, index: &Index, songs: &Url) -> Result<TableFiles, Error> {
        let empty = child(&self.tables, EMPTY_TABLES);
        let mut tables = vec![(Table::Songs, vec![songs.clone()])];
        for table in INPUT_TABLES {
            let mut files: Vec<Url> =
                index.folders.iter().map(|folder| file_of(&self.tables, folder, table)).collect();
            if files.is_empty() {
                let file = temporary_file()?;
                TableWriter::create(table, &file)?.finish()?;
                let url = child(&empty, &table.file());
                shared_storage::upload(&file, &url).await?;
                files.push(url);
            }
            tables.push((table, files));
        }
        Ok(tables)
    }

    /// Runs the queries and stages their rows. If an executor is lost in the meantime, all queries run again.
    async fn query(
        &self,
        index: &Index,
        tables: &TableFiles,
        songs: &Url,
    ) -> Result<(StagedOutput, u64), Error> {
        let staging = Staging {
            session: self.session,
            settings: &self.args.settings,
            disk: &self.args.disk,
            now: self.args.now,
            folder: &self.tables,
            logs: &self.logs,
            catalog_rejects: &self.catalog.rejects,
        };
        for attempts_left in (0..ATTEMPTS).rev() {
            let executors = LiveExecutors::of(self.session).await;
            let attempt = async {
                let staged = staging.stage(index, tables, songs).await?;
                Ok::<_, AttemptError>((staged, queries::count_unmatched(self.session, tables).await?))
            };
            match attempt.await {
                Ok(staged) if executors.still_live(self.session).await => return Ok(staged),
                Err(AttemptError::Failed(error)) => return Err(error),
                Err(AttemptError::Lost(error)) if attempts_left == 0 => return Err(error.into()),
                Ok(_) => tracing::warn!("an executor was lost, so rows may be wrong; all queries run again"),
                Err(AttemptError::Lost(error)) => tracing::warn!("{error}; all queries run again"),
            }
            self.session.cancel().await;
            tokio::time::sleep(PAUSE).await;
        }
        Err(Error::Io(format!("executors were lost {ATTEMPTS} times in a row; nothing was published")))
    }

    /// Publishes the staged output as the next epoch.
    fn publish(
        &self,
        published: &mut Published,
        staged: StagedOutput,
        index: &Index,
        unmatched: u64,
    ) -> Result<Manifest, Error> {
        let settings = &self.args.settings;
        let (staged, mut rejects) = staged.into_epoch(settings.format.parquet)?;
        let songs = self.catalog.songs().len() as u64;
        let cut = CutSummary {
            producer: RunMode::Replay.name(),
            dates: DateRange::default(),
            totals: index.totals(unmatched),
            unfinished: Vec::new(),
            catalog: CatalogEntry::new(
                &settings.songs,
                songs,
                &self.catalog.rejects,
                self.catalog.fingerprint(),
            ),
            now: None,
            inputs_deleted: false,
        };
        let manifest = published.next_manifest(&staged, &mut rejects, cut)?;
        published.publish(staged, manifest.clone())?;
        Ok(manifest)
    }
}

/// Reads the rows of the catalog from a file or an object.
async fn read_catalog(settings: &Settings) -> Result<CatalogRows, Error> {
    let (path, dialect) = (&settings.songs, settings.catalog_dialect());
    if !is_object(path) {
        return reload::read(path, &dialect).await;
    }
    let text = shared_storage::read(&url_of(path)?).await?;
    let missing = || Error::MissingInput(format!("{} does not exist", shown(path)));
    reload::rows_of(path, &text.ok_or_else(missing)?, &dialect).await
}

/// Creates a temporary file. Dropping the returned path removes the file.
fn temporary_file() -> Result<TempPath, Error> {
    let created = tempfile::NamedTempFile::new();
    let file =
        created.map_err(|cause| Error::file(FileRole::Output, Op::Write, Path::new("TMPDIR"), cause))?;
    Ok(file.into_temp_path())
}

fn no_report(subject: &str) -> Error {
    Error::Bug(format!("no executor has reported on {subject}"))
}
