//! Moves the plays of periods from memory to temporary files, so that the memory of a `replay` is bounded.
//!
//! The plays are written as they are, 12 bytes each: they are read only once or twice, and sorting them for a smaller
//! file would take longer than writing the bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::{JoinHandle, spawn_blocking};

use crate::engine::periods::spilled::{BLOCK, Piece, SpillFile, SpilledPlays};
use crate::ledger::compact::{CompactPlay, CompactPlays};
use crate::ledger::hours::Hours;
use crate::model::error::Error;
use crate::model::period_rules::PeriodRules;
use crate::storage::{SharedDisk, append, create_new};
use crate::time::period::Period;

/// The plays of a `replay`, in memory and in temporary files in the output folder.
#[derive(Debug)]
pub(super) struct Spill {
    disk: SharedDisk,
    folder: PathBuf,
    /// The plays of a thread that is writing.
    writing: Option<JoinHandle<Result<Written, Error>>>,
    files: u64,
    plays: SpilledPlays,
}

/// The plays that a thread has written.
type Written = Vec<(Period, Hours, Piece)>;

impl Spill {
    /// No plays yet.
    pub(super) fn new(disk: &SharedDisk, folder: &Path, rules: PeriodRules) -> Self {
        let plays = SpilledPlays::new(rules);
        Self { disk: disk.clone(), folder: folder.to_owned(), writing: None, files: 0, plays }
    }

    /// The number of files so far.
    pub(super) fn files(&self) -> u64 {
        self.files
    }

    /// Begins with another number of files, so that the names of earlier files are not used again.
    pub(super) fn set_files(&mut self, files: u64) {
        self.files = files;
    }

    /// Begins to write plays. Waits for the previous ones, so at most two files are in memory.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub(super) async fn write(&mut self, plays: BTreeMap<Period, CompactPlays>) -> Result<(), Error> {
        self.finish().await?;
        self.files += 1;
        let (disk, path) = (self.disk.clone(), self.folder.join(format!(".periods-{:05}.tmp", self.files)));
        self.writing = Some(spawn_blocking(move || write(&disk, path, &plays)));
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Error> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let written = writing.await.map_err(|cause| Error::Bug(format!("a thread has panicked: {cause}")))?;
        written?.into_iter().for_each(|(period, hours, piece)| self.plays.add(period, &hours, piece));
        Ok(())
    }

    /// Takes all plays. `rest` are the plays that are still in memory.
    ///
    /// # Errors
    /// A file system error.
    pub(super) async fn take(&mut self, rest: BTreeMap<Period, CompactPlays>) -> Result<SpilledPlays, Error> {
        self.finish().await?;
        for (period, plays) in rest {
            let hours = plays.hours().clone();
            self.plays.add(period, &hours, Piece::Memory(Box::new(plays)));
        }
        Ok(self.plays.take())
    }
}

fn write(disk: &SharedDisk, path: PathBuf, plays: &BTreeMap<Period, CompactPlays>) -> Result<Written, Error> {
    let file = create_new(&**disk, &path)?;
    // If writing fails, dropping the value removes the file.
    let mut spilled = SpillFile { disk: disk.clone(), path, file };
    let (mut written, mut offset) = (Vec::new(), 0);
    let mut bytes = vec![0; BLOCK * CompactPlay::BYTES];
    for (period, plays) in plays {
        for block in plays.plays().chunks(BLOCK) {
            for (bytes, play) in bytes.as_chunks_mut().0.iter_mut().zip(block) {
                *bytes = play.to_bytes();
            }
            append(&mut *spilled.file, &spilled.path, &bytes[..block.len() * CompactPlay::BYTES])?;
        }
        written.push((*period, offset));
        offset += (plays.len() * CompactPlay::BYTES) as u64;
    }
    let file = Arc::new(spilled);
    let piece = |(period, offset): (Period, u64)| {
        let plays = &plays[&period];
        let piece = Piece::File(Arc::clone(&file), offset, plays.len());
        (period, plays.hours().clone(), piece)
    };
    Ok(written.into_iter().map(piece).collect())
}
