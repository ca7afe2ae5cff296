//! The start of a run: an empty state, or the state that an earlier process committed.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::engine::run_mode::RunMode;
use crate::ingest::source::archive::WhenDone;
use crate::ingest::source::compression::Compression;
use crate::ingest::source::fingerprint::{FileId, InodeKey, UNKNOWN, has_read_content};
use crate::ingest::source::tail::KnownInput;
use crate::insights::enriched_logs;
use crate::model::Epoch;
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;
use crate::publish::epoch::Published;
use crate::publish::manifest::{self, InsightEntry, Manifest, PartEntry, hash_text};
use crate::settings::Settings;
use crate::state::checkpoint::committer::{Committer, manifest_of};
use crate::state::checkpoint::generation::StateConfig;
use crate::state::checkpoint::load::Loaded;
use crate::state::checkpoint::recover::{StartOptions, begin, generations_in, open, read_sound};
use crate::state::checkpoint::store::Store;
use crate::state::unmatched::UnmatchedPlays;
use crate::storage::{Disk, SharedDisk, hash_of};
use crate::text::{harmless, shown};

/// The state that a run starts from.
#[derive(Debug)]
pub struct Recovered {
    /// The ledger and the input progress.
    pub loaded: Loaded,
    /// Commits later states; `None` in a `replay`.
    pub committer: Option<Committer>,
    /// The unmatched plays; `None` in a `replay`, because its catalog never changes.
    pub unmatched: Option<UnmatchedPlays>,
    /// The committed epoch. Some of its files may not be published yet.
    pub published: Published,
    /// The committed parts of the append-only tables.
    pub tables: CommittedTables,
}

/// The committed parts of the append-only tables.
#[derive(Debug, Default)]
pub struct CommittedTables {
    /// Parts of `enriched_logs`.
    pub enriched: Vec<PartEntry>,
    /// Parts of `_rejects`.
    pub rejects: Vec<PartEntry>,
    /// Whether a table begins again if its rows are lost.
    pub accept_loss: bool,
}

/// Starts a `replay`, always from an empty state.
///
/// # Errors
/// If the output belongs to a `watch` and `--fresh` is not set, exit code 78.
pub fn replay(disk: &SharedDisk, settings: &Settings, options: StartOptions) -> Result<Recovered, Error> {
    if !options.fresh
        && Manifest::read(disk, &settings.output)?
            .is_some_and(|manifest| manifest.producer == RunMode::Watch.name())
    {
        let message = format!(
            "{} is the output of a watch; choose a different folder with --output, or replace this one with \
             --fresh",
            shown(&settings.output)
        );
        return Err(Error::Config(message));
    }
    Ok(Recovered {
        loaded: Loaded::empty(&StateConfig::of(settings)),
        committer: None,
        unmatched: None,
        published: Published::new(disk, settings, Epoch(0)),
        tables: CommittedTables::default(),
    })
}

/// Continues a `watch` after the last commit of the previous process. `dictionaries` must be empty.
///
/// # Errors
/// If the state or the output is damaged (65), if the state is missing or belongs to different settings (78),
/// or if a file system operation fails (73, 74).
pub fn watch(
    disk: &SharedDisk,
    settings: &Settings,
    options: StartOptions,
    dictionaries: &Dictionaries,
) -> Result<Recovered, Error> {
    let config = StateConfig::of(settings);
    let manifest = match Manifest::read(disk, &settings.output) {
        // `--fresh` also replaces a damaged manifest.
        Err(_) if options.fresh => None,
        manifest => manifest?.filter(|manifest| manifest.producer == RunMode::Watch.name()),
    };
    let last_epoch = manifest.as_ref().map_or(0, |manifest| manifest.epoch);
    let mut store = if options.fresh {
        refuse_if_deleted(disk, settings, manifest.as_ref())?;
        begin(disk, &settings.state, config, last_epoch)?
    } else if let Some(store) = open(disk, &settings.state, &config, options)? {
        if store.current().epoch < last_epoch && !options.rollback {
            return Err(older_than_output(settings, store.current().epoch, last_epoch));
        }
        store
    } else if manifest.is_some() {
        let (output, state) = (shown(&settings.output), shown(&settings.state));
        let message = format!(
            "{output} is the output of a watch, but {state} has no state for it; restore the state, or read \
             everything again with --fresh"
        );
        return Err(Error::Config(message));
    } else {
        begin(disk, &settings.state, config, last_epoch)?
    };
    let mut loaded = Loaded::of(&**disk, &settings.state, store.current(), dictionaries)?;
    if options.retry_rejected {
        retry_rejected(&mut store, &mut loaded, StateConfig::of(settings));
    }
    loaded.ledger.tables_mut().listens.keep_unsaved();
    let places = std::mem::take(&mut loaded.unmatched);
    let unmatched = UnmatchedPlays::resume(disk, &settings.state, &store.current().unmatched, places)?;
    let generation = store.current();
    let tables = CommittedTables {
        enriched: generation.enriched.clone(),
        rejects: generation.rejects.clone(),
        accept_loss: options.accept_missing_output,
    };
    let mut published = Published::new(disk, settings, Epoch(generation.epoch.max(last_epoch)));
    if let Some(committed) = manifest_of(generation) {
        published = compare_with_output(disk, &settings.output, published, committed);
    }
    let metadata = std::mem::take(&mut loaded.metadata);
    let retires_inputs = settings.input.when_done != WhenDone::Keep;
    let rejects = loaded.catalog_rejects.len() as u64;
    let mut committer = Committer::new(store, dictionaries, metadata, rejects, retires_inputs);
    committer.note_advanced(loaded.inputs.ids());
    Ok(Recovered { loaded, committer: Some(committer), unmatched: Some(unmatched), published, tables })
}

/// Prepares for reading inputs again whose rows were all rejected.
fn retry_rejected(store: &mut Store, loaded: &mut Loaded, config: StateConfig) {
    let found = loaded.inputs.retry_rejected(store.current().config != config);
    store.set_config(config);
    tracing::info!("{} rejected inputs are read again", found.retried);
    if let Some(first) = found.partly_rejected.first() {
        tracing::warn!(
            "{} inputs are not read again, because other rows of them count, for example {}; read everything \
             again with --fresh to count their rejected rows",
            found.partly_rejected.len(),
            harmless(first)
        );
    }
}

/// The error for a state that is older than the output: the state is a backup, or its newest generation
/// was removed. Continuing from such a state would withdraw published rows.
fn older_than_output(settings: &Settings, committed: u64, published: u64) -> Error {
    let (output, state) = (shown(&settings.output), shown(&settings.state));
    let message = format!(
        "{output} shows epoch {published}, but {state} ends at epoch {committed}; restore the newer state, \
         continue from this state with --rollback (rows of inputs that no longer exist are lost), or read \
         everything again with --fresh"
    );
    Error::Damaged(message)
}

/// Checks which files of the committed epoch are already published.
fn compare_with_output(
    disk: &SharedDisk,
    output: &Path,
    published: Published,
    committed: Manifest,
) -> Published {
    let text = Manifest::text_in(disk, output).ok().flatten();
    let manifest_written = text.as_deref() == Some(committed.to_text().as_bytes());
    // The manifest is written last. If it is in place, all other files were there, too. If there is none, it
    // was removed, unless a crash interrupted the publication of the first epoch.
    let was_complete = manifest_written || (text.is_none() && committed.epoch > 1);
    let is_in_place = |name: &String, entry: &InsightEntry| {
        entry.files(output, name).iter().all(|(path, part)| matches_entry(&**disk, path, part))
    };
    let files: BTreeMap<_, _> =
        committed.insights.clone().into_iter().filter(|(name, entry)| is_in_place(name, entry)).collect();
    // The CSV parts of `enriched_logs` may be longer than the committed ones. Their own check comes later.
    let is_missing = |(name, entry): &(&String, &InsightEntry)| {
        !files.contains_key(*name)
            && (*name != enriched_logs::NAME
                || InsightEntry { parts: Vec::new(), ..(*entry).clone() }
                    .files(output, name)
                    .iter()
                    .any(|(path, part)| !matches_entry(&**disk, path, part)))
    };
    let missing = committed.insights.iter().find(is_missing).map(|(name, _)| name.clone());
    let mut published = published.with_committed(committed, files, manifest_written);
    if was_complete && (missing.is_some() || !manifest_written) {
        let name = missing.as_deref().unwrap_or(manifest::FILE);
        let output = shown(output);
        tracing::warn!(
            "{output}: published files are missing or damaged, including {name}; they are written again"
        );
        published.note_damage();
    }
    published
}

/// Whether a file has exactly the length and hash of its entry.
fn matches_entry(disk: &dyn Disk, path: &Path, part: &PartEntry) -> bool {
    let read = || -> std::io::Result<bool> {
        let file = disk.open(path)?;
        Ok(file.len()? == part.bytes && hash_text(hash_of(&*file, part.bytes)?) == part.hash)
    };
    read().unwrap_or(false)
}

/// Refuses to read everything again if that would lose rows.
///
/// # Errors
/// If an input that was read is gone or has changed, exit code 78.
fn refuse_if_deleted(
    disk: &SharedDisk,
    settings: &Settings,
    manifest: Option<&Manifest>,
) -> Result<(), Error> {
    let refuse = |what: &str| {
        let (output, state) = (shown(&settings.output), shown(&settings.state));
        let message = format!(
            "{what}, so reading everything again would lose rows; start without --fresh to continue from \
             {state} (with --accept-missing-output if tables of {output} are missing), or accept the loss: \
             remove {output} and {state} yourself"
        );
        Err(Error::Config(message))
    };
    let Some(known) = known_inputs(&**disk, &settings.state) else {
        let deleted = manifest.is_some_and(|manifest| manifest.inputs_deleted);
        return if deleted { refuse("inputs were deleted after they were read") } else { Ok(()) };
    };
    let files = FileIndex::of(settings);
    let gone: Vec<&KnownInput> = known
        .iter()
        .filter(|known| !known.retried && known.position.offset > 0 && files.find(known).is_none())
        .collect();
    match gone.first() {
        None => Ok(()),
        Some(first) => refuse(&format!(
            "{} inputs that were read are gone or changed, including {}",
            gone.len(),
            first.input.label
        )),
    }
}

/// The inputs of the newest readable generation; `None` if there is none.
fn known_inputs(disk: &dyn Disk, state: &Path) -> Option<Vec<KnownInput>> {
    let numbers = generations_in(disk, state).ok()?;
    let generation = numbers.iter().find_map(|&number| read_sound(disk, state, number).ok())?;
    Some(Loaded::of(disk, state, &generation, &Dictionaries::default()).ok()?.inputs.known())
}

/// The files in the folders of incoming and of archived logs, by name, inode and size.
#[derive(Debug, Default)]
pub struct FileIndex {
    folders: Vec<PathBuf>,
    by_inode: HashMap<InodeKey, (FileId, PathBuf)>,
    by_size: HashMap<u64, Vec<PathBuf>>,
}

impl FileIndex {
    /// Indexes all files, whatever their names. Folders that cannot be read are skipped.
    pub fn of(settings: &Settings) -> Self {
        let folders = vec![settings.incoming.clone(), settings.input.archive_dir.clone()];
        let mut files = Self { folders: folders.clone(), ..Self::default() };
        let mut unread = folders;
        while let Some(folder) = unread.pop() {
            for entry in folder.read_dir().into_iter().flatten().flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_file() {
                    let id = FileId::of(&metadata);
                    files.by_inode.insert(id.inode_key, (id, entry.path()));
                    files.by_size.entry(metadata.len()).or_default().push(entry.path());
                } else if metadata.is_dir() && settings.input.recursive {
                    unread.push(entry.path());
                }
            }
        }
        files
    }

    /// The path of a file that still has all bytes that were read from an input; `None` if there is no such
    /// file. The name of the input may also lead to a subfolder or a link.
    pub fn find(&self, known: &KnownInput) -> Option<PathBuf> {
        let fingerprint = &known.fingerprint;
        let by_inode = self.by_inode.get(&fingerprint.id.inode_key);
        let by_inode =
            by_inode.filter(|(id, _)| id.may_be_same(&fingerprint.id)).map(|(_, path)| path.clone());
        let by_name = self.folders.iter().map(|folder| folder.join(&fingerprint.name));
        let by_size = self.by_size.get(&fingerprint.stat.size).into_iter().flatten().cloned();
        by_inode.into_iter().chain(by_name).chain(by_size).find(|path| has_what_was_read(path, known))
    }
}

/// Whether a file still has the bytes that were read from an input.
fn has_what_was_read(path: &Path, known: &KnownInput) -> bool {
    // Opening a pipe would block.
    if !path.is_file() {
        return false;
    }
    let Ok(file) = File::open(path) else { return false };
    // A file in UTF-16 is read whole, too, and has a plain name.
    let is_plain = Compression::of(path) == Compression::Plain && known.fingerprint.whole == 0;
    let long_enough = match Compression::of(path) {
        Compression::Plain if is_plain => {
            file.metadata().is_ok_and(|metadata| metadata.len() >= known.position.offset)
        }
        _ => true,
    };
    // In a compressed input, the position is an offset in the decompressed text, so the hash of the tail
    // cannot be compared.
    let tail = if is_plain { known.position.tail } else { UNKNOWN };
    long_enough
        && has_read_content(&file, known.fingerprint.head, known.position.offset, tail).unwrap_or(false)
}
