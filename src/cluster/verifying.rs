//! `verify` on a cluster. The executors compute the output again, in a temporary folder, and compare its files with the
//! published ones. To compare, the client reads only manifests and indexes of periods.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use music_insights_ballista::session::Session;
use music_insights_ballista::shared_storage::{self, child};

use crate::cluster::bucket::BucketDisk;
use crate::cluster::inputs::{is_object, url_of};
use crate::cluster::job::{CompareJob, FileDifference, FilePair, JobKind, JobResult};
use crate::cluster::progress::{RunProgress, unless_stopped};
use crate::cluster::reading::submit_all;
use crate::cluster::{ClusterRun, TABLES, read_catalog, unique_name};
use crate::engine::coordinator::RunMode;
use crate::engine::tally::Acceptance;
use crate::model::error::Error;
use crate::model::shutdown::Shutdown;
use crate::publish::REJECTS;
use crate::publish::manifest::{FILE as MANIFEST, InsightEntry, Manifest, PARQUET, PERIODS, PartEntry};
use crate::publish::periods::{INDEX, PeriodIndex, folder_of};
use crate::settings::Settings;
use crate::state::checkpoint::recover::StartOptions;
use crate::storage::{Disk, SharedDisk};
use crate::text::shown;
use crate::time::period::Period;
use crate::verify::report::Report;
use crate::verify::verifier::{other_catalog, published_manifest};

/// The start of the name of the temporary folder with the recomputed output.
const SCRATCH: &str = "verify-";
/// One job compares at most this many bytes, or one file.
const JOB_BYTES: u64 = 256 << 20;
/// One job compares at most this many files.
const JOB_FILES: usize = 200;

/// A verification on a cluster.
#[derive(Debug)]
pub struct ClusterVerifier {
    /// The address of the scheduler, such as `df://scheduler:50050`.
    pub address: String,
    /// The folder of the tables; a folder inside the output if absent. It gets the temporary folder.
    pub tables: Option<PathBuf>,
    /// The logs that the replay has read: files, folders, patterns or objects.
    pub logs: Vec<PathBuf>,
    /// The settings of the output.
    pub settings: Settings,
    /// The disk with the output.
    pub disk: SharedDisk,
    /// The current time that the user has set, in seconds since 1970-01-01T00:00:00Z.
    pub now: Option<i64>,
    /// The time of the clock, used if neither `now` nor the published manifest states a time.
    pub clock: i64,
}

/// The files of a table, or of the tables of all periods: each published file with its recomputed one.
#[derive(Debug)]
struct TablePair {
    name: String,
    /// What the report says if no file differs.
    verified: String,
    files: Vec<(PathBuf, FilePair)>,
}

/// The recomputed output, and the published one.
struct Outputs<'a> {
    disk: &'a dyn Disk,
    published: (&'a Path, &'a Manifest),
    expected: (&'a Path, &'a Manifest),
}

impl ClusterVerifier {
    /// Verifies the output of a `replay`. A difference is part of the report, not an error.
    ///
    /// # Errors
    /// If there is no output (66), or if it is the output of a `watch` (64). The same errors as for a run on a cluster.
    pub async fn run(mut self, stop: &Shutdown) -> Result<Report, Error> {
        if is_object(&self.settings.output) {
            self.disk = BucketDisk::open(&std::env::temp_dir())?;
        }
        let output = &self.settings.output;
        published_manifest(&self.disk, output)?;
        let _lock = self.disk.lock(output)?;
        let manifest = published_manifest(&self.disk, output)?;
        if manifest.producer != RunMode::Replay.name() {
            let message =
                format!("{}: `watch` wrote this output; verify it without --cluster", shown(output));
            return Err(Error::Usage(message));
        }
        let fingerprint = read_catalog(&self.settings).await?.fingerprint();
        if let Some(other) = other_catalog(&self.settings.songs, fingerprint, &manifest, "tables") {
            return Ok(Report { unverifiable: vec![other], ..Report::default() });
        }
        let tables = self.tables.clone().unwrap_or_else(|| output.join(TABLES));
        let tables_url = url_of(&tables)?;
        // A killed verification leaves its folder behind. The lock says that no other one is running.
        for folder in shared_storage::list_folders(&tables_url).await? {
            if folder.starts_with(SCRATCH) {
                shared_storage::remove_tree(&child(&tables_url, &folder)).await?;
            }
        }
        let scratch = format!("{SCRATCH}{}", unique_name());
        let report = self.verify(&manifest, &tables.join(&scratch), stop).await;
        shared_storage::remove_tree(&child(&tables_url, &scratch)).await?;
        report
    }

    async fn verify(&self, manifest: &Manifest, scratch: &Path, stop: &Shutdown) -> Result<Report, Error> {
        let mut report = Report::default();
        let stated = manifest.now.as_deref().and_then(|now| DateTime::parse_from_rfc3339(now).ok());
        let run = ClusterRun {
            address: self.address.clone(),
            tables: Some(scratch.join(TABLES)),
            logs: self.logs.clone(),
            settings: Settings { output: scratch.to_owned(), ..self.settings.clone() },
            disk: SharedDisk::clone(&self.disk),
            options: StartOptions { fresh: true, ..StartOptions::default() },
            acceptance: Acceptance { strict: false, allow_empty: true },
            dates: manifest.dates(),
            allow_empty: true,
            now: self.now.or(stated.map(|now| now.timestamp())).unwrap_or(self.clock),
        };
        let expected = Box::pin(run.run(stop)).await;
        if stop.is_requested() {
            return Err(stopped());
        }
        let expected = expected?.manifest;
        let output = self.settings.output.as_path();
        let outputs =
            Outputs { disk: &*self.disk, published: (output, manifest), expected: (scratch, &expected) };
        let tables = outputs.pairs(&mut report)?;
        let files: Vec<FilePair> =
            tables.iter().flat_map(|table| &table.files).map(|(_, pair)| pair.clone()).collect();
        let mut differences = self.compare(files, scratch, stop).await?.into_iter();
        for TablePair { name, verified, files } in tables {
            let found = files.iter().zip(&mut differences).filter_map(|((path, _), difference)| {
                let difference = difference?;
                Some(format!("{}{difference}", shown(path)))
            });
            let before = report.differences.len();
            report.differences.extend(found);
            if report.differences.len() == before {
                report.verified.push(format!("{name}: {verified}, equal to the recomputed ones"));
            }
        }
        Ok(report)
    }

    /// Compares files on the executors. Returns the first difference of each file.
    async fn compare(
        &self,
        files: Vec<FilePair>,
        scratch: &Path,
        stop: &Shutdown,
    ) -> Result<Vec<Option<FileDifference>>, Error> {
        let jobs = groups(files).into_iter().map(|files| JobKind::Compare(CompareJob { files }));
        let jobs: Vec<JobKind> = jobs.collect();
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let folder = child(&url_of(scratch)?, "comparison");
        let session = Session::connect(&self.address, &format!("music-insights {}", unique_name())).await?;
        let progress = RunProgress::default();
        progress.begin("comparing");
        let results = submit_all(&session, &folder, jobs);
        let results = unless_stopped(results, &session, &progress, stop, stopped).await?;
        let of_jobs = results.into_iter().filter_map(|result| match result {
            JobResult::Compared(differences) => Some(differences),
            _ => None,
        });
        Ok(of_jobs.flatten().collect())
    }
}

fn stopped() -> Error {
    Error::Io("stopped early: nothing was verified".to_owned())
}

/// Divides files into groups, in order: one for each job.
fn groups(files: Vec<FilePair>) -> Vec<Vec<FilePair>> {
    let (mut groups, mut bytes) = (Vec::<Vec<FilePair>>::new(), 0);
    for pair in files {
        bytes += pair.bytes;
        if let Some(group) = groups.last_mut().filter(|group| bytes <= JOB_BYTES && group.len() < JOB_FILES) {
            group.push(pair);
        } else {
            bytes = pair.bytes;
            groups.push(vec![pair]);
        }
    }
    groups
}

impl Outputs<'_> {
    /// All files to compare, by table. Adds the differences between the manifests to the report.
    fn pairs(&self, report: &mut Report) -> Result<Vec<TablePair>, Error> {
        let ((output, published), (scratch, expected)) = (self.published, self.expected);
        if published.totals == expected.totals {
            report.verified.push(format!("{MANIFEST}: the totals, equal to the recomputed ones"));
        } else {
            let text =
                |manifest: &Manifest| serde_json::to_string(&manifest.totals).expect("totals are valid JSON");
            let path = shown(&output.join(MANIFEST));
            let (expected, found) = (text(expected), text(published));
            report.differences.push(format!("{path}: totals: expected {expected}, found {found}"));
        }
        let mut tables = Vec::new();
        let insights = expected.insights.iter().map(|(name, entry)| (name.as_str(), entry));
        for (name, expected) in insights.chain([(REJECTS, &expected.rejects)]) {
            let found = if name == REJECTS { Some(&published.rejects) } else { published.insights.get(name) };
            let Some(found) = found else {
                report.differences.push(format!("{name}: the insight is enabled, but not published"));
                continue;
            };
            let files = |output: &Path, entry: &InsightEntry| -> Vec<(PathBuf, PartEntry)> {
                let files = entry.files(output, name).into_iter();
                files.map(|(path, part)| (path, part.clone())).collect()
            };
            let files = pair(name, files(output, found), files(scratch, expected), report)?;
            tables.push(TablePair { name: name.to_owned(), verified: format!("{} rows", found.rows), files });
        }
        tables.extend(self.period_pairs(report)?);
        Ok(tables)
    }

    /// All files of periods.
    fn period_pairs(&self, report: &mut Report) -> Result<Option<TablePair>, Error> {
        let ((output, published), (scratch, expected)) = (self.published, self.expected);
        let by_period = |manifest: &Manifest| -> BTreeMap<Period, _> {
            let entries = manifest.periods.iter().cloned();
            entries.filter_map(|entry| Some((entry.period()?, entry))).collect()
        };
        let (mut published, expected) = (by_period(published), by_period(expected));
        let mut files = Vec::new();
        let periods = expected.len();
        for (period, entry) in expected {
            let Some(found) = published.remove(&period) else {
                report.differences.push(format!("{}: the period is not published", period.path()));
                continue;
            };
            let Some((_, found)) = PeriodIndex::read(self.disk, output, &found) else {
                let path = shown(&output.join(&found.file));
                report.differences.push(format!("{path}: the file is missing or differs from the manifest"));
                continue;
            };
            let damaged = || Error::Io(format!("{}: cannot be read", shown(&scratch.join(&entry.file))));
            let (_, expected) = PeriodIndex::read(self.disk, scratch, &entry).ok_or_else(damaged)?;
            if found.plays != expected.plays {
                let path = shown(&folder_of(output, period).join(INDEX));
                let (expected, found) = (expected.plays, found.plays);
                report.differences.push(format!("{path}: expected {expected} plays, found {found}"));
            }
            for (table, expected) in &expected.insights {
                let name = format!("{}/{table}", period.path());
                let Some(found) = found.insights.get(table) else {
                    report.differences.push(format!("{name}: the table is not published"));
                    continue;
                };
                let found = files_of_period(output, period, table, found);
                files.extend(pair(&name, found, files_of_period(scratch, period, table, expected), report)?);
            }
        }
        for period in published.into_keys() {
            report.differences.push(format!("{}: the period is published, but not kept", period.path()));
        }
        let verified = format!("the tables of {periods} periods");
        Ok((periods > 0).then(|| TablePair { name: PERIODS.to_owned(), verified, files }))
    }
}

/// The files of a table of a period: CSV, then Parquet.
fn files_of_period(
    output: &Path,
    period: Period,
    table: &str,
    entry: &InsightEntry,
) -> Vec<(PathBuf, PartEntry)> {
    let [csv, parquet] =
        [output.to_owned(), output.join(PARQUET)].map(|output| folder_of(&output, period).join(table));
    let csv = entry.parts.iter().map(|part| (csv.join(&part.file), part.clone()));
    let parquet = entry.parquet.iter().map(|part| (parquet.join(&part.file), part.clone()));
    csv.chain(parquet).collect()
}

/// Pairs the published files of a table with the recomputed ones.
fn pair(
    name: &str,
    published: Vec<(PathBuf, PartEntry)>,
    expected: Vec<(PathBuf, PartEntry)>,
    report: &mut Report,
) -> Result<Vec<(PathBuf, FilePair)>, Error> {
    if published.len() != expected.len() {
        let (expected, found) = (expected.len(), published.len());
        report.differences.push(format!("{name}: expected {expected} files, found {found}"));
    }
    let pairs = published.into_iter().zip(expected).map(|((path, part), (expected, _))| {
        let (published, expected) = (url_of(&path)?.into(), url_of(&expected)?.into());
        let pair = FilePair { published, expected, bytes: part.bytes, hash: part.hash };
        Ok((path, pair))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_compare_groups_of_files() {
        let file = |bytes| FilePair { bytes, ..FilePair::default() };
        let sizes = |files: Vec<FilePair>| -> Vec<usize> { groups(files).iter().map(Vec::len).collect() };
        assert!(sizes(Vec::new()).is_empty());
        assert_eq!(sizes([1, JOB_BYTES - 1, 1, JOB_BYTES * 2, 1].map(file).into()), [2, 1, 1, 1]);
        assert_eq!(sizes(vec![file(1); JOB_FILES * 2 + 1]), [JOB_FILES, JOB_FILES, 1]);
    }
}
