//! The index: which logs were read, and the files that were made of them.
//!
//! The files are a cache: the executors can always make them again from the logs. A run first writes files,
//! and then the index that lists them. An interrupted run can therefore leave unlisted files. The next run
//! that publishes removes them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use music_insights_ballista::shared_storage::{self, child};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::cluster::inputs::Log;
use crate::cluster::job::{
    Job, JobKind, LogCounts, LogReport, MapJob, MapReport, MergeJob, PeriodSums, RowRange, Sums, SumsFile,
};
use crate::cluster::splits::JobLogs;
use crate::model::Reason;
use crate::model::error::Error;
use crate::publish::manifest::{PartEntry, Totals};
use crate::state::checkpoint::generation::StateConfig;
use crate::time::date_range::DateRange;
use crate::time::period::Period;

/// The name of the index in the folder of the files.
const FILE: &str = "index.json";
/// The format version of the index and of the files that it lists. An index with another version is not used.
const FORMAT: u32 = 2;
/// The number of files of similar size that are added up into one.
const FAN_IN: usize = 16;
/// The size in bytes below which all files are in the smallest size class, and the size from which on a file
/// is not added up any more. An executor adds up files in memory.
const SIZES: (u64, u64) = (1 << 20, 64 << 20);

/// The index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    format: u32,
    /// The version of the program that made the files. A different version may read logs differently.
    program: String,
    /// The settings on which the files depend.
    config: StateConfig,
    /// The fingerprint of the catalog of the enriched rows; `None` if `enriched_logs` is disabled.
    catalog: Option<String>,
    /// The dates of the plays that count.
    dates: DateRange,
    /// The number that the next new log will get.
    next: u32,
    sums: Vec<KnownSums>,
    logs: BTreeMap<u32, KnownLog>,
    /// The last published output.
    pub published: Option<PublishedOutput>,
}

/// A file of sums, and the logs that it adds up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownSums {
    /// The file.
    pub sums: Sums,
    /// The sums of periods.
    periods: Vec<PeriodSums>,
    logs: BTreeSet<u32>,
}

/// A log that executors have read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownLog {
    /// The URL of the log.
    pub url: String,
    /// The stored length of the log in bytes, before decompression.
    pub size: u64,
    /// The modification time or the entity tag of the log.
    pub version: String,
    /// The counts of the log.
    pub counts: LogCounts,
    /// The number of lines.
    lines: u64,
    /// The enriched rows, in order.
    pub enriched: Vec<RowRange>,
    /// The rejects in order, each with the number of lines before the range of the log from which they come.
    pub rejects: Vec<(u64, RowRange)>,
}

/// The published output. The next run finds out with it which tables and parts are still the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedOutput {
    /// A hash of everything on which the output depends.
    pub basis: String,
    /// The hash of the published manifest.
    pub manifest: String,
    /// The limit of a part of `enriched_logs` in bytes.
    pub roll_bytes: u64,
    /// The enriched rows in order.
    pub enriched: Vec<RowRange>,
    /// The parts of `enriched_logs`, each with the offset of its end in all enriched rows.
    pub parts: Vec<(u64, PartEntry)>,
    /// The periods by code, each with a hash of everything on which its tables depend.
    #[serde(default)]
    pub periods: BTreeMap<u64, String>,
}

impl Index {
    /// Reads the index of a folder. Returns an empty index if there is no index for these settings and this catalog.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn read(
        folder: &Url,
        config: &StateConfig,
        catalog: &str,
        dates: DateRange,
    ) -> Result<Self, Error> {
        let empty = Self {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            config: config.clone(),
            catalog: config.enriched_logs.then(|| catalog.to_owned()),
            dates,
            next: 0,
            sums: Vec::new(),
            logs: BTreeMap::new(),
            published: None,
        };
        let file = child(folder, FILE);
        let Some(text) = shared_storage::read(&file).await? else { return Ok(empty) };
        let format =
            serde_json::from_slice::<serde_json::Value>(&text).ok().map(|index| index["format"].clone());
        if format.is_some_and(|format| format != FORMAT) {
            tracing::info!("all logs are read again: the index was written by another version");
            return Ok(empty);
        }
        let Ok(known) = serde_json::from_slice::<Self>(&text) else {
            tracing::warn!("{file}: not a valid index; all logs are read again");
            return Ok(empty);
        };
        if let Some(difference) = known.config.difference(config) {
            tracing::info!("all logs are read again: they were read with other settings: {difference}");
            return Ok(empty);
        }
        if known.program != empty.program {
            tracing::info!("all logs are read again: they were read by another version");
            return Ok(empty);
        }
        if known.dates != dates {
            tracing::info!("all logs are read again: other dates count");
            return Ok(empty);
        }
        if known.catalog != empty.catalog {
            tracing::info!("all logs are read again: the catalog has changed, and with it enriched_logs");
            return Ok(empty);
        }
        Ok(known)
    }

    /// Writes the index atomically.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn write(&self, folder: &Url) -> Result<(), Error> {
        let text = serde_json::to_vec(self).expect("an index is valid JSON");
        Ok(shared_storage::write(&child(folder, FILE), text).await?)
    }

    /// Drops the files that cannot be used, together with their logs. A file cannot be used if one of its
    /// logs is not among `logs`, has changed, or would now have different rejects. Returns the logs that must
    /// be read.
    pub fn keep_only(&mut self, logs: &[Log], now: i64) -> Vec<Log> {
        let by_url: HashMap<&str, &Log> = logs.iter().map(|log| (log.url.as_str(), log)).collect();
        let max_future = self.config.max_future as i64;
        let is_valid = |known: &KnownLog| {
            by_url.get(known.url.as_str()).is_some_and(|log| {
                (log.size, &log.version) == (known.size, &known.version)
                    && known.counts.is_valid_at(now, max_future)
            })
        };
        self.logs.retain(|_, log| is_valid(log));
        // Ranges of one log are in several files. If one of these is dropped, the others are of no use.
        loop {
            let is_usable = |sums: &KnownSums| sums.logs.iter().all(|log| self.logs.contains_key(log));
            let (usable, dropped): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.sums).into_iter().partition(is_usable);
            self.sums = usable;
            if dropped.is_empty() {
                break;
            }
            dropped.iter().flat_map(|sums| &sums.logs).for_each(|log| drop(self.logs.remove(log)));
        }
        let known: HashSet<&str> = self.logs.values().map(|log| log.url.as_str()).collect();
        logs.iter().filter(|log| !known.contains(log.url.as_str())).cloned().collect()
    }

    /// All logs with their numbers.
    pub fn logs(&self) -> impl Iterator<Item = (u32, &KnownLog)> {
        self.logs.iter().map(|(&number, log)| (number, log))
    }

    /// The counts of all logs.
    pub fn counts(&self) -> impl Iterator<Item = &LogCounts> {
        self.logs.values().map(|log| &log.counts)
    }

    /// All files of sums.
    pub fn sums(&self) -> impl Iterator<Item = &Sums> {
        self.sums.iter().map(|known| &known.sums)
    }

    /// The sums of each period, and the number of its plays.
    pub fn periods(&self) -> BTreeMap<Period, (Vec<SumsFile>, u64)> {
        let mut periods: BTreeMap<Period, (Vec<SumsFile>, u64)> = BTreeMap::new();
        for sums in self.sums.iter().flat_map(|known| &known.periods) {
            let Some(period) = Period::from_code(sums.period) else { continue };
            let (files, plays) = periods.entry(period).or_default();
            files.push(sums.file.clone());
            *plays += sums.plays;
        }
        periods
    }

    /// The sums over all logs. `unmatched` is the current number of unmatched plays.
    pub fn totals(&self, unmatched: u64) -> Totals {
        let outside = (!self.dates.is_unlimited()).then_some(0);
        let mut totals = Totals { outside, unmatched, ..Totals::default() };
        for counts in self.counts() {
            totals.inputs += 1;
            totals.bytes += counts.bytes;
            totals.rows += counts.rows;
            totals.outside = totals.outside.map(|outside| outside + counts.outside);
            for (reason, rows) in &counts.rejected {
                *totals.rejected.entry(reason.clone()).or_default() += rows;
            }
        }
        totals
    }

    /// Numbers the next logs, and returns the number of the first one.
    pub fn take_numbers(&mut self, logs: usize) -> u32 {
        let first = self.next;
        self.next += logs as u32;
        first
    }

    /// Creates the job that reads some logs. `job` has the settings, `run` is a name that no other run has,
    /// and `number` counts its jobs.
    pub fn map_job(&self, logs: &JobLogs, job: &MapJob, folder: &Url, run: &str, number: usize) -> Job {
        let first = logs.first().map_or(0, |(_, log)| log.number);
        let folder = child(folder, &format!("{first:06}-{run}-{number}"));
        let report = child(&folder, "report.json").into();
        let logs = logs.iter().map(|(_, log)| log.clone()).collect();
        let kind = JobKind::Map(Box::new(MapJob { logs, folder: folder.into(), ..job.clone() }));
        Job { program: self.program.clone(), report, kind }
    }

    /// Adds the files that a job has made of logs. `read` are all new logs of the run; `logs` has their
    /// places.
    pub fn add(&mut self, report: MapReport, logs: &JobLogs, read: &[Log]) {
        let numbers = logs.iter().map(|(_, log)| log.number).collect();
        self.sums.push(KnownSums { sums: report.sums, periods: report.periods, logs: numbers });
        for ((index, _), report) in logs.iter().zip(report.logs) {
            let Log { url, size, version, .. } = read[*index].clone();
            let LogReport { number, counts, lines, enriched, rejects } = report;
            let known = self.logs.entry(number).or_insert_with(|| KnownLog {
                url,
                size,
                version,
                counts: LogCounts::default(),
                lines: 0,
                enriched: Vec::new(),
                rejects: Vec::new(),
            });
            known.counts.add(&counts, known.lines);
            known.enriched.extend(Some(enriched).filter(|rows| rows.bytes > 0));
            known.rejects.extend(Some((known.lines, rejects)).filter(|(_, rejects)| rejects.bytes > 0));
            known.lines += lines;
        }
    }

    /// Creates a job for each group of files of similar size. Returns each job with the URLs of its files.
    pub fn merge_jobs(&self, folder: &Url, run: &str) -> Vec<(Job, Vec<String>)> {
        let mut by_size: BTreeMap<u32, Vec<&KnownSums>> = BTreeMap::new();
        for known in self.sums.iter().filter(|known| known.sums.file.bytes < SIZES.1) {
            by_size.entry(size_class(known.sums.file.bytes)).or_default().push(known);
        }
        let groups = by_size.values().flat_map(|known| known.chunks_exact(FAN_IN));
        let jobs = groups.zip(0..).map(|(group, number)| {
            let sums: Vec<_> = group.iter().map(|known| known.sums.file.clone()).collect();
            let urls = sums.iter().map(|file| file.url.clone()).collect();
            let first = group[0].logs.first().copied().unwrap_or_default();
            let folder = child(folder, &format!("{first:06}-{run}-m{number}"));
            let kind = JobKind::Merge(MergeJob { sums, target: child(&folder, "sums").into() });
            let report = child(&folder, "report.json").into();
            (Job { program: self.program.clone(), report, kind }, urls)
        });
        jobs.collect()
    }

    /// Replaces files of sums with one file that adds them up. The sums of periods stay as they are.
    pub fn replace(&mut self, sums: Sums, merged: &[String]) {
        let (replaced, kept): (Vec<KnownSums>, Vec<KnownSums>) = std::mem::take(&mut self.sums)
            .into_iter()
            .partition(|known| merged.contains(&known.sums.file.url));
        self.sums = kept;
        let logs = replaced.iter().flat_map(|known| known.logs.iter().copied()).collect();
        let periods = replaced.into_iter().flat_map(|known| known.periods).collect();
        self.sums.push(KnownSums { sums, periods, logs });
    }

    /// Removes the files that the index does not list, such as those of an interrupted run.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub async fn remove_unlisted(&self, folder: &Url) -> Result<(), Error> {
        let logs = self.logs.values();
        let rows = logs.flat_map(|log| log.enriched.iter().chain(log.rejects.iter().map(|(_, range)| range)));
        let rows = rows.map(|range| range.url.as_str());
        let periods =
            self.sums.iter().flat_map(|known| &known.periods).map(|period| period.file.url.as_str());
        let sums = self.sums().map(|sums| sums.file.url.as_str());
        let listed: HashSet<&str> = rows.chain(sums).chain(periods).collect();
        for name in shared_storage::list_folders(folder).await? {
            // A folder with any other kind of name belongs to the user.
            let is_ours = name.split_once('-').is_some_and(|(number, _)| number.parse::<u32>().is_ok());
            if !is_ours {
                continue;
            }
            let folder = child(folder, &name);
            let mut is_empty = true;
            // The empty child adds a slash, so the URL means a folder.
            for file in shared_storage::list(&child(&folder, "")).await? {
                if listed.contains(file.url.as_str()) {
                    is_empty = false;
                } else {
                    shared_storage::remove(&file.url).await?;
                }
            }
            if is_empty {
                shared_storage::remove_folder(&folder);
            }
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

/// The size class of a file. Each class is [`FAN_IN`] times as large as the previous one.
fn size_class(bytes: u64) -> u32 {
    (bytes / SIZES.0).checked_ilog(FAN_IN as u64).map_or(0, |class| class + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::job::{LogRange, RejectExample};
    use crate::settings::Settings;

    const NOW: i64 = 1_767_225_600;

    fn log(name: &str) -> Log {
        let url = format!("file:///logs/{name}");
        Log { label: name.to_owned(), url, size: 10, version: "1".to_owned() }
    }

    fn folder() -> Url {
        Url::parse("file:///tables").unwrap()
    }

    fn empty() -> Index {
        Index {
            format: FORMAT,
            program: "1".to_owned(),
            config: StateConfig::of(&Settings::default()),
            catalog: None,
            dates: DateRange::default(),
            next: 0,
            sums: Vec::new(),
            logs: BTreeMap::new(),
            published: None,
        }
    }

    /// An index after jobs that each read the logs at these places.
    fn index_of(logs: &[Log], jobs: &[&[usize]], counts: &LogCounts) -> Index {
        let mut index = empty();
        index.take_numbers(logs.len());
        for (number, job) in jobs.iter().enumerate() {
            let of_job = job.iter().map(|&place| {
                (place, LogRange { number: place as u32, url: logs[place].url.clone(), range: None })
            });
            let of_job: JobLogs = of_job.collect();
            let reports = of_job.iter().map(|(_, log)| LogReport {
                number: log.number,
                counts: counts.clone(),
                lines: 5,
                rejects: RowRange { bytes: 1, ..RowRange::default() },
                ..LogReport::default()
            });
            let file = SumsFile { url: format!("file:///tables/{number}/sums"), offset: 0, bytes: 10 };
            let report = MapReport {
                logs: reports.collect(),
                periods: Vec::new(),
                sums: Sums { file, sample: Vec::new() },
            };
            index.add(report, &of_job, logs);
        }
        index
    }

    #[test]
    fn ranges_of_a_log_are_added_up() {
        let example = RejectExample { line: 2, ..RejectExample::default() };
        let counts = LogCounts {
            rows: 3,
            rejected: BTreeMap::from([("bare_cr".to_owned(), 1)]),
            examples: BTreeMap::from([("bare_cr".to_owned(), example)]),
            ..LogCounts::default()
        };
        let index = index_of(&[log("a")], &[&[0], &[0]], &counts);
        let known = &index.logs[&0];
        assert_eq!((known.counts.rows, known.counts.examples["bare_cr"].line), (6, 2));
        assert_eq!(known.rejects.iter().map(|(lines, _)| *lines).collect::<Vec<_>>(), [0, 5]);
    }

    #[test]
    fn changed_and_missing_logs_are_read_again_with_their_neighbours() {
        let logs: Vec<Log> = ["a", "b", "c", "d"].map(log).to_vec();
        // The ranges of `b` are in two files, and one of these files also has `a`.
        let index = || index_of(&logs, &[&[0, 1], &[1], &[2], &[3]], &LogCounts::default());
        let read = |mut index: Index, logs: &[Log]| -> Vec<String> {
            index.keep_only(logs, NOW).into_iter().map(|log| log.label).collect()
        };
        assert!(read(index(), &logs).is_empty());
        let mut changed = logs.clone();
        changed[2].version = "2".to_owned();
        assert_eq!(read(index(), &changed), ["c"]);
        assert_eq!(read(index(), &logs[1..]), ["b"]);
        changed[1].size = 11;
        assert_eq!(read(index(), &changed), ["a", "b", "c"]);
        let limit = NOW + Settings::default().input.max_future.0.as_secs() as i64;
        let late = LogCounts { latest: Some((limit + 1, 0)), ..LogCounts::default() };
        assert_eq!(read(index_of(&logs[..1], &[&[0]], &late), &logs[..1]), ["a"]);
    }

    #[test]
    fn a_log_is_valid_while_its_rejects_stay_the_same() {
        let rejected = BTreeMap::from([(Reason::TimestampRange.code().to_owned(), 1)]);
        let with_reject = LogCounts { rejected, now: NOW, ..LogCounts::default() };
        assert!(with_reject.is_valid_at(NOW, 60) && !with_reject.is_valid_at(NOW + 1, 60));
        let with_play = LogCounts { latest: Some((NOW + 60, NOW + 60)), now: NOW, ..LogCounts::default() };
        assert!(with_play.is_valid_at(NOW + 1, 60) && !with_play.is_valid_at(NOW - 1, 60));
    }

    #[test]
    fn files_of_similar_size_are_added_up() {
        let logs: Vec<Log> = (0..17).map(|number| log(&number.to_string())).collect();
        let places: Vec<[usize; 1]> = (0..17).map(|place| [place]).collect();
        let jobs: Vec<&[usize]> = places.iter().map(|place| place.as_slice()).collect();
        let counts = LogCounts::default();
        assert!(index_of(&logs, &jobs[..15], &counts).merge_jobs(&folder(), "run").is_empty());
        let mut index = index_of(&logs, &jobs, &counts);
        let [(_, merged)] = &index.merge_jobs(&folder(), "run")[..] else { panic!("not one job") };
        assert_eq!(merged.len(), FAN_IN);
        index.replace(Sums::default(), merged);
        let sizes: Vec<usize> = index.sums.iter().map(|known| known.logs.len()).collect();
        assert_eq!(sizes, [1, 16]);
        assert_eq!(index.totals(0).inputs, 17);
    }

    #[test]
    fn each_size_class_is_sixteen_times_as_large() {
        let sizes = [0, SIZES.0 - 1, SIZES.0, 16 * SIZES.0 - 1, 16 * SIZES.0];
        assert_eq!(sizes.map(size_class), [0, 0, 1, 1, 2]);
    }
}
