//! The steps of a verification, for the output of a `replay` and of a `watch`.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::DateTime;

use crate::catalog::Catalog;
use crate::catalog::reload::{self, CatalogVersion};
use crate::engine::coordinator::RunMode;
use crate::engine::recovery::FileIndex;
use crate::ledger::Ledger;
use crate::ledger::periods::PeriodPlays;
use crate::model::dictionary::Dictionaries;
use crate::model::error::{Error, FileRole, Op};
use crate::model::shutdown::Shutdown;
use crate::model::{ReaderState, Reason, SongId};
use crate::publish::formula_escape::FormulaEscape;
use crate::publish::manifest::{self, Manifest, hash_text};
use crate::publish::rejects::reject_lines;
use crate::publish::{FIRST_PART, REJECTS};
use crate::settings::Settings;
use crate::state::checkpoint::load::CommittedPeriods;
use crate::storage::SharedDisk;
use crate::text::{escape_bytes, path_text, shown};
use crate::time::civil::Week;
use crate::verify::committed::{Committed, EarlierRejects, RejectCounts, earlier_rejects};
use crate::verify::committed_state::CommittedState;
use crate::verify::files::compare_files;
use crate::verify::periods::{self, ExpectedPeriods};
use crate::verify::recompute::{Recomputed, ReplaySource, recompute};
use crate::verify::report::Report;
use crate::verify::row_comparison::{Gaps, RowComparison};
use crate::verify::rows::{Comparison, Published, SongIds, each_row};
use crate::verify::snapshots::{compare_snapshot, cut_of};

/// A verification of one output.
#[derive(Debug)]
pub struct Verifier {
    /// The settings of the output.
    pub settings: Settings,
    /// The disk with the output and the state.
    pub disk: SharedDisk,
    /// The logs of a `replay`, in order. Not used for the output of a `watch`.
    pub logs: Vec<PathBuf>,
    /// The time that counts as now, in seconds since 1970-01-01T00:00:00Z; `None` unless the user sets it.
    pub now: Option<i64>,
    /// The current time, used if `now` is not set.
    pub clock: i64,
    /// Cancels the verification.
    pub shutdown: Shutdown,
}

impl Verifier {
    /// Verifies the output. A difference is part of the report, not an error.
    ///
    /// # Errors
    /// If a file is missing (66) or damaged (65), or if the state belongs to different settings (78).
    pub async fn run(self) -> Result<Report, Error> {
        let output = &self.settings.output;
        let manifest = published_manifest(&self.disk, output)?;
        let mut report = Report::default();
        compare_files(output, &manifest, &mut report);
        periods::compare_files(&*self.disk, output, &manifest, &mut report);
        if report.differences.is_empty() {
            report.verified.push("files: all sizes and hashes match the manifest".to_owned());
        }
        if manifest.producer == RunMode::Replay.name() {
            self.verify_replay(&manifest, &mut report).await?;
        } else {
            Box::pin(self.verify_watch(&manifest, &mut report)).await?;
        }
        Ok(report)
    }

    async fn verify_replay(&self, manifest: &Manifest, report: &mut Report) -> Result<(), Error> {
        let source = ReplaySource::Logs(self.logs.clone(), self.now.unwrap_or(self.clock));
        let dictionaries = Arc::new(Dictionaries::default());
        let version = self.load_catalog(&dictionaries).await?;
        let songs = songs_of(&version.catalog, &dictionaries);
        let catalog_rejects = reject_lines(&path_text(&self.settings.songs), &version.rejects);
        let mut recomputed = self.recompute(&source, &songs, manifest, Gaps::default()).await?;
        compare_outside(manifest, recomputed.outside, report);
        if self.is_published_catalog(manifest, &version.catalog, report) {
            let mut plays = recomputed.periods.take();
            plays.set_today(self.today_of(manifest));
            let periods = ExpectedPeriods { plays, committed: None };
            let (ledger, dictionaries) = (recomputed.ledger.clone(), &recomputed.dictionaries);
            self.compare_snapshots(manifest, ledger, dictionaries, &periods, report).await?;
        }
        let published = Published::by_replay(catalog_rejects);
        self.row_comparison(manifest, &source, &songs, &published, Gaps::default())
            .run(recomputed, report)
            .await
    }

    async fn verify_watch(&self, manifest: &Manifest, report: &mut Report) -> Result<(), Error> {
        let mut state = CommittedState::read(&self.disk, &self.settings)?;
        if state.generation.manifest.as_deref() != Some(manifest.to_text().as_str()) {
            report.differences.push(format!(
                "the output shows epoch {}, but the state has epoch {}; start `watch` to publish the epoch \
                 of the state",
                manifest.epoch, state.generation.epoch
            ));
            return Ok(());
        }
        let (source, gaps) = self.committed_source(&state, manifest, report)?;
        let mut recomputed = self.recompute(&source, &state.songs, manifest, gaps).await?;
        let version = self.load_catalog(&Dictionaries::default()).await?;
        if self.is_published_catalog(manifest, &version.catalog, report) {
            let CommittedPeriods { saved, latest_day, .. } = std::mem::take(&mut state.loaded.periods);
            let (rules, counts) = (self.settings.periods.rules(), saved.counts());
            let (ledger, dictionaries, mut plays, committed) = if gaps.any() {
                let plays = PeriodPlays::new(rules, self.settings.night_window(), latest_day, &counts);
                (&state.loaded.ledger, &state.dictionaries, plays, Some(saved))
            } else {
                let plays = recomputed.periods.take();
                (&recomputed.ledger, &recomputed.dictionaries, plays, None)
            };
            if let Some(day) = latest_day {
                plays.set_today(day);
            }
            let periods = ExpectedPeriods { plays, committed };
            self.compare_snapshots(manifest, ledger.clone(), dictionaries, &periods, report).await?;
        }
        let unmatched = state.take_unmatched_rows(&self.disk, &self.settings)?;
        let CommittedState { songs, metadata, loaded, .. } = state;
        let known = loaded.inputs.known();
        let catalog_rows =
            loaded.catalog_rejects.iter().map(|(reason, raw)| (reason.code(), escape_bytes(raw)));
        let published = Published {
            input_labels: known.iter().map(|known| known.input.label.clone()).collect(),
            catalog_rows: catalog_rows.collect(),
            metadata: Some(metadata),
            unmatched,
            catalog_label: path_text(&self.settings.songs),
            catalog_rejects: Vec::new(),
        };
        self.row_comparison(manifest, &source, &songs, &published, gaps).run(recomputed, report).await
    }

    /// The committed inputs that still exist, and what is missing for an exact comparison.
    fn committed_source(
        &self,
        state: &CommittedState,
        manifest: &Manifest,
        report: &mut Report,
    ) -> Result<(ReplaySource, Gaps), Error> {
        let files = FileIndex::of(&self.settings);
        let (mut inputs, mut missing, mut earlier) = (Vec::new(), Vec::new(), 0_u64);
        for input in state.loaded.inputs.known() {
            if input.retried {
                continue;
            }
            if input.earlier_settings {
                earlier += 1;
                continue;
            }
            match files.find(&input) {
                Some(path) => inputs.push((input, path)),
                // If no byte of an input was read, the input has no rows.
                None if input.position.offset == 0 && input.position.state != ReaderState::Faulted => {}
                None => missing.push(input.input.label.clone()),
            }
        }
        if let Some(first) = missing.first() {
            report.unverifiable.push(format!(
                "{} inputs are missing or have changed since they were read, for example {first}; the \
                 snapshots are compared with the committed state, not with the inputs",
                missing.len()
            ));
        }
        if earlier > 0 {
            report.unverifiable.push(format!(
                "{earlier} inputs were read before the settings of the dialect changed, so their rows cannot \
                 be recomputed; the snapshots are compared with the committed state, not with the inputs"
            ));
        }
        let retried = state.loaded.inputs.retried_rejects();
        let all_rejects = self.earlier_rejects(manifest, RejectCounts::new())?;
        let gaps = Gaps {
            inputs: !missing.is_empty() || earlier > 0,
            rejects: lacks_rejects(manifest, &all_rejects) && self.now.is_none(),
            retried: retried.values().sum(),
        };
        if gaps.retried > 0 {
            report.unverifiable.push(format!(
                "{REJECTS}: {} rows belong to inputs that were read again later with --retry-rejected; only \
                 their number is checked",
                gaps.retried
            ));
        }
        let earlier_rejects = self.earlier_rejects(manifest, retried)?;
        if gaps.rejects {
            report.unverifiable.push(format!(
                "{REJECTS}: lost rows say which rows were rejected because of the time of reading; the \
                 snapshots are compared with the committed state, not with the inputs"
            ));
        }
        let committed = Committed {
            inputs,
            dialect: self.settings.dialect(),
            earlier_rejects: Arc::new(earlier_rejects),
            now: self.now,
        };
        Ok((ReplaySource::Committed(committed), gaps))
    }

    async fn recompute(
        &self,
        source: &ReplaySource,
        songs: &SongIds,
        manifest: &Manifest,
        gaps: Gaps,
    ) -> Result<Recomputed, Error> {
        let keep_hashes = gaps.any() || gaps.retried > 0 || manifest.incomplete_since.is_some();
        let comparison = Comparison { keep_hashes, ..Comparison::default() };
        recompute(&self.settings, manifest.dates(), &self.shutdown, source, songs, comparison).await
    }

    fn row_comparison<'a>(
        &'a self,
        manifest: &'a Manifest,
        source: &'a ReplaySource,
        songs: &'a SongIds,
        published: &'a Published,
        gaps: Gaps,
    ) -> RowComparison<'a> {
        let (settings, shutdown) = (&self.settings, &self.shutdown);
        RowComparison { settings, shutdown, manifest, source, songs, published, gaps }
    }

    async fn load_catalog(&self, dictionaries: &Dictionaries) -> Result<CatalogVersion, Error> {
        reload::load(&self.settings.songs, &self.settings.catalog_dialect(), dictionaries).await
    }

    fn earlier_rejects(&self, manifest: &Manifest, retried: RejectCounts) -> Result<EarlierRejects, Error> {
        let mut rows = Vec::new();
        each_row(&self.settings.output, REJECTS, &manifest.rejects, |row| rows.push(row.to_vec()))?;
        Ok(earlier_rejects(rows.iter().map(Vec::as_slice), retried))
    }

    /// Whether the published epoch used this catalog. If it did not, adds a line to the report.
    fn is_published_catalog(&self, manifest: &Manifest, catalog: &Catalog, report: &mut Report) -> bool {
        let other = other_catalog(&self.settings.songs, catalog.fingerprint(), manifest, "snapshots");
        let is_published = other.is_none();
        report.unverifiable.extend(other);
        is_published
    }

    /// Renders the enabled snapshots, and compares them with the published snapshots.
    async fn compare_snapshots(
        &self,
        manifest: &Manifest,
        ledger: Ledger,
        dictionaries: &Arc<Dictionaries>,
        periods: &ExpectedPeriods,
        report: &mut Report,
    ) -> Result<(), Error> {
        let catalog = self.load_catalog(dictionaries).await?.catalog;
        let cut = cut_of(ledger, catalog, dictionaries, self.week(), self.settings.decoders());
        for mut insight in self.settings.insights.enabled_snapshots() {
            let name = insight.name();
            let Some(entry) = manifest.insights.get(name) else {
                report.differences.push(format!("{name}: the insight is enabled, but not published"));
                continue;
            };
            insight.refresh(&cut);
            let path = self.settings.output.join(name).join(FIRST_PART);
            let published =
                std::fs::read(&path).map_err(|cause| Error::file(FileRole::Input, Op::Read, &path, cause))?;
            let escape = FormulaEscape::of(name, self.settings.csv.escape_formulas);
            let differences = compare_snapshot(insight.as_ref(), &cut, escape, &published);
            if differences.is_empty() {
                report.verified.push(format!("{name}: {} rows, equal to the recomputed rows", entry.rows));
            }
            let path = shown(&path);
            report
                .differences
                .extend(differences.into_iter().map(|difference| format!("{path}:{difference}")));
        }
        periods.compare(&*self.disk, &self.settings, manifest, &cut, report)
    }

    /// The local date of the cut that the output of a `replay` shows.
    fn today_of(&self, manifest: &Manifest) -> i64 {
        let stated = manifest.now.as_deref().and_then(|now| DateTime::parse_from_rfc3339(now).ok());
        let now = self.now.or(stated.map(|now| now.timestamp())).unwrap_or(self.clock);
        self.settings.timezone.0.local_date(now)
    }

    /// The current week in the configured time zone.
    fn week(&self) -> Week {
        Week::of_day(self.settings.timezone.0.local_date(self.now.unwrap_or(self.clock)))
    }
}

/// The manifest of an output.
///
/// # Errors
/// If there is none (66), or it cannot be read.
pub fn published_manifest(disk: &SharedDisk, output: &Path) -> Result<Manifest, Error> {
    Manifest::read(disk, output)?.ok_or_else(|| {
        let message = format!(
            "{}: no _manifest.json, so no output is published here; pass --output to use a different folder",
            shown(output)
        );
        Error::MissingInput(message)
    })
}

/// What a report says if a catalog is not the one of the manifest. `tables` are those that cannot be compared.
pub fn other_catalog(songs: &Path, fingerprint: u128, manifest: &Manifest, tables: &str) -> Option<String> {
    let epoch = manifest.epoch;
    (hash_text(fingerprint) != manifest.catalog.fingerprint).then(|| {
        let songs = shown(songs);
        format!(
            "{songs} is not the catalog of epoch {epoch}, so the {tables} cannot be compared; first publish an epoch \
             with this catalog"
        )
    })
}

/// Compares the number of plays outside the dates of the manifest.
fn compare_outside(manifest: &Manifest, expected: u64, report: &mut Report) {
    let dates = manifest.dates();
    let published = manifest.totals.outside.unwrap_or_default();
    if published != expected {
        report
            .differences
            .push(format!("{}: totals.outside: expected {expected}, found {published}", manifest::FILE));
    } else if !dates.is_unlimited() {
        report.verified.push(format!("{published} plays are outside {dates}"));
    }
}

/// Whether `_rejects` has lost rows with a reason that depends on the time of reading. `known` are those that
/// it still has.
fn lacks_rejects(manifest: &Manifest, known: &EarlierRejects) -> bool {
    let reasons = [Reason::TimestampRange, Reason::ContinuedAfterEof];
    let counted: u64 = reasons.iter().filter_map(|reason| manifest.totals.rejected.get(reason.code())).sum();
    let known: usize = known.values().map(BTreeMap::len).sum();
    manifest.rejects.incomplete_since.is_some() && (known as u64) < counted
}

/// The ids of the songs in a catalog.
fn songs_of(catalog: &Catalog, dictionaries: &Dictionaries) -> SongIds {
    let ids = dictionaries.songs.read();
    let songs = (0..ids.len() as u32).map(SongId).filter(|&song| catalog.contains(song));
    songs.map(|song| ids.resolve(song).to_vec()).collect::<HashSet<_>>()
}
