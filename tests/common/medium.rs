//! The state of the medium after a power cut: all synced operations, and some unsynced operations.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use music_insights::generate::rng::Rng as Dice;

use crate::sim_disk::{Cut, Names, Number, Op, View};

/// The number of bytes that the medium writes atomically.
const SECTOR: usize = 512;

/// A file: its durable bytes, and the writes that are not durable yet.
#[derive(Debug, Default)]
struct Bytes {
    durable: Vec<u8>,
    /// The length of the file as processes see it.
    len: usize,
    pending: Vec<Write>,
}

#[derive(Debug)]
struct Write {
    /// The offset of `bytes`. If `bytes` is `None`, this is the new length of the truncated file.
    at: usize,
    bytes: Option<Vec<u8>>,
    /// Whether a sync of this operation has failed. Later syncs then do not try again.
    given_up: bool,
}

impl Bytes {
    fn append(&mut self, bytes: &[u8]) {
        self.pending.push(Write { at: self.len, bytes: Some(bytes.to_vec()), given_up: false });
        self.len += bytes.len();
    }

    fn cut(&mut self, len: usize) {
        self.pending.push(Write { at: len, bytes: None, given_up: false });
        self.len = len;
    }

    fn sync(&mut self) {
        let mut given_up: Vec<Write> = Vec::new();
        for write in std::mem::take(&mut self.pending) {
            if write.given_up {
                given_up.push(write);
                continue;
            }
            if write.bytes.is_none() {
                // Truncation makes earlier writes beyond the new end obsolete.
                given_up.retain(|earlier| earlier.at < write.at);
                for earlier in &mut given_up {
                    let most = write.at - earlier.at;
                    earlier.bytes.iter_mut().for_each(|bytes| bytes.truncate(most));
                }
            }
            put(&mut self.durable, &write, |_| true);
        }
        self.pending = given_up;
    }

    fn after(&self, cut: Cut, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        if cut == Cut::AllLost || self.pending.is_empty() {
            return bytes;
        }
        for write in &self.pending {
            match if cut == Cut::AllKept { 0 } else { dice.below(3) } {
                0 => put(&mut bytes, write, |_| true),
                1 => put(&mut bytes, write, |_| dice.below(2) == 0),
                _ => {}
            }
        }
        // The medium may store the new length of a file before its bytes.
        if cut != Cut::AllKept && bytes.len() < self.len && dice.below(3) == 0 {
            let more = dice.below((self.len - bytes.len()) as u64 + 1) as usize;
            bytes.resize(bytes.len() + more, 0);
        }
        bytes
    }
}

/// Writes the sectors that `reaches` selects. Fills gaps with NUL bytes.
fn put(file: &mut Vec<u8>, write: &Write, mut reaches: impl FnMut(usize) -> bool) {
    let Some(bytes) = &write.bytes else {
        if reaches(write.at) {
            file.truncate(write.at);
        }
        return;
    };
    let mut from = 0;
    while from < bytes.len() {
        let at = write.at + from;
        let to = bytes.len().min(from + SECTOR - at % SECTOR);
        if reaches(at) {
            file.resize(file.len().max(write.at + to), 0);
            file[at..write.at + to].copy_from_slice(&bytes[from..to]);
        }
        from = to;
    }
}

/// An unsynced change of file names.
#[derive(Debug)]
struct Naming {
    folder: PathBuf,
    gone: Option<PathBuf>,
    there: Option<(PathBuf, Number)>,
    /// Whether a sync of this operation has failed. Later syncs then do not try again.
    given_up: bool,
    synced: bool,
}

/// The medium that stores the files of a [`View`].
#[derive(Debug)]
pub(super) struct Medium {
    seen: View,
    files: BTreeMap<Number, Bytes>,
    durable: BTreeMap<PathBuf, Number>,
    pending: Vec<Naming>,
}

impl Medium {
    /// Creates a medium on which the whole view is durable.
    pub(super) fn of(base: &View) -> Self {
        let file = |bytes: &Vec<u8>| Bytes { durable: bytes.clone(), len: bytes.len(), pending: Vec::new() };
        let files = base.files.iter().map(file).enumerate().collect();
        Self { seen: base.clone(), files, durable: base.names.clone(), pending: Vec::new() }
    }

    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::Create(path, number) => self.rename(None, Some((path.clone(), *number))),
            Op::Rename(from, to) => {
                self.rename(Some(from.clone()), Some((to.clone(), self.seen.names[from])));
            }
            Op::Remove(path) => self.rename(Some(path.clone()), None),
            Op::Append(number, bytes) => self.file(*number).append(bytes),
            Op::Cut(number, len) => self.file(*number).cut(*len),
            Op::Sync(number) => self.file(*number).sync(),
            Op::FailedSync(number) => {
                self.file(*number).pending.iter_mut().for_each(|write| write.given_up = true);
            }
            Op::SyncFolder(folder) => self.sync_folder(folder),
            Op::FailedSyncFolder(folder) => {
                let inside = self.pending.iter_mut().filter(|naming| naming.folder == *folder);
                inside.for_each(|naming| naming.given_up = true);
            }
            // Creating and removing folders is durable without a sync.
            Op::CreateFolder(_) | Op::RemoveFolder(_) => {}
        }
        self.seen.apply(op);
    }

    fn file(&mut self, number: Number) -> &mut Bytes {
        self.files.entry(number).or_default()
    }

    fn rename(&mut self, gone: Option<PathBuf>, there: Option<(PathBuf, Number)>) {
        let path = there
            .as_ref()
            .map(|(path, _)| path)
            .or(gone.as_ref())
            .expect("a rename has an old or a new path");
        let folder = path.parent().expect("every file is in a folder").to_owned();
        self.pending.push(Naming { folder, gone, there, given_up: false, synced: false });
    }

    fn sync_folder(&mut self, folder: &Path) {
        for naming in &mut self.pending {
            naming.synced |= naming.folder == folder && !naming.given_up;
        }
        // A synced operation stays in the list as long as an earlier operation is not synced.
        let settled = self.pending.iter().take_while(|naming| naming.synced).count();
        for naming in self.pending.drain(..settled) {
            apply(&mut self.durable, &naming);
        }
    }

    /// The content of the medium after the power cut.
    pub(super) fn cut(mut self, cut: Cut, dice: &mut Dice) -> View {
        // In a journal, an operation becomes durable only after all earlier operations.
        let last_synced = self.pending.iter().rposition(|naming| naming.synced).map_or(0, |last| last + 1);
        let open = (self.pending.len() - last_synced) as u64;
        let prefix = last_synced + dice.below(open + 1) as usize;
        for (index, naming) in self.pending.iter().enumerate() {
            let kept = match cut {
                Cut::AllKept => true,
                Cut::Dice(Names::Prefix) => naming.synced || (index < prefix && !naming.given_up),
                Cut::Dice(Names::Any) => naming.synced || dice.below(2) == 0,
                Cut::AllLost | Cut::Kill => naming.synced,
            };
            if kept {
                apply(&mut self.durable, naming);
            }
        }
        let files = (0..self.seen.files.len()).map(|number| match self.files.get(&number) {
            Some(bytes) => bytes.after(cut, dice),
            None => Vec::new(),
        });
        View { files: files.collect(), folders: self.seen.folders, names: self.durable }
    }
}

fn apply(names: &mut BTreeMap<PathBuf, Number>, Naming { gone, there, .. }: &Naming) {
    if let Some(path) = gone {
        names.remove(path);
    }
    if let Some((path, number)) = there {
        names.insert(path.clone(), *number);
    }
}
