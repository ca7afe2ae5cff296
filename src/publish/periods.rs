//! The tables of periods in the output folder. Each period has a folder with its tables, and a file `_index.json`
//! that lists them. The manifest lists the `_index.json` of every published period.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::insights::{SNAPSHOTS, name_in_period};
use crate::model::error::Error;
use crate::publish::is_part;
use crate::publish::manifest::{InsightEntry, PARQUET, PERIODS, PeriodEntry, hash_text};
use crate::publish::parquet::is_parquet_part;
use crate::publish::snapshot::Snapshot;
use crate::publish::table_folders::TableFolders;
use crate::storage::failpoint::{Bug, fail_point, planted};
use crate::storage::staged_file::StagedFile;
use crate::storage::{
    Disk, SharedDisk, append, create_folder, is_temporary, names_in, read_small, remove_from, sync_folder,
};
use crate::time::period::{Length, Period};

/// Name of the file that lists the tables of a period.
pub const INDEX: &str = "_index.json";
/// Version of the format of the index.
const VERSION: u32 = 1;
/// Maximum length of an index in bytes.
const LIMIT: u64 = 1 << 20;

/// The tables of one period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodIndex {
    /// Version of the format of the index.
    pub version: u32,
    /// The name of the period, such as `2025-03`.
    pub period: String,
    /// `day`, `week`, `month`, `quarter` or `year`.
    pub length: String,
    /// The first day, in the form `2025-03-01`.
    pub from: String,
    /// The last day, inclusive.
    pub to: String,
    /// The number of plays.
    pub plays: u64,
    /// The published tables, by name.
    pub insights: BTreeMap<String, InsightEntry>,
}

impl PeriodIndex {
    /// The index of a period without tables.
    pub fn new(period: Period, plays: u64) -> Self {
        let days = period.days();
        let date = |day| Period::of_day(Length::Day, day).to_string();
        Self {
            version: VERSION,
            period: period.to_string(),
            length: period.length.name().to_owned(),
            from: date(days.start),
            to: date(days.end - 1),
            plays,
            insights: BTreeMap::new(),
        }
    }

    /// Adds the table of an insight.
    pub fn add(&mut self, insight: &'static str, entry: InsightEntry) {
        self.insights.insert(name_in_period(insight).to_owned(), entry);
    }

    /// The content of the file.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("an index is plain data");
        text.push('\n');
        text
    }

    /// The entry for the manifest.
    pub fn entry(&self, period: Period) -> PeriodEntry {
        let text = self.to_text();
        PeriodEntry {
            file: format!("{PERIODS}/{}/{INDEX}", period.path()),
            bytes: text.len() as u64,
            hash: hash_text(xxh3_128(text.as_bytes())),
        }
    }

    /// The published table of an insight.
    pub fn table(&self, insight: &'static str) -> Option<&InsightEntry> {
        self.insights.get(name_in_period(insight))
    }

    /// All files of the tables, each with its length.
    fn files(&self, output: &Path, period: Period) -> Vec<(PathBuf, u64)> {
        let mut files = Vec::new();
        for about in SNAPSHOTS {
            let Some(entry) = self.table(about.name) else { continue };
            let folders = TableFolders::of_period(output, period, about.name);
            files.extend(entry.parts.iter().map(|part| (folders.csv.join(&part.file), part.bytes)));
            files.extend(entry.parquet.iter().map(|part| (folders.parquet.join(&part.file), part.bytes)));
        }
        files
    }

    /// Whether all files of the tables have their length.
    pub fn is_in_place(&self, disk: &dyn Disk, output: &Path, period: Period) -> bool {
        let has_length = |path: &Path, bytes| disk.stat(path).is_ok_and(|stat| stat.len == bytes);
        let index = folder_of(output, period).join(INDEX);
        has_length(&index, self.to_text().len() as u64)
            && self.files(output, period).iter().all(|(path, bytes)| has_length(path, *bytes))
    }

    /// Reads the index that an entry of a manifest names; `None` if the file is missing or differs.
    pub fn read(disk: &dyn Disk, output: &Path, entry: &PeriodEntry) -> Option<(Period, Self)> {
        let text = read_small(disk, &output.join(&entry.file), LIMIT).ok()?;
        let is_listed = text.len() as u64 == entry.bytes && hash_text(xxh3_128(&text)) == entry.hash;
        let index = is_listed.then(|| serde_json::from_slice(&text).ok()).flatten()?;
        Some((entry.period()?, index))
    }
}

/// The folder of a period's CSV tables.
pub fn folder_of(output: &Path, period: Period) -> PathBuf {
    output.join(PERIODS).join(period.path())
}

/// The new tables of a period. Dropping the value removes the staged files.
#[derive(Debug)]
pub struct StagedPeriod {
    /// The period.
    pub period: Period,
    /// The index of all its tables.
    pub index: PeriodIndex,
    /// The tables that differ from the published ones, by insight.
    pub snapshots: Vec<(&'static str, Snapshot)>,
}

impl StagedPeriod {
    /// Gives the tables and then the index their final names. Removes tables that the index does not list.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn publish(self, disk: &SharedDisk, output: &Path) -> Result<PeriodIndex, Error> {
        for (name, snapshot) in self.snapshots {
            snapshot.publish()?;
            sync_folder(&**disk, &TableFolders::of_period(output, self.period, name).csv)?;
            fail_point("publish.period_table");
        }
        for about in SNAPSHOTS.iter().filter(|about| self.index.table(about.name).is_none()) {
            remove_table(&**disk, &TableFolders::of_period(output, self.period, about.name))?;
        }
        let folder = folder_of(output, self.period);
        create_folder(&**disk, &folder)?;
        let path = folder.join(INDEX);
        let (staged, mut file) = StagedFile::create(disk, &path)?;
        append(&mut *file, &path, self.index.to_text().as_bytes())?;
        staged.sync(&mut *file)?;
        staged.commit()?;
        sync_folder(&**disk, &folder)?;
        fail_point("publish.period_index");
        Ok(self.index)
    }
}

fn remove_table(disk: &dyn Disk, folders: &TableFolders) -> Result<(), Error> {
    clear_folder(disk, &folders.csv, |name| is_part(name) || is_temporary(name))?;
    clear_folder(disk, &folders.parquet, |name| is_parquet_part(name) || is_temporary(name))
}

/// Removes the unwanted files of a folder, and the folder if nothing else is in it.
fn clear_folder(disk: &dyn Disk, folder: &Path, unwanted: impl Fn(&str) -> bool) -> Result<(), Error> {
    remove_from(disk, folder, unwanted)?;
    // A killed process may have removed the files already. They must be gone from the medium before the folder is.
    if disk.list(folder).is_ok() {
        sync_folder(disk, folder)?;
        let _ = disk.remove_folder(folder);
    }
    Ok(())
}

/// Removes the tables and the index of a period.
///
/// # Errors
/// A file system error, exit code 73.
pub fn remove_period(disk: &dyn Disk, output: &Path, period: Period) -> Result<(), Error> {
    let is_unwanted = |name: &str| name == INDEX || is_temporary(name);
    let folders = [folder_of(output, period), folder_of(&output.join(PARQUET), period)];
    // Without its index, a period is not complete for any reader.
    remove_from(disk, &folders[0], is_unwanted)?;
    for about in SNAPSHOTS {
        remove_table(disk, &TableFolders::of_period(output, period, about.name))?;
    }
    for folder in folders {
        // The folders of all periods of the length, and of all periods, go with the last period.
        folder.ancestors().take(3).try_for_each(|folder| clear_folder(disk, folder, is_unwanted))?;
    }
    fail_point("publish.period_removed");
    Ok(())
}

/// The periods that have a folder in the output folder.
///
/// # Errors
/// A file system error, exit code 73.
pub fn periods_in(disk: &dyn Disk, output: &Path) -> Result<Vec<Period>, Error> {
    let mut periods = Vec::new();
    for length in Length::ALL {
        let folders = names_in(disk, &output.join(PERIODS).join(length.name()))?;
        let named = folders.iter().filter_map(|name| name.to_str()?.parse().ok());
        periods.extend(named.filter(|period: &Period| period.length == length));
    }
    Ok(periods)
}

/// The periods that an output folder shows.
#[derive(Debug, Default)]
pub struct PublishedPeriods {
    indexes: BTreeMap<Period, Arc<PeriodIndex>>,
    /// The entries of the indexes in the manifest.
    entries: BTreeMap<Period, PeriodEntry>,
    /// Where the next check of the files begins.
    next_check: Option<Period>,
}

/// Number of periods whose files are checked at once. A check thus costs the same however many periods there are.
const CHECKED_AT_ONCE: usize = 64;

impl PublishedPeriods {
    /// The periods of a committed manifest that are completely in the output folder.
    pub fn committed(disk: &dyn Disk, output: &Path, entries: &[PeriodEntry]) -> Self {
        let read = |entry| PeriodIndex::read(disk, output, entry);
        let indexes = entries.iter().filter_map(read);
        let indexes = indexes.filter(|(period, index)| index.is_in_place(disk, output, *period));
        let mut published = Self::default();
        indexes.for_each(|(period, index)| published.insert(period, index));
        published
    }

    fn insert(&mut self, period: Period, index: PeriodIndex) {
        self.entries.insert(period, index.entry(period));
        self.indexes.insert(period, Arc::new(index));
    }

    fn remove(&mut self, period: Period) {
        self.entries.remove(&period);
        self.indexes.remove(&period);
    }

    /// The index of a period; `None` if the period is not published.
    pub fn index(&self, period: Period) -> Option<&PeriodIndex> {
        self.indexes.get(&period).map(|index| &**index)
    }

    /// The indexes of all published periods. A clone is cheap.
    pub fn indexes(&self) -> &BTreeMap<Period, Arc<PeriodIndex>> {
        &self.indexes
    }

    /// The entries for the manifest if `staged` periods become new and only the `listed` periods stay.
    pub fn next_entries(&self, staged: &[StagedPeriod], listed: &[Period]) -> Vec<PeriodEntry> {
        let staged: BTreeMap<Period, &PeriodIndex> =
            staged.iter().map(|staged| (staged.period, &staged.index)).collect();
        let entry = |period: &Period| match staged.get(period) {
            Some(index) => Some(index.entry(*period)),
            None => self.entries.get(period).cloned(),
        };
        listed.iter().filter_map(entry).collect()
    }

    /// Publishes staged periods, and removes the periods that are not listed.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn publish(
        &mut self,
        disk: &SharedDisk,
        output: &Path,
        staged: Vec<StagedPeriod>,
        listed: &[Period],
    ) -> Result<(), Error> {
        for staged in staged {
            let period = staged.period;
            self.insert(period, staged.publish(disk, output)?);
        }
        let is_listed = |period: &Period| listed.binary_search(period).is_ok();
        let gone: Vec<Period> = self.indexes.keys().copied().filter(|period| !is_listed(period)).collect();
        for period in gone {
            if !planted(Bug::UnkeptPeriodStays) {
                remove_period(&**disk, output, period)?;
            }
            self.remove(period);
        }
        Ok(())
    }

    /// Removes the folders of all periods that are not published. A killed process or another command may have
    /// left them.
    ///
    /// # Errors
    /// A file system error, exit code 73.
    pub fn remove_others(&self, disk: &dyn Disk, output: &Path) -> Result<(), Error> {
        if planted(Bug::UnkeptPeriodStays) {
            return Ok(());
        }
        let others =
            periods_in(disk, output)?.into_iter().filter(|period| !self.indexes.contains_key(period));
        others.into_iter().try_for_each(|period| remove_period(disk, output, period))
    }

    /// Forgets all periods, so that they are published again.
    pub fn forget_all(&mut self) {
        self.indexes.clear();
        self.entries.clear();
    }

    /// Checks some of the published periods, and forgets those with missing files. Returns the paths of their
    /// folders. Several calls check all periods.
    pub fn forget_missing(&mut self, disk: &dyn Disk, output: &Path) -> Vec<PathBuf> {
        let periods = self.indexes.keys().copied();
        let from = self.next_check;
        let checked: Vec<Period> = periods
            .skip_while(|period| from.is_some_and(|from| *period < from))
            .take(CHECKED_AT_ONCE)
            .collect();
        self.next_check = checked.get(CHECKED_AT_ONCE - 1).map(|last| last.next());
        let is_missing = |period: &&Period| !self.indexes[period].is_in_place(disk, output, **period);
        let missing: Vec<Period> = checked.iter().filter(is_missing).copied().collect();
        for period in &missing {
            self.remove(*period);
        }
        missing.into_iter().map(|period| folder_of(output, period)).collect()
    }
}
