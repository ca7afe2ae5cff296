//! What is found at start: the newest sound generation, and leftovers that go.

use std::collections::{HashSet, VecDeque};
use std::path::Path;

use crate::model::error::Error;
use crate::state::checkpoint::generation::{
    FORMAT, Generation, StateConfig, Unusable, generation_name, generation_number,
};
use crate::state::checkpoint::segment::{SegmentReader, is_segment_name};
use crate::state::checkpoint::store::{KEPT, Store};
use crate::state::unmatched::{UnmatchedFile, is_unmatched_name};
use crate::storage::failpoint::{Bug, fail_point, planted};
use crate::storage::{Disk, SharedDisk, is_temporary, names_in, remove_file, sync_folder};

/// How a start deals with what is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartOptions {
    /// A damaged newest generation is passed over for an older one.
    pub rollback: bool,
    /// Everything is read again.
    pub fresh: bool,
}

/// The numbers of the generations in a folder, the newest first.
///
/// # Errors
/// What the file system says, exit code 73.
pub fn generations_in(disk: &dyn Disk, folder: &Path) -> Result<Vec<u64>, Error> {
    let names = names_in(disk, folder)?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| generation_number(name.to_str()?)).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    Ok(numbers)
}

/// A generation whose files are all sound.
///
/// # Errors
/// What is wrong: with the generation, or with the first file that is damaged.
pub fn read_sound(disk: &dyn Disk, folder: &Path, number: u64) -> Result<Generation, Unusable> {
    read_sound_but(disk, folder, number, &mut HashSet::new())
}

/// A generation whose parts are all sound; those in `sound` are known to be, and more come in.
fn read_sound_but(
    disk: &dyn Disk,
    folder: &Path,
    number: u64,
    sound: &mut HashSet<(String, String)>,
) -> Result<Generation, Unusable> {
    let generation = Generation::read(disk, folder, &generation_name(number))?;
    if generation.number != number {
        return Err(Unusable::Damaged(format!("it is generation {}", generation.number)));
    }
    for part in &generation.parts {
        if sound.contains(&(part.file.clone(), part.hash.clone())) {
            continue;
        }
        if let Err(cause) = SegmentReader::open(disk, folder, part) {
            return Err(Unusable::Damaged(format!("{}: {cause}", part.file)));
        }
        sound.insert((part.file.clone(), part.hash.clone()));
    }
    if let Err(cause) = generation.unmatched.check(disk, folder) {
        return Err(Unusable::Damaged(format!("{}: {cause}", generation.unmatched.name())));
    }
    Ok(generation)
}

/// Opens a folder with a state; nothing if there is no generation in it.
///
/// # Errors
/// If the newest generation is damaged (65), or is of a newer version or other settings (78).
pub fn open(
    disk: &SharedDisk,
    folder: &Path,
    shape: &StateConfig,
    options: StartOptions,
) -> Result<Option<Store>, Error> {
    fail_point("recover.begun");
    let numbers = generations_in(&**disk, folder)?;
    let Some(&newest) = numbers.first() else { return Ok(None) };
    let (mut sound, mut sound_parts) = (Vec::new(), HashSet::new());
    for &number in &numbers {
        match read_sound_but(&**disk, folder, number, &mut sound_parts) {
            Ok(generation) => sound.push(generation),
            Err(Unusable::Damaged(what)) => {
                let damage = format!("{}: {what}", folder.join(generation_name(number)).display());
                if !sound.is_empty() || options.rollback {
                    tracing::warn!("{damage}; it is left out");
                } else {
                    return Err(newest_is_damaged(&**disk, folder, &numbers, &damage));
                }
            }
            Err(Unusable::Format(version)) => {
                let path = folder.join(generation_name(number));
                let message = format!(
                    "{}: is of format {version}, this program reads {FORMAT}; use the version that wrote \
                     it, or read everything again with --fresh",
                    path.display()
                );
                return Err(Error::Config(message));
            }
        }
    }
    let Some(current) = sound.first().cloned() else {
        let message =
            format!("{}: no generation is sound; read everything again with --fresh", folder.display());
        return Err(Error::Damaged(message));
    };
    if let Some(difference) = current.shape.difference(shape) {
        let message = format!(
            "{}: {difference}; change it back, or read everything again with --fresh",
            folder.display()
        );
        return Err(Error::Config(message));
    }
    // A process that is killed before it lets go of an old one leaves it here. Behind a generation
    // without anything is another life, whose logs and waiting plays are about to be overwritten.
    sound.truncate(if current.manifest.is_none() { 1 } else { KEPT });
    let kept: VecDeque<(u64, Vec<String>)> =
        sound.iter().rev().map(|generation| (generation.number, generation.files())).collect();
    remove_leftovers(&**disk, folder, &kept)?;
    // A killed process may have left the newest generation before its name was durable. Nothing is
    // published of it until it is.
    if !planted(Bug::TrustNames) {
        sync_folder(&**disk, folder)?;
    }
    Ok(Some(Store::new(disk, folder, current, kept, newest)))
}

fn newest_is_damaged(disk: &dyn Disk, folder: &Path, numbers: &[u64], damage: &str) -> Error {
    let older = numbers[1..].iter().find(|&&number| read_sound(disk, folder, number).is_ok());
    let way_out = match older {
        Some(number) => format!(
            "generation {number} is sound: go back to it with `music-insights watch --state {} --rollback`",
            folder.display()
        ),
        None => "no older one is sound: read everything again with `music-insights watch --fresh`".to_owned(),
    };
    Error::Damaged(format!("{damage}; {way_out}"))
}

/// Removes what no sound generation needs: temporary files, parts of commits that never were, and
/// generations that are left out.
fn remove_leftovers(
    disk: &dyn Disk,
    folder: &Path,
    kept: &VecDeque<(u64, Vec<String>)>,
) -> Result<(), Error> {
    let needed: HashSet<String> = kept
        .iter()
        .flat_map(|(number, files)| files.iter().cloned().chain([generation_name(*number)]))
        .collect();
    remove_ours(disk, folder, |name| !needed.contains(name))
}

/// Begins a state in which nothing was read yet, in place of one that may be there. The generation
/// without anything is committed before the output is touched, so that whatever a kill leaves
/// there is explained.
///
/// # Errors
/// What the file system says, exit code 73 or 74.
pub fn begin(disk: &SharedDisk, folder: &Path, shape: StateConfig, epoch: u64) -> Result<Store, Error> {
    let newest = generations_in(&**disk, folder)?.first().copied().unwrap_or(0);
    let nothing = Generation {
        number: newest,
        epoch,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        shape,
        plays: 0,
        latest: None,
        catalog: String::new(),
        enriched: Vec::new(),
        rejects: Vec::new(),
        unmatched: UnmatchedFile::default(),
        parts: Vec::new(),
        manifest: None,
    };
    let mut store = Store::new(disk, folder, nothing.clone(), VecDeque::new(), newest);
    store.commit(nothing, |_| Ok(()))?;
    let kept = VecDeque::from([(store.current().number, Vec::new())]);
    remove_leftovers(&**disk, folder, &kept)?;
    sync_folder(&**disk, folder)?;
    Ok(store)
}

fn remove_ours(disk: &dyn Disk, folder: &Path, unwanted: impl Fn(&str) -> bool) -> Result<(), Error> {
    for name in names_in(disk, folder)? {
        let Some(name) = name.to_str() else { continue };
        let ours = is_temporary(name)
            || is_segment_name(name)
            || generation_number(name).is_some()
            || is_unmatched_name(name);
        if ours && unwanted(name) {
            remove_file(disk, &folder.join(name))?;
            fail_point("recover.leftovers");
        }
    }
    Ok(())
}
