//! Power cuts: a test records one run of `watch` on a simulated disk. It then cuts the power after any
//! operation of the recorded run, and checks the recovery.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use music_insights::cli::exit_code::{ExitCode, exit_code};
use music_insights::generate::rng::Rng as Dice;
use music_insights::ingest::source::framing::CHUNK;
use music_insights::insights::enriched_logs;
use music_insights::model::error::Error;

use music_insights::model::shutdown::Shutdown;
use music_insights::publish::REJECTS;
use music_insights::publish::manifest::{FILE, Manifest, PartEntry, hash_text};
use music_insights::publish::periods::{INDEX, PeriodIndex};
use music_insights::settings::Settings;
use music_insights::state::checkpoint::generation::generation_name;
use music_insights::state::checkpoint::recover::{StartOptions, generations_in, read_sound};
use music_insights::state::checkpoint::store::KEPT;
use xxhash_rust::xxh3::xxh3_128;

use crate::engine::{NOW, replay};
use crate::files::{Files, files_under};
use crate::sim_disk::{Cut, Names, SimDisk};
use crate::workload::{FIRST_SONGS, Feed, Place, Step};

/// The append-only tables. Their files may differ from the files of a replay.
const LOGS: [&str; 2] = [enriched_logs::NAME, REJECTS];
/// The number of columns of `enriched_logs` that do not depend on the catalog.
const OF_PLAY: usize = 4;

/// A recorded run, and the expected output.
#[derive(Debug)]
pub(crate) struct Recording {
    place: Place,
    pub(crate) disk: SimDisk,
    same_catalog: bool,
    rows: u64,
    expected: Files,
}

impl Recording {
    /// Runs `watch` while the inputs change step by step. Each step starts when `watch` has published the
    /// previous step.
    pub(crate) fn of(seed: u64, steps: &[Step]) -> Result<Self, String> {
        let (place, mut disk) = (Place::new(), SimDisk::default());
        let mut feed = Feed::new(&place, Dice::new(seed, 1));
        let restarts = |step: &Step| matches!(step, Step::Restart { .. } | Step::Crash);
        for (number, steps) in steps.split_inclusive(restarts).enumerate() {
            let (over, end) = (AtomicBool::new(false), Shutdown::default());
            thread::scope(|scope| {
                let watch = scope.spawn(|| {
                    let outcome = place.watch(&disk, StartOptions::default(), false, &end);
                    over.store(true, Ordering::SeqCst);
                    outcome
                });
                let published = |feed: &Feed<'_>, what: &str| {
                    let (rows, songs) = (feed.rows, feed.songs);
                    let holds_all =
                        |manifest: &Manifest| manifest.totals.rows == rows && manifest.catalog.songs == songs;
                    disk.wait_for(what, |disk| {
                        let published = place.manifest(disk).is_some_and(|manifest| holds_all(&manifest));
                        (published || over.load(Ordering::SeqCst)).then_some(())
                    });
                };
                published(&feed, "the start");
                for &step in steps.iter().filter(|step| !restarts(step)) {
                    feed.step(step);
                    published(&feed, &format!("{step:?}"));
                }
                end.request();
                let outcome = watch.join().map_err(|_| format!("run {number} panicked"))?;
                outcome.map(drop).map_err(|failure| format!("run {number}: {failure}"))
            })?;
            match steps.last() {
                Some(Step::Crash) => {
                    let at = disk.operations().saturating_sub(feed.dice.below(60) as usize);
                    let cut = if feed.dice.below(2) == 0 {
                        Cut::Kill
                    } else {
                        Cut::ALL[feed.dice.below(4) as usize]
                    };
                    disk = disk.image(at, cut, &mut feed.dice);
                }
                Some(&step) if restarts(&step) => feed.step(step),
                _ => {}
            }
        }
        let songs = feed.songs;
        // At its end, `watch` also reads unfinished last lines, so its rows equal the rows of the replay.
        let replayed = place.replayed();
        let settings = Settings { output: replayed.clone(), ..place.settings.clone() };
        let logs = fs::read_dir(&settings.incoming).unwrap().map(|entry| entry.unwrap().path());
        let outcome = replay(&settings, logs.collect(), NOW, CHUNK);
        let (rows, expected) = (outcome.manifest.totals.rows, files_under(&replayed));
        Ok(Self { place, disk, same_catalog: songs == FIRST_SONGS, rows, expected })
    }

    /// Starts `watch` again, and reads all inputs.
    pub(crate) fn recover(&self, disk: &SimDisk) -> Result<(), Error> {
        self.place.recover(disk, StartOptions::default())
    }

    /// Starts `watch` with `--fresh`.
    pub(crate) fn begin_again(&self, disk: &SimDisk) -> Result<(), Error> {
        self.place.recover(disk, StartOptions { fresh: true, ..StartOptions::default() })
    }

    /// The manifest on this disk. It is the newest manifest that a reader can have seen.
    pub(crate) fn shown(&self, disk: &SimDisk) -> Option<Manifest> {
        self.place.manifest(disk)
    }

    /// Checks a disk without a power cut: every existing generation can be restored.
    fn check_live(&self, disk: &SimDisk) -> Result<(), String> {
        let state = &self.place.settings.state;
        for number in generations_in(disk, state).map_err(|failure| failure.to_string())? {
            read_sound(disk, state, number).map_err(|what| format!("generation {number}: {what:?}"))?;
        }
        Ok(())
    }

    /// The oracle: checks an image before and after its recovery. `shown` is the last manifest that a reader
    /// saw before the power cut.
    pub(crate) fn check_recovery(&self, image: &SimDisk, shown: Option<&Manifest>) -> Result<(), String> {
        self.check_committed(image, shown)?;
        self.recover(image).map_err(|failure| format!("recovery: {failure}"))?;
        self.check(image, shown)?;
        let before = files_in(image, &self.place.settings.output);
        self.recover(image).map_err(|failure| format!("second recovery: {failure}"))?;
        if before == files_in(image, &self.place.settings.output) {
            Ok(())
        } else {
            Err("a recovery without new data changed the output".to_owned())
        }
    }

    /// Checks that a published epoch is durable.
    fn check_committed(&self, image: &SimDisk, shown: Option<&Manifest>) -> Result<(), String> {
        let Some(shown) = shown else { return Ok(()) };
        let state = &self.place.settings.state;
        let newest = generations_in(image, state).map_err(|failure| failure.to_string())?;
        let newest = newest
            .first()
            .ok_or_else(|| format!("a reader has seen epoch {}, but no generation remains", shown.epoch))?;
        let newest = read_sound(image, state, *newest).map_err(|what| format!("generation: {what:?}"))?;
        if newest.epoch < shown.epoch {
            return Err(format!(
                "a reader has seen epoch {}, but epoch {} is committed",
                shown.epoch, newest.epoch
            ));
        }
        Ok(())
    }

    /// Checks the result of a recovery.
    fn check(&self, disk: &SimDisk, shown: Option<&Manifest>) -> Result<(), String> {
        let manifest = self.place.manifest(disk).ok_or("no manifest")?;
        let output = files_in(disk, &self.place.settings.output);
        if let Some(shown) = shown {
            if manifest.epoch < shown.epoch {
                return Err(format!("epoch {} follows epoch {}", manifest.epoch, shown.epoch));
            }
            for (name, part) in parts(shown) {
                if !LOGS.contains(&name) {
                    continue;
                }
                let text = output.get(&format!("{name}/{}", part.file)).map_or(&[][..], Vec::as_slice);
                let committed = text.get(..part.bytes as usize).map(|bytes| hash_text(xxh3_128(bytes)));
                if committed.as_ref() != Some(&part.hash) {
                    return Err(format!("{name}/{}: committed bytes changed", part.file));
                }
            }
        }
        let mut declared = BTreeSet::from([FILE.to_owned()]);
        for (name, part) in parts(&manifest) {
            let file = format!("{name}/{}", part.file);
            let text = output.get(&file).ok_or_else(|| format!("{file} is missing"))?;
            if hash_text(xxh3_128(text)) != part.hash {
                return Err(format!("{file} does not match the manifest"));
            }
            declared.insert(file);
        }
        for entry in &manifest.periods {
            let text = output.get(&entry.file).ok_or_else(|| format!("{} is missing", entry.file))?;
            if hash_text(xxh3_128(text)) != entry.hash {
                return Err(format!("{} does not match the manifest", entry.file));
            }
            let folder = entry.file.strip_suffix(INDEX).expect("the entry names an index");
            let index: PeriodIndex = serde_json::from_slice(text).map_err(|cause| cause.to_string())?;
            for (table, entry) in &index.insights {
                let file = format!("{folder}{table}/{}", entry.parts[0].file);
                let text = output.get(&file).ok_or_else(|| format!("{file} is missing"))?;
                if hash_text(xxh3_128(text)) != entry.parts[0].hash {
                    return Err(format!("{file} does not match its index"));
                }
                declared.insert(file);
            }
            declared.insert(entry.file.clone());
        }
        if let Some(name) = output.keys().find(|name| !declared.contains(*name)) {
            return Err(format!("no manifest lists {name}"));
        }
        self.check_state(disk)?;
        if manifest.totals.rows != self.rows {
            return Err(format!("found {} rows, expected {}", manifest.totals.rows, self.rows));
        }
        for (name, text) in &self.expected {
            let folder = name.split('/').next().unwrap_or_default();
            if name.contains('/') && !LOGS.contains(&folder) {
                let found = output.get(name).ok_or_else(|| format!("{name} is missing"))?;
                same(name, &text_lines(text), &text_lines(found))?;
            }
        }
        let rows = |files: &Files| self.enriched(files);
        let (expected, found) = (rows(&self.expected), rows(&output));
        same("enriched_logs", &sorted(&expected), &sorted(&found))?;
        same("order of enriched_logs", &by_log(&expected), &by_log(&found))?;
        same("rejects", &rejects(&self.expected), &rejects(&output))
    }

    /// Checks that the state contains only intact generations and the files of these generations.
    fn check_state(&self, disk: &SimDisk) -> Result<(), String> {
        let state = &self.place.settings.state;
        let numbers = generations_in(disk, state).map_err(|failure| failure.to_string())?;
        if numbers.len() > KEPT {
            return Err(format!("{} generations", numbers.len()));
        }
        let mut needed = BTreeSet::new();
        for number in numbers {
            let generation = read_sound(disk, state, number);
            let generation = generation.map_err(|what| format!("generation {number}: {what:?}"))?;
            needed.extend(generation.files());
            needed.insert(generation_name(number));
        }
        let there: BTreeSet<String> = files_in(disk, state).into_keys().collect();
        if there == needed {
            Ok(())
        } else {
            Err(format!("the state has the files {there:?}, but needs {needed:?}"))
        }
    }

    /// The rows of `enriched_logs`, without the columns that depend on the catalog.
    fn enriched(&self, files: &Files) -> Vec<String> {
        let parts = files.iter().filter(|(name, _)| name.starts_with(enriched_logs::NAME));
        let rows = parts.flat_map(|(_, text)| text_lines(text).into_iter().skip(1));
        let columns = if self.same_catalog { usize::MAX } else { OF_PLAY };
        rows.map(|row| row.split(',').take(columns).collect::<Vec<_>>().join(",")).collect()
    }

    /// Checks that a start with a damaged state or output fails.
    pub(crate) fn check_damage(&self) -> Result<(), String> {
        let whole = self.disk.crash_image(self.disk.operations());
        let settings = &self.place.settings;
        let state = &settings.state;
        let newest = generations_in(&whole, state).map_err(|failure| failure.to_string())?[0];
        let newest = read_sound(&whole, state, newest).map_err(|what| format!("{what:?}"))?;
        let files = newest.segments.iter().map(|part| &part.file);
        let files = files.map(|name| state.join(name)).chain([state.join(generation_name(newest.number))]);
        for path in files {
            let len = whole.read(&path).map_or(0, |bytes| bytes.len());
            for at in (0..len).step_by(len.div_ceil(12).max(1)) {
                self.refused(&path, |bytes| bytes[at] ^= 1)?;
            }
        }
        for part in &newest.enriched {
            let path = settings.output.join(enriched_logs::NAME).join(&part.file);
            self.refused(&path, |bytes| bytes.truncate(part.bytes as usize - 1))?;
        }
        Ok(())
    }

    fn refused(&self, path: &Path, damage: impl FnOnce(&mut Vec<u8>)) -> Result<(), String> {
        let disk = self.disk.crash_image(self.disk.operations());
        disk.damage(path, damage);
        match self.recover(&disk) {
            Err(failure) if exit_code(&failure) == ExitCode::Data => Ok(()),
            other => Err(format!("{} is damaged, but the result is {other:?}", path.display())),
        }
    }

    /// Cuts the power after an operation, and checks the recovery.
    pub(crate) fn cut(&self, seed: u64, at: usize, cut: Cut) -> Result<(), String> {
        let live = self.disk.crash_image(at);
        let shown = self.shown(&live);
        let image = self.disk.image(at, cut, &mut Dice::new(seed, at as u64));
        let result = self.check_live(&live).and_then(|()| self.check_recovery(&image, shown.as_ref()));
        result.map_err(|what| format!("seed {seed}, {cut:?} after operation {at}: {what}"))
    }

    /// Kills the process after every operation, starts a new process, and cuts the power during its
    /// recovery. Returns the number of checked images.
    pub(crate) fn cut_after_every_kill(&self, seed: u64) -> Result<usize, String> {
        let all: Vec<usize> = (0..=self.disk.operations()).collect();
        // The power is also cut right after a recovery has published the epoch that was committed before the kill.
        let cuts = [(Cut::AllLost, false), (Cut::AllLost, true), (Cut::Dice(Names::Any), false)];
        in_parallel(&all, |&at| {
            let mut dice = Dice::new(seed, at as u64);
            let run = self.disk.crash_image(at);
            let shown = self.shown(&run);
            self.recover(&run).map_err(|failure| format!("killed after operation {at}: {failure}"))?;
            let published = self.first_publication(&run, at);
            for (cut, is_publication) in cuts {
                let second = at + dice.below((run.operations() - at) as u64 + 1) as usize;
                let second = if is_publication { published } else { second };
                let shown = later(shown.clone(), self.shown(&run.crash_image(second)));
                let result = self.check_recovery(&run.image(second, cut, &mut dice), shown.as_ref());
                result.map_err(|what| {
                    format!(
                        "seed {seed}, killed after operation {at}, {cut:?} after operation {second}: {what}"
                    )
                })?;
            }
            Ok(())
        })?;
        Ok(all.len() * cuts.len())
    }

    /// The first operation after operation `at` at which a reader sees a later epoch; the last operation if there is
    /// none.
    fn first_publication(&self, run: &SimDisk, at: usize) -> usize {
        let epoch = |at| self.shown(&run.crash_image(at)).map(|manifest| manifest.epoch);
        let (before, mut range) = (epoch(at), at..run.operations());
        while !range.is_empty() {
            let middle = usize::midpoint(range.start, range.end);
            if epoch(middle) > before { range.end = middle } else { range.start = middle + 1 }
        }
        range.start
    }

    /// Checks the disk after every operation, without power cuts.
    pub(crate) fn check_always(&self) -> Result<(), String> {
        let all: Vec<usize> = (0..=self.disk.operations()).collect();
        in_parallel(&all, |&at| self.check_live(&self.disk.crash_image(at)))
    }

    /// Cuts the power after every operation with every kind of cut. Returns the number of checked images.
    pub(crate) fn cut_everywhere(&self, seed: u64) -> Result<usize, String> {
        let cuts: Vec<_> =
            (0..=self.disk.operations()).flat_map(|at| Cut::ALL.map(|cut| (at, cut))).collect();
        in_parallel(&cuts, |&(at, cut)| self.cut(seed, at, cut))?;
        Ok(cuts.len())
    }
}

/// The newer of two manifests.
pub(crate) fn later(one: Option<Manifest>, other: Option<Manifest>) -> Option<Manifest> {
    one.into_iter().chain(other).max_by_key(|manifest| manifest.epoch)
}

/// All files below a folder of a simulated disk.
fn files_in(disk: &SimDisk, folder: &Path) -> Files {
    let files = disk.files().into_iter();
    let named = files.filter_map(|(path, bytes)| {
        Some((
            path.strip_prefix(folder).ok()?.to_str().expect("names on the disk are UTF-8").to_owned(),
            bytes,
        ))
    });
    named.collect()
}

/// All files in a manifest, keyed by folder.
fn parts(manifest: &Manifest) -> Vec<(&str, &PartEntry)> {
    let insights = manifest.insights.iter().map(|(name, entry)| (name.as_str(), entry));
    let entries = insights.chain([(REJECTS, &manifest.rejects)]);
    entries.flat_map(|(name, entry)| entry.parts.iter().map(move |part| (name, part))).collect()
}

fn text_lines(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text).lines().map(str::to_owned).collect()
}

fn sorted(rows: &[String]) -> Vec<String> {
    let mut rows = rows.to_vec();
    rows.sort();
    rows
}

/// Sorts rows by log, and keeps their order within each log. Drops songs that were not always in the catalog.
fn by_log(rows: &[String]) -> Vec<String> {
    let mut logs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in rows {
        let mut cells = row.split(',');
        let (song, user) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        if song
            .strip_prefix('s')
            .and_then(|song| song.parse().ok())
            .is_some_and(|song: u64| song < FIRST_SONGS)
        {
            logs.entry(user.split('u').next().unwrap_or_default()).or_default().push(row);
        }
    }
    logs.into_values().flatten().map(str::to_owned).collect()
}

/// The rejects without file names, because `watch` keeps the first name of a renamed file.
fn rejects(files: &Files) -> Vec<String> {
    let parts = files.iter().filter(|(name, _)| name.starts_with(REJECTS));
    let rows = parts.flat_map(|(_, text)| text_lines(text));
    sorted(&rows.filter_map(|row| Some(row.split_once(',')?.1.to_owned())).collect::<Vec<_>>())
}

fn same(what: &str, expected: &[String], found: &[String]) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let first = expected.iter().zip(found).position(|(expected, found)| expected != found);
    let first = first.unwrap_or(expected.len().min(found.len()));
    Err(format!("{what}: row {first}: found {:?}, expected {:?}", found.get(first), expected.get(first)))
}

/// Runs `work` for all items, on all processors. Stops at the first error.
pub(crate) fn in_parallel<T: Sync>(
    all: &[T],
    each: impl Fn(&T) -> Result<(), String> + Sync,
) -> Result<(), String> {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(None));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let result = catch_unwind(AssertUnwindSafe(|| each(one)));
                    let result = result.unwrap_or_else(|_| Err("the oracle panicked".to_owned()));
                    if let Err(what) = result {
                        next.store(all.len(), Ordering::SeqCst);
                        wrong.lock().unwrap().get_or_insert(what);
                    }
                }
            });
        }
    });
    wrong.into_inner().unwrap().map_or(Ok(()), Err)
}
