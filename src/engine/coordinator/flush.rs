//! A flush, step by step: cut, stage, commit, publish.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use tokio::sync::oneshot;

use crate::engine::coordinator::{Coordinator, QUIET, RefreshScope, Tasks, ended};
use crate::engine::workers::{EnrichedCut, EnrichedMessage, SnapshotRequest};
use crate::ingest::source::archive::WhenDone;
use crate::insights::{Cut, enriched_logs};
use crate::model::error::Error;

use crate::model::rejects::{ReasonCounts, by_code, count};
use crate::model::{Epoch, SongId};
use crate::publish::cleanup::{remove_disabled, remove_unlisted_parquet};
use crate::publish::manifest::{CatalogEntry, InsightEntry, Manifest, hash_text};
use crate::publish::parquet::StagedParquet;
use crate::publish::snapshot::Snapshot;
use crate::state::checkpoint::committer::Commit;
use crate::storage::failpoint::{Bug, fail_point, planted};
use crate::storage::sync_folder;
use crate::text::path_text;

/// What is written for an epoch and waits for its commit.
#[derive(Debug)]
pub(super) struct Staged {
    snapshots: Vec<(&'static str, Snapshot)>,
    enriched: Option<EnrichedCut>,
    /// Parts of `enriched_logs` as Parquet.
    parquet: Vec<StagedParquet>,
}

impl Coordinator {
    /// Cuts, and lets every insight write what has changed where nobody sees it yet.
    pub(super) async fn stage(&mut self, new: RefreshScope) -> Result<Staged, Error> {
        self.finish_sealing().await;
        let cut = Arc::new(tokio::task::block_in_place(|| self.cut(new)));
        fail_point("flush.cut");
        let mut answers = Vec::new();
        for (name, requests) in &self.parts.tasks.snapshots {
            let (answer, answered) = oneshot::channel();
            let cut = Arc::clone(&cut);
            requests.send(SnapshotRequest { cut, answer }).await.map_err(|_| ended())?;
            answers.push((*name, answered));
        }
        drop(cut);
        let mut enriched_answer = None;
        if let Some(enriched) = &self.parts.tasks.enriched {
            let (answer, answered) = oneshot::channel();
            let catalog = Arc::clone(&self.catalog.catalog);
            enriched.send(EnrichedMessage::Cut { catalog, answer }).await.map_err(|_| ended())?;
            enriched_answer = Some(answered);
        }
        let mut snapshots = Vec::new();
        for (name, answered) in answers {
            snapshots.extend(answered.await.map_err(|_| ended())??.map(|snapshot| (name, snapshot)));
        }
        let mut enriched = match enriched_answer {
            Some(answered) => Some(answered.await.map_err(|_| ended())?),
            None => None,
        };
        fail_point("flush.staged");
        let parquet = enriched.as_mut().map(|enriched| std::mem::take(&mut enriched.drafts));
        Ok(Staged { snapshots, enriched, parquet: parquet.unwrap_or_default() })
    }

    fn cut(&mut self, new: RefreshScope) -> Cut {
        self.changes = Arc::new(Arc::make_mut(&mut self.ledger).cut());
        Arc::make_mut(&mut self.user_order).extend(&self.parts.dictionaries.users.read());
        Arc::make_mut(&mut self.song_order).extend(&self.parts.dictionaries.songs.read());
        // To insights that have seen nothing yet, what an earlier process has taken in is new, too.
        let changes = match new {
            RefreshScope::Everything => Arc::new(self.ledger.everything()),
            RefreshScope::Plays | RefreshScope::Catalog => Arc::clone(&self.changes),
        };
        self.listeners.note(&changes.users);
        Cut {
            ledger: Arc::clone(&self.ledger),
            changes,
            catalog: Arc::clone(&self.catalog.catalog),
            new_catalog: new != RefreshScope::Plays,
            dictionaries: Arc::clone(&self.parts.dictionaries),
            user_order: Arc::clone(&self.user_order),
            song_order: Arc::clone(&self.song_order),
            current_week: self.week,
        }
    }

    /// Commits what is staged, then publishes it.
    pub(super) fn commit(&mut self, mut staged: Staged, manifest: Manifest) -> Result<(), Error> {
        self.parts.epoch = Epoch(self.parts.epoch.0 + 1);
        let manifest = Manifest { epoch: self.parts.epoch.0, ..manifest };
        let text = manifest.to_text();
        if planted(Bug::PublishBeforeCommit) {
            let snapshots = std::mem::take(&mut staged.snapshots);
            self.publish(Staged { snapshots, enriched: None, parquet: Vec::new() })?;
            Manifest::publish(&self.parts.disk, &self.parts.settings.output, &text)?;
        }
        if let Some(committer) = &mut self.parts.committer {
            let enriched = staged.enriched.take();
            let enriched = enriched.unwrap_or_default();
            committer.commit(Commit {
                ledger: Arc::make_mut(&mut self.ledger),
                changes: &self.changes,
                dictionaries: &self.parts.dictionaries,
                inputs: &mut self.inputs,
                unmatched: enriched.unmatched,
                catalog: &self.catalog.catalog,
                enriched: enriched.parts,
                rejects: manifest.rejects.parts.clone(),
                epoch: self.parts.epoch,
                manifest: &text,
            })?;
        }
        self.publish(staged)?;
        remove_unlisted_parquet(&self.parts.disk, &self.parts.settings, &manifest)?;
        Manifest::publish(&self.parts.disk, &self.parts.settings.output, &text)?;
        fail_point("publish.done");
        self.published.clone_from(&manifest.insights);
        self.manifest = Some(manifest);
        self.publish_epoch();
        self.retire()
    }

    /// Makes what is staged visible, where it differs from what is.
    pub(super) fn publish(&mut self, staged: Staged) -> Result<(), Error> {
        for (name, snapshot) in staged.snapshots {
            if self.published.get(name) == Some(snapshot.entry()) {
                if planted(Bug::ReturnEarly) {
                    return Ok(());
                }
                continue;
            }
            let entry = snapshot.publish()?;
            sync_folder(&*self.parts.disk, &self.parts.settings.output.join(name))?;
            fail_point("publish.snapshot");
            self.published.insert(name.to_owned(), entry);
        }
        for draft in staged.parquet {
            draft.publish()?;
            fail_point("publish.snapshot");
        }
        remove_disabled(&self.parts.disk, &self.parts.settings, &self.enabled())?;
        fail_point("publish.manifest");
        Ok(())
    }

    /// Lets go of what only old generations need, and of the inputs that nobody can need again.
    pub(super) fn retire(&mut self) -> Result<(), Error> {
        let Some(committer) = &mut self.parts.committer else { return Ok(()) };
        committer.remove_obsolete()?;
        let retirable = committer.take_retirable(&self.inputs);
        if !retirable.is_empty() {
            // Nobody listens only if the source has ended.
            let _ = self.parts.retirable.send(retirable);
        }
        Ok(())
    }

    /// With nothing to publish, what is known of inputs without rows is committed; and after some
    /// time, what was read last is settled by committing it again.
    pub(super) fn save_in_quiet(&mut self) -> Result<(), Error> {
        let wait = self.parts.settings.input.done_after.0;
        let Some(committer) = &mut self.parts.committer else { return Ok(()) };
        if self.inputs.has_unsaved() && self.quiet_since.elapsed() >= QUIET {
            let saved = tokio::task::block_in_place(|| committer.commit_inputs(&mut self.inputs));
            self.quiet_since = Instant::now();
            saved?;
            return tokio::task::block_in_place(|| self.retire());
        }
        if !committer.has_unretirable() || self.quiet_since.elapsed() < wait {
            return Ok(());
        }
        tokio::task::block_in_place(|| committer.recommit())?;
        tokio::task::block_in_place(|| self.retire())
    }

    /// The names of the insights that are published.
    pub(super) fn enabled(&self) -> Vec<&'static str> {
        let Tasks { snapshots, enriched } = &self.parts.tasks;
        let enriched = enriched.as_ref().map(|_| enriched_logs::NAME);
        snapshots.iter().map(|(name, _)| *name).chain(enriched).collect()
    }

    /// What the manifest will say of what is staged, at the last epoch.
    pub(super) fn manifest_of(&mut self, staged: &Staged) -> Result<Manifest, Error> {
        let mut insights = self.published.clone();
        for (name, snapshot) in &staged.snapshots {
            insights.insert((*name).to_owned(), snapshot.entry().clone());
        }
        if let Some(enriched) = &staged.enriched {
            let parquet = enriched.parquet.clone();
            let entry = InsightEntry { parquet, ..InsightEntry::new(enriched.parts.clone()) };
            insights.insert(enriched_logs::NAME.to_owned(), entry);
        }
        let rejects = InsightEntry::new(self.parts.rejects.publish()?);
        fail_point("commit.logs_synced");
        let catalog = &self.catalog.catalog;
        let mut rejected = ReasonCounts::new();
        count(&mut rejected, &self.catalog.rejects);
        Ok(Manifest {
            version: Manifest::version(),
            producer: self.parts.producer.name().to_owned(),
            epoch: self.parts.epoch.0,
            generated_at: DateTime::<Utc>::from(SystemTime::now())
                .to_rfc3339_opts(SecondsFormat::Millis, true),
            totals: self.inputs.totals(self.unmatched()),
            unfinished: self.inputs.unfinished(),
            catalog: CatalogEntry {
                path: path_text(&self.parts.settings.songs),
                songs: catalog.len(),
                rejected: by_code(&rejected),
                fingerprint: hash_text(catalog.fingerprint()),
            },
            insights,
            rejects,
            inputs_deleted: self.parts.committer.is_some()
                && self.parts.settings.input.when_done == WhenDone::Delete,
        })
    }

    /// Plays of songs that are not in the catalog.
    fn unmatched(&self) -> u64 {
        let songs = (0..self.song_order.ids().len() as u32).map(SongId);
        let unknown = songs.filter(|&song| !self.catalog.catalog.contains(song));
        unknown.map(|song| self.ledger.song_plays().total(song).plays).sum()
    }
}
