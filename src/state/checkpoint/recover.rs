//! Recovery at the start of a run: finds the newest sound generation and removes leftover files.

use std::collections::{HashSet, VecDeque};
use std::path::Path;

use crate::model::error::Error;
use crate::state::checkpoint::generation::{
    Generation, StateConfig, Unusable, generation_name, generation_number,
};
use crate::state::checkpoint::segment::{SegmentReader, is_segment_name};
use crate::state::checkpoint::store::{KEPT, Store};
use crate::state::unmatched::{UnmatchedFile, is_unmatched_name};
use crate::storage::failpoint::{Bug, fail_point, planted};
use crate::storage::{Disk, SharedDisk, is_temporary, names_in, remove_file, sync_folder};
use crate::text::shown;

/// The options of a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each one is a flag of the command line")]
pub struct StartOptions {
    /// Use an older generation if the newest one is damaged.
    pub rollback: bool,
    /// Discard the state and read everything again.
    pub fresh: bool,
    /// Accept a catalog that has lost all its songs.
    pub allow_empty: bool,
    /// Read inputs again whose rows were all rejected. The dialect of the logs may have changed.
    pub retry_rejected: bool,
    /// Continue if published rows of the append-only tables are lost.
    pub accept_missing_output: bool,
}

/// The numbers of the generations in a folder, newest first.
///
/// # Errors
/// A file system error, exit code 73.
pub fn generations_in(disk: &dyn Disk, folder: &Path) -> Result<Vec<u64>, Error> {
    let names = names_in(disk, folder)?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| generation_number(name.to_str()?)).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    Ok(numbers)
}

/// Reads a generation and checks all its files.
///
/// # Errors
/// If the generation or one of its files is damaged, or if its format version is different.
pub fn read_sound(disk: &dyn Disk, folder: &Path, number: u64) -> Result<Generation, Unusable> {
    read_checked(disk, folder, number, &mut HashSet::new())
}

/// Same as [`read_sound`], but skips the check of segments that `checked` contains (name and hash). Adds
/// the segments of this generation to `checked`.
fn read_checked(
    disk: &dyn Disk,
    folder: &Path,
    number: u64,
    checked: &mut HashSet<(String, String)>,
) -> Result<Generation, Unusable> {
    let generation = Generation::read(disk, folder, &generation_name(number))?;
    if generation.number != number {
        return Err(Unusable::Damaged(format!("the file contains generation {}", generation.number)));
    }
    for segment in &generation.segments {
        if checked.contains(&(segment.file.clone(), segment.hash.clone())) {
            continue;
        }
        if let Err(cause) = SegmentReader::open(disk, folder, segment) {
            return Err(Unusable::Damaged(format!("{}: {cause}", segment.file)));
        }
        checked.insert((segment.file.clone(), segment.hash.clone()));
    }
    if let Err(cause) = generation.unmatched.check(disk, folder) {
        return Err(Unusable::Damaged(format!("{}: {cause}", generation.unmatched.name())));
    }
    Ok(generation)
}

/// Opens the state in a folder; `None` if the folder has no generation.
///
/// # Errors
/// If the newest generation is damaged (65), or has a different format version or different settings (78).
pub fn open(
    disk: &SharedDisk,
    folder: &Path,
    config: &StateConfig,
    options: StartOptions,
) -> Result<Option<Store>, Error> {
    fail_point("recover.begun");
    let numbers = generations_in(&**disk, folder)?;
    let Some(&newest) = numbers.first() else { return Ok(None) };
    let (mut sound, mut checked) = (Vec::new(), HashSet::new());
    for &number in &numbers {
        match read_checked(&**disk, folder, number, &mut checked) {
            Ok(generation) => sound.push(generation),
            Err(unusable) => {
                let message = format!("{}: {unusable}", shown(&folder.join(generation_name(number))));
                if matches!(unusable, Unusable::Format(_)) {
                    return Err(Error::Config(format!(
                        "{message}; use the program version that wrote it, or read everything again with \
                         `music-insights watch --fresh`"
                    )));
                }
                if sound.is_empty() && !options.rollback {
                    return Err(newest_is_damaged(&**disk, folder, &numbers, &message));
                }
                tracing::warn!("{message}; this generation is ignored");
            }
        }
    }
    let Some(mut current) = sound.first().cloned() else {
        return Err(Error::Damaged(format!(
            "{}: no generation is sound; read everything again with `music-insights watch --fresh`",
            shown(folder)
        )));
    };
    let other_difference = current.config.with_dialect_of(config).difference(config);
    let allowed = options.retry_rejected && other_difference.is_none();
    if let Some(difference) = current.config.difference(config).filter(|_| !allowed) {
        let (difference, retry) = match other_difference {
            Some(other) => (other, ""),
            None => (difference, "read only the rejected inputs again with --retry-rejected, "),
        };
        return Err(Error::Config(format!(
            "{}: {difference}; restore the old value, {retry}or read everything again with --fresh",
            shown(folder)
        )));
    }
    current.config.periods = config.periods;
    // Obsolete generations are still here if the previous process was killed before it removed them. An empty
    // newest generation begins a new state. In that case, no older generation is kept, because the new state
    // overwrites the append-only tables and the unmatched plays that older generations rely on.
    sound.truncate(if current.manifest.is_none() { 1 } else { KEPT });
    let kept: VecDeque<(u64, Vec<String>)> =
        sound.iter().rev().map(|generation| (generation.number, generation.files())).collect();
    remove_leftovers(&**disk, folder, &kept)?;
    // If the previous process was killed right after the rename, the name of the newest generation may not be
    // durable yet. The name must be durable before any file of this generation is published.
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
            shown(folder)
        ),
        None => "no older generation is sound: read everything again with `music-insights watch --fresh`"
            .to_owned(),
    };
    Error::Damaged(format!("{damage}; {way_out}"))
}

/// Removes the files that no kept generation needs: temporary files, files of incomplete commits, and
/// generations that are not kept. Files of other programs stay.
fn remove_leftovers(
    disk: &dyn Disk,
    folder: &Path,
    kept: &VecDeque<(u64, Vec<String>)>,
) -> Result<(), Error> {
    let needed: HashSet<String> = kept
        .iter()
        .flat_map(|(number, files)| files.iter().cloned().chain([generation_name(*number)]))
        .collect();
    for name in names_in(disk, folder)? {
        let Some(name) = name.to_str() else { continue };
        let ours = is_temporary(name)
            || is_segment_name(name)
            || generation_number(name).is_some()
            || is_unmatched_name(name);
        if ours && !needed.contains(name) {
            remove_file(disk, &folder.join(name))?;
            fail_point("recover.leftovers");
        }
    }
    Ok(())
}

/// Begins an empty state, which replaces a previous one. The empty generation is committed before the
/// output changes, so a start after a crash knows that it must replace the output.
///
/// # Errors
/// A file system error, exit code 73 or 74.
pub fn begin(disk: &SharedDisk, folder: &Path, config: StateConfig, epoch: u64) -> Result<Store, Error> {
    let newest = generations_in(&**disk, folder)?.first().copied().unwrap_or(0);
    let empty = Generation {
        number: newest,
        epoch,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        config,
        plays: 0,
        latest: None,
        latest_day: None,
        periods_basis: None,
        catalog: String::new(),
        enriched: Vec::new(),
        rejects: Vec::new(),
        unmatched: UnmatchedFile::default(),
        segments: Vec::new(),
        manifest: None,
    };
    let mut store = Store::new(disk, folder, empty.clone(), VecDeque::new(), newest);
    store.commit(empty, |_| Ok(()))?;
    let kept = VecDeque::from([(store.current().number, Vec::new())]);
    remove_leftovers(&**disk, folder, &kept)?;
    sync_folder(&**disk, folder)?;
    Ok(store)
}
