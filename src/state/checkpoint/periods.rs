//! The plays of periods in the segments.
//!
//! A segment has the plays of each period that came since the previous commit. Its table [`Table::Periods`] says
//! where they are, so the plays of a period can be read at any time without the rest of the segment. A period with
//! late plays has tables in several segments; their sum is the period. Only this directory is in memory.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::ledger::Ledger;
use crate::ledger::hours::HOURS;
use crate::ledger::run::Run;
use crate::ledger::song_plays::Total;
use crate::model::error::{Error, FileRole, Op};
use crate::model::{SongId, UserId};
use crate::state::checkpoint::merge::merge_numbers;
use crate::state::checkpoint::segment::{
    SegmentEntry, SegmentReader, SegmentWriter, TableExtent, each_bytes,
};
use crate::state::checkpoint::table::{Merge, Table, TableReader, damaged, next_of, push_number};
use crate::storage::{Disk, DiskFile};
use crate::time::period::Period;
use crate::time::window::NightWindow;

/// The tables of one period in one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodTables {
    /// The number of plays.
    pub plays: u64,
    tables: Vec<TableExtent>,
}

impl PeriodTables {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_number(&mut bytes, self.plays);
        for extent in &self.tables {
            let index = Table::ALL.iter().position(|table| table.name() == extent.table);
            push_number(&mut bytes, index.expect("an extent names a table") as u64);
            for number in [extent.offset, extent.bytes, extent.entries] {
                push_number(&mut bytes, number);
            }
        }
        bytes
    }

    /// Reads the bytes of a directory. The tables must end before `end`.
    fn parse(mut bytes: &[u8], end: u64) -> io::Result<Self> {
        let plays = next_of(&mut bytes)?;
        let mut tables = Vec::new();
        while !bytes.is_empty() {
            let index = usize::try_from(next_of(&mut bytes)?).unwrap_or(usize::MAX);
            let table = Table::ALL.get(index).filter(|table| Table::OF_PERIOD.contains(table));
            let table = table.ok_or_else(|| damaged("a period has an unknown table"))?;
            let extent = TableExtent {
                table: table.name().to_owned(),
                offset: next_of(&mut bytes)?,
                bytes: next_of(&mut bytes)?,
                entries: next_of(&mut bytes)?,
            };
            if extent.offset.checked_add(extent.bytes).is_none_or(|extent| extent > end) {
                return Err(damaged("a table of a period extends beyond the end of the file"));
            }
            tables.push(extent);
        }
        Ok(Self { plays, tables })
    }

    fn read<'a>(&'a self, file: &'a dyn DiskFile, table: Table) -> impl Iterator<Item = TableReader<'a>> {
        let extents = self.tables.iter().filter(move |extent| extent.table == table.name());
        extents.map(move |extent| TableReader::new(file, extent.offset, extent.bytes, extent.entries))
    }
}

/// Writes the plays of periods, and the directory of their tables. The periods must ascend.
///
/// # Errors
/// A file system error, exit code 74.
pub fn write_periods(
    writer: &mut SegmentWriter,
    periods: impl IntoIterator<Item = (Period, impl Borrow<Ledger>)>,
) -> Result<(), Error> {
    let mut directory = Vec::new();
    for (period, ledger) in periods {
        let ledger = ledger.borrow();
        let tables = writer.unlisted(|writer| write_plays(writer, ledger))?;
        directory.push((period, PeriodTables { plays: ledger.plays(), tables }));
    }
    write_directory(writer, &directory)
}

fn write_directory(writer: &mut SegmentWriter, directory: &[(Period, PeriodTables)]) -> Result<(), Error> {
    writer.begin(Table::Periods)?;
    directory.iter().try_for_each(|(period, tables)| writer.bytes(period.code(), &tables.to_bytes()))
}

fn write_plays(writer: &mut SegmentWriter, ledger: &Ledger) -> Result<(), Error> {
    for run in ledger.listens().runs() {
        writer.begin(Table::Listens)?;
        run.entries().try_for_each(|(key, plays)| writer.number(key, plays))?;
    }
    let songs = || ledger.song_plays().songs().map(|song| (song, ledger.song_plays().total(song)));
    writer.begin(Table::SongPlays)?;
    songs().try_for_each(|(song, total)| writer.number(u64::from(song.0), total.plays))?;
    writer.begin(Table::SongMillis)?;
    songs().try_for_each(|(song, total)| writer.number(u64::from(song.0), total.millis))?;
    writer.begin(Table::Nights)?;
    let mut nights = ledger.nights().users();
    nights.try_for_each(|(user, plays)| writer.number(u64::from(user.0), u64::from(plays)))?;
    writer.begin(Table::Hours)?;
    let hours = (0..).zip(ledger.hours().plays()).filter(|(_, plays)| **plays > 0);
    hours.into_iter().try_for_each(|(hour, &plays)| writer.number(hour, plays))
}

/// Merges the plays of periods from several segments. `keeps` tells which periods are still needed.
///
/// # Errors
/// A file system error, or a damaged segment (65).
pub fn merge_periods(
    segments: &[SegmentReader<'_>],
    keeps: impl Fn(Period) -> bool,
    writer: &mut SegmentWriter,
    failed: impl Fn(io::Error) -> Error,
) -> Result<(), Error> {
    let mut merged: BTreeMap<Period, Vec<(&SegmentReader<'_>, PeriodTables)>> = BTreeMap::new();
    for segment in segments {
        for (period, tables) in directory_of(segment).map_err(&failed)? {
            if keeps(period) {
                merged.entry(period).or_default().push((segment, tables));
            }
        }
    }
    let mut directory = Vec::new();
    for (period, sources) in merged {
        let tables = writer.unlisted(|writer| {
            for table in Table::OF_PERIOD {
                let readers = sources.iter().flat_map(|(segment, tables)| tables.read(segment.file(), table));
                writer.begin(table)?;
                merge_numbers(Merge::Add, readers.collect(), writer, &failed)?;
            }
            Ok(())
        })?;
        let plays = sources.iter().map(|(_, tables)| tables.plays).sum();
        directory.push((period, PeriodTables { plays, tables }));
    }
    write_directory(writer, &directory)
}

/// The tables of all periods in a segment.
fn directory_of(segment: &SegmentReader<'_>) -> io::Result<Vec<(Period, PeriodTables)>> {
    let end = segment.file().len()?;
    let mut directory = Vec::new();
    each_bytes(segment, Table::Periods, |code, bytes| {
        let period = Period::from_code(code).ok_or_else(|| damaged("a period does not exist"))?;
        directory.push((period, PeriodTables::parse(bytes, end)?));
        Ok(())
    })?;
    Ok(directory)
}

/// The committed plays of all periods. A clone stays readable after segments have been merged and removed.
#[derive(Clone, Debug, Default)]
pub struct SavedPeriods {
    segments: Vec<Arc<SavedSegment>>,
}

#[derive(Debug)]
struct SavedSegment {
    name: String,
    file: Box<dyn DiskFile>,
    periods: BTreeMap<Period, PeriodTables>,
}

impl SavedPeriods {
    /// Follows a commit: opens the new segments, and forgets the segments that are gone.
    ///
    /// # Errors
    /// If a segment is damaged, exit code 65.
    pub fn follow(&mut self, disk: &dyn Disk, folder: &Path, entries: &[SegmentEntry]) -> Result<(), Error> {
        let has_periods =
            |entry: &&SegmentEntry| entry.tables.iter().any(|extent| extent.table == Table::Periods.name());
        let mut segments = Vec::new();
        for entry in entries.iter().filter(has_periods) {
            let known = self.segments.iter().find(|segment| segment.name == entry.file);
            segments.push(match known {
                Some(known) => Arc::clone(known),
                None => Arc::new(SavedSegment::open(disk, folder, entry).map_err(|cause| {
                    Error::file(FileRole::Committed, Op::Load, &folder.join(&entry.file), cause)
                })?),
            });
        }
        self.segments = segments;
        Ok(())
    }

    /// The number of plays of each period.
    pub fn counts(&self) -> BTreeMap<Period, u64> {
        let mut counts = BTreeMap::new();
        for (period, tables) in self.segments.iter().flat_map(|segment| &segment.periods) {
            *counts.entry(*period).or_default() += tables.plays;
        }
        counts
    }

    /// The plays of a period.
    ///
    /// # Errors
    /// If a segment cannot be read or is damaged, exit code 65.
    pub fn load(&self, period: Period, window: NightWindow) -> Result<Ledger, Error> {
        let mut ledger = Ledger::new(window);
        let mut plays = 0;
        for segment in &self.segments {
            let Some(tables) = segment.periods.get(&period) else { continue };
            load_plays(&mut ledger, &*segment.file, tables).map_err(|cause| {
                Error::file(FileRole::Committed, Op::Load, Path::new(&segment.name), cause)
            })?;
            plays += tables.plays;
        }
        ledger.restore(plays, None);
        Ok(ledger)
    }
}

impl SavedSegment {
    fn open(disk: &dyn Disk, folder: &Path, entry: &SegmentEntry) -> io::Result<Self> {
        let segment = SegmentReader::open_checked(disk, folder, entry)?;
        let periods = directory_of(&segment)?.into_iter().collect();
        Ok(Self { name: entry.file.clone(), file: segment.into_file(), periods })
    }
}

fn load_plays(ledger: &mut Ledger, file: &dyn DiskFile, tables: &PeriodTables) -> io::Result<()> {
    let each = |table, take: &mut dyn FnMut(u64, u64)| -> io::Result<()> {
        for mut reader in tables.read(file, table) {
            while let Some((key, value)) = reader.next_number()? {
                take(key, value);
            }
        }
        Ok(())
    };
    let plays = ledger.tables_mut();
    for mut reader in tables.read(file, Table::Listens) {
        let mut run = Run::default();
        while let Some((key, plays)) = reader.next_number()? {
            run.append(key, plays);
        }
        plays.listens.absorb(Arc::new(run));
    }
    let song = |key: u64| SongId(key as u32);
    each(Table::SongPlays, &mut |key, plays_of_song| {
        plays.song_plays.add_saved(song(key), Total { plays: plays_of_song, millis: 0 });
    })?;
    each(Table::SongMillis, &mut |key, millis| {
        plays.song_plays.add_saved(song(key), Total { plays: 0, millis });
    })?;
    each(Table::Nights, &mut |key, plays_of_user| {
        plays.nights.add_saved(UserId(key as u32), u32::try_from(plays_of_user).unwrap_or(u32::MAX));
    })?;
    each(Table::Hours, &mut |hour, plays_of_hour| {
        plays.hours.add((hour as usize).min(HOURS - 1), plays_of_hour as usize);
    })
}
