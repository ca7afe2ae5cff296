//! Stages the output of a run: writes the rows of the queries to files with temporary names.

use std::collections::BTreeMap;

use music_insights_ballista::query::TableFiles;
use music_insights_ballista::session::Session;
use music_insights_ballista::shared_storage::child;
use music_insights_ballista::tables::Table;
use url::Url;

use crate::cluster::error::AttemptError;
use crate::cluster::index::{Folder, Index};
use crate::cluster::inputs::Log;
use crate::cluster::job::LogCounts;
use crate::cluster::queries::{self, Section};
use crate::insights::enriched_logs;
use crate::insights::query::Weeks;
use crate::model::Reject;
use crate::model::error::Error;
use crate::publish::REJECTS;
use crate::publish::append_only::AppendOnlyWriter;
use crate::publish::epoch::StagedEpoch;
use crate::publish::manifest::InsightEntry;
use crate::publish::rejects::{REJECTS_HEADER, reject_lines};
use crate::publish::snapshot::Snapshot;
use crate::settings::Settings;
use crate::storage::SharedDisk;
use crate::text::path_text;
use crate::time::civil::Week;

/// The staged output of a run. Dropping the value removes the staged files.
pub(super) struct StagedOutput {
    snapshots: Vec<(&'static str, Snapshot)>,
    /// The staged `enriched_logs`; `None` if the insight is disabled.
    enriched: Option<AppendOnlyWriter>,
    rejects: AppendOnlyWriter,
}

impl StagedOutput {
    /// Returns the files of the next epoch, and its rejects. Gives the parts of `enriched_logs` their final names. If
    /// `parquet` is set, also stages these parts as Parquet.
    pub(super) fn into_epoch(self, parquet: bool) -> Result<(StagedEpoch, AppendOnlyWriter), Error> {
        let mut epoch = StagedEpoch { snapshots: self.snapshots, ..StagedEpoch::default() };
        if let Some(mut table) = self.enriched {
            let parts = table.publish()?;
            if parquet {
                let staged = parts.iter().map(|part| table.parquet_of(enriched_logs::NAME, part));
                epoch.parquet = staged.collect::<Result<_, _>>()?;
            }
            let parquet = epoch.parquet.iter().map(|part| part.entry().clone()).collect();
            epoch.enriched = Some(InsightEntry { parquet, ..InsightEntry::new(parts) });
        }
        Ok((epoch, self.rejects))
    }
}

/// The inputs of staging, except for the tables.
pub(super) struct Staging<'a> {
    pub(super) session: &'a Session,
    pub(super) settings: &'a Settings,
    pub(super) disk: &'a SharedDisk,
    /// The current time, in seconds since 1970-01-01T00:00:00Z.
    pub(super) now: i64,
    /// The folder of the tables.
    pub(super) folder: &'a Url,
    /// All logs in the order of the output.
    pub(super) logs: &'a [Log],
    pub(super) catalog_rejects: &'a [Reject],
}

impl Staging<'_> {
    /// Runs the queries of all insights and stages their rows.
    pub(super) async fn stage(
        &self,
        index: &Index,
        tables: &TableFiles,
        songs: &Url,
    ) -> Result<StagedOutput, AttemptError> {
        let queries = queries::queries(self.settings, self.weeks(index));
        let snapshots = queries::stage(self.session, tables, queries, self.disk, self.settings).await?;
        let rejects = self.stage_rejects(index).await?;
        let enriched = if self.settings.insights.enriched_logs.enabled {
            let sections = self.sections(index, Table::Plays, Some(songs), |counts| counts.plays > 0);
            Some(queries::write_enriched(self.session, sections, self.disk, self.settings).await?)
        } else {
            None
        };
        Ok(StagedOutput { snapshots, enriched, rejects })
    }

    /// Returns the week of the latest play and the week of the current time.
    fn weeks(&self, index: &Index) -> Weeks {
        let latest = index.counts().filter_map(|counts| counts.latest).max();
        let offset = i64::from(self.settings.timezone.0.offset_at(self.now));
        Weeks::new(latest.map(|(_, local)| local), Week::of_local(self.now + offset))
    }

    /// Stages the rejects of the catalog, followed by the rejects of the logs.
    async fn stage_rejects(&self, index: &Index) -> Result<AppendOnlyWriter, AttemptError> {
        let folder = self.settings.output.join(REJECTS);
        let mut rejects = AppendOnlyWriter::begin(self.disk, &folder, REJECTS_HEADER, u64::MAX)?;
        rejects.append(&reject_lines(&path_text(&self.settings.songs), self.catalog_rejects))?;
        let labels: BTreeMap<&str, &str> =
            self.logs.iter().map(|log| (log.url.as_str(), log.label.as_str())).collect();
        let by_number: BTreeMap<u32, &str> = index
            .folders
            .iter()
            .flat_map(|folder| &folder.logs)
            .map(|(&number, log)| (number, labels.get(log.url.as_str()).copied().unwrap_or_default()))
            .collect();
        let label = |number| by_number.get(&number).copied().unwrap_or_default().to_owned();
        let has_rejects = |counts: &LogCounts| !counts.rejected.is_empty();
        let sections = self.sections(index, Table::Rejects, None, has_rejects);
        queries::write_rejects(self.session, sections, label, &mut rejects).await?;
        Ok(rejects)
    }

    /// Divides a table into as few sections as the folders allow, in the order of the logs. Logs that have no rows in
    /// the table are skipped.
    fn sections(
        &self,
        index: &Index,
        table: Table,
        songs: Option<&Url>,
        has_rows: impl Fn(&LogCounts) -> bool,
    ) -> Vec<Section> {
        let mut by_url = BTreeMap::new();
        for (position, folder) in index.folders.iter().enumerate() {
            for (&number, log) in &folder.logs {
                by_url.insert(log.url.as_str(), (position, number, has_rows(&log.counts)));
            }
        }
        // The position of the folder, and the numbers of the first and the last log.
        let mut runs: Vec<(usize, u32, u32)> = Vec::new();
        for log in self.logs {
            let Some(&(position, number, true)) = by_url.get(log.url.as_str()) else { continue };
            match runs.last_mut() {
                // No log between `to` and `number` has rows in the table.
                Some((last, _, to)) if *last == position && *to < number => *to = number,
                _ => runs.push((position, number, number)),
            }
        }
        let sections = runs.into_iter().map(|(position, from, to)| {
            let folder = &index.folders[position];
            let songs = songs.map(|songs| (Table::Songs, vec![songs.clone()]));
            let file = file_of(self.folder, folder, table);
            let tables = songs.into_iter().chain([(table, vec![file])]).collect();
            let is_whole_folder = folder.logs.keys().all(|number| (from..=to).contains(number));
            Section { tables, logs: (!is_whole_folder).then_some((from, to)) }
        });
        sections.collect()
    }
}

/// The file of a table in one of the folders that the index lists. `tables` is the parent of these folders.
pub(super) fn file_of(tables: &Url, folder: &Folder, table: Table) -> Url {
    child(&child(tables, &folder.name), &table.file())
}
