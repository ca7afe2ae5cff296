//! The publish protocol: staged files become an epoch of the output.
//!
//! 1. Stage: snapshots and Parquet parts are written under temporary names ([`StagedEpoch`]).
//! 2. Manifest: [`Published::next_manifest`] describes the epoch before any reader sees it.
//! 3. Commit: a `watch` makes the manifest and its state durable. The caller performs this step.
//! 4. Publish: [`Published::publish`] gives the files their final names, removes files that no longer
//!    belong to the output, and writes the manifest last.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::insights::enriched_logs;
use crate::model::Epoch;
use crate::model::error::Error;
use crate::publish::append_only::AppendOnlyWriter;
use crate::publish::cleanup::{remove_disabled, remove_unlisted_parquet};
use crate::publish::manifest::{self, CatalogEntry, InputEntry, InsightEntry, Manifest, Totals};
use crate::publish::parquet::StagedParquet;
use crate::publish::periods::{PublishedPeriods, StagedPeriod};
use crate::publish::snapshot::Snapshot;
use crate::publish::table_folders::TableFolders;
use crate::publish::{OutputFormats, REJECTS};
use crate::settings::Settings;
use crate::storage::failpoint::{Bug, fail_point, planted};
use crate::storage::{FileIdentity, SharedDisk, is_missing, sync_folder};
use crate::time::date_range::DateRange;
use crate::time::period::Period;

/// The staged files of an epoch. Dropping the value removes the files.
#[derive(Debug, Default)]
pub struct StagedEpoch {
    /// The newly rendered snapshots, by insight.
    pub snapshots: Vec<(&'static str, Snapshot)>,
    /// The parts of `enriched_logs`; `None` if the insight is disabled. The CSV parts are already durable
    /// under their final names.
    pub enriched: Option<InsightEntry>,
    /// Staged Parquet parts of `enriched_logs`.
    pub parquet: Vec<StagedParquet>,
    /// The periods whose tables differ from the published ones.
    pub periods: Vec<StagedPeriod>,
    /// All periods of the epoch, ascending.
    pub listed_periods: Vec<Period>,
}

/// The facts about a cut that the manifest states in addition to its files.
#[derive(Debug)]
pub struct CutSummary {
    /// `replay` or `watch`.
    pub producer: &'static str,
    /// The dates of the plays that count.
    pub dates: DateRange,
    /// Sums over all inputs.
    pub totals: Totals,
    /// The inputs that are not fully read.
    pub unfinished: Vec<InputEntry>,
    /// The catalog of the cut.
    pub catalog: CatalogEntry,
    /// Whether finished inputs are deleted.
    pub inputs_deleted: bool,
    /// The time of the cut, in seconds since 1970-01-01T00:00:00Z, if it decides which periods are published.
    pub now: Option<i64>,
}

/// The epoch that an output folder shows.
#[derive(Debug)]
pub struct Published {
    disk: SharedDisk,
    output: PathBuf,
    formats: OutputFormats,
    epoch: Epoch,
    /// The files that are known to be in the output folder, by insight.
    files: BTreeMap<String, InsightEntry>,
    /// The periods that are known to be in the output folder.
    periods: PublishedPeriods,
    /// Whether folders of other periods may be in the output folder.
    has_other_periods: bool,
    /// `None` before the first epoch of this process.
    manifest: Option<Manifest>,
    /// The length of the manifest file; `None` if the file does not have the content of `manifest`.
    manifest_bytes: Option<u64>,
    /// The last published part of `enriched_logs`.
    enriched_identity: Option<FileIdentity>,
    /// Whether published files were missing, so that the next cut is published as a new epoch.
    was_damaged: bool,
    /// The append-only tables that lack rows, each with the time at which it began again.
    incomplete: BTreeMap<String, String>,
}

/// The published files that are missing or have a wrong length.
#[derive(Debug, Default)]
pub struct MissingFiles {
    /// The paths.
    pub paths: Vec<PathBuf>,
    /// The names of the Parquet parts of `enriched_logs` among these files.
    pub parquet: BTreeSet<String>,
    /// Whether a part of `enriched_logs` is missing, too short, or not the published file.
    pub enriched: bool,
}

impl Published {
    /// An output folder. Every file in it must be replaced. `epoch` is the number of the last epoch that
    /// readers saw.
    pub fn new(disk: &SharedDisk, settings: &Settings, epoch: Epoch) -> Self {
        Self {
            disk: disk.clone(),
            output: settings.output.clone(),
            formats: OutputFormats::of(settings),
            epoch,
            files: BTreeMap::new(),
            periods: PublishedPeriods::default(),
            has_other_periods: true,
            manifest: None,
            manifest_bytes: None,
            enriched_identity: None,
            was_damaged: false,
            incomplete: BTreeMap::new(),
        }
    }

    /// Continues from the manifest that an earlier process committed. That process may have been killed
    /// before it published all files. `files` lists the insights that are completely published.
    /// `manifest_written` says whether the manifest file is in place.
    #[must_use]
    pub fn with_committed(
        self,
        manifest: Manifest,
        files: BTreeMap<String, InsightEntry>,
        manifest_written: bool,
    ) -> Self {
        let tables = manifest.insights.iter().map(|(name, entry)| (name.as_str(), entry));
        let tables = tables.chain([(REJECTS, &manifest.rejects)]);
        let since =
            |(name, entry): (&str, &InsightEntry)| Some((name.to_owned(), entry.incomplete_since.clone()?));
        let incomplete = tables.filter_map(since).collect();
        let manifest_bytes = manifest_written.then(|| manifest.to_text().len() as u64);
        let periods = PublishedPeriods::committed(&*self.disk, &self.output, &manifest.periods);
        Self { files, periods, manifest: Some(manifest), manifest_bytes, incomplete, ..self }
    }

    /// Keeps periods of an earlier run whose tables are still right.
    #[cfg(feature = "cluster")]
    pub fn keep_periods(&mut self, periods: PublishedPeriods) {
        self.periods = periods;
    }

    /// Notes that published files were missing. The next cut is then published as a new epoch, even if no row
    /// has changed.
    pub fn note_damage(&mut self) {
        self.was_damaged = true;
    }

    /// Whether published files were missing, and no epoch was published since.
    pub fn was_damaged(&self) -> bool {
        self.was_damaged
    }

    /// Notes that an append-only table has lost its rows and begins again now.
    pub fn note_rows_lost(&mut self, table: &str) {
        self.incomplete.insert(table.to_owned(), now_text());
        self.was_damaged = true;
    }

    /// Looks for published files that are missing or have a wrong length. Forgets the snapshots among them,
    /// and the manifest, so that the next epoch writes them again. If the folder `is_new`, forgets all of
    /// them. Parts of `_rejects` are not checked here.
    pub fn forget_missing(&mut self, is_new: bool) -> MissingFiles {
        let mut missing = MissingFiles { enriched: is_new, ..MissingFiles::default() };
        let Some(manifest) = &self.manifest else { return missing };
        let is_there = |path: &Path, bytes: u64| match self.disk.stat(path) {
            Ok(stat) => stat.len == bytes,
            Err(cause) => !is_missing(&cause),
        };
        let snapshots = self.files.iter().filter(|(name, _)| *name != enriched_logs::NAME);
        let mut forgotten = Vec::new();
        for (name, entry) in snapshots {
            let files = entry.files(&self.output, name).into_iter();
            let gone: Vec<PathBuf> =
                files.filter(|(path, part)| !is_there(path, part.bytes)).map(|(path, _)| path).collect();
            if is_new || !gone.is_empty() {
                forgotten.push(name.clone());
            }
            missing.paths.extend(gone);
        }
        if let Some(entry) = manifest.insights.get(enriched_logs::NAME) {
            let folder = TableFolders::of(&self.output, enriched_logs::NAME).parquet;
            for part in entry.parquet.iter().filter(|part| !is_there(&folder.join(&part.file), part.bytes)) {
                missing.paths.push(folder.join(&part.file));
                missing.parquet.insert(part.file.clone());
            }
            missing.enriched = is_new || !self.has_enriched(entry);
        }
        let manifest_file = self.output.join(manifest::FILE);
        if self.manifest_bytes.is_some_and(|bytes| !is_there(&manifest_file, bytes)) {
            missing.paths.push(manifest_file);
            self.manifest_bytes = None;
        }
        self.files.retain(|name, _| !forgotten.contains(name));
        missing.paths.extend(self.periods.forget_missing(&*self.disk, &self.output));
        if is_new {
            self.periods.forget_all();
        }
        missing
    }

    /// Whether the published parts of `enriched_logs` are in place.
    fn has_enriched(&self, entry: &InsightEntry) -> bool {
        let folder = self.output.join(enriched_logs::NAME);
        entry.parts.iter().all(|part| match self.disk.stat(&folder.join(&part.file)) {
            Ok(stat) => stat.len >= part.bytes,
            Err(cause) => !is_missing(&cause),
        }) && (self.enriched_identity.is_none() || self.enriched_identity == self.identity_of_enriched(entry))
    }

    /// The identity of the last part of `enriched_logs`.
    fn identity_of_enriched(&self, entry: &InsightEntry) -> Option<FileIdentity> {
        let path = self.output.join(enriched_logs::NAME).join(&entry.parts.last()?.file);
        self.disk.stat(&path).ok().map(|stat| stat.identity)
    }

    /// The manifest of the last epoch; `None` before the first epoch of this process.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// The number of the last epoch that readers saw.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The output folder.
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// The periods that are known to be in the output folder.
    pub fn periods(&self) -> &PublishedPeriods {
        &self.periods
    }

    /// The files of an insight that are known to be in the output folder.
    pub fn files(&self, insight: &str) -> Option<&InsightEntry> {
        self.files.get(insight)
    }

    /// Forgets the files of insights that are not enabled.
    pub fn retain(&mut self, enabled: &[&str]) {
        self.files.retain(|name, _| enabled.contains(&name.as_str()));
    }

    /// The manifest of the next epoch. Makes `_rejects` durable, because the manifest lists its parts.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn next_manifest(
        &self,
        staged: &StagedEpoch,
        rejects: &mut AppendOnlyWriter,
        cut: CutSummary,
    ) -> Result<Manifest, Error> {
        let mut insights = self.files.clone();
        for (name, snapshot) in &staged.snapshots {
            insights.insert((*name).to_owned(), snapshot.entry().clone());
        }
        if let Some(enriched) = &staged.enriched {
            insights.insert(enriched_logs::NAME.to_owned(), enriched.clone());
        }
        let mut rejects = InsightEntry::new(rejects.publish()?);
        fail_point("commit.logs_synced");
        for (name, entry) in insights.iter_mut().map(|(name, entry)| (name.as_str(), entry)) {
            entry.incomplete_since = self.incomplete.get(name).cloned();
        }
        rejects.incomplete_since = self.incomplete.get(REJECTS).cloned();
        let CutSummary { producer, dates, totals, unfinished, catalog, inputs_deleted, now } = cut;
        Ok(Manifest {
            version: Manifest::version(),
            producer: producer.to_owned(),
            epoch: self.epoch.0 + 1,
            generated_at: now_text(),
            incomplete_since: self.incomplete.values().max().cloned(),
            from: dates.from,
            to: dates.to,
            totals,
            unfinished,
            catalog,
            insights,
            rejects,
            periods: self.periods.next_entries(&staged.periods, &staged.listed_periods),
            now: now.map(time_text),
            inputs_deleted,
        })
    }

    /// Whether the last epoch already has the same rows as `manifest`. The answer is always no after a
    /// rollback, because readers have seen a later epoch than the committed one.
    pub fn shows(&self, manifest: &Manifest) -> bool {
        self.manifest.as_ref().is_some_and(|last| last.epoch == self.epoch.0 && manifest.says_the_same(last))
    }

    /// Publishes a staged epoch.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn publish(&mut self, staged: StagedEpoch, manifest: Manifest) -> Result<(), Error> {
        self.manifest_bytes = None;
        self.was_damaged = false;
        self.finish(staged, manifest)
    }

    /// Takes over a committed manifest without publishing its files, because the folder was replaced. The
    /// next epoch publishes all files.
    pub fn postpone(&mut self, manifest: Manifest) {
        self.manifest_bytes = None;
        self.files.clear();
        self.periods.forget_all();
        self.epoch = Epoch(manifest.epoch);
        self.manifest = Some(manifest);
        self.was_damaged = true;
    }

    /// Completes the publication of the last epoch. Publishes only the staged files that are still missing in
    /// the output folder, and writes the manifest only if it is missing.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub fn republish(&mut self, staged: StagedEpoch) -> Result<(), Error> {
        let manifest = self.manifest.clone();
        manifest.map_or(Ok(()), |manifest| self.finish(staged, manifest))
    }

    fn finish(&mut self, staged: StagedEpoch, manifest: Manifest) -> Result<(), Error> {
        self.publish_files(staged)?;
        let enabled: Vec<&str> = manifest.insights.keys().map(String::as_str).collect();
        remove_disabled(&self.disk, &self.output, self.formats, &enabled)?;
        fail_point("publish.manifest");
        remove_unlisted_parquet(&self.disk, &self.output, &manifest)?;
        if self.manifest_bytes.is_none() {
            let text = manifest.to_text();
            Manifest::publish(&self.disk, &self.output, &text)?;
            self.manifest_bytes = Some(text.len() as u64);
        }
        let enriched = manifest.insights.get(enriched_logs::NAME);
        self.enriched_identity = enriched.and_then(|entry| self.identity_of_enriched(entry));
        self.epoch = Epoch(manifest.epoch);
        self.files.clone_from(&manifest.insights);
        self.manifest = Some(manifest);
        Ok(())
    }

    /// Gives staged files their final names. Drops a snapshot if the published one has the same content.
    fn publish_files(&mut self, staged: StagedEpoch) -> Result<(), Error> {
        for (name, snapshot) in staged.snapshots {
            if self.files.get(name) == Some(snapshot.entry()) {
                if planted(Bug::ReturnEarly) {
                    return Ok(());
                }
                continue;
            }
            let entry = snapshot.publish()?;
            sync_folder(&*self.disk, &self.output.join(name))?;
            fail_point("publish.snapshot");
            self.files.insert(name.to_owned(), entry);
        }
        for part in staged.parquet {
            part.publish()?;
            fail_point("publish.snapshot");
        }
        self.periods.publish(&self.disk, &self.output, staged.periods, &staged.listed_periods)?;
        if std::mem::take(&mut self.has_other_periods) {
            self.periods.remove_others(&*self.disk, &self.output)?;
        }
        Ok(())
    }
}

/// An instant in UTC, in the format of RFC 3339.
fn time_text(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The current time in UTC, in the format of RFC 3339.
fn now_text() -> String {
    DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Millis, true)
}
