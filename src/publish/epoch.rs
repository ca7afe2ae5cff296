//! The publish protocol: staged files become an epoch of the output.
//!
//! 1. Stage: snapshots and Parquet parts are written under temporary names ([`StagedEpoch`]).
//! 2. Manifest: [`Published::next_manifest`] describes the epoch before any reader sees it.
//! 3. Commit: a `watch` makes the manifest and its state durable. The caller performs this step.
//! 4. Publish: [`Published::publish`] gives the files their final names, removes files that no longer
//!    belong to the output, and writes the manifest last.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::insights::enriched_logs;
use crate::model::Epoch;
use crate::model::error::Error;
use crate::publish::OutputFormats;
use crate::publish::append_only::AppendOnlyWriter;
use crate::publish::cleanup::{remove_disabled, remove_unlisted_parquet};
use crate::publish::manifest::{CatalogEntry, InputEntry, InsightEntry, Manifest, Totals};
use crate::publish::parquet::StagedParquet;
use crate::publish::snapshot::Snapshot;
use crate::settings::Settings;
use crate::storage::failpoint::{Bug, fail_point, planted};
use crate::storage::{SharedDisk, sync_folder};

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
}

/// The facts about a cut that the manifest states in addition to its files.
#[derive(Debug)]
pub struct CutSummary {
    /// `replay` or `watch`.
    pub producer: &'static str,
    /// Sums over all inputs.
    pub totals: Totals,
    /// The inputs that are not fully read.
    pub unfinished: Vec<InputEntry>,
    /// The catalog of the cut.
    pub catalog: CatalogEntry,
    /// Whether finished inputs are deleted.
    pub inputs_deleted: bool,
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
    /// `None` before the first epoch of this process.
    manifest: Option<Manifest>,
    /// Whether the manifest file has the content of `manifest`.
    manifest_written: bool,
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
            manifest: None,
            manifest_written: false,
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
        Self { files, manifest: Some(manifest), manifest_written, ..self }
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
        let rejects = InsightEntry::new(rejects.publish()?);
        fail_point("commit.logs_synced");
        let CutSummary { producer, totals, unfinished, catalog, inputs_deleted } = cut;
        Ok(Manifest {
            version: Manifest::version(),
            producer: producer.to_owned(),
            epoch: self.epoch.0 + 1,
            generated_at: DateTime::<Utc>::from(SystemTime::now())
                .to_rfc3339_opts(SecondsFormat::Millis, true),
            totals,
            unfinished,
            catalog,
            insights,
            rejects,
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
        self.manifest_written = false;
        self.finish(staged, manifest)
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
        if !self.manifest_written {
            Manifest::publish(&self.disk, &self.output, &manifest.to_text())?;
        }
        self.manifest_written = true;
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
        Ok(())
    }
}
