//! What a run starts from: nothing, or what an earlier process has committed.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::engine::coordinator::{Resumed, RunMode};
use crate::ingest::source::archive::WhenDone;
use crate::ingest::source::compression::Compression;
use crate::ingest::source::fingerprint::{FileId, InodeKey, UNKNOWN, has_read_content};
use crate::ingest::source::tail::KnownInput;
use crate::model::Epoch;
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;

use crate::publish::manifest::{InsightEntry, Manifest, PartEntry, hash_text};
use crate::settings::Settings;
use crate::state::checkpoint::committer::{Committer, manifest_of};
use crate::state::checkpoint::generation::StateConfig;
use crate::state::checkpoint::load::Loaded;
use crate::state::checkpoint::recover::{StartOptions, begin, generations_in, open, read_sound};
use crate::state::unmatched::UnmatchedPlays;
use crate::storage::{Disk, SharedDisk, hash_of};

/// What a run starts from.
#[derive(Debug)]
pub struct Recovered {
    /// What was taken in.
    pub loaded: Loaded,
    /// Commits what comes next.
    pub committer: Option<Committer>,
    /// Plays that wait for their song; nothing in a `replay`, whose catalog never changes.
    pub unmatched: Option<UnmatchedPlays>,
    /// What was committed and may not be published.
    pub resumed: Option<Resumed>,
    /// The last epoch that a reader has seen.
    pub epoch: Epoch,
    /// What of the logs counts.
    pub logs: CommittedTables,
}

/// The committed parts of the logs.
#[derive(Debug, Default)]
pub struct CommittedTables {
    /// Of `enriched_logs`.
    pub enriched: Vec<PartEntry>,
    /// Of `_rejects`.
    pub rejects: Vec<PartEntry>,
}

/// The start of a `replay`.
///
/// # Errors
/// If the output is that of a `watch` and may not be replaced, exit code 78.
pub fn replay(disk: &SharedDisk, settings: &Settings, options: StartOptions) -> Result<Recovered, Error> {
    if !options.fresh
        && Manifest::read(disk, &settings.output)?
            .is_some_and(|manifest| manifest.producer == RunMode::Watch.name())
    {
        let message = format!(
            "{} is the output of a watch; name another with --output, or replace it with --fresh",
            settings.output.display()
        );
        return Err(Error::Config(message));
    }
    Ok(Recovered {
        loaded: Loaded::empty(&StateConfig::of(settings)),
        committer: None,
        unmatched: None,
        resumed: None,
        epoch: Epoch(0),
        logs: CommittedTables::default(),
    })
}

/// The start of a `watch`: where the last one was stopped or killed. `dictionaries` must be empty.
///
/// # Errors
/// If what is there is damaged (65), belongs to other settings or has lost its state (78), or what
/// the file system says (73, 74).
pub fn watch(
    disk: &SharedDisk,
    settings: &Settings,
    options: StartOptions,
    dictionaries: &Dictionaries,
) -> Result<Recovered, Error> {
    let shape = StateConfig::of(settings);
    let manifest = match Manifest::read(disk, &settings.output) {
        // Whoever wants everything anew does not care for what was there.
        Err(_) if options.fresh => None,
        manifest => manifest?.filter(|manifest| manifest.producer == RunMode::Watch.name()),
    };
    let published = manifest.as_ref().map_or(0, |manifest| manifest.epoch);
    let store = if options.fresh {
        refuse_if_deleted(disk, settings, manifest.as_ref())?;
        begin(disk, &settings.state, shape, published)?
    } else if let Some(store) = open(disk, &settings.state, &shape, options)? {
        if store.current().epoch < published && !options.rollback {
            return Err(older_than_output(settings, store.current().epoch, published));
        }
        store
    } else if manifest.is_some() {
        let (output, state) = (settings.output.display(), settings.state.display());
        let message = format!(
            "{output} is the output of a watch, but {state} holds no state of it; bring the state back, or \
             read everything again with --fresh"
        );
        return Err(Error::Config(message));
    } else {
        begin(disk, &settings.state, shape, published)?
    };
    let mut loaded = Loaded::of(&**disk, &settings.state, store.current(), dictionaries)?;
    loaded.ledger.tables_mut().listens.keep_unsaved();
    let places = std::mem::take(&mut loaded.unmatched);
    let unmatched = UnmatchedPlays::resume(disk, &settings.state, &store.current().unmatched, places)?;
    let generation = store.current();
    let logs = CommittedTables { enriched: generation.enriched.clone(), rejects: generation.rejects.clone() };
    let epoch = Epoch(generation.epoch.max(published));
    let resumed = manifest_of(generation).map(|committed| resumed(disk, &settings.output, committed));
    let metadata = std::mem::take(&mut loaded.metadata);
    let retires_inputs = settings.input.when_done != WhenDone::Keep;
    let rejects = loaded.catalog_rejects.len() as u64;
    let mut committer = Committer::new(store, dictionaries, metadata, rejects, retires_inputs);
    committer.note_advanced(loaded.inputs.ids());
    Ok(Recovered { loaded, committer: Some(committer), unmatched: Some(unmatched), resumed, epoch, logs })
}

/// The state is a backup, or a part of it was removed: to go on from it takes back what was published.
fn older_than_output(settings: &Settings, committed: u64, published: u64) -> Error {
    let (output, state) = (settings.output.display(), settings.state.display());
    let message = format!(
        "{output} shows epoch {published}, but {state} ends at epoch {committed}: bring the newer state back, go \
         on from this one with --rollback (inputs that are gone by now are then lost), or read everything again \
         with --fresh"
    );
    Error::Damaged(message)
}

/// Compares the output with what was committed for it.
fn resumed(disk: &SharedDisk, output: &Path, manifest: Manifest) -> Resumed {
    let text = Manifest::text_in(disk, output).ok().flatten();
    let published = text.as_deref() == Some(manifest.to_text().as_bytes());
    let is_there = |name: &String, entry: &InsightEntry| {
        entry.files(output, name).iter().all(|(path, part)| holds(&**disk, path, part))
    };
    let insights: BTreeMap<_, _> =
        manifest.insights.clone().into_iter().filter(|(name, entry)| is_there(name, entry)).collect();
    Resumed { manifest, published, insights }
}

/// Whether a file holds what an entry says, no more and no less.
fn holds(disk: &dyn Disk, path: &Path, part: &PartEntry) -> bool {
    let read = || -> std::io::Result<bool> {
        let file = disk.open(path)?;
        Ok(file.len()? == part.bytes && hash_text(hash_of(&*file, part.bytes)?) == part.hash)
    };
    read().unwrap_or(false)
}

/// Refuses to read everything again if not everything is there any more.
fn refuse_if_deleted(
    disk: &SharedDisk,
    settings: &Settings,
    manifest: Option<&Manifest>,
) -> Result<(), Error> {
    let refuse = |what: &str| {
        let (output, state) = (settings.output.display(), settings.state.display());
        let message = format!(
            "{what}, so reading everything again would lose rows; to do it all the same, remove {output} and \
             {state} yourself"
        );
        Err(Error::Config(message))
    };
    let Some(known) = known_inputs(&**disk, &settings.state) else {
        let deleted = manifest.is_some_and(|manifest| manifest.inputs_deleted);
        return if deleted { refuse("inputs were deleted after they had been read") } else { Ok(()) };
    };
    let files = FileIndex::in_folders(&[&settings.incoming, &settings.input.archive_dir]);
    let gone: Vec<&KnownInput> =
        known.iter().filter(|known| known.position.offset > 0 && files.find(known).is_none()).collect();
    match gone.first() {
        None => Ok(()),
        Some(first) => refuse(&format!(
            "{} inputs that were read are gone or changed, {} among them",
            gone.len(),
            first.input.label
        )),
    }
}

/// The inputs of the newest generation that can be read.
fn known_inputs(disk: &dyn Disk, state: &Path) -> Option<Vec<KnownInput>> {
    let numbers = generations_in(disk, state).ok()?;
    let generation = numbers.iter().find_map(|&number| read_sound(disk, state, number).ok())?;
    Some(Loaded::of(disk, state, &generation, &Dictionaries::default()).ok()?.inputs.known())
}

/// The files of folders, by their number and by how they begin.
#[derive(Debug, Default)]
pub struct FileIndex {
    by_number: HashMap<InodeKey, (FileId, PathBuf)>,
    by_size: HashMap<u64, Vec<PathBuf>>,
}

impl FileIndex {
    /// All files directly in some folders; one that is missing has none.
    pub fn in_folders(folders: &[&Path]) -> Self {
        let mut files = Self::default();
        for entry in folders.iter().filter_map(|folder| folder.read_dir().ok()).flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() {
                let id = FileId::of(&metadata);
                files.by_number.insert(id.inode_key, (id, entry.path()));
                files.by_size.entry(metadata.len()).or_default().push(entry.path());
            }
        }
        files
    }

    /// Where an input is, if all that was read of it is still there.
    pub fn find(&self, known: &KnownInput) -> Option<PathBuf> {
        let seen = &known.fingerprint;
        let by_number = self.by_number.get(&seen.id.inode_key).filter(|(id, _)| id.may_be_same(&seen.id));
        let by_number = by_number.map(|(_, path)| path);
        let same_size = self.by_size.get(&seen.stat.size).into_iter().flatten();
        by_number.into_iter().chain(same_size).find(|path| begins_alike(path, known)).cloned()
    }
}

fn begins_alike(path: &Path, known: &KnownInput) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let long_enough = match Compression::of(path) {
        Compression::Plain => file.metadata().is_ok_and(|metadata| metadata.len() >= known.position.offset),
        Compression::Gzip | Compression::Zstd | Compression::Parquet => true,
    };
    // Offsets of compressed inputs are not those of the file.
    let tail = if Compression::of(path) == Compression::Plain { known.position.tail } else { UNKNOWN };
    long_enough
        && has_read_content(&file, known.fingerprint.head, known.position.offset, tail).unwrap_or(false)
}
