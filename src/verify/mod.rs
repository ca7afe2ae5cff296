//! `verify`: everything is computed again from the inputs and compared with what is published.
//! Nothing is written.

pub mod committed;
pub mod multiset;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

use tokio_stream::StreamExt;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::catalog::{Catalog, Song};
use crate::checkpoint::generation::{Generation, Shape};
use crate::checkpoint::load::{Loaded, each_bytes};
use crate::checkpoint::part::Part;
use crate::checkpoint::recover::{generations_in, read_sound};
use crate::checkpoint::table::Table;
use crate::civil::Week;
use crate::disk::SharedDisk;
use crate::dispatch::{Decoded, Producer, reject_lines};
use crate::failure::{Exit, Failure};
use crate::inputs::Inputs;
use crate::insights::enriched_logs::{self, EnrichedLogs, EnrichedRows};
use crate::insights::{Cut, Insight};
use crate::ledger::Ledger;
use crate::model::SongId;
use crate::names::{Names, Order};
use crate::output::manifest::{InsightEntry, Manifest, hash_text};
use crate::output::{FIRST_PART, REJECTS};
use crate::pipeline::{insights_of, spawn_source};
use crate::reload;
use crate::settings::Settings;
use crate::source::Outlet;
use crate::source::replay::Replay;
use crate::start::Files;
use crate::stop::Stop;
use crate::text::path_text;
use crate::verify::committed::{Committed, Decisions, decisions};
use crate::verify::multiset::{Multiset, missing_in};

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
    pub stop: Stop,
}

/// Differences that are shown of one table.
const SHOWN: usize = 3;
/// Bytes that are shown of a row.
const SHOWN_BYTES: usize = 200;

/// What the inputs come to.
struct Recomputed {
    ledger: Ledger,
    names: Arc<Names>,
    enriched: Multiset,
    /// Of the rows in their order.
    enriched_order: Xxh3,
    rejects: Multiset,
}

/// How rows are compared.
#[derive(Clone, Copy, Default)]
struct Compare {
    /// The inputs are only a part of what was read.
    part: bool,
    /// The bucket of `enriched_logs` that is shown, and that of `_rejects`.
    shown: (Option<usize>, Option<usize>),
}

/// Where plays come from.
#[derive(Clone)]
enum From {
    Logs(Vec<PathBuf>, i64),
    Committed(Committed),
}

/// What the state says of what was published.
struct Known {
    songs: HashSet<Vec<u8>>,
    metadata: HashSet<u128>,
    loaded: Loaded,
    names: Arc<Names>,
}

impl Verify {
    /// Verifies an output.
    ///
    /// # Errors
    /// What is missing (66), damaged (65) or belongs to other settings (78); a difference is no error here.
    pub async fn run(self) -> Result<Report, Failure> {
        let output = &self.settings.output;
        let Some(manifest) = Manifest::read(&self.disk, output)? else {
            let message = format!("{}: nothing is published there", output.display());
            return Err(Failure::new(Exit::NoInput, message));
        };
        let mut report = Report::default();
        self.compare_files(&manifest, &mut report);
        if manifest.producer == Producer::Replay.name() {
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
            for part in &entry.parts {
                let path = self.settings.output.join(name).join(&part.file);
                let mut hash = Xxh3::new();
                let read = std::fs::File::open(&path).and_then(|file| {
                    let mut reader = BufReader::with_capacity(256 << 10, file).take(part.bytes);
                    let mut bytes = vec![0; 256 << 10];
                    loop {
                        match reader.read(&mut bytes)? {
                            0 => return Ok(()),
                            read => hash.update(&bytes[..read]),
                        }
                    }
                });
                let path = path.display();
                match read {
                    Err(cause) => report.differences.push(format!("{path}: {cause}")),
                    Ok(()) if hash_text(hash.digest128()) != part.hash => {
                        let what = "is not what the manifest says";
                        report.differences.push(format!("{path}: {what} ({} bytes)", part.bytes));
                    }
                    Ok(()) => {}
                }
            }
        }
        if report.differences.len() == before {
            report.right.push("files: as the manifest says".to_owned());
        }
    }

    async fn verify_replay(&self, manifest: &Manifest, report: &mut Report) -> Result<(), Failure> {
        let from = From::Logs(self.logs.clone(), self.now.unwrap_or(self.clock));
        let names = Arc::new(Names::default());
        let version = reload::load(&self.settings.songs, &names).await?;
        let songs: HashSet<Vec<u8>> = known_songs(&version.catalog, &names);
        let rejects = reject_lines(&path_text(&self.settings.songs), &version.rejects);
        let found = self.recompute(&from, &songs, Compare::default()).await?;
        if self.catalog_is_that_of(manifest, &version.catalog, report) {
            self.compare_snapshots(manifest, found.ledger.clone(), &found.names, report).await?;
        }
        self.compare_rows(manifest, found, &from, &songs, &Published::plain(rejects), false, report).await
    }

    async fn verify_watch(&self, manifest: &Manifest, report: &mut Report) -> Result<(), Failure> {
        let (generation, known) = self.load_state()?;
        if generation.manifest.as_deref() != Some(manifest.to_text().as_str()) {
            report.differences.push(format!(
                "the output shows epoch {}, the state holds epoch {}: start `watch`, which publishes it",
                manifest.epoch, generation.epoch
            ));
            return Ok(());
        }
        let files = Files::in_folders(&[&self.settings.incoming, &self.settings.input.archive_dir]);
        let (mut inputs, mut gone) = (Vec::new(), Vec::new());
        for input in known.loaded.inputs.known() {
            match files.find(&input) {
                Some(path) => inputs.push((input, path)),
                None if input.mark.offset == 0 && input.mark.stand != crate::model::Stand::Faulted => {}
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
        let from = From::Committed(Committed { inputs, decisions, now: self.now });
        let found = self.recompute(&from, &known.songs, Compare { part, ..Compare::default() }).await?;
        let names = Arc::new(Names::default());
        let version = reload::load(&self.settings.songs, &names).await?;
        if self.catalog_is_that_of(manifest, &version.catalog, report) {
            let (ledger, names) = if part {
                (known.loaded.ledger.clone(), Arc::clone(&known.names))
            } else {
                (found.ledger.clone(), Arc::clone(&found.names))
            };
            self.compare_snapshots(manifest, ledger, &names, report).await?;
        }
        let Known { songs, metadata, names, .. } = known;
        let catalog_label = path_text(&self.settings.songs);
        let published = Published { metadata: Some((metadata, names)), catalog_label, rejects: Vec::new() };
        self.compare_rows(manifest, found, &from, &songs, &published, part, report).await
    }

    fn load_state(&self) -> Result<(Generation, Known), Failure> {
        let state = &self.settings.state;
        let Some(&newest) = generations_in(&*self.disk, state)?.first() else {
            let message = format!("{}: there is no state, so nobody knows what was read", state.display());
            return Err(Failure::new(Exit::Config, message));
        };
        let generation = read_sound(&*self.disk, state, newest).map_err(|unusable| {
            Failure::new(Exit::Data, format!("{}: generation {newest}: {unusable}", state.display()))
        })?;
        if let Some(difference) = generation.shape.difference(&Shape::of(&self.settings)) {
            return Err(Failure::new(Exit::Config, format!("{}: {difference}", state.display())));
        }
        let names = Arc::new(Names::default());
        let ledger = Ledger::new(self.settings.insights.night_owl_users.window());
        let mut loaded = Loaded::nothing(ledger, Inputs::new(self.settings.input.max_bad_lines));
        loaded.load(&*self.disk, state, &generation, &names)?;
        let mut songs = HashSet::new();
        for file in &generation.parts {
            let failed = |cause| Failure::io(Exit::Data, "read", &state.join(&file.file), &cause);
            let part = Part::open(&*self.disk, state, file).map_err(failed)?;
            let ids = names.songs.read();
            let each = each_bytes(&part, Table::Metadata, |_, row| {
                let number = row.first_chunk().map(|number| u32::from_le_bytes(*number));
                let known = number.filter(|&number| (number as usize) < ids.len());
                songs.extend(known.map(|number| ids.text(SongId(number)).to_vec()));
                Ok(())
            });
            each.map_err(failed)?;
        }
        let metadata = std::mem::take(&mut loaded.metadata);
        Ok((generation, Known { songs, metadata, loaded, names }))
    }

    fn decisions(&self, manifest: &Manifest) -> Result<Decisions, Failure> {
        let mut lines = Vec::new();
        self.each_row(REJECTS, &manifest.rejects, |row| lines.push(row.to_vec()))?;
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

    /// Reads the inputs again. `songs` are those that have ever had metadata.
    async fn recompute(
        &self,
        from: &From,
        songs: &HashSet<Vec<u8>>,
        compare: Compare,
    ) -> Result<Recomputed, Failure> {
        let names = Arc::new(Names::default());
        let rows: Vec<Song> =
            songs.iter().map(|id| Song { song_id: id.clone(), ..Song::default() }).collect();
        let catalog = Arc::new(Catalog::new(&rows, &names, 0));
        let mut enriching = EnrichedLogs::new(Arc::clone(&catalog));
        let mut found = Recomputed {
            ledger: Ledger::new(self.settings.insights.night_owl_users.window()),
            names: Arc::clone(&names),
            enriched: Multiset::new(compare.part, compare.shown.0),
            enriched_order: Xxh3::new(),
            rejects: Multiset::new(compare.part, compare.shown.1),
        };
        let stop = self.stop.clone();
        let from = from.clone();
        let source = move |outlet: &Outlet| match from {
            From::Logs(logs, now) => {
                Replay { logs, now, chunk: crate::source::lines::CHUNK }.run(outlet, &stop)
            }
            From::Committed(committed) => committed.run(outlet, &stop),
        };
        let (mut decoded, source) = spawn_source(&self.settings, &names, source);
        let mut inputs = Inputs::new(self.settings.input.max_bad_lines);
        let mut text = EnrichedRows::default();
        while let Some(next) = decoded.next().await {
            let mut batch = match next {
                Decoded::Batch(batch) => batch,
                Decoded::Failed(failure) => return Err(failure),
                Decoded::Size(..) | Decoded::Seen(..) | Decoded::Passed(..) => continue,
            };
            if !inputs.take(&mut batch, &catalog) {
                continue;
            }
            found.ledger.observe(&batch);
            text.text.clear();
            enriching.append(&batch, &mut text, |_, _| {});
            for row in lines_of(text.text.as_bytes()) {
                let play = &row[..play_len(row)];
                found.enriched.add(play);
                found.enriched_order.update(play);
            }
            lines_of(&reject_lines(&batch.input.label, &batch.rejects))
                .for_each(|row| found.rejects.add(row));
        }
        source
            .await
            .map_err(|cause| Failure::new(Exit::Software, format!("the reader has died: {cause}")))?;
        if self.stop.is_set() {
            return Err(Failure::new(Exit::NoInput, "stopped before the end: nothing was verified"));
        }
        found.ledger.cut();
        Ok(found)
    }

    /// Makes the six snapshots and compares them with the published ones.
    async fn compare_snapshots(
        &self,
        manifest: &Manifest,
        ledger: Ledger,
        names: &Arc<Names>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let catalog = reload::load(&self.settings.songs, names).await?.catalog;
        let cut = cut_of(ledger, catalog, names, self.week());
        for mut insight in insights_of(&self.settings) {
            let name = insight.name();
            if !manifest.insights.contains_key(name) {
                report.differences.push(format!("{name}: enabled, but not published"));
                continue;
            }
            insight.refresh(&cut);
            let path = self.settings.output.join(name).join(FIRST_PART);
            let published = std::fs::read(&path);
            let published = published.map_err(|cause| Failure::io(Exit::NoInput, "read", &path, &cause))?;
            let differences = compare_snapshot(insight.as_ref(), &cut, &published);
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
    ) -> Result<(), Failure> {
        let compare = Compare { part, ..Compare::default() };
        let rows = self.published_rows(manifest, published, compare, Some(report))?;
        let differs = |ours: &Multiset, theirs: &Multiset| {
            if part { ours.bucket_missing_in(theirs) } else { ours.differing_bucket(theirs) }
        };
        let has_enriched = manifest.insights.contains_key(enriched_logs::NAME);
        let enriched = differs(&found.enriched, &rows.enriched).filter(|_| has_enriched);
        let rejects = differs(&found.rejects, &rows.rejects);
        let as_computed =
            if part { "hold all rows of the inputs that are left" } else { "rows as computed again" };
        if has_enriched && enriched.is_none() {
            report.right.push(format!("enriched_logs: {} {as_computed}", rows.enriched.rows));
        }
        if rejects.is_none() {
            report.right.push(format!("_rejects: {} {as_computed}", rows.rejects.rows));
        }
        let ordered = matches!(from, From::Logs(..)) && has_enriched && enriched.is_none();
        if ordered && found.enriched_order.digest128() != rows.enriched_order.digest128() {
            report.differences.push("enriched_logs: the rows are in another order".to_owned());
        }
        if enriched.is_none() && rejects.is_none() {
            return Ok(());
        }
        let compare = Compare { part: false, shown: (enriched, rejects) };
        let expected = self.recompute(from, songs, compare).await?;
        let rows = self.published_rows(manifest, published, compare, None)?;
        let sides = [
            (enriched_logs::NAME, enriched.is_some(), expected.enriched, rows.enriched),
            (REJECTS, rejects.is_some(), expected.rejects, rows.rejects),
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

    fn published_rows(
        &self,
        manifest: &Manifest,
        published: &Published,
        compare: Compare,
        mut report: Option<&mut Report>,
    ) -> Result<PublishedRows, Failure> {
        let mut rows = PublishedRows {
            enriched: Multiset::new(compare.part, compare.shown.0),
            enriched_order: Xxh3::new(),
            rejects: Multiset::new(compare.part, compare.shown.1),
        };
        let mut record = crate::decode::record::Record::default();
        let mut strange = 0;
        if let Some(entry) = manifest.insights.get(enriched_logs::NAME) {
            self.each_row(enriched_logs::NAME, entry, |row| {
                let play = &row[..play_len(row)];
                rows.enriched.add(play);
                rows.enriched_order.update(play);
                let Some((metadata, names)) = &published.metadata else { return };
                let read = record.read(play.strip_suffix(b",").unwrap_or(play));
                let song = read.ok().and_then(|()| names.songs.read().find(record.field(0)));
                let known = song.is_some_and(|song| {
                    let mut key = song.0.to_le_bytes().to_vec();
                    key.extend_from_slice(&row[play.len() - 1..]);
                    key.push(b'\n');
                    metadata.contains(&xxh3_128(&key))
                });
                if !known {
                    strange += 1;
                    if let Some(report) = report.as_mut().filter(|_| strange <= SHOWN) {
                        let what = "metadata that its song never had";
                        report.differences.push(format!("enriched_logs: {what}: {}", shown(row)));
                    }
                }
            })?;
        }
        let catalog_rows = lines_of(&published.rejects).collect::<HashSet<_>>();
        self.each_row(REJECTS, &manifest.rejects, |row| {
            let of_catalog = record.read(row).is_ok()
                && record.field(0) == published.catalog_label.as_bytes()
                && (published.metadata.is_some() || catalog_rows.contains(row));
            if !of_catalog {
                rows.rejects.add(row);
            }
        })?;
        Ok(rows)
    }

    /// The committed rows of a log, without headers and line ends.
    fn each_row(&self, name: &str, entry: &InsightEntry, mut each: impl FnMut(&[u8])) -> Result<(), Failure> {
        for part in &entry.parts {
            let path = self.settings.output.join(name).join(&part.file);
            let failed = |cause: std::io::Error| Failure::io(Exit::NoInput, "read", &path, &cause);
            let file = std::fs::File::open(&path).map_err(failed)?;
            let mut reader = BufReader::with_capacity(256 << 10, file.take(part.bytes));
            let mut line = Vec::new();
            let mut header = true;
            while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
                if !std::mem::take(&mut header) {
                    each(line.strip_suffix(b"\n").unwrap_or(&line));
                }
                line.clear();
            }
        }
        Ok(())
    }
}

/// What is known of published rows besides the inputs.
struct Published {
    /// The metadata that songs have had, by the numbers of these names; nothing in a `replay`.
    metadata: Option<(HashSet<u128>, Arc<Names>)>,
    /// The label of the catalog in `_rejects`.
    catalog_label: String,
    /// The rejected rows of the catalog, in a `replay`.
    rejects: Vec<u8>,
}

impl Published {
    fn plain(rejects: Vec<u8>) -> Self {
        let label = rejects.split(|&byte| byte == b',').next().unwrap_or_default();
        Self { metadata: None, catalog_label: String::from_utf8_lossy(label).into_owned(), rejects }
    }
}

struct PublishedRows {
    enriched: Multiset,
    enriched_order: Xxh3,
    rejects: Multiset,
}

fn known_songs(catalog: &Catalog, names: &Names) -> HashSet<Vec<u8>> {
    let ids = names.songs.read();
    let songs = (0..ids.len() as u32).map(SongId).filter(|&song| catalog.contains(song));
    songs.map(|song| ids.text(song).to_vec()).collect()
}

fn cut_of(ledger: Ledger, catalog: Arc<Catalog>, names: &Arc<Names>, current_week: Week) -> Cut {
    let (mut user_order, mut song_order) = (Order::default(), Order::default());
    user_order.extend(&names.users.read());
    song_order.extend(&names.songs.read());
    Cut {
        changes: Arc::new(ledger.everything()),
        ledger: Arc::new(ledger),
        catalog,
        new_catalog: true,
        names: Arc::clone(names),
        user_order: Arc::new(user_order),
        song_order: Arc::new(song_order),
        current_week,
    }
}

/// The first lines in which a published snapshot differs from the rows of an insight.
fn compare_snapshot(insight: &dyn Insight, cut: &Cut, published: &[u8]) -> Vec<String> {
    let mut theirs = lines_of(published);
    let mut differences = Vec::new();
    let mut line = 0_u64;
    let mut differ = |line: u64, expected: Option<&[u8]>, found: Option<&[u8]>| {
        if expected != found && differences.len() < SHOWN {
            let text = |row: Option<&[u8]>| row.map_or("nothing".to_owned(), shown);
            differences.push(format!("{line}: expected {}, found {}", text(expected), text(found)));
        }
    };
    insight.render(cut, &mut |rows| {
        for row in lines_of(rows) {
            line += 1;
            differ(line, Some(row), theirs.next());
        }
    });
    differ(line + 1, None, theirs.next());
    differences
}

fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.strip_suffix(b"\n").unwrap_or(text);
    let empty = text.is_empty();
    lines.split(|&byte| byte == b'\n').filter(move |_| !empty)
}

/// The length of song, listener, time and duration of a row of `enriched_logs`, the comma behind
/// them included.
fn play_len(row: &[u8]) -> usize {
    let (mut quoted, mut commas) = (false, 0);
    for (at, &byte) in row.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => commas += 1,
            _ => {}
        }
        if commas == 4 {
            return at + 1;
        }
    }
    row.len()
}

fn shown(row: &[u8]) -> String {
    let text = crate::text::escape_bytes(&row[..row.len().min(SHOWN_BYTES)]);
    text.chars()
        .flat_map(|char| if char.is_control() { char.escape_default().collect() } else { vec![char] })
        .collect()
}
