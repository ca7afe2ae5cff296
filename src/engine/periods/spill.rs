//! Moves the plays of periods from memory to temporary files, so that the memory of a `replay` is bounded.
//!
//! The plays are written as they are, 12 bytes each: they are read only once or twice, and sorting them for a smaller
//! file would take longer than writing the bytes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::{JoinHandle, spawn_blocking};

use crate::ledger::Ledger;
use crate::ledger::compact::{CompactPlay, CompactPlays};
use crate::ledger::grouped::{GroupedPlays, UserCounts};
use crate::ledger::hours::Hours;
use crate::ledger::periods::collected_for;
use crate::model::error::{Error, FileRole, Op};
use crate::model::period_rules::PeriodRules;
use crate::storage::{DiskFile, SharedDisk, append, create_new};
use crate::time::period::Period;
use crate::time::window::NightWindow;

/// Number of plays that are written or read at once.
const BLOCK: usize = 32 << 10;
/// Number of plays of a period, at 4 bytes each, that are grouped by listener. More plays are sorted into runs, which
/// take memory only for distinct pairs.
const MOST_GROUPED: usize = 16 << 20;

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

/// The plays of all periods.
#[derive(Clone, Debug, Default)]
pub(super) struct SpilledPlays {
    rules: PeriodRules,
    periods: BTreeMap<Period, Spilled>,
}

/// The plays of one period.
#[derive(Clone, Debug, Default)]
struct Spilled {
    hours: Hours,
    pieces: Vec<Piece>,
}

/// Some plays of a period.
#[derive(Clone, Debug)]
enum Piece {
    Memory(Arc<CompactPlays>),
    File { file: Arc<SpillFile>, offset: u64, plays: usize },
}

/// A temporary file. Dropping the value removes it.
#[derive(Debug)]
struct SpillFile {
    disk: SharedDisk,
    path: PathBuf,
    file: Box<dyn DiskFile>,
}

/// The plays that a thread has written.
type Written = Vec<(Period, Hours, Piece)>;

impl Spill {
    /// No plays yet.
    pub(super) fn new(disk: &SharedDisk, folder: &Path, rules: PeriodRules) -> Self {
        let plays = SpilledPlays { rules, periods: BTreeMap::new() };
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
        self.writing = Some(spawn_blocking(move || write(&disk, path, plays)));
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
            self.plays.add(period, &hours, Piece::Memory(Arc::new(plays)));
        }
        let none = SpilledPlays { rules: self.plays.rules, periods: BTreeMap::new() };
        Ok(std::mem::replace(&mut self.plays, none))
    }
}

fn write(disk: &SharedDisk, path: PathBuf, plays: BTreeMap<Period, CompactPlays>) -> Result<Written, Error> {
    let file = create_new(&**disk, &path)?;
    // If writing fails, dropping the value removes the file.
    let mut spilled = SpillFile { disk: disk.clone(), path, file };
    let (mut written, mut offset) = (Vec::new(), 0);
    let mut bytes = Vec::with_capacity(BLOCK * CompactPlay::BYTES);
    for (period, plays) in &plays {
        for block in plays.plays().chunks(BLOCK) {
            bytes.clear();
            bytes.extend(block.iter().flat_map(|play| play.to_bytes()));
            append(&mut *spilled.file, &spilled.path, &bytes)?;
        }
        written.push((*period, offset));
        offset += (plays.len() * CompactPlay::BYTES) as u64;
    }
    let file = Arc::new(spilled);
    let piece = |(period, offset): (Period, u64)| {
        let plays = &plays[&period];
        let piece = Piece::File { file: Arc::clone(&file), offset, plays: plays.len() };
        (period, plays.hours().clone(), piece)
    };
    Ok(written.into_iter().map(piece).collect())
}

impl SpilledPlays {
    fn add(&mut self, period: Period, hours: &Hours, piece: Piece) {
        let spilled = self.periods.entry(period).or_default();
        spilled.hours.absorb(hours);
        spilled.pieces.push(piece);
    }

    /// The ledger of a period, and its plays grouped by listener if the ledger has no listens.
    ///
    /// # Errors
    /// If a file cannot be read, exit code 74.
    pub(super) fn load(
        &self,
        period: Period,
        night: NightWindow,
    ) -> Result<(Ledger, Option<GroupedPlays>), Error> {
        let mut ledger = Ledger::new(night);
        let (first, last) = collected_for(&self.rules, period);
        let spilled = || self.periods.range(first..=last).map(|(_, spilled)| spilled);
        let pieces = || spilled().flat_map(|spilled| &spilled.pieces);
        spilled().for_each(|spilled| ledger.tables_mut().hours.absorb(&spilled.hours));
        if pieces().map(Piece::len).sum::<usize>() > MOST_GROUPED {
            for piece in pieces() {
                piece.read(&mut |plays| {
                    ledger.add_listens(plays);
                    ledger.add_sums(plays);
                })?;
            }
            ledger.seal();
            return Ok((ledger, None));
        }
        let mut counts = UserCounts::default();
        for piece in pieces() {
            piece.read(&mut |plays| {
                counts.add(plays);
                ledger.add_sums(plays);
            })?;
        }
        let mut grouped = counts.room();
        pieces().try_for_each(|piece| piece.read(&mut |plays| grouped.add(plays)))?;
        Ok((ledger, Some(grouped)))
    }
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Memory(plays) => plays.len(),
            Self::File { plays, .. } => *plays,
        }
    }

    fn read(&self, each: &mut dyn FnMut(&[CompactPlay])) -> Result<(), Error> {
        match self {
            Self::Memory(plays) => plays.plays().chunks(BLOCK).for_each(each),
            Self::File { file, offset, plays } => file
                .read(*offset, *plays, each)
                .map_err(|cause| Error::file(FileRole::Open, Op::Read, &file.path, cause))?,
        }
        Ok(())
    }
}

impl SpillFile {
    fn read(&self, mut offset: u64, plays: usize, each: &mut dyn FnMut(&[CompactPlay])) -> io::Result<()> {
        let mut bytes = vec![0; BLOCK.min(plays) * CompactPlay::BYTES];
        let mut block = Vec::with_capacity(BLOCK.min(plays));
        let mut left = plays;
        while left > 0 {
            let bytes = &mut bytes[..BLOCK.min(left) * CompactPlay::BYTES];
            read_exact(&*self.file, bytes, offset)?;
            block.clear();
            block.extend(bytes.as_chunks().0.iter().map(CompactPlay::from_bytes));
            each(&block);
            offset += bytes.len() as u64;
            left -= block.len();
        }
        Ok(())
    }
}

fn read_exact(file: &dyn DiskFile, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let read = file.read_at(bytes, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[read..];
        offset += read as u64;
    }
    Ok(())
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        // If the file cannot be removed now, the next run removes it.
        let _ = self.disk.remove(&self.path);
    }
}
