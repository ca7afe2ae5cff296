//! Makes the output on the executors, and publishes it.

use std::collections::{BTreeMap, HashMap};

use music_insights_ballista::shared_storage::{self, child};
use xxhash_rust::xxh3::xxh3_128;

use crate::cluster::index::{Index, PublishedOutput};
use crate::cluster::inputs::is_object;
use crate::cluster::job::{
    self, CatalogFile, JobKind, JobResult, PeriodJob, RowRange, StagedPeriodTables, SumsFile, TableSources,
    Target,
};
use crate::cluster::output::{self, PlannedPart};
use crate::cluster::reading::no_report;
use crate::cluster::tasks::{parse, reject_file};
use crate::cluster::{Work, latest};
use crate::engine::coordinator::RunMode;
use crate::insights::{SNAPSHOTS, enriched_logs};
use crate::model::error::Error;
use crate::model::period_rules::LatestPeriod;
use crate::publish::append_only::{AppendOnlyWriter, part_name};
use crate::publish::cleanup::remove_temporary_files;
use crate::publish::epoch::{CutSummary, Published, StagedEpoch};
use crate::publish::manifest::{CatalogEntry, InsightEntry, Manifest, PartEntry, hash_text};
use crate::publish::periods::{PublishedPeriods, StagedPeriod};
use crate::publish::rejects::{REJECTS_HEADER, reject_lines};
use crate::publish::snapshot::Snapshot;
use crate::publish::staged_part::StagedPart;
use crate::publish::table_folders::TableFolders;
use crate::publish::{OutputFormats, REJECTS, is_part};
use crate::state::checkpoint::generation::StateConfig;
use crate::storage::failpoint::fail_point;
use crate::storage::{remove_from, sync_folder};
use crate::text::{path_text, shown};
use crate::time::civil::{DAY, Week};
use crate::time::period::Period;

/// The tables and parts that executors have staged in the output folder.
pub(super) struct StagedOutput {
    tables: Vec<(&'static str, String, InsightEntry)>,
    unmatched: u64,
    /// The tables of new and changed periods, ascending.
    periods: Vec<(Period, StagedPeriodTables)>,
    /// The periods whose tables are in the output folder already.
    unchanged_periods: PublishedPeriods,
    /// The parts of `enriched_logs`; `None` if the insight is disabled.
    enriched: Option<Vec<(PlannedPart, Option<job::StagedPart>)>>,
}

impl Work<'_> {
    /// Renders all tables, and puts them and the parts of `enriched_logs` together in the output folder.
    pub(super) async fn stage(&self, index: &Index, catalog: CatalogFile) -> Result<StagedOutput, Error> {
        let settings = &self.args.settings;
        let output = if is_object(&settings.output) {
            settings.output.clone()
        } else {
            std::path::absolute(&settings.output).unwrap_or_else(|_| settings.output.clone())
        };
        let target = Target { output: path_text(&output), formats: OutputFormats::of(settings) };
        let sources = TableSources {
            sums: index.sums().map(|sums| sums.file.clone()).collect(),
            catalog,
            insights: settings.insights.clone(),
            config: StateConfig::of(settings),
            latest: latest(index),
            current_week: Week::of_day(self.today()).0,
        };
        self.progress.begin("rendering");
        let shards = output::shards(index, self.session.cores());
        let folder = |shard| child(&child(&self.tables, &self.folder(0)), &format!("shard-{shard}")).into();
        let enriched = self.plan_enriched(index).await?;
        let parts = enriched.as_deref().map(|parts| output::part_jobs(parts, &target)).unwrap_or_default();
        let new_parts = parts.len();
        let unchanged_periods = self.unchanged_periods(index)?;
        let mut periods = self.published_periods(index);
        periods.retain(|period, _| unchanged_periods.index(*period).is_none());
        let period_jobs = self.period_jobs(&periods, &sources, &target);
        // Parts take longest, so they begin first.
        let jobs = parts.into_iter().chain(output::render_jobs(&sources, &shards, folder, &target));
        let mut results = self.submit_all(jobs.chain(period_jobs).collect(), 1).await?;
        let of_periods = results.split_off(results.len() - periods.len());
        let rendered = results.split_off(new_parts);
        let (slices, songs): (Vec<_>, Vec<_>) =
            rendered.into_iter().partition(|result| matches!(result, JobResult::Slices(_)));
        let slices = slices.into_iter().filter_map(|result| match result {
            JobResult::Slices(slices) => Some(slices),
            _ => None,
        });
        let slices: Vec<_> = slices.collect();
        fail_point("client.rendered");
        self.progress.begin("writing");
        let tables = self.submit_all(output::table_jobs(&sources, &slices, &target), 2).await?;
        let (tables, unmatched) = output::staged_tables(songs.into_iter().chain(tables));
        let mut staged = results.into_iter().filter_map(|result| match result {
            JobResult::Part(part) => Some(part),
            _ => None,
        });
        let enriched = enriched.map(|parts| {
            let with_staged = |part: PlannedPart| {
                let staged = if part.published.is_none() { staged.next() } else { None };
                (part, staged)
            };
            parts.into_iter().map(with_staged).collect()
        });
        let periods = periods.into_keys().zip(of_periods).filter_map(|(period, result)| match result {
            JobResult::Period(tables) => Some((period, tables)),
            _ => None,
        });
        Ok(StagedOutput { tables, unmatched, periods: periods.collect(), unchanged_periods, enriched })
    }

    /// The published periods of the last run whose tables would be the same now.
    fn unchanged_periods(&self, index: &Index) -> Result<PublishedPeriods, Error> {
        let (disk, output) = (&self.args.disk, &self.args.settings.output);
        let Some(last) = &index.published else { return Ok(PublishedPeriods::default()) };
        let Some(text) =
            Manifest::text_in(disk, output)?.filter(|text| last.manifest == hash_text(xxh3_128(text)))
        else {
            return Ok(PublishedPeriods::default());
        };
        let mut entries = serde_json::from_slice::<Manifest>(&text).map(|it| it.periods).unwrap_or_default();
        let hashes = self.period_hashes(index);
        entries.retain(|entry| {
            let code = entry.period().map(Period::code);
            code.is_some_and(|code| {
                hashes.contains_key(&code) && hashes.get(&code) == last.periods.get(&code)
            })
        });
        Ok(PublishedPeriods::committed(&**disk, output, &entries))
    }

    /// A hash of everything on which the tables of a period depend, for each published period by its code.
    fn period_hashes(&self, index: &Index) -> BTreeMap<u64, String> {
        let settings = &self.args.settings;
        let common = (
            self.fingerprint(),
            &settings.insights,
            settings.periods.insights.to_string(),
            StateConfig::of(settings),
            OutputFormats::of(settings),
        );
        let hash = |(period, (sums, plays)): (Period, (Vec<SumsFile>, u64))| {
            let text = serde_json::to_vec(&(&common, sums, plays)).expect("settings are valid JSON");
            (period.code(), hash_text(xxh3_128(&text)))
        };
        self.published_periods(index).into_iter().map(hash).collect()
    }

    /// The periods that this run publishes, each with its sums and the number of its plays.
    pub(super) fn published_periods(&self, index: &Index) -> BTreeMap<Period, (Vec<SumsFile>, u64)> {
        let rules = self.args.settings.periods.rules();
        let latest_day = match rules.latest {
            LatestPeriod::Now => Some(self.today()),
            LatestPeriod::Data => latest(index).map(|(_, local)| local.div_euclid(DAY)),
        };
        let mut periods = index.periods();
        periods.retain(|period, _| rules.publishes(*period, latest_day));
        periods
    }

    /// The jobs that render the tables of periods.
    fn period_jobs(
        &self,
        periods: &BTreeMap<Period, (Vec<SumsFile>, u64)>,
        sources: &TableSources,
        target: &Target,
    ) -> Vec<JobKind> {
        let insights = self.args.settings.periods.insights.enabled(&self.args.settings.insights);
        let names: Vec<String> = insights.iter().map(|insight| insight.name().to_owned()).collect();
        let job = |(period, (sums, plays)): (&Period, &(Vec<SumsFile>, u64))| {
            let sources = TableSources { sums: sums.clone(), ..sources.clone() };
            let (period, plays, names, target) = (period.code(), *plays, names.clone(), target.clone());
            JobKind::Period(Box::new(PeriodJob { sources, period, plays, names, target }))
        };
        periods.iter().map(job).collect()
    }

    /// The enriched rows of all logs, in the order of the output.
    pub(super) fn enriched_rows(&self, index: &Index) -> Vec<RowRange> {
        let by_url: HashMap<&str, &Vec<RowRange>> =
            index.logs().map(|(_, log)| (log.url.as_str(), &log.enriched)).collect();
        self.logs
            .iter()
            .filter_map(|log| by_url.get(log.url.as_str()))
            .flat_map(|rows| rows.iter().cloned())
            .collect()
    }

    /// The parts of `enriched_logs`; `None` if the insight is disabled.
    async fn plan_enriched(&self, index: &Index) -> Result<Option<Vec<PlannedPart>>, Error> {
        let settings = &self.args.settings.insights.enriched_logs;
        if !settings.enabled {
            return Ok(None);
        }
        let last = index.published.as_ref().filter(|last| self.has_parts(last));
        output::plan_parts(&self.enriched_rows(index), settings.roll_bytes.0, last).await.map(Some)
    }

    /// Whether the output folder still has the published parts, in the same format and with the same limit.
    fn has_parts(&self, last: &PublishedOutput) -> bool {
        let (disk, settings) = (&self.args.disk, &self.args.settings);
        let Ok(Some(manifest)) = Manifest::read(disk, &settings.output) else { return false };
        let Some(entry) = manifest.insights.get(enriched_logs::NAME) else { return false };
        let parts = last.parts.iter().map(|(_, part)| part);
        let files = entry.files(&settings.output, enriched_logs::NAME);
        last.roll_bytes == settings.insights.enriched_logs.roll_bytes.0
            && entry.parts.iter().eq(parts)
            && entry.parquet.is_empty() != settings.format.parquet
            && files.iter().all(|(path, part)| disk.stat(path).is_ok_and(|file| file.len == part.bytes))
    }

    /// Stages the rejects of the catalog, followed by the rejects of the logs.
    pub(super) async fn stage_rejects(&self, index: &Index) -> Result<AppendOnlyWriter, Error> {
        let settings = &self.args.settings;
        let folder = settings.output.join(REJECTS);
        let mut rejects = AppendOnlyWriter::begin(&self.args.disk, &folder, REJECTS_HEADER, u64::MAX)?;
        rejects.append(&reject_lines(&path_text(&settings.songs), &self.catalog.rejects))?;
        let by_url: HashMap<&str, &Vec<(u64, RowRange)>> =
            index.logs().map(|(_, log)| (log.url.as_str(), &log.rejects)).collect();
        for log in &self.logs {
            for (lines, range) in by_url.get(log.url.as_str()).copied().into_iter().flatten() {
                let bytes = range.offset..range.offset + range.bytes;
                let bytes = shared_storage::read_range(&parse(&range.url)?, bytes).await?;
                let damaged = |cause| Error::Io(format!("{}: {cause}", range.url));
                let of_range = reject_file::parse(&bytes, *lines).map_err(damaged)?;
                rejects.append(&reject_lines(&log.label, &of_range))?;
            }
        }
        Ok(rejects)
    }

    /// Publishes the staged output as the next epoch. Returns the manifest, and the parts of `enriched_logs`, each with
    /// the offset of its end in all enriched rows.
    pub(super) fn publish(
        &self,
        published: &mut Published,
        staged: StagedOutput,
        mut rejects: AppendOnlyWriter,
        index: &Index,
    ) -> Result<(Manifest, Vec<(u64, PartEntry)>), Error> {
        let settings = &self.args.settings;
        let disk = &self.args.disk;
        if !self.lock.is_current() {
            let message =
                format!("{} was locked by another process; nothing was published", shown(&settings.output));
            return Err(Error::Busy(message));
        }
        let snapshots = staged.tables.into_iter().map(|(name, tag, entry)| {
            let folders = TableFolders::of(&settings.output, name).tagged(tag);
            (name, Snapshot::adopt(disk, &folders, entry))
        });
        let mut epoch = StagedEpoch { snapshots: snapshots.collect(), ..StagedEpoch::default() };
        epoch.listed_periods = self.published_periods(index).into_keys().collect();
        published.keep_periods(staged.unchanged_periods);
        for (period, StagedPeriodTables { tag, index }) in staged.periods {
            let snapshots = SNAPSHOTS.iter().filter_map(|about| {
                let folders = TableFolders::of_period(&settings.output, period, about.name);
                let entry = index.table(about.name)?.clone();
                Some((about.name, Snapshot::adopt(disk, &folders.tagged(tag.clone()), entry)))
            });
            let snapshots = snapshots.collect();
            epoch.periods.push(StagedPeriod { period, index, snapshots });
        }
        let parts = staged.enriched.map(|parts| self.publish_parts(parts, &mut epoch)).transpose()?;
        let cut = CutSummary {
            producer: RunMode::Replay.name(),
            dates: self.args.dates,
            totals: index.totals(staged.unmatched),
            unfinished: Vec::new(),
            catalog: CatalogEntry::new(
                &settings.songs,
                self.catalog.songs().len() as u64,
                &self.catalog.rejects,
                self.catalog.fingerprint(),
            ),
            now: settings.periods.rules().states_now().then_some(self.args.now),
            inputs_deleted: false,
        };
        let manifest = published.next_manifest(&epoch, &mut rejects, cut)?;
        published.publish(epoch, manifest.clone())?;
        // A lost executor may have left temporary files.
        remove_temporary_files(disk, &settings.output)?;
        Ok((manifest, parts.unwrap_or_default()))
    }

    /// Gives the new parts of `enriched_logs` their final names.
    fn publish_parts(
        &self,
        parts: Vec<(PlannedPart, Option<job::StagedPart>)>,
        epoch: &mut StagedEpoch,
    ) -> Result<Vec<(u64, PartEntry)>, Error> {
        let (disk, settings) = (&self.args.disk, &self.args.settings);
        let folders = TableFolders::of(&settings.output, enriched_logs::NAME);
        let (mut ends, mut parquet) = (Vec::new(), Vec::new());
        let old = Manifest::read(disk, &settings.output).ok().flatten();
        let old =
            old.and_then(|manifest| manifest.insights.get(enriched_logs::NAME).cloned()).unwrap_or_default();
        for (number, (planned, staged)) in parts.into_iter().enumerate() {
            let entry = match (planned.published, staged) {
                (Some(entry), _) => {
                    parquet.extend(old.parquet.get(number).cloned());
                    entry
                }
                (None, Some(staged)) => {
                    let folders = folders.clone().tagged(staged.tag);
                    parquet.extend(staged.parquet.clone());
                    let part = StagedPart::adopt(disk, &folders, &staged.csv, staged.parquet);
                    epoch.parquet.extend(part.publish()?);
                    staged.csv
                }
                (None, None) => return Err(no_report(&part_name(number))),
            };
            ends.push((planned.end, entry));
        }
        let names: Vec<String> = (0..ends.len()).map(part_name).collect();
        remove_from(&**disk, &folders.csv, |name| is_part(name) && !names.iter().any(|part| part == name))?;
        sync_folder(&**disk, &folders.csv)?;
        let entries = ends.iter().map(|(_, entry)| entry.clone()).collect();
        epoch.enriched = Some(InsightEntry { parquet, ..InsightEntry::new(entries) });
        Ok(ends)
    }

    /// The entry of the index on the published output.
    pub(super) fn published_output(
        &self,
        index: &Index,
        enriched: Vec<RowRange>,
        (manifest, parts): &(Manifest, Vec<(u64, PartEntry)>),
    ) -> PublishedOutput {
        PublishedOutput {
            basis: self.basis(index),
            manifest: hash_text(xxh3_128(manifest.to_text().as_bytes())),
            roll_bytes: self.args.settings.insights.enriched_logs.roll_bytes.0,
            enriched,
            parts: parts.clone(),
            periods: self.period_hashes(index),
        }
    }
}
