//! The index of the tables: which folder of Parquet files holds which logs.
//!
//! Tables are a cache of what logs come to. The index is written whole after the folders that it names, so a run
//! that is interrupted leaves folders that nobody names, and the next run removes them.

use std::collections::{BTreeMap, HashMap, HashSet};

use music_insights_ballista::places;
use music_insights_ballista::tables::OF_INPUTS;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::cluster::failure_of;
use crate::cluster::inputs::Log;
use crate::cluster::job::{Job, JobReport, LogCounts, RECEIPT, ReadLog, Task};
use crate::model::Reason;
use crate::model::error::Error;

use crate::state::checkpoint::generation::StateConfig;

/// The name of the index in the folder of the tables.
const FILE: &str = "index.json";
/// The version of its format.
const FORMAT: u32 = 1;
/// Folders of about the same size that are made one.
const FAN: usize = 8;
/// Folders of up to so many plays are small, and all of about the same size.
const SMALL: u64 = 1 << 20;

/// The index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    format: u32,
    /// The version of the program; another may read logs in another way.
    program: String,
    /// The settings that shape the tables.
    shape: StateConfig,
    /// The number of the next log.
    next: u32,
    /// What there is.
    pub folders: Vec<Folder>,
}

/// A folder of tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// Its name.
    pub name: String,
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
    /// The logs in it, by number.
    pub logs: BTreeMap<u32, KnownLog>,
}

/// A log that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownLog {
    /// Where it is.
    pub url: String,
    /// Its length in bytes, as it was stored.
    pub size: u64,
    /// What changes when it does.
    pub stamp: String,
    /// What it came to.
    pub counts: LogCounts,
}

impl Index {
    /// The index of a folder of tables; an empty one if there is none for these settings.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn read(tables: &Url, shape: &StateConfig) -> Result<Self, Error> {
        let empty = Self {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            shape: shape.clone(),
            next: 0,
            folders: Vec::new(),
        };
        let text =
            places::read(&places::below(tables, FILE)).await.map_err(|trouble| failure_of(&trouble))?;
        let Some(text) = text else { return Ok(empty) };
        let Ok(known) = serde_json::from_slice::<Self>(&text) else {
            tracing::warn!("{tables}: the index of the tables cannot be read; all logs are read again");
            return Ok(empty);
        };
        if let Some(difference) = known.shape.difference(shape) {
            tracing::info!(
                "all logs are read again, because the tables were made with other settings: {difference}"
            );
            return Ok(empty);
        }
        if (known.format, &known.program) != (FORMAT, &empty.program) {
            tracing::info!("all logs are read again, because another version has made the tables");
            return Ok(empty);
        }
        Ok(known)
    }

    /// Writes it, at once or not at all.
    ///
    /// # Errors
    /// What the store says.
    pub async fn write(&self, tables: &Url) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(self).expect("an index is plain data");
        places::write(&places::below(tables, FILE), text).await.map_err(|trouble| failure_of(&trouble))
    }

    /// Forgets folders with a log that is not among these, has changed, or would come to something else by now.
    /// Returns the logs that must be read.
    pub fn keep_only(&mut self, logs: &[Log], now: i64) -> Vec<Log> {
        let wanted: HashMap<&str, &Log> = logs.iter().map(|log| (log.url.as_str(), log)).collect();
        let max_future = self.shape.max_future as i64;
        let holds = |known: &KnownLog| {
            wanted.get(known.url.as_str()).is_some_and(|log| {
                (log.size, &log.stamp) == (known.size, &known.stamp) && known.counts.holds_at(now, max_future)
            })
        };
        self.folders.retain(|folder| folder.logs.values().all(holds));
        let known: HashSet<&str> = self.logs().map(|(_, log)| log.url.as_str()).collect();
        logs.iter().filter(|log| !known.contains(log.url.as_str())).cloned().collect()
    }

    fn logs(&self) -> impl Iterator<Item = (u32, &KnownLog)> {
        self.folders.iter().flat_map(|folder| &folder.logs).map(|(&number, log)| (number, log))
    }

    /// What all logs came to.
    pub fn counts(&self) -> impl Iterator<Item = &LogCounts> {
        self.logs().map(|(_, log)| &log.counts)
    }

    /// An order for each of these logs, which get numbers.
    pub fn orders_to_read(&mut self, logs: &[Log], now: i64, tables: &Url, run: &str) -> Vec<(Job, Log)> {
        let orders = logs.iter().map(|log| {
            let number = self.next;
            self.next += 1;
            let task = Task::Read(ReadLog { number, url: log.url.clone(), shape: self.shape.clone(), now });
            (order(tables, &format!("{number:06}-{run}"), task), log.clone())
        });
        orders.collect()
    }

    /// Takes in what came of an order to read a log.
    pub fn add(&mut self, receipt: JobReport, order: &Job, log: &Log) {
        let (Task::Read(ReadLog { number, .. }), Some(counts)) = (&order.task, receipt.log) else { return };
        let known = KnownLog { url: log.url.clone(), size: log.size, stamp: log.stamp.clone(), counts };
        let logs = BTreeMap::from([(*number, known)]);
        self.folders.push(Folder { name: name_of(&receipt.folder), rows: receipt.tables, logs });
    }

    /// An order for each group of folders of about the same size that are to be one, with their names.
    pub fn orders_to_merge(&self, tables: &Url, run: &str) -> Vec<(Job, Vec<String>)> {
        let mut by_size: BTreeMap<u32, Vec<&Folder>> = BTreeMap::new();
        for folder in &self.folders {
            by_size.entry(size_class(folder)).or_default().push(folder);
        }
        let groups = by_size.values_mut().flat_map(|folders| {
            folders.sort_by_key(|folder| folder.logs.keys().next().copied());
            folders.chunks_exact(FAN)
        });
        let orders = groups.zip(0..).map(|(group, count)| {
            let urls = group.iter().map(|folder| places::below(tables, &folder.name).into()).collect();
            let first = group[0].logs.keys().next().copied().unwrap_or_default();
            let order = order(tables, &format!("{first:06}-{run}-m{count}"), Task::Merge(urls));
            (order, group.iter().map(|folder| folder.name.clone()).collect())
        });
        orders.collect()
    }

    /// Takes in what came of an order to merge folders.
    pub fn replace(&mut self, receipt: JobReport, merged: &[String]) {
        let (gone, kept): (Vec<Folder>, Vec<Folder>) =
            std::mem::take(&mut self.folders).into_iter().partition(|folder| merged.contains(&folder.name));
        self.folders = kept;
        let logs = gone.into_iter().flat_map(|folder| folder.logs).collect();
        self.folders.push(Folder { name: name_of(&receipt.folder), rows: receipt.tables, logs });
    }

    /// Removes the folders that the index does not name.
    ///
    /// # Errors
    /// What the store says.
    pub async fn remove_others(&self, tables: &Url) -> Result<(), Error> {
        let names: HashSet<&str> = self.folders.iter().map(|folder| folder.name.as_str()).collect();
        let failed = |trouble| failure_of(&trouble);
        for name in places::folders(tables).await.map_err(failed)? {
            // Whatever else is there is not ours.
            let is_ours = name.split_once('-').is_some_and(|(number, _)| number.parse::<u32>().is_ok());
            if !is_ours || names.contains(name.as_str()) {
                continue;
            }
            let folder = places::below(tables, &name);
            let files = OF_INPUTS.iter().map(|table| table.file()).chain([RECEIPT.to_owned()]);
            for file in files {
                places::remove(&places::below(&folder, &file)).await.map_err(failed)?;
            }
            places::remove_folder(&folder);
        }
        Ok(())
    }
}

impl LogCounts {
    /// Whether the log would come to the same at another moment: what was too far in the future may not be any
    /// more, and what was not, may be for an earlier moment.
    fn holds_at(&self, now: i64, max_future: i64) -> bool {
        let rejected = self.rejected.get(Reason::TimestampRange.code()).copied().unwrap_or_default();
        let fits = self.latest.is_none_or(|(instant, _)| instant <= now.saturating_add(max_future));
        (rejected == 0 || now == self.now) && fits
    }
}

fn order(tables: &Url, folder: &str, task: Task) -> Job {
    let program = env!("CARGO_PKG_VERSION").to_owned();
    Job { program, folder: places::below(tables, folder).into(), task }
}

fn name_of(folder: &str) -> String {
    folder.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Each class is [`FAN`] times as large as the one before.
fn size_class(folder: &Folder) -> u32 {
    let plays: u64 = folder.logs.values().map(|log| log.counts.plays).sum();
    (plays / SMALL).checked_ilog(FAN as u64).map_or(0, |class| class + 1)
}
