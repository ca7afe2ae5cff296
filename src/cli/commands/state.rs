//! `music-insights state`: what is committed, how large it is, and whether it is sound.

use std::fmt::Write as _;
use std::path::Path;

use indicatif::{HumanBytes, HumanCount};

use crate::cli::args::StateArgs;
use crate::cli::commands::say;
use crate::ingest::source::tail::KnownInput;
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;

use crate::state::checkpoint::generation::{Generation, StateConfig, generation_name};
use crate::state::checkpoint::load::Loaded;
use crate::state::checkpoint::recover::generations_in;
use crate::state::checkpoint::segment::SegmentReader;
use crate::state::unmatched::UnmatchedPlays;
use crate::storage::real::RealDisk;
use crate::storage::{Disk, DiskFile};

/// Runs the command.
///
/// # Errors
/// If there is no state (66), or something in it is damaged (65).
pub fn run(args: &StateArgs) -> Result<(), Error> {
    let settings = args.settings()?;
    let disk = RealDisk::without_fsync();
    let folder = &settings.state;
    let numbers = generations_in(&*disk, folder)?;
    if numbers.is_empty() {
        return Err(Error::MissingInput(format!(
            "{}: there is no state; --state names another folder, and `watch` makes one",
            folder.display()
        )));
    }
    let mut text = String::new();
    let mut damaged = 0;
    let mut newest = None;
    for number in numbers {
        let read = Generation::read(&*disk, folder, &generation_name(number));
        let generation = match read {
            Ok(generation) => generation,
            Err(unusable) => {
                damaged += 1;
                let _ = writeln!(text, "generation {number}: {unusable}");
                continue;
            }
        };
        damaged += describe(&*disk, folder, &generation, &mut text);
        newest.get_or_insert(generation);
    }
    if let Some(generation) = newest.filter(|_| damaged == 0) {
        let mut loaded = Loaded::of(&*disk, folder, &generation, &Dictionaries::default())?;
        let places = std::mem::take(&mut loaded.unmatched);
        UnmatchedPlays::open(&disk, folder, &generation.unmatched, places)?.check_all()?;
        if let Some(difference) = generation.shape.difference(&StateConfig::of(&settings)) {
            let _ = writeln!(text, "settings   {difference}");
        }
        inputs(&loaded.inputs.known(), args.inputs, &mut text);
    }
    say(&text)?;
    match damaged {
        0 => Ok(()),
        count => Err(Error::Damaged(format!(
            "{}: {count} files are not sound; `watch --rollback` goes back to a generation that is",
            folder.display()
        ))),
    }
}

/// Says what a generation holds; returns how many of its files are damaged.
fn describe(disk: &dyn Disk, folder: &Path, generation: &Generation, text: &mut String) -> usize {
    let bytes: u64 = generation.parts.iter().map(|part| part.bytes).sum();
    let _ = writeln!(
        text,
        "generation {}: epoch {}, {} plays, {} parts ({}), by version {}",
        generation.number,
        generation.epoch,
        HumanCount(generation.plays),
        generation.parts.len(),
        HumanBytes(bytes),
        generation.program
    );
    let mut damaged = 0;
    for part in &generation.parts {
        let sound = match SegmentReader::open(disk, folder, part) {
            Ok(_) => "sound".to_owned(),
            Err(cause) => {
                damaged += 1;
                cause.to_string()
            }
        };
        let _ = writeln!(text, "  {:<32} {:>10}  {sound}", part.file, HumanBytes(part.bytes).to_string());
    }
    if generation.unmatched.bytes > 0 {
        let name = generation.unmatched.name();
        let len = disk.open(&folder.join(&name)).and_then(|file: Box<dyn DiskFile>| file.len());
        let sound = match len {
            Ok(len) if len >= generation.unmatched.bytes => "long enough".to_owned(),
            Ok(len) => {
                damaged += 1;
                format!("has only {len} bytes")
            }
            Err(cause) => {
                damaged += 1;
                cause.to_string()
            }
        };
        let bytes = HumanBytes(generation.unmatched.bytes).to_string();
        let _ = writeln!(text, "  {name:<32} {bytes:>10}  {sound}");
    }
    for (name, parts) in [("enriched_logs", &generation.enriched), ("_rejects", &generation.rejects)] {
        let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
        let rows: u64 = parts.iter().map(|part| part.rows).sum();
        let bytes = HumanBytes(bytes).to_string();
        let _ =
            writeln!(text, "  {name:<32} {bytes:>10}  {} rows in {} files", HumanCount(rows), parts.len());
    }
    damaged
}

/// Says how far inputs were read; all of them, or those that were not read to the end they had.
fn inputs(known: &[KnownInput], all: bool, text: &mut String) {
    let unfinished = |known: &&KnownInput| all || known.position.offset < known.fingerprint.stat.size;
    let _ = writeln!(text, "inputs     {}", HumanCount(known.len() as u64));
    for known in known.iter().filter(unfinished) {
        let (offset, size) = (known.position.offset, known.fingerprint.stat.size);
        let path = known.fingerprint.path.display();
        let _ = writeln!(text, "  {path}: read to byte {offset} of {size}, {} lines", known.position.lines);
    }
}
