//! `replay` on a cluster. Executors add up the plays of logs in ledgers, and write these sums and the
//! enriched rows to files. They then render tables from the sums, with the same insights as one machine.
//!
//! This module needs the feature `cluster`. Its files, from top to bottom:
//!
//! ```text
//! mod         the run: find logs, read them, render tables, publish
//! reading     submits jobs that read new logs, and jobs that add up files of sums
//! publishing  makes the output, and publishes it
//! verifying   computes an output again, and compares it
//! progress    the progress of a run
//! output      plans the output: which job makes which part of it
//! splits      divides the new logs into jobs of similar size
//! index       which logs were read by earlier runs, and the files that were made of them
//! executor    the executor process
//! tasks       executes jobs, on an executor
//! sums        files of sums: a ledger with ids as text
//! bucket      a bucket as a disk, for the output
//! inputs      finds the logs of a run
//! job         jobs and job reports, as JSON
//! error       maps errors of the cluster to errors of the command
//! ```

mod bucket;
pub mod error;
pub mod executor;
pub mod index;
pub mod inputs;
pub mod job;
mod output;
mod progress;
mod publishing;
mod reading;
mod splits;
pub mod sums;
pub mod tasks;
pub mod verifying;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use music_insights_ballista::session::Session;
use music_insights_ballista::shared_storage::{self, child};
use url::Url;
use xxhash_rust::xxh3::xxh3_128;

use crate::catalog::load::Rows as CatalogRows;
use crate::catalog::reload;
use crate::cluster::bucket::BucketDisk;
use crate::cluster::index::Index;
use crate::cluster::inputs::{Log, is_object, url_of};
use crate::cluster::job::{CatalogFile, LogCounts};
use crate::cluster::progress::{RunProgress, unless_stopped};
use crate::engine::coordinator::RunSummary;
use crate::engine::recovery;
use crate::engine::tally::{Acceptance, RunTally};
use crate::insights::query::Weeks;
use crate::model::InputId;
use crate::model::error::Error;
use crate::model::shutdown::Shutdown;
use crate::publish::cleanup::remove_temporary_files;
use crate::publish::epoch::Published;
use crate::publish::manifest::{Manifest, hash_text};
use crate::publish::periods::PeriodIndex;
use crate::publish::{OutputFormats, REJECTS};
use crate::settings::Settings;
use crate::state::checkpoint::generation::StateConfig;
use crate::state::checkpoint::recover::StartOptions;
use crate::storage::failpoint::fail_point;
use crate::storage::{FolderLock, SharedDisk, create_folder};
use crate::text::{path_text, shown};
use crate::time::civil::Week;
use crate::time::date_range::DateRange;

/// The default folder of the tables, inside the output: sums, enriched rows, rejects and the index.
const TABLES: &str = "_tables";

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
    /// The dates of the plays that count.
    pub dates: DateRange,
    /// Whether an argument may name no log.
    pub allow_empty: bool,
    /// The current time, in seconds since 1970-01-01T00:00:00Z.
    pub now: i64,
}

impl ClusterRun {
    /// Runs until the insights are published. A shutdown cancels the jobs and ends the run.
    ///
    /// # Errors
    /// The same errors as for `replay` on one machine, and errors of the cluster.
    pub async fn run(mut self, stop: &Shutdown) -> Result<RunSummary, Error> {
        let run = unique_name();
        if is_object(&self.settings.output) {
            self.disk = BucketDisk::open(&std::env::temp_dir())?;
        }
        for folder in self.logs.iter().filter(|path| path.is_dir()) {
            self.settings.check_log_folder(folder)?;
        }
        let rules = self.settings.input.folder_rules();
        let logs = inputs::find(&self.logs, &rules, self.allow_empty).await?;
        let catalog = read_catalog(&self.settings).await?;
        create_folder(&*self.disk, &self.settings.output)?;
        let lock = self.disk.lock(&self.settings.output)?;
        let published = self.prepare_output()?;
        let session = Session::connect(&self.address, &format!("music-insights {run}")).await?;
        let tables = url_of(&self.tables.clone().unwrap_or_else(|| self.settings.output.join(TABLES)))?;
        let progress = RunProgress::default();
        let work = Work {
            session: &session,
            lock: &*lock,
            progress: &progress,
            tables,
            run,
            logs,
            catalog,
            args: &self,
        };
        let stopped = || {
            let done =
                if progress.is_published() { "the insights are published" } else { "nothing was published" };
            Error::Io(format!("stopped early: {done}; run the command again to continue"))
        };
        unless_stopped(Box::pin(work.run(published)), &session, &progress, stop, stopped).await
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
    /// The lock of the output folder.
    lock: &'a dyn FolderLock,
    progress: &'a RunProgress,
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
        let config = StateConfig::of(&self.args.settings);
        let mut index = Index::read(&self.tables, &config, &self.fingerprint(), self.args.dates).await?;
        if self.args.options.fresh {
            // The files of the output may be damaged, so all of them are written again.
            index.published = None;
        }
        let new = index.keep_only(&self.logs, self.args.now);
        if let Some(manifest) = self.unchanged(&index, &new)? {
            self.judge(&index)?;
            let plays = index.counts().map(|counts| counts.plays).sum();
            return Ok(RunSummary { manifest, plays, rows: 0, bytes: 0, verdict: Ok(()) });
        }
        let catalog = self.upload_catalog().await?;
        let (rows, bytes) =
            self.read(&mut index, &new, config.enriched_logs.then(|| catalog.clone())).await?;
        self.judge(&index)?;
        let staged = self.stage(&index, catalog).await?;
        let plays = index.counts().map(|counts| counts.plays).sum();
        let rejects = self.stage_rejects(&index).await?;
        let enriched = self.enriched_rows(&index);
        fail_point("client.staged");
        // From here on, the output may have files of two runs. A later run must not take them for published ones.
        index.published = None;
        index.write(&self.tables).await?;
        let manifest = tokio::task::block_in_place(|| self.publish(&mut published, staged, rejects, &index))?;
        fail_point("client.published");
        index.published = Some(self.published_output(&index, enriched, &manifest));
        index.write(&self.tables).await?;
        self.progress.set_published();
        self.merge(&mut index).await?;
        index.remove_unlisted(&self.tables).await?;
        Ok(RunSummary { manifest: manifest.0, plays, rows, bytes, verdict: Ok(()) })
    }

    /// The fingerprint of the catalog as text.
    fn fingerprint(&self) -> String {
        format!("{:032x}", self.catalog.fingerprint())
    }

    /// The published manifest, if nothing has changed since it was published: no log, no setting, no file of
    /// the output. `new` are the logs that must be read.
    fn unchanged(&self, index: &Index, new: &[Log]) -> Result<Option<Manifest>, Error> {
        let Some(last) = index.published.as_ref().filter(|_| new.is_empty()) else { return Ok(None) };
        let (disk, output) = (&self.args.disk, &self.args.settings.output);
        let Some(text) = Manifest::text_in(disk, output)? else { return Ok(None) };
        if last.manifest != hash_text(xxh3_128(&text)) || last.basis != self.basis(index) {
            return Ok(None);
        }
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&text) else { return Ok(None) };
        let tables = manifest.insights.iter().map(|(name, entry)| (name.as_str(), entry));
        let is_there = tables.chain([(REJECTS, &manifest.rejects)]).all(|(name, entry)| {
            let mut files = entry.files(output, name).into_iter();
            files.all(|(path, part)| disk.stat(&path).is_ok_and(|file| file.len == part.bytes))
        });
        let mut periods = manifest.periods.iter();
        let has_periods = periods.all(|entry| {
            PeriodIndex::read(&**disk, output, entry)
                .is_some_and(|(period, index)| index.is_in_place(&**disk, output, period))
        });
        Ok((is_there && has_periods).then_some(manifest))
    }

    /// A hash of everything on which the output depends: logs, catalog and settings.
    fn basis(&self, index: &Index) -> String {
        let settings = &self.args.settings;
        let weeks = Weeks::new(latest(index).map(|(_, local)| local), Week::of_day(self.today()));
        let week = settings.insights.top_songs_this_week.week.resolve(weeks);
        let logs: Vec<_> =
            self.logs.iter().map(|log| (&log.label, &log.url, log.size, &log.version)).collect();
        let formats = OutputFormats::of(settings);
        let songs = path_text(&settings.songs);
        let basis = (logs, songs, self.fingerprint(), &settings.insights, formats, week.map(|week| week.0));
        let periods: Vec<u64> = self.published_periods(index).keys().map(|period| period.code()).collect();
        let names = settings.periods.insights.to_string();
        let now = settings.periods.rules().states_now().then_some(self.args.now);
        let dates = (self.args.dates, StateConfig::of(settings));
        let text = serde_json::to_vec(&(basis, periods, names, now, dates)).expect("settings are valid JSON");
        hash_text(xxh3_128(&text))
    }

    /// The local date of the current time, in days since 1970-01-01.
    fn today(&self) -> i64 {
        self.args.settings.timezone.0.local_date(self.args.now)
    }

    /// Decides from the counts of all logs whether the run is accepted. The index is written by then, so the
    /// next run does not read the logs again.
    fn judge(&self, index: &Index) -> Result<(), Error> {
        let settings = &self.args.settings;
        let by_url: BTreeMap<&str, (u32, &LogCounts)> =
            index.logs().map(|(number, log)| (log.url.as_str(), (number, &log.counts))).collect();
        let mut tally = RunTally::default();
        tally.set_catalog(&path_text(&settings.songs), &self.catalog.rejects);
        for log in &self.logs {
            let Some((number, counts)) = by_url.get(log.url.as_str()) else { continue };
            tally.add_log(&log.label, InputId(*number), counts.rows, counts.plays, counts.future);
            tally.add_log_outside(counts.outside, counts.outside_times);
            for (rows, example) in counts.rejects(&log.label) {
                tally.add_log_rejects(rows, example);
            }
        }
        if let Some(warning) = tally.clock_warning(self.args.now, settings.input.max_future) {
            tracing::warn!("{warning}");
        }
        tally.judge(self.args.acceptance, self.args.dates, ", and nothing was published")
    }

    /// Uploads the rows of the catalog for all executors.
    async fn upload_catalog(&self) -> Result<CatalogFile, Error> {
        let fingerprint = self.fingerprint();
        let url = child(&child(&self.tables, &self.folder(0)), &format!("songs-{fingerprint}"));
        shared_storage::write(&url, self.catalog.to_bytes()).await?;
        Ok(CatalogFile { url: url.into(), fingerprint })
    }

    /// The name of a folder for files that only this run needs, such as the reports of a round of jobs.
    fn folder(&self, number: usize) -> String {
        format!("{:06}-{}-r{number}", 0, self.run)
    }
}

/// The latest play of all logs.
fn latest(index: &Index) -> Option<(i64, i64)> {
    index.counts().filter_map(|counts| counts.latest).max()
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
