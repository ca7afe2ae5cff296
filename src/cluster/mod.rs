//! `replay` over a cluster: executors make tables of logs, queries over the tables make the insights.
//!
//! Feature `cluster`. From top to bottom:
//!
//! ```text
//! mod      the run: find logs, hand out orders, ask queries, publish
//! answers  what is answered, as the files of the output
//! index    which tables there are, so that the next run only reads what is new
//! node     the process of an executor
//! read     on an executor: a log becomes tables
//! logs     files and objects that all nodes see
//! order    what executors are asked to do, and what they say they have done
//! ```

pub mod index;
pub mod inputs;
pub mod job;
pub mod node;
pub mod queries;
pub mod read;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use music_insights_ballista::places;
use music_insights_ballista::session::Cluster;
use music_insights_ballista::sql::{self, Query};
use music_insights_ballista::tables::{OF_INPUTS, Table, TableWriter};
use music_insights_ballista::trouble::{ClusterError, ErrorKind};
use url::Url;

use crate::catalog::load::Rows as CatalogRows;
use crate::catalog::reload;
use crate::cluster::index::{Folder, Index};
use crate::cluster::inputs::{Log, is_object, url_of};
use crate::cluster::job::JobReport;
use crate::cluster::queries::{Piece, Tables};
use crate::engine::coordinator::{RunMode, RunSummary};
use crate::engine::recovery;
use crate::insights::enriched_logs;
use crate::model::Epoch;
use crate::model::error::{Error, FileRole, Op};

use crate::model::shutdown::Shutdown;
use crate::publish::REJECTS;
use crate::publish::cleanup::remove_temporary_files;
use crate::publish::epoch::{CutSummary, Published, StagedEpoch};
use crate::publish::manifest::{CatalogEntry, InsightEntry, Manifest, PartEntry, Totals};
use crate::publish::parquet::StagedParquet;
use crate::publish::rejects::{REJECTS_HEADER, reject_lines};
use crate::publish::rolling_file::RollingFile;
use crate::publish::snapshot::Snapshot;
use crate::settings::Settings;
use crate::state::checkpoint::generation::StateConfig;
use crate::state::checkpoint::recover::StartOptions;
use crate::storage::{SharedDisk, create_folder};
use crate::telemetry::progress::Stages;
use crate::text::path_text;
use crate::time::civil::Week;

/// The folder of the tables in the output, unless they go elsewhere. It is not data to others.
const TABLES: &str = "_tables";
/// The folder of the tables of no logs.
const NONE: &str = "none";
/// Orders that are handed out at a time; what came of them is safe before the next.
const ORDERS: usize = 256;
/// How often all is asked if executors are lost.
const TRIES: usize = 4;
/// How long to wait before all is asked again.
const PAUSE: Duration = Duration::from_secs(2);
/// How often is looked how far the cluster is, and whether to stop.
const LOOK: Duration = Duration::from_millis(500);
/// When people are told that nothing seems to happen.
const STALL: Duration = Duration::from_mins(2);

/// A run on a cluster.
#[derive(Debug)]
pub struct ClusterRun {
    /// The scheduler, such as `df://scheduler:50050`.
    pub address: String,
    /// Where the tables are kept, if not in the output.
    pub tables: Option<PathBuf>,
    /// What names the logs.
    pub logs: Vec<PathBuf>,
    /// The settings.
    pub settings: Settings,
    /// Where the output is written.
    pub disk: SharedDisk,
    /// How a start deals with what is there.
    pub options: StartOptions,
    /// The moment that counts as now, in seconds since 1970-01-01T00:00:00Z.
    pub now: i64,
}

impl ClusterRun {
    /// Runs until the insights are published; a stop leaves everything as it was.
    ///
    /// # Errors
    /// What a cluster cannot do, and what `replay` cannot.
    pub async fn run(self, stop: &Shutdown) -> Result<RunSummary, Error> {
        let run = run_name();
        let logs = inputs::find(&self.logs).await?;
        let catalog = read_catalog(&self.settings).await?;
        create_folder(&*self.disk, &self.settings.output)?;
        let _lock = self.disk.lock(&self.settings.output)?;
        recovery::replay(&self.disk, &self.settings, self.options)?;
        remove_temporary_files(&self.disk, &self.settings.output)?;
        let cluster = Cluster::find(&self.address, &format!("music-insights {run}")).await;
        let cluster = cluster.map_err(|trouble| failure_of(&trouble))?;
        let tables = self.tables.clone().unwrap_or_else(|| self.settings.output.join(TABLES));
        let tables = url_of(&tables)?;
        let work = Work { cluster: &cluster, tables, run, logs, catalog, args: &self };
        let stages = Stages::new();
        let watched = async {
            let (mut last, mut since) = (None, Instant::now());
            while !stop.is_set() {
                tokio::time::sleep(LOOK).await;
                let stand = cluster.stand().await;
                if let Some(stand) = stand {
                    stages.show(stand.stages_done, stand.stages, stand.tasks_done, stand.tasks);
                }
                if stand != last {
                    (last, since) = (stand, Instant::now());
                } else if stand.is_some() && since.elapsed() > STALL {
                    tracing::warn!(
                        "no task has ended for {} s: is an executor lost, or the scheduler at a loss? One that was \
                         started with `--scheduler-policy pull-staged` gets over more",
                        STALL.as_secs()
                    );
                    since = Instant::now();
                }
            }
        };
        let outcome = tokio::select! {
            outcome = work.run() => outcome,
            () = watched => {
                cluster.cancel().await;
                Err(Error::Io("stopped before the end: nothing was published; what was read is kept for the next run".to_owned()))
            }
        };
        stages.finish();
        outcome
    }
}

/// A name that no other run has.
fn run_name() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}{:x}", since.as_micros(), std::process::id())
}

/// What a run works with.
struct Work<'a> {
    cluster: &'a Cluster,
    tables: Url,
    run: String,
    logs: Vec<Log>,
    catalog: CatalogRows,
    args: &'a ClusterRun,
}

/// What is written and waits to be published.
struct Staged {
    snapshots: Vec<(&'static str, Snapshot)>,
    enriched: Option<RollingFile>,
    rejects: RollingFile,
}

impl Work<'_> {
    async fn run(self) -> Result<RunSummary, Error> {
        let settings = &self.args.settings;
        let mut index = Index::read(&self.tables, &StateConfig::of(settings)).await?;
        let new = index.keep_only(&self.logs, self.args.now);
        let (rows, bytes) = self.read(&mut index, &new).await?;
        let songs = self.send_songs().await?;
        let tables = self.tables_of(&index, &songs).await?;
        let (staged, unmatched) = self.ask(&index, &tables, &songs).await?;
        let plays = index.counts().map(|counts| counts.plays).sum();
        let manifest = tokio::task::block_in_place(|| self.publish(staged, &index, unmatched))?;
        places::remove(&songs).await.map_err(|trouble| failure_of(&trouble))?;
        self.merge(&mut index).await?;
        index.remove_others(&self.tables).await?;
        Ok(RunSummary { manifest, plays, rows, bytes })
    }

    /// Lets executors read logs; returns their rows and bytes.
    async fn read(&self, index: &mut Index, logs: &[Log]) -> Result<(u64, u64), Error> {
        if !logs.is_empty() {
            tracing::info!(
                "{} of {} logs are new to the tables at {}",
                logs.len(),
                self.logs.len(),
                self.tables
            );
        }
        let (mut rows, mut bytes) = (0, 0);
        let orders = index.orders_to_read(logs, self.args.now, &self.tables, &self.run);
        for orders in orders.chunks(ORDERS) {
            let receipts = self.hand_out(orders.iter().map(|(order, _)| order)).await?;
            for (order, log) in orders {
                let receipt = receipts.get(&order.folder).cloned().ok_or_else(|| unanswered(&log.label))?;
                let counts = receipt.log.clone().unwrap_or_default();
                rows += counts.rows;
                bytes += counts.bytes;
                index.add(receipt, order, log);
            }
            index.write(&self.tables).await?;
        }
        Ok((rows, bytes))
    }

    /// Makes many small folders of tables a few larger ones.
    async fn merge(&self, index: &mut Index) -> Result<(), Error> {
        // Each round makes folders of the next size.
        for round in 0.. {
            let orders = index.orders_to_merge(&self.tables, &format!("{}-{round}", self.run));
            if orders.is_empty() {
                break;
            }
            let receipts = self.hand_out(orders.iter().map(|(order, _)| order)).await?;
            for (order, merged) in &orders {
                let receipt =
                    receipts.get(&order.folder).cloned().ok_or_else(|| unanswered(&order.folder))?;
                index.replace(receipt, merged);
            }
        }
        index.write(&self.tables).await
    }

    async fn hand_out(
        &self,
        orders: impl Iterator<Item = &job::Job>,
    ) -> Result<BTreeMap<String, JobReport>, Error> {
        let orders: Vec<String> =
            orders.map(|order| serde_json::to_string(order).expect("an order is plain data")).collect();
        let receipts = self.cluster.hand_out(&orders).await.map_err(|trouble| failure_of(&trouble))?;
        let receipts = receipts.iter().map(|receipt| {
            let receipt: JobReport = serde_json::from_str(receipt).map_err(|cause| {
                Error::Config(format!("an executor of this cluster is of another version: {cause}"))
            })?;
            Ok((receipt.folder.clone(), receipt))
        });
        receipts.collect()
    }

    /// Puts the catalog where all nodes see it.
    async fn send_songs(&self) -> Result<Url, Error> {
        let file = draft()?;
        queries::write_songs(&self.catalog.songs(), &file)?;
        let url = places::below(&self.tables, &format!("songs-{}.parquet", self.run));
        places::send(&file, &url).await.map_err(|trouble| failure_of(&trouble))?;
        Ok(url)
    }

    /// All tables, each of at least one file.
    async fn tables_of(&self, index: &Index, songs: &Url) -> Result<Tables, Error> {
        let none = places::below(&self.tables, NONE);
        let mut tables = vec![(Table::Songs, vec![songs.clone()])];
        for table in OF_INPUTS {
            let mut files = self.files_of(index, table);
            if files.is_empty() {
                let file = draft()?;
                let written = TableWriter::create(table, &file).and_then(TableWriter::finish);
                written.map_err(|trouble| failure_of(&trouble))?;
                let url = places::below(&none, &table.file());
                places::send(&file, &url).await.map_err(|trouble| failure_of(&trouble))?;
                files.push(url);
            }
            tables.push((table, files));
        }
        Ok(tables)
    }

    fn files_of(&self, index: &Index, table: Table) -> Vec<Url> {
        index.folders.iter().map(|folder| self.file_of(folder, table)).collect()
    }

    fn file_of(&self, folder: &Folder, table: Table) -> Url {
        places::below(&places::below(&self.tables, &folder.name), &table.file())
    }

    /// Stages what the cluster answers while no executor is lost.
    async fn ask(&self, index: &Index, tables: &Tables, songs: &Url) -> Result<(Staged, u64), Error> {
        for tries in (0..TRIES).rev() {
            let executors = self.cluster.executors().await;
            let asked = async {
                let staged = self.stage(index, tables, songs).await?;
                Ok::<_, Ended>((staged, self.unmatched(tables).await?))
            };
            match asked.await {
                Ok(answers) if self.cluster.keeps(executors.as_ref()).await => return Ok(answers),
                Err(Ended::Failed(failure)) => return Err(failure),
                Err(Ended::Lost(trouble)) if tries == 0 => return Err(failure_of(&trouble)),
                Ok(_) => tracing::warn!(
                    "an executor was lost; all is asked again, because what it answered may be wrong"
                ),
                Err(Ended::Lost(trouble)) => tracing::warn!("{trouble}; all is asked again"),
            }
            self.cluster.cancel().await;
            tokio::time::sleep(PAUSE).await;
        }
        Err(Error::Io(format!("executors were lost {TRIES} times; nothing was published")))
    }

    async fn stage(&self, index: &Index, tables: &Tables, songs: &Url) -> Result<Staged, Ended> {
        let (settings, disk) = (&self.args.settings, &self.args.disk);
        let latest = index.counts().filter_map(|counts| counts.latest).max();
        let offset = i64::from(settings.timezone.0.offset_at(self.args.now));
        let current = Week::of_local(self.args.now + offset);
        let week = settings.insights.top_songs_this_week.week_of(latest.map(|(_, local)| local), current);
        // No play is of a week that is not.
        let monday = week.map_or(i32::MIN, |week| (week.seconds().start / 86_400) as i32);
        let queries = queries::queries(settings, monday);
        let snapshots = queries::stage(self.cluster, tables, queries, disk, settings).await?;

        let mut rejects = RollingFile::begin(disk, &settings.output.join(REJECTS), REJECTS_HEADER, u64::MAX)?;
        rejects.append(&reject_lines(&path_text(&settings.songs), &self.catalog.rejects))?;
        let labels: BTreeMap<&str, &str> =
            self.logs.iter().map(|log| (log.url.as_str(), log.label.as_str())).collect();
        let by_number: BTreeMap<u32, &str> = index
            .folders
            .iter()
            .flat_map(|folder| &folder.logs)
            .map(|(&number, log)| (number, labels.get(log.url.as_str()).copied().unwrap_or_default()))
            .collect();
        let has_rejects = |counts: &job::LogCounts| !counts.rejected.is_empty();
        let pieces = self.pieces(index, Table::Rejects, None, has_rejects);
        let label = |number| by_number.get(&number).copied().unwrap_or_default().to_owned();
        queries::write_rejects(self.cluster, pieces, label, &mut rejects).await?;

        let enriched = if settings.insights.enriched_logs.enabled {
            let pieces = self.pieces(index, Table::Plays, Some(songs), |counts| counts.plays > 0);
            Some(queries::write_enriched(self.cluster, pieces, disk, settings).await?)
        } else {
            None
        };
        Ok(Staged { snapshots, enriched, rejects })
    }

    /// The rows of a table in the order of the logs: in as few pieces as the folders allow.
    fn pieces(
        &self,
        index: &Index,
        table: Table,
        songs: Option<&Url>,
        counts: impl Fn(&job::LogCounts) -> bool,
    ) -> Vec<Piece> {
        let mut places = BTreeMap::new();
        for (at, folder) in index.folders.iter().enumerate() {
            for (&number, log) in &folder.logs {
                places.insert(log.url.as_str(), (at, number, counts(&log.counts)));
            }
        }
        let mut runs: Vec<(usize, u32, u32)> = Vec::new();
        for log in &self.logs {
            let Some(&(at, number, true)) = places.get(log.url.as_str()) else { continue };
            match runs.last_mut() {
                // Between them are only logs that have no such rows.
                Some((last, _, to)) if *last == at && *to < number => *to = number,
                _ => runs.push((at, number, number)),
            }
        }
        let runs = runs.into_iter().map(|(at, from, to)| {
            let folder = &index.folders[at];
            let songs = songs.map(|songs| (Table::Songs, vec![songs.clone()]));
            let tables = songs.into_iter().chain([(table, vec![self.file_of(folder, table)])]).collect();
            let is_all = folder.logs.keys().all(|number| (from..=to).contains(number));
            Piece { tables, logs: (!is_all).then_some((from, to)) }
        });
        runs.collect()
    }

    /// Plays of songs that are not in the catalog.
    async fn unmatched(&self, tables: &Tables) -> Result<u64, Ended> {
        let query = Query { name: "unmatched", sql: sql::UNMATCHED, parameters: Vec::new() };
        let mut answer = self.cluster.ask_query(&query, tables);
        while let Some(rows) = answer.next().await? {
            if let Some(plays) = (!rows.is_empty()).then(|| rows.cells(0).next()?.parse().ok()).flatten() {
                return Ok(plays);
            }
        }
        Err(Error::Bug("the cluster has not said how many plays are unmatched".to_owned()).into())
    }

    fn publish(&self, staged: Staged, index: &Index, unmatched: u64) -> Result<Manifest, Error> {
        let settings = &self.args.settings;
        let mut epoch = StagedEpoch { snapshots: staged.snapshots, ..StagedEpoch::default() };
        if let Some(mut table) = staged.enriched {
            let parts = table.publish()?;
            epoch.parquet = if settings.format.parquet { parquet_of(&table, &parts)? } else { Vec::new() };
            let parquet = epoch.parquet.iter().map(|part| part.entry().clone()).collect();
            epoch.enriched = Some(InsightEntry { parquet, ..InsightEntry::new(parts) });
        }
        let songs = self.catalog.songs().len() as u64;
        let cut = CutSummary {
            producer: RunMode::Replay.name(),
            totals: totals_of(index, unmatched),
            unfinished: Vec::new(),
            catalog: CatalogEntry::new(
                &settings.songs,
                songs,
                &self.catalog.rejects,
                self.catalog.fingerprint(),
            ),
            inputs_deleted: false,
        };
        let mut published = Published::new(&self.args.disk, settings, Epoch(0));
        let mut rejects = staged.rejects;
        let manifest = published.next_manifest(&epoch, &mut rejects, cut)?;
        published.publish(epoch, manifest.clone())?;
        Ok(manifest)
    }
}

fn parquet_of(table: &RollingFile, parts: &[PartEntry]) -> Result<Vec<StagedParquet>, Error> {
    parts.iter().map(|part| table.parquet_of(enriched_logs::NAME, part)).collect()
}

fn totals_of(index: &Index, unmatched: u64) -> Totals {
    let mut totals = Totals { unmatched, ..Totals::default() };
    for counts in index.counts() {
        totals.inputs += 1;
        totals.bytes += counts.bytes;
        totals.rows += counts.rows;
        for (reason, rows) in &counts.rejected {
            *totals.rejected.entry(reason.clone()).or_default() += rows;
        }
    }
    totals
}

/// The rows of the catalog, from a file or an object.
async fn read_catalog(settings: &Settings) -> Result<CatalogRows, Error> {
    let (path, delimiter) = (&settings.songs, settings.input.delimiter);
    if !is_object(path) {
        return reload::read(path, delimiter).await;
    }
    let text = places::read(&url_of(path)?).await.map_err(|trouble| failure_of(&trouble))?;
    let missing = || Error::MissingInput(format!("{} does not exist", path.display()));
    reload::rows_of(path, &text.ok_or_else(missing)?, delimiter).await
}

/// A file on its way to where all nodes see it.
fn draft() -> Result<tempfile::TempPath, Error> {
    let made = tempfile::NamedTempFile::new();
    let file = made.map_err(|cause| Error::file(FileRole::Output, Op::Write, Path::new("TMPDIR"), cause))?;
    Ok(file.into_temp_path())
}

fn unanswered(what: &str) -> Error {
    Error::Bug(format!("no executor has answered the order for {what}"))
}

/// Why an attempt to ask the cluster has ended.
#[derive(Debug)]
pub enum Ended {
    /// A node was lost; another attempt may do better.
    Lost(ClusterError),
    /// It would fail again.
    Failed(Error),
}

impl From<ClusterError> for Ended {
    fn from(trouble: ClusterError) -> Self {
        if trouble.fault == ErrorKind::Lost {
            Self::Lost(trouble)
        } else {
            Self::Failed(failure_of(&trouble))
        }
    }
}

impl From<Error> for Ended {
    fn from(failure: Error) -> Self {
        Self::Failed(failure)
    }
}

/// What trouble in a cluster means for the command, with what to do about it.
fn failure_of(trouble: &ClusterError) -> Error {
    let (exit, hint) = match trouble.fault {
        ErrorKind::Address => (Exit::Usage, ""),
        ErrorKind::Missing => (
            Exit::NoInput,
            "; all nodes of a cluster must see the logs and the tables at the same paths: use a shared folder or s3://",
        ),
        ErrorKind::Io | ErrorKind::Lost => (Exit::Io, ""),
        ErrorKind::Setup => (Exit::Config, ""),
        ErrorKind::Job => (Exit::Software, ""),
    };
    Error::new(exit, format!("{trouble}{hint}"))
}
