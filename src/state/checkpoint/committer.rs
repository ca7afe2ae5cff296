//! Commits of cuts. Each commit writes the changes since the previous commit.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use crate::catalog::Catalog;
use crate::ingest::source::archive::RetirableInput;
use crate::ledger::{Changes, Ledger};
use crate::model::dictionary::{Dictionaries, Id, SharedDictionary};
use crate::model::error::Error;
use crate::model::period_rules::PeriodRules;
use crate::model::{Epoch, InputId, Reject, SongId};
use crate::publish::manifest::{Manifest, PartEntry, hash_text};
use crate::state::checkpoint::generation::{Generation, StateConfig};
use crate::state::checkpoint::pace::RunningFlush;
use crate::state::checkpoint::periods::write_periods;
use crate::state::checkpoint::segment::SegmentWriter;
use crate::state::checkpoint::store::Store;
use crate::state::checkpoint::table::Table;
use crate::state::input_progress::InputTracker;
use crate::state::input_record::InputRecord;
use crate::state::unmatched::UnmatchedChanges;
use crate::storage::Disk;
use crate::storage::failpoint::{Bug, planted};
use crate::time::period::Period;

/// Commits the state in memory to disk.
#[derive(Debug)]
pub struct Committer {
    store: Store,
    saved_users: u32,
    saved_songs: u32,
    /// Hashes of all metadata that any song has had so far.
    metadata: HashSet<u128>,
    unsaved_metadata: Vec<Vec<u8>>,
    saved_metadata: u64,
    unsaved_catalog_rejects: Vec<Vec<u8>>,
    saved_catalog_rejects: u64,
    /// Numbers of generations, each with the inputs that have new progress in that generation. `None` if
    /// finished inputs are kept.
    advanced: Option<VecDeque<(u64, Vec<InputId>)>>,
}

/// The part of a commit that concerns periods.
#[derive(Clone, Debug, Default)]
pub struct PeriodCommit {
    /// The plays since the previous commit.
    pub plays: BTreeMap<Period, Arc<Ledger>>,
    /// A day in the latest period of every length.
    pub latest_day: Option<i64>,
    /// The catalog and the settings that the tables of periods have.
    pub basis: Option<String>,
}

/// The content of one commit.
#[derive(Debug)]
pub struct Commit<'a> {
    /// The tables.
    pub ledger: &'a mut Ledger,
    /// The listeners and songs whose sums have changed since the previous commit.
    pub changes: &'a Changes,
    /// The ids of listeners and songs.
    pub dictionaries: &'a Dictionaries,
    /// The plays of periods since the previous commit.
    pub periods: &'a PeriodCommit,
    /// The progress of the inputs.
    pub inputs: &'a mut InputTracker,
    /// The changes of the unmatched plays.
    pub unmatched: UnmatchedChanges,
    /// The catalog of the epoch.
    pub catalog: &'a Catalog,
    /// The parts of `enriched_logs`, up to the cut.
    pub enriched: Vec<PartEntry>,
    /// The parts of `_rejects`, up to the cut.
    pub rejects: Vec<PartEntry>,
    /// The epoch.
    pub epoch: Epoch,
    /// The text of the manifest of the epoch.
    pub manifest: &'a str,
}

impl Committer {
    /// Starts from a store that already contains the dictionaries. The store also contains the metadata with
    /// the hashes `metadata`, and `catalog_rejects` rejected rows of catalogs. `retires_inputs` says whether
    /// finished inputs are archived or deleted.
    pub fn new(
        store: Store,
        dictionaries: &Dictionaries,
        metadata: HashSet<u128>,
        catalog_rejects: u64,
        retires_inputs: bool,
    ) -> Self {
        Self {
            store,
            saved_users: dictionaries.users.read().len() as u32,
            saved_songs: dictionaries.songs.read().len() as u32,
            saved_metadata: metadata.len() as u64,
            metadata,
            unsaved_metadata: Vec::new(),
            unsaved_catalog_rejects: Vec::new(),
            saved_catalog_rejects: catalog_rejects,
            advanced: retires_inputs.then(VecDeque::new),
        }
    }

    /// The state folder.
    pub fn folder(&self) -> &Path {
        self.store.folder()
    }

    /// Begins a flush, for which a merge of segments waits.
    pub fn begin_flush(&self) -> RunningFlush {
        self.store.begin_flush()
    }

    /// The file system of the state.
    pub fn disk(&self) -> &dyn Disk {
        self.store.disk()
    }

    /// Changes the rules for periods. The next commit contains them.
    pub fn set_period_rules(&mut self, rules: PeriodRules) {
        let config = StateConfig { periods: rules, ..self.store.current().config.clone() };
        self.store.set_config(config);
    }

    /// Whether the file of the last committed generation exists.
    pub fn is_in_place(&self) -> bool {
        self.store.is_in_place()
    }

    /// The last committed generation.
    pub fn current(&self) -> &Generation {
        self.store.current()
    }

    /// Notes the metadata of a new catalog for the next commit. `verify` also needs earlier metadata of
    /// songs, because rows of `enriched_logs` never change.
    pub fn note_catalog(&mut self, catalog: &Catalog, dictionaries: &Dictionaries) {
        for song in (0..dictionaries.songs.read().len() as u32).map(SongId) {
            let Some((row_end, len)) = catalog.row_end(song) else { continue };
            let mut row = song.0.to_le_bytes().to_vec();
            row.extend_from_slice(&row_end[..len]);
            if self.metadata.insert(xxh3_128(&row)) {
                self.unsaved_metadata.push(row);
            }
        }
    }

    /// Notes rejected rows of a catalog for the next commit, so that a restart does not report them
    /// again.
    pub fn note_catalog_rejects(&mut self, rejects: &[Reject]) {
        self.unsaved_catalog_rejects.extend(rejects.iter().map(|reject| {
            let mut row = reject.reason.code().as_bytes().to_vec();
            row.push(b'\n');
            row.extend_from_slice(&reject.raw);
            row
        }));
    }

    /// Commits a cut.
    ///
    /// # Errors
    /// A file system error (73, 74), or a damaged segment (65).
    pub fn commit(&mut self, mut commit: Commit<'_>) -> Result<(), Error> {
        let inputs = commit.inputs.take_unsaved();
        let advanced: Vec<InputId> = inputs.iter().map(|(id, _)| *id).collect();
        let next = Generation {
            epoch: commit.epoch.0,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            plays: commit.ledger.plays(),
            latest: commit.ledger.latest(),
            latest_day: commit.periods.latest_day,
            periods_basis: commit.periods.basis.clone(),
            catalog: hash_text(commit.catalog.fingerprint()),
            enriched: std::mem::take(&mut commit.enriched),
            rejects: if planted(Bug::RejectsOutside) {
                self.store.current().rejects.clone()
            } else {
                std::mem::take(&mut commit.rejects)
            },
            unmatched: std::mem::take(&mut commit.unmatched.file),
            manifest: Some(commit.manifest.to_owned()),
            segments: Vec::new(),
            ..self.store.current().clone()
        };
        let users = commit.dictionaries.users.read().len() as u32;
        let songs = commit.dictionaries.songs.read().len() as u32;
        let Self { store, saved_users, saved_songs, .. } = self;
        let (new_users, new_songs) = (*saved_users..users, *saved_songs..songs);
        let metadata = (self.saved_metadata, std::mem::take(&mut self.unsaved_metadata));
        let catalog_rejects = (self.saved_catalog_rejects, std::mem::take(&mut self.unsaved_catalog_rejects));
        store.commit(next, |writer| {
            write_dictionary(writer, Table::Users, &commit.dictionaries.users, new_users)?;
            write_dictionary(writer, Table::Songs, &commit.dictionaries.songs, new_songs)?;
            write_ledger(writer, commit.ledger, commit.changes)?;
            write_inputs(writer, &inputs)?;
            writer.begin(Table::UnmatchedPositions)?;
            for (song, offset) in &commit.unmatched.last_blocks {
                writer.number(u64::from(song.0), offset.map_or(0, |offset| offset + 1))?;
            }
            write_rows(writer, Table::Metadata, &metadata)?;
            write_rows(writer, Table::CatalogRejects, &catalog_rejects)?;
            write_periods(writer, commit.periods.plays.iter().map(|(period, plays)| (*period, &**plays)))
        })?;
        (self.saved_users, self.saved_songs) = (users, songs);
        self.saved_metadata += metadata.1.len() as u64;
        self.saved_catalog_rejects += catalog_rejects.1.len() as u64;
        self.note_advanced(advanced);
        Ok(())
    }

    /// Commits the current state once more. The new generation takes the place of the oldest kept one. Files
    /// that only the oldest one needs can then be removed, and its inputs can be retired.
    ///
    /// # Errors
    /// Same as [`commit`](Self::commit).
    pub fn recommit(&mut self) -> Result<(), Error> {
        let next = self.store.current().clone();
        self.store.commit(next, |_| Ok(()))
    }

    /// Commits input progress without new rows and without a new epoch. For example, the program must know
    /// after a restart that an input was truncated, although the output does not change.
    ///
    /// # Errors
    /// Same as [`commit`](Self::commit).
    pub fn commit_inputs(&mut self, inputs: &mut InputTracker) -> Result<(), Error> {
        let next = self.store.current().clone();
        let unsaved = inputs.take_unsaved();
        self.store.commit(next, |writer| write_inputs(writer, &unsaved))?;
        self.note_advanced(unsaved.into_iter().map(|(id, _)| id).collect());
        Ok(())
    }

    /// Removes the generations that are no longer kept, and the files that only they need. If enough
    /// segments are due, begins to merge them.
    ///
    /// # Errors
    /// A file system error, exit code 73.
    pub fn remove_obsolete(&mut self) -> Result<(), Error> {
        self.store.remove_obsolete()
    }

    /// Notes that the progress of these inputs is new in the current generation.
    pub fn note_advanced(&mut self, inputs: Vec<InputId>) {
        let number = self.store.current().number;
        if let Some(advanced) = &mut self.advanced {
            advanced.push_back((number, inputs));
        }
    }

    /// Whether any input cannot be retired yet, because a kept generation lacks its latest progress.
    pub fn has_unretirable(&self) -> bool {
        self.advanced.as_ref().is_some_and(|advanced| !advanced.is_empty())
    }

    /// Takes the inputs whose latest progress is part of every kept generation. No rollback reads these
    /// inputs again, so they may be archived or deleted once they are finished.
    pub fn take_retirable(&mut self, inputs: &InputTracker) -> Vec<RetirableInput> {
        let oldest = self.store.oldest();
        let Some(advanced) = &mut self.advanced else { return Vec::new() };
        let mut retirable = Vec::new();
        while let Some((_, ids)) = advanced.pop_front_if(|(number, _)| *number <= oldest) {
            retirable.extend(inputs.retirable(&ids));
        }
        // An input with later progress becomes retirable together with that progress.
        let later: HashSet<InputId> = advanced.iter().flat_map(|(_, ids)| ids).copied().collect();
        retirable.retain(|retirable| !later.contains(&retirable.input));
        retirable
    }
}

fn write_dictionary<I: Id>(
    writer: &mut SegmentWriter,
    table: Table,
    dictionary: &SharedDictionary<I>,
    new: std::ops::Range<u32>,
) -> Result<(), Error> {
    writer.begin(table)?;
    let dictionary = dictionary.read();
    for number in new {
        writer.bytes(u64::from(number), dictionary.resolve(I::from_u32(number)))?;
    }
    Ok(())
}

fn write_ledger(writer: &mut SegmentWriter, ledger: &mut Ledger, changes: &Changes) -> Result<(), Error> {
    let tables = ledger.tables_mut();
    for run in tables.listens.take_unsaved() {
        writer.begin(Table::Listens)?;
        for (key, plays) in run.entries() {
            writer.number(key, plays)?;
        }
    }
    writer.begin(Table::SongPlays)?;
    for &song in &changes.songs {
        writer.number(u64::from(song.0), tables.song_plays.total(song).plays)?;
    }
    writer.begin(Table::SongMillis)?;
    for &song in &changes.songs {
        writer.number(u64::from(song.0), tables.song_plays.total(song).millis)?;
    }
    writer.begin(Table::SongWeeks)?;
    tables.song_plays.take_unsaved_weeks(|week, song, plays| {
        writer.number((week.0 as u64) << 32 | u64::from(song.0), plays)
    })?;
    writer.begin(Table::Nights)?;
    for &user in &changes.users {
        match tables.nights.of(user) {
            0 => {}
            plays => writer.number(u64::from(user.0), u64::from(plays))?,
        }
    }
    writer.begin(Table::Hours)?;
    if !changes.users.is_empty() {
        for (hour, &plays) in (0..).zip(tables.hours.plays()).filter(|(_, plays)| **plays > 0) {
            writer.number(hour, plays)?;
        }
    }
    Ok(())
}

fn write_inputs(writer: &mut SegmentWriter, inputs: &[(InputId, InputRecord)]) -> Result<(), Error> {
    writer.begin(Table::Inputs)?;
    for (id, record) in inputs {
        let record = serde_json::to_vec(record).expect("a record is plain data");
        writer.bytes(u64::from(id.0), &record)?;
    }
    Ok(())
}

/// Writes the rows `rows.1`. Their keys are consecutive and begin with `rows.0`.
fn write_rows(writer: &mut SegmentWriter, table: Table, rows: &(u64, Vec<Vec<u8>>)) -> Result<(), Error> {
    writer.begin(table)?;
    for (number, row) in (rows.0..).zip(&rows.1) {
        writer.bytes(number, row)?;
    }
    Ok(())
}

/// The manifest of a generation; `None` before the first epoch.
pub fn manifest_of(generation: &Generation) -> Option<Manifest> {
    serde_json::from_str(generation.manifest.as_deref()?).ok()
}
