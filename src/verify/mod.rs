//! `verify`: everything is computed again from the inputs and compared with what is published.
//! Nothing is written.

pub mod committed;
pub mod multiset;
pub mod recompute;
pub mod rows;
pub mod snapshots;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::catalog::Catalog;
use crate::catalog::reload::{self, CatalogVersion};
use crate::engine::coordinator::{RunMode, reject_lines};
use crate::engine::recovery::FileIndex;
use crate::insights::Column;
use crate::insights::enriched_logs;
use crate::ledger::Ledger;
use crate::model::dictionary::Dictionaries;
use crate::model::error::{Error, FileRole, Op};

use crate::model::shutdown::Shutdown;
use crate::model::{ReaderState, SongId};
use crate::publish::formula_escape::FormulaEscape;
use crate::publish::manifest::{Manifest, hash_text};
use crate::publish::{FIRST_PART, REJECTS};
use crate::settings::Settings;
use crate::state::checkpoint::generation::{Generation, StateConfig};
use crate::state::checkpoint::load::{Loaded, each_bytes};
use crate::state::checkpoint::recover::{generations_in, read_sound};
use crate::state::checkpoint::segment::SegmentReader;
use crate::state::checkpoint::table::Table;
use crate::state::unmatched::UnmatchedPlays;
use crate::storage::{READ, SharedDisk};
use crate::text::{path_text, push_cell};
use crate::time::civil::Week;
use crate::verify::committed::{Committed, Decisions, decisions};
use crate::verify::multiset::{Multiset, missing_in};
use crate::verify::recompute::{From, Recomputed, recompute};
use crate::verify::rows::{Compare, Published, each_row, published_rows, shown, waiting_plays};
use crate::verify::snapshots::{compare_snapshot, cut_of};

/// What came out.
#[derive(Debug, Default)]
pub struct Report {
    /// What was compared and is right.
    pub right: Vec<String>,
    /// What could not be compared, and why.
    pub unverifiable: Vec<String>,
    /// What differs.
    pub differences: Vec<String>,
}

/// What is to be verified.
#[derive(Debug)]
pub struct Verify {
    /// The settings.
    pub settings: Settings,
    /// The disk.
    pub disk: SharedDisk,
    /// The logs of a `replay`, in order.
    pub logs: Vec<PathBuf>,
    /// What counts as now.
    pub now: Option<i64>,
    /// What counts as now for the current week, and in a `replay` for all.
    pub clock: i64,
    /// Ends everything.
    pub stop: Shutdown,
}

/// Differences that are shown of one table.
const SHOWN: usize = 3;

/// A song with its metadata.
const METADATA: [Column; 5] = [Column::text("", ""); 5];

/// What the state says of what was published.
struct Known {
    songs: HashSet<Vec<u8>>,
    metadata: HashSet<u128>,
    loaded: Loaded,
    dictionaries: Arc<Dictionaries>,
}

impl Verify {
    /// Verifies an output.
    ///
    /// # Errors
    /// What is missing (66), damaged (65) or belongs to other settings (78); a difference is no error here.
    pub async fn run(self) -> Result<Report, Error> {
        let output = &self.settings.output;
        let Some(manifest) = Manifest::read(&self.disk, output)? else {
            let message =
                format!("{}: there is no _manifest.json, so nothing is published there", output.display());
            return Err(Error::MissingInput(message));
        };
        let mut report = Report::default();
        self.compare_files(&manifest, &mut report);
        if manifest.producer == RunMode::Replay.name() {
            self.verify_replay(&manifest, &mut report).await?;
        } else {
            self.verify_watch(&manifest, &mut report).await?;
        }
        Ok(report)
    }

    /// Compares the files with what the manifest says of them.
    fn compare_files(&self, manifest: &Manifest, report: &mut Report) {
        let insights = manifest.insights.iter().map(|(name, entry)| (name.as_str(), entry));
        let before = report.differences.len();
        for (name, entry) in insights.chain([(REJECTS, &manifest.rejects)]) {
            for (path, part) in entry.files(&self.settings.output, name) {
                let read = hash_of(&path, part.bytes);
                let path = path.display();
                match read {
                    Err(cause) => report.differences.push(format!("{path}: {cause}")),
                    Ok(hash) if hash != part.hash => {
                        let what = "is not what the manifest says";
                        report.differences.push(format!("{path}: {what} ({} bytes)", part.bytes));
                    }
                    Ok(_) => {}
                }
            }
        }
        if report.differences.len() == before {
            report.right.push("files: as the manifest says".to_owned());
        }
    }

    async fn verify_replay(&self, manifest: &Manifest, report: &mut Report) -> Result<(), Error> {
        let from = From::Logs(self.logs.clone(), self.now.unwrap_or(self.clock));
        let dictionaries = Arc::new(Dictionaries::default());
        let version = self.load_catalog(&dictionaries).await?;
        let songs: HashSet<Vec<u8>> = known_songs(&version.catalog, &dictionaries);
        let rejects = reject_lines(&path_text(&self.settings.songs), &version.rejects);
        let found = recompute(&self.settings, &self.stop, &from, &songs, Compare::default()).await?;
        if self.catalog_is_that_of(manifest, &version.catalog, report) {
            self.compare_snapshots(manifest, found.ledger.clone(), &found.dictionaries, report).await?;
        }
        self.compare_rows(manifest, found, &from, &songs, &Published::plain(rejects), false, report).await
    }

    async fn verify_watch(&self, manifest: &Manifest, report: &mut Report) -> Result<(), Error> {
        let (generation, mut known) = self.load_state()?;
        if generation.manifest.as_deref() != Some(manifest.to_text().as_str()) {
            report.differences.push(format!(
                "the output shows epoch {}, the state holds epoch {}: start `watch`, which publishes it",
                manifest.epoch, generation.epoch
            ));
            return Ok(());
        }
        let files = FileIndex::in_folders(&[&self.settings.incoming, &self.settings.input.archive_dir]);
        let (mut inputs, mut gone) = (Vec::new(), Vec::new());
        for input in known.loaded.inputs.known() {
            match files.find(&input) {
                Some(path) => inputs.push((input, path)),
                None if input.position.offset == 0 && input.position.state != ReaderState::Faulted => {}
                None => gone.push(input.input.label.clone()),
            }
        }
        let part = !gone.is_empty();
        if let Some(first) = gone.first() {
            report.unverifiable.push(format!(
                "{} inputs that were read are gone or changed ({first} among them): their plays are only in \
                 the state, with which the snapshots are compared instead",
                gone.len()
            ));
        }
        let decisions = Arc::new(self.decisions(manifest)?);
        let from = From::Committed(Committed {
            inputs,
            delimiter: self.settings.input.delimiter,
            decisions,
            now: self.now,
        });
        let found = recompute(
            &self.settings,
            &self.stop,
            &from,
            &known.songs,
            Compare { part, ..Compare::default() },
        )
        .await?;
        let dictionaries = Arc::new(Dictionaries::default());
        let version = self.load_catalog(&dictionaries).await?;
        if self.catalog_is_that_of(manifest, &version.catalog, report) {
            let (ledger, dictionaries) = if part {
                (known.loaded.ledger.clone(), Arc::clone(&known.dictionaries))
            } else {
                (found.ledger.clone(), Arc::clone(&found.dictionaries))
            };
            self.compare_snapshots(manifest, ledger, &dictionaries, report).await?;
        }
        let places = std::mem::take(&mut known.loaded.unmatched);
        let unmatched =
            UnmatchedPlays::open(&self.disk, &self.settings.state, &generation.unmatched, places)?;
        let unmatched =
            waiting_plays(unmatched, &known.dictionaries, &known.songs, self.guard(enriched_logs::NAME))?;
        let Known { songs, metadata, .. } = known;
        let catalog_label = path_text(&self.settings.songs);
        let published = Published { metadata: Some(metadata), unmatched, catalog_label, rejects: Vec::new() };
        self.compare_rows(manifest, found, &from, &songs, &published, part, report).await
    }

    async fn load_catalog(&self, dictionaries: &Dictionaries) -> Result<CatalogVersion, Error> {
        reload::load(&self.settings.songs, self.settings.input.delimiter, dictionaries).await
    }

    fn load_state(&self) -> Result<(Generation, Known), Error> {
        let state = &self.settings.state;
        let Some(&newest) = generations_in(&*self.disk, state)?.first() else {
            let message = format!("{}: there is no state, so nobody knows what was read", state.display());
            return Err(Error::Config(message));
        };
        let generation = read_sound(&*self.disk, state, newest).map_err(|unusable| {
            Error::Damaged(format!(
                "{}: generation {newest}: {unusable}; `watch --rollback` goes back to the one before",
                state.display()
            ))
        })?;
        if let Some(difference) = generation.shape.difference(&StateConfig::of(&self.settings)) {
            return Err(Error::Config(format!(
                "{}: {difference}; verify with the settings of the watch",
                state.display()
            )));
        }
        let dictionaries = Arc::new(Dictionaries::default());
        let loaded = Loaded::of(&*self.disk, state, &generation, &dictionaries)?;
        let (mut songs, mut metadata) = (HashSet::new(), HashSet::new());
        let (guard, mut line, mut room) =
            (FormulaEscape::of_columns(&METADATA, self.settings.csv.escape_formulas), Vec::new(), Vec::new());
        for file in &generation.parts {
            let failed = |cause| Error::file(FileRole::Committed, Op::Read, &state.join(&file.file), cause);
            let part = SegmentReader::open(&*self.disk, state, file).map_err(failed)?;
            let ids = dictionaries.songs.read();
            let each = each_bytes(&part, Table::Metadata, |_, row| {
                let Some((number, text)) = row.split_first_chunk() else { return Ok(()) };
                let number = u32::from_le_bytes(*number);
                if (number as usize) < ids.len() {
                    let song = ids.resolve(SongId(number));
                    line.clear();
                    push_cell(&mut line, song);
                    line.extend_from_slice(text);
                    metadata.insert(xxh3_128(guard.apply(&line, &mut room)));
                    songs.insert(song.to_vec());
                }
                Ok(())
            });
            each.map_err(failed)?;
        }
        Ok((generation, Known { songs, metadata, loaded, dictionaries }))
    }

    fn guard(&self, insight: &str) -> FormulaEscape {
        FormulaEscape::of(insight, self.settings.csv.escape_formulas)
    }

    fn decisions(&self, manifest: &Manifest) -> Result<Decisions, Error> {
        let mut lines = Vec::new();
        each_row(&self.settings.output, REJECTS, &manifest.rejects, |row| lines.push(row.to_vec()))?;
        Ok(decisions(lines.iter().map(Vec::as_slice)))
    }

    fn catalog_is_that_of(&self, manifest: &Manifest, catalog: &Catalog, report: &mut Report) -> bool {
        let same = hash_text(catalog.fingerprint()) == manifest.catalog.fingerprint;
        if !same {
            report.unverifiable.push(format!(
                "{} is not the catalog of epoch {}: snapshots cannot be compared until it is published",
                self.settings.songs.display(),
                manifest.epoch
            ));
        }
        same
    }

    /// Makes the six snapshots and compares them with the published ones.
    async fn compare_snapshots(
        &self,
        manifest: &Manifest,
        ledger: Ledger,
        dictionaries: &Arc<Dictionaries>,
        report: &mut Report,
    ) -> Result<(), Error> {
        let catalog = self.load_catalog(dictionaries).await?.catalog;
        let cut = cut_of(ledger, catalog, dictionaries, self.week());
        for mut insight in self.settings.insights.enabled_snapshots() {
            let name = insight.name();
            if !manifest.insights.contains_key(name) {
                report.differences.push(format!("{name}: enabled, but not published"));
                continue;
            }
            insight.refresh(&cut);
            let path = self.settings.output.join(name).join(FIRST_PART);
            let published = std::fs::read(&path);
            let published =
                published.map_err(|cause| Error::file(FileRole::Input, Op::Read, &path, cause))?;
            let differences = compare_snapshot(insight.as_ref(), &cut, self.guard(name), &published);
            if differences.is_empty() {
                let rows = manifest.insights[name].rows;
                report.right.push(format!("{name}: {rows} rows as computed again"));
            }
            let path = path.display();
            report.differences.extend(differences.into_iter().map(|what| format!("{path}:{what}")));
        }
        Ok(())
    }

    fn week(&self) -> Week {
        let now = self.now.unwrap_or(self.clock);
        Week::of_local(now + i64::from(self.settings.timezone.0.offset_at(now)))
    }

    /// Compares the rows of `enriched_logs` and `_rejects`.
    #[expect(clippy::too_many_arguments, reason = "one step of a comparison that has many sides")]
    async fn compare_rows(
        &self,
        manifest: &Manifest,
        found: Recomputed,
        from: &From,
        songs: &HashSet<Vec<u8>>,
        published: &Published,
        part: bool,
        report: &mut Report,
    ) -> Result<(), Error> {
        let compare = Compare { part, ..Compare::default() };
        let (output, mut strange) = (&self.settings.output, 0);
        let rows = published_rows(output, manifest, published, compare, |row| {
            strange += 1;
            if strange <= SHOWN {
                let what = "metadata that its song never had";
                report.differences.push(format!("enriched_logs: {what}: {}", shown(row)));
            }
        })?;
        let differs = |ours: &Multiset, theirs: &Multiset| {
            if part { ours.bucket_missing_in(theirs) } else { ours.differing_bucket(theirs) }
        };
        let has_enriched = manifest.insights.contains_key(enriched_logs::NAME);
        let enriched = differs(&found.rows.enriched, &rows.enriched).filter(|_| has_enriched);
        let rejects = differs(&found.rows.rejects, &rows.rejects);
        let as_computed =
            if part { "hold all rows of the inputs that are left" } else { "rows as computed again" };
        if has_enriched && enriched.is_none() {
            let rows = manifest.insights[enriched_logs::NAME].rows;
            report.right.push(format!("enriched_logs: {rows} {as_computed}"));
        }
        if rejects.is_none() {
            report.right.push(format!("_rejects: {} {as_computed}", rows.rejects.rows));
        }
        let ordered = matches!(from, From::Logs(..)) && has_enriched && enriched.is_none();
        if ordered && found.rows.order() != rows.order() {
            report.differences.push("enriched_logs: the rows are in another order".to_owned());
        }
        if enriched.is_none() && rejects.is_none() {
            return Ok(());
        }
        let compare = Compare { part: false, shown: (enriched, rejects) };
        let expected = recompute(&self.settings, &self.stop, from, songs, compare).await?;
        let rows = published_rows(output, manifest, published, compare, |_| {})?;
        let sides = [
            (enriched_logs::NAME, enriched.is_some(), expected.rows.enriched, rows.enriched),
            (REJECTS, rejects.is_some(), expected.rows.rejects, rows.rejects),
        ];
        for (name, differs, expected, published) in sides {
            if differs {
                let (expected, published) = (expected.into_shown(), published.into_shown());
                let missing = missing_in(&expected, &published);
                let surplus = if part { Vec::new() } else { missing_in(&published, &expected) };
                let show = |what: &str, rows: Vec<Vec<u8>>| -> Vec<String> {
                    rows.iter().take(SHOWN).map(|row| format!("{name}: {what}: {}", shown(row))).collect()
                };
                report.differences.extend(show("missing", missing));
                report.differences.extend(show("not in the inputs", surplus));
            }
        }
        Ok(())
    }
}

fn known_songs(catalog: &Catalog, dictionaries: &Dictionaries) -> HashSet<Vec<u8>> {
    let ids = dictionaries.songs.read();
    let songs = (0..ids.len() as u32).map(SongId).filter(|&song| catalog.contains(song));
    songs.map(|song| ids.resolve(song).to_vec()).collect()
}

/// The hash of the first bytes of a file, as a manifest says it.
fn hash_of(path: &Path, bytes: u64) -> io::Result<String> {
    let mut reader = BufReader::with_capacity(READ, File::open(path)?).take(bytes);
    let mut hash = Xxh3::new();
    let mut read = vec![0; READ];
    loop {
        match reader.read(&mut read)? {
            0 => return Ok(hash_text(hash.digest128())),
            len => hash.update(&read[..len]),
        }
    }
}
