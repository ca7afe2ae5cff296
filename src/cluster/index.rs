//! The index of the tables. It lists the folders of Parquet files and the logs that each folder contains.
//!
//! The tables are a cache: the executors can always make them again from the logs. A run writes a folder first, and
//! the index that lists the folder afterwards. An interrupted run can therefore leave unlisted folders. The next run
//! removes them.

use std::collections::{BTreeMap, HashMap, HashSet};

use music_insights_ballista::shared_storage::{self, child};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::cluster::inputs::Log;
use crate::cluster::job::{Job, JobKind, JobReport, LogCounts, ReadLog};
use crate::model::Reason;
use crate::model::error::Error;
use crate::publish::manifest::Totals;
use crate::state::checkpoint::generation::StateConfig;

/// The name of the index in the folder of the tables.
const FILE: &str = "index.json";
/// The format version of the index.
const FORMAT: u32 = 1;
/// The number of folders of similar size that are merged into one.
const FAN_IN: usize = 8;
/// The smallest size class contains the folders with fewer plays than this number.
const SMALL: u64 = 1 << 20;

/// The index of the tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    format: u32,
    /// The version of the program that made the tables. A different version may read logs differently.
    program: String,
    /// The settings on which the tables depend.
    #[serde(alias = "shape")]
    config: StateConfig,
    /// The number that the next new log will get.
    next: u32,
    /// The folders of tables.
    pub folders: Vec<Folder>,
}

/// A folder of tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// The name of the folder.
    pub name: String,
    /// The number of rows of each table, by name of the table.
    pub rows: BTreeMap<String, u64>,
    /// The logs in the folder, by number.
    pub logs: BTreeMap<u32, KnownLog>,
}

/// A log that an executor has read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownLog {
    /// The URL of the log.
    pub url: String,
    /// The stored length of the log in bytes, before decompression.
    pub size: u64,
    /// The modification time or the entity tag of the log.
    #[serde(alias = "stamp")]
    pub version: String,
    /// The counts of the log.
    pub counts: LogCounts,
}

impl Index {
    /// Reads the index of a folder of tables. Returns an empty index if there is no index for these settings.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn read(tables: &Url, config: &StateConfig) -> Result<Self, Error> {
        let empty = Self {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            config: config.clone(),
            next: 0,
            folders: Vec::new(),
        };
        let file = child(tables, FILE);
        let Some(text) = shared_storage::read(&file).await? else { return Ok(empty) };
        let Ok(known) = serde_json::from_slice::<Self>(&text) else {
            tracing::warn!("{file}: not a valid index of tables; all logs are read again");
            return Ok(empty);
        };
        if let Some(difference) = known.config.difference(config) {
            tracing::info!("all logs are read again: the tables were made with other settings: {difference}");
            return Ok(empty);
        }
        if (known.format, &known.program) != (FORMAT, &empty.program) {
            tracing::info!("all logs are read again: the tables were made by another version");
            return Ok(empty);
        }
        Ok(known)
    }

    /// Writes the index atomically.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn write(&self, tables: &Url) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(self).expect("an index is valid JSON");
        Ok(shared_storage::write(&child(tables, FILE), text).await?)
    }

    /// Drops the folders that cannot be used. A folder cannot be used if one of its logs is not among `logs`, has
    /// changed, or would now have different rejects. Returns the logs that must be read.
    pub fn keep_only(&mut self, logs: &[Log], now: i64) -> Vec<Log> {
        let by_url: HashMap<&str, &Log> = logs.iter().map(|log| (log.url.as_str(), log)).collect();
        let max_future = self.config.max_future as i64;
        let is_valid = |known: &KnownLog| {
            by_url.get(known.url.as_str()).is_some_and(|log| {
                (log.size, &log.version) == (known.size, &known.version)
                    && known.counts.is_valid_at(now, max_future)
            })
        };
        self.folders.retain(|folder| folder.logs.values().all(is_valid));
        let known: HashSet<&str> = self.logs().map(|(_, log)| log.url.as_str()).collect();
        logs.iter().filter(|log| !known.contains(log.url.as_str())).cloned().collect()
    }

    /// All logs with their numbers.
    pub fn logs(&self) -> impl Iterator<Item = (u32, &KnownLog)> {
        self.folders.iter().flat_map(|folder| &folder.logs).map(|(&number, log)| (number, log))
    }

    /// The counts of all logs.
    pub fn counts(&self) -> impl Iterator<Item = &LogCounts> {
        self.logs().map(|(_, log)| &log.counts)
    }

    /// The sums over all logs. `unmatched` is the current number of unmatched plays.
    pub fn totals(&self, unmatched: u64) -> Totals {
        let mut totals = Totals { unmatched, ..Totals::default() };
        for counts in self.counts() {
            totals.inputs += 1;
            totals.bytes += counts.bytes;
            totals.rows += counts.rows;
            for (reason, rows) in &counts.rejected {
                *totals.rejected.entry(reason.clone()).or_default() += rows;
            }
        }
        totals
    }

    /// Creates a job for each log, and gives each log a number.
    pub fn read_jobs(&mut self, logs: &[Log], now: i64, tables: &Url, run: &str) -> Vec<(Job, Log)> {
        let jobs = logs.iter().map(|log| {
            let number = self.next;
            self.next += 1;
            let kind = JobKind::Read(Box::new(ReadLog {
                number,
                url: log.url.clone(),
                config: self.config.clone(),
                now,
            }));
            (job(tables, &format!("{number:06}-{run}"), kind), log.clone())
        });
        jobs.collect()
    }

    /// Adds the folder that a job has made of a log.
    pub fn add(&mut self, report: JobReport, job: &Job, log: &Log) {
        let (JobKind::Read(read), Some(counts)) = (&job.kind, report.log) else { return };
        let number = &read.number;
        let known = KnownLog { url: log.url.clone(), size: log.size, version: log.version.clone(), counts };
        let logs = BTreeMap::from([(*number, known)]);
        self.folders.push(Folder { name: name_of(&report.folder), rows: report.tables, logs });
    }

    /// Creates a merge job for each group of folders of similar size. Returns each job with the names of its folders.
    pub fn merge_jobs(&self, tables: &Url, run: &str) -> Vec<(Job, Vec<String>)> {
        let mut by_size: BTreeMap<u32, Vec<&Folder>> = BTreeMap::new();
        for folder in &self.folders {
            by_size.entry(size_class(folder)).or_default().push(folder);
        }
        let groups = by_size.values_mut().flat_map(|folders| {
            folders.sort_by_key(|folder| folder.logs.keys().next().copied());
            folders.chunks_exact(FAN_IN)
        });
        let jobs = groups.zip(0..).map(|(group, count)| {
            let urls = group.iter().map(|folder| child(tables, &folder.name).into()).collect();
            let first = group[0].logs.keys().next().copied().unwrap_or_default();
            let job = job(tables, &format!("{first:06}-{run}-m{count}"), JobKind::Merge(urls));
            (job, group.iter().map(|folder| folder.name.clone()).collect())
        });
        jobs.collect()
    }

    /// Replaces the merged folders with the folder of the merge job.
    pub fn replace(&mut self, report: JobReport, merged: &[String]) {
        let (replaced, kept): (Vec<Folder>, Vec<Folder>) =
            std::mem::take(&mut self.folders).into_iter().partition(|folder| merged.contains(&folder.name));
        self.folders = kept;
        let logs = replaced.into_iter().flat_map(|folder| folder.logs).collect();
        self.folders.push(Folder { name: name_of(&report.folder), rows: report.tables, logs });
    }

    /// Removes folders of tables that are not in the index.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub async fn remove_unlisted(&self, tables: &Url) -> Result<(), Error> {
        let names: HashSet<&str> = self.folders.iter().map(|folder| folder.name.as_str()).collect();
        for name in shared_storage::list_folders(tables).await? {
            // A folder with any other kind of name belongs to the user.
            let is_ours = name.split_once('-').is_some_and(|(number, _)| number.parse::<u32>().is_ok());
            if !is_ours || names.contains(name.as_str()) {
                continue;
            }
            let folder = child(tables, &name);
            // The empty child adds a slash, so the URL means a folder.
            for file in shared_storage::list(&child(&folder, "")).await? {
                shared_storage::remove(&file.url).await?;
            }
            shared_storage::remove_folder(&folder);
        }
        Ok(())
    }
}

impl LogCounts {
    /// Whether the log has the same plays and rejects if it is read at the time `now`. At a later time, a rejected
    /// timestamp may no longer be too far in the future. At an earlier time, an accepted timestamp may be too far in
    /// the future.
    fn is_valid_at(&self, now: i64, max_future: i64) -> bool {
        let rejected = self.rejected.get(Reason::TimestampRange.code()).copied().unwrap_or_default();
        let is_latest_accepted =
            self.latest.is_none_or(|(instant, _)| instant <= now.saturating_add(max_future));
        (rejected == 0 || now == self.now) && is_latest_accepted
    }
}

fn job(tables: &Url, folder: &str, kind: JobKind) -> Job {
    let program = env!("CARGO_PKG_VERSION").to_owned();
    Job { program, folder: child(tables, folder).into(), kind }
}

fn name_of(folder: &str) -> String {
    folder.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The size class of a folder. Each class is [`FAN_IN`] times as large as the previous one.
fn size_class(folder: &Folder) -> u32 {
    let plays: u64 = folder.logs.values().map(|log| log.counts.plays).sum();
    (plays / SMALL).checked_ilog(FAN_IN as u64).map_or(0, |class| class + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    const NOW: i64 = 1_767_225_600;

    fn log(name: &str) -> Log {
        let url = format!("file:///logs/{name}");
        Log { label: name.to_owned(), url, size: 10, version: "1".to_owned() }
    }

    fn tables() -> Url {
        Url::parse("file:///tables").unwrap()
    }

    /// An index of these logs, each in its own folder.
    fn index_of(logs: &[Log], counts: &LogCounts) -> Index {
        let config = StateConfig::of(&Settings::default());
        let mut index =
            Index { format: FORMAT, program: String::new(), config, next: 0, folders: Vec::new() };
        for (job, log) in index.read_jobs(logs, NOW, &tables(), "run") {
            let report =
                JobReport { folder: job.folder.clone(), log: Some(counts.clone()), ..JobReport::default() };
            index.add(report, &job, &log);
        }
        index
    }

    #[test]
    fn totals_add_up_all_logs() {
        let rejected = BTreeMap::from([("empty_field".to_owned(), 2)]);
        let counts = LogCounts { bytes: 100, rows: 7, plays: 5, rejected, ..LogCounts::default() };
        let totals = index_of(&[log("a"), log("b")], &counts).totals(3);
        assert_eq!((totals.inputs, totals.bytes, totals.rows, totals.unmatched), (2, 200, 14, 3));
        assert_eq!(totals.rejected, BTreeMap::from([("empty_field".to_owned(), 4)]));
    }

    #[test]
    fn new_and_changed_logs_are_read() {
        let changed = Log { size: 11, ..log("b") };
        let mut index = index_of(&[log("a"), log("b"), log("removed")], &LogCounts::default());
        assert_eq!(index.keep_only(&[log("a"), changed.clone(), log("c")], NOW), [changed, log("c")]);
        assert_eq!(index.folders.len(), 1);
    }

    #[test]
    fn a_timestamp_out_of_range_depends_on_the_time_of_the_run() {
        let rejected = BTreeMap::from([(Reason::TimestampRange.code().to_owned(), 1)]);
        let with_reject = LogCounts { rejected, now: NOW, ..LogCounts::default() };
        assert!(with_reject.is_valid_at(NOW, 60) && !with_reject.is_valid_at(NOW + 1, 60));
        let with_play = LogCounts { latest: Some((NOW + 60, NOW + 60)), now: NOW, ..LogCounts::default() };
        assert!(with_play.is_valid_at(NOW + 1, 60) && !with_play.is_valid_at(NOW - 1, 60));
    }

    #[test]
    fn eight_folders_of_similar_size_are_merged() {
        let logs: Vec<Log> = (0..9).map(|number| log(&number.to_string())).collect();
        let small = LogCounts { plays: 1, ..LogCounts::default() };
        assert!(index_of(&logs[..7], &small).merge_jobs(&tables(), "run").is_empty());
        let mut index = index_of(&logs, &small);
        let [(job, merged)] = &index.merge_jobs(&tables(), "run")[..] else { panic!("not one job") };
        assert_eq!(merged.len(), FAN_IN);
        let report = JobReport { folder: job.folder.clone(), ..JobReport::default() };
        index.replace(report, merged);
        let sizes: Vec<usize> = index.folders.iter().map(|folder| folder.logs.len()).collect();
        assert_eq!(sizes, [1, 8]);
        assert_eq!(index.totals(0).inputs, 9);
    }

    #[test]
    fn each_size_class_is_eight_times_as_large() {
        let class_of = |plays| {
            size_class(&index_of(&[log("a")], &LogCounts { plays, ..LogCounts::default() }).folders[0])
        };
        let classes = [0, SMALL - 1, SMALL, 8 * SMALL - 1, 8 * SMALL].map(class_of);
        assert_eq!(classes, [0, 0, 1, 1, 2]);
    }
}
