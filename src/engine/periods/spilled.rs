//! The plays of a `replay`, in memory and in temporary files.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::engine::periods::limits::{MOST_GROUPED, MOST_KEPT};
use crate::ledger::Ledger;
use crate::ledger::compact::{CompactPlay, CompactPlays};
use crate::ledger::grouped::{GroupedPlays, UserCounts};
use crate::ledger::hours::Hours;
use crate::ledger::periods::collected_for;
use crate::model::error::{Error, FileRole, Op};
use crate::model::period_rules::PeriodRules;
use crate::storage::{DiskFile, SharedDisk};
use crate::time::period::Period;
use crate::time::window::NightWindow;

/// Number of plays that are written or read at once.
pub(super) const BLOCK: usize = 32 << 10;

/// The plays of all periods.
#[derive(Debug)]
pub(super) struct SpilledPlays {
    rules: PeriodRules,
    periods: BTreeMap<Period, Spilled>,
}

/// The plays of one period.
#[derive(Debug, Default)]
struct Spilled {
    hours: Hours,
    pieces: Vec<Piece>,
}

/// Some plays of a period.
#[derive(Debug)]
pub(super) enum Piece {
    /// In memory.
    Memory(Box<CompactPlays>),
    /// A number of plays in a file, from an offset.
    File(Arc<SpillFile>, u64, usize),
}

/// A temporary file. Dropping the value removes it.
#[derive(Debug)]
pub(super) struct SpillFile {
    pub(super) disk: SharedDisk,
    pub(super) path: PathBuf,
    pub(super) file: Box<dyn DiskFile>,
}

/// The working memory of a thread that loads plays. Memory that is used again needs no page faults.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    bytes: Vec<u8>,
    block: Vec<CompactPlay>,
    plays: Vec<CompactPlay>,
}

impl SpilledPlays {
    /// No plays yet.
    pub(super) fn new(rules: PeriodRules) -> Self {
        Self { rules, periods: BTreeMap::new() }
    }

    /// Takes all plays.
    pub(super) fn take(&mut self) -> Self {
        Self { rules: self.rules, periods: std::mem::take(&mut self.periods) }
    }

    /// Adds plays of a period, which has these plays by hour.
    pub(super) fn add(&mut self, period: Period, hours: &Hours, piece: Piece) {
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
        scratch: &mut Scratch,
    ) -> Result<(Ledger, Option<GroupedPlays>), Error> {
        let mut ledger = Ledger::new(night);
        let (first, last) = collected_for(&self.rules, period);
        let spilled = || self.periods.range(first..=last).map(|(_, spilled)| spilled);
        let pieces = || spilled().flat_map(|spilled| &spilled.pieces);
        spilled().for_each(|spilled| ledger.tables_mut().hours.absorb(&spilled.hours));
        let Scratch { bytes, block, plays: kept } = scratch;
        let mut read = |each: &mut dyn FnMut(&[CompactPlay])| {
            pieces().try_for_each(|piece| piece.read(bytes, block, each))
        };
        let plays_of_period: usize = pieces().map(Piece::len).sum();
        if plays_of_period > MOST_GROUPED {
            read(&mut |plays| {
                ledger.add_listens(plays);
                ledger.add_sums(plays);
            })?;
            ledger.seal();
            return Ok((ledger, None));
        }
        let mut counts = UserCounts::default();
        let is_kept = plays_of_period <= MOST_KEPT;
        kept.clear();
        read(&mut |plays| {
            counts.add(plays);
            ledger.add_sums(plays);
            if is_kept {
                kept.extend_from_slice(plays);
            }
        })?;
        let mut grouped = counts.room();
        if is_kept {
            grouped.add(kept);
        } else {
            read(&mut |plays| grouped.add(plays))?;
        }
        Ok((ledger, Some(grouped)))
    }
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Memory(plays) => plays.len(),
            Self::File(_, _, plays) => *plays,
        }
    }

    /// Passes all plays to `each`. `bytes` and `block` are working memory.
    fn read(
        &self,
        bytes: &mut Vec<u8>,
        block: &mut Vec<CompactPlay>,
        mut each: &mut dyn FnMut(&[CompactPlay]),
    ) -> Result<(), Error> {
        let (file, mut offset, mut left) = match self {
            Self::Memory(plays) => {
                plays.plays().chunks(BLOCK).for_each(&mut each);
                return Ok(());
            }
            Self::File(file, offset, plays) => (file, *offset, *plays),
        };
        bytes.resize(BLOCK * CompactPlay::BYTES, 0);
        while left > 0 {
            let bytes = &mut bytes[..BLOCK.min(left) * CompactPlay::BYTES];
            read_exact(&*file.file, bytes, offset)
                .map_err(|cause| Error::file(FileRole::Open, Op::Read, &file.path, cause))?;
            block.clear();
            block.extend(bytes.as_chunks().0.iter().map(CompactPlay::from_bytes));
            each(block);
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
