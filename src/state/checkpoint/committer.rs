//! What is committed at a cut: all that has changed since the last.

use std::collections::{HashSet, VecDeque};

use xxhash_rust::xxh3::xxh3_128;

use crate::catalog::Catalog;
use crate::ingest::source::archive::RetirableInput;
use crate::ledger::{Changes, Ledger};
use crate::model::dictionary::{Dictionaries, Id, SharedDictionary};
use crate::model::error::Error;

use crate::model::{Epoch, InputId, Reject, SongId};
use crate::publish::manifest::{Manifest, PartEntry, hash_text};
use crate::state::checkpoint::generation::Generation;
use crate::state::checkpoint::segment::SegmentWriter;
use crate::state::checkpoint::store::Store;
use crate::state::checkpoint::table::Table;
use crate::state::input_progress::{InputRecord, InputTracker};
use crate::state::unmatched::UnmatchedChanges;
use crate::storage::failpoint::{Bug, planted};

/// Keeps the state on disk in step with the one in memory.
#[derive(Debug)]
pub struct Committer {
    store: Store,
    saved_users: u32,
    saved_songs: u32,
    /// Hashes of the metadata that songs have had, and what is not saved of it.
    metadata: HashSet<u128>,
    new_metadata: Vec<Vec<u8>>,
    saved_metadata: u64,
    new_catalog_rejects: Vec<Vec<u8>>,
    saved_catalog_rejects: u64,
    /// By generation the inputs that were read further in it, if anybody wants to know when they
    /// can't be needed again.
    read_in: Option<VecDeque<(u64, Vec<InputId>)>>,
}

/// What is to be committed.
#[derive(Debug)]
pub struct Commit<'a> {
    /// The tables.
    pub ledger: &'a mut Ledger,
    /// What has changed in them.
    pub changes: &'a Changes,
    /// The dictionaries.
    pub dictionaries: &'a Dictionaries,
    /// What was read.
    pub inputs: &'a mut InputTracker,
    /// What waits.
    pub unmatched: UnmatchedChanges,
    /// The catalog of the epoch.
    pub catalog: &'a Catalog,
    /// What of `enriched_logs` counts.
    pub enriched: Vec<PartEntry>,
    /// What of `_rejects` counts.
    pub rejects: Vec<PartEntry>,
    /// The epoch.
    pub epoch: Epoch,
    /// The text of the manifest that is published for it.
    pub manifest: &'a str,
}

impl Committer {
    /// A keeper of a store, of which these names and so much else were saved already.
    pub fn new(
        store: Store,
        dictionaries: &Dictionaries,
        metadata: HashSet<u128>,
        catalog_rejects: u64,
        wants_settled: bool,
    ) -> Self {
        Self {
            store,
            saved_users: dictionaries.users.read().len() as u32,
            saved_songs: dictionaries.songs.read().len() as u32,
            saved_metadata: metadata.len() as u64,
            metadata,
            new_metadata: Vec::new(),
            new_catalog_rejects: Vec::new(),
            saved_catalog_rejects: catalog_rejects,
            read_in: wants_settled.then(VecDeque::new),
        }
    }

    /// The last generation.
    pub fn current(&self) -> &Generation {
        self.store.current()
    }

    /// Notes the metadata of a catalog that comes into force: rows of `enriched_logs` may carry it
    /// for ever.
    pub fn note_catalog(&mut self, catalog: &Catalog, dictionaries: &Dictionaries) {
        for song in (0..dictionaries.songs.read().len() as u32).map(SongId) {
            let Some((row_end, len)) = catalog.row_end(song) else { continue };
            let mut row = song.0.to_le_bytes().to_vec();
            row.extend_from_slice(&row_end[..len]);
            if self.metadata.insert(xxh3_128(&row)) {
                self.new_metadata.push(row);
            }
        }
    }

    /// Notes rejected rows of a catalog, which are not reported again.
    pub fn note_catalog_rejects(&mut self, rejects: &[Reject]) {
        self.new_catalog_rejects.extend(rejects.iter().map(|reject| {
            let mut row = reject.reason.code().as_bytes().to_vec();
            row.push(b'\n');
            row.extend_from_slice(&reject.raw);
            row
        }));
    }

    /// Commits a cut.
    ///
    /// # Errors
    /// What the file system says (73, 74), or what is damaged (65).
    pub fn commit(&mut self, mut commit: Commit<'_>) -> Result<(), Error> {
        let inputs = commit.inputs.take_unsaved();
        let read: Vec<InputId> = inputs.iter().map(|(id, _)| *id).collect();
        let next = Generation {
            epoch: commit.epoch.0,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            plays: commit.ledger.plays(),
            latest: commit.ledger.latest(),
            catalog: hash_text(commit.catalog.fingerprint()),
            enriched: std::mem::take(&mut commit.enriched),
            rejects: if planted(Bug::RejectsOutside) {
                self.store.current().rejects.clone()
            } else {
                std::mem::take(&mut commit.rejects)
            },
            unmatched: std::mem::take(&mut commit.unmatched.file),
            manifest: Some(commit.manifest.to_owned()),
            parts: Vec::new(),
            ..self.store.current().clone()
        };
        let users = commit.dictionaries.users.read().len() as u32;
        let songs = commit.dictionaries.songs.read().len() as u32;
        let Self { store, saved_users, saved_songs, .. } = self;
        let (new_users, new_songs) = (*saved_users..users, *saved_songs..songs);
        let metadata = (self.saved_metadata, std::mem::take(&mut self.new_metadata));
        let catalog_rejects = (self.saved_catalog_rejects, std::mem::take(&mut self.new_catalog_rejects));
        store.commit(next, |writer| {
            write_names(writer, Table::Users, &commit.dictionaries.users, new_users)?;
            write_names(writer, Table::Songs, &commit.dictionaries.songs, new_songs)?;
            write_ledger(writer, commit.ledger, commit.changes)?;
            write_inputs(writer, &inputs)?;
            writer.begin(Table::WaitingPlaces)?;
            for (song, place) in &commit.unmatched.places {
                writer.number(u64::from(song.0), place.map_or(0, |place| place + 1))?;
            }
            write_rows(writer, Table::Metadata, &metadata)?;
            write_rows(writer, Table::CatalogRejects, &catalog_rejects)
        })?;
        (self.saved_users, self.saved_songs) = (users, songs);
        self.saved_metadata += metadata.1.len() as u64;
        self.saved_catalog_rejects += catalog_rejects.1.len() as u64;
        self.note_read(read);
        Ok(())
    }

    /// Commits what was committed once more, so that older generations go: nothing that they need
    /// and this one does not is needed any longer.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn commit_again(&mut self) -> Result<(), Error> {
        let next = self.store.current().clone();
        self.store.commit(next, |_| Ok(()))
    }

    /// Commits what is known of inputs that have brought no rows: that one was cut short must not be
    /// forgotten, though it is no news to readers.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn commit_inputs(&mut self, inputs: &mut InputTracker) -> Result<(), Error> {
        let next = self.store.current().clone();
        let unsaved = inputs.take_unsaved();
        self.store.commit(next, |writer| write_inputs(writer, &unsaved))?;
        self.note_read(unsaved.into_iter().map(|(id, _)| id).collect());
        Ok(())
    }

    /// Removes what is not needed any more.
    ///
    /// # Errors
    /// What the file system says, exit code 73.
    pub fn retire(&mut self) -> Result<(), Error> {
        self.store.retire()
    }

    /// Notes that inputs were read further in the last generation.
    pub fn note_read(&mut self, inputs: Vec<InputId>) {
        let number = self.store.current().number;
        if let Some(read_in) = &mut self.read_in {
            read_in.push_back((number, inputs));
        }
    }

    /// Whether there are inputs that wait for generations to go before they are settled.
    pub fn has_unsettled(&self) -> bool {
        self.read_in.as_ref().is_some_and(|read_in| !read_in.is_empty())
    }

    /// The inputs that all generations hold that one can go back to.
    pub fn take_settled(&mut self, inputs: &InputTracker) -> Vec<RetirableInput> {
        let oldest = self.store.oldest();
        let Some(read_in) = &mut self.read_in else { return Vec::new() };
        let mut retirable = Vec::new();
        while let Some((_, ids)) = read_in.pop_front_if(|(number, _)| *number <= oldest) {
            retirable.extend(inputs.retirable(&ids));
        }
        // One that was read further since then is settled later, as a whole.
        let later: HashSet<InputId> = read_in.iter().flat_map(|(_, ids)| ids).copied().collect();
        retirable.retain(|retirable| !later.contains(&retirable.input));
        retirable
    }
}

fn write_names<I: Id>(
    writer: &mut SegmentWriter,
    table: Table,
    dictionaries: &SharedDictionary<I>,
    new: std::ops::Range<u32>,
) -> Result<(), Error> {
    writer.begin(table)?;
    let dictionaries = dictionaries.read();
    for number in new {
        writer.bytes(u64::from(number), dictionaries.resolve(I::from_u32(number)))?;
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
    tables.song_plays.take_unsaved_weeks(&changes.songs, |week, song, plays| {
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

fn write_rows(writer: &mut SegmentWriter, table: Table, rows: &(u64, Vec<Vec<u8>>)) -> Result<(), Error> {
    writer.begin(table)?;
    for (number, row) in (rows.0..).zip(&rows.1) {
        writer.bytes(number, row)?;
    }
    Ok(())
}

/// The manifest that was committed with a generation.
pub fn manifest_of(generation: &Generation) -> Option<Manifest> {
    serde_json::from_str(generation.manifest.as_deref()?).ok()
}
