//! Loads a generation: restores the tables in memory from its segments.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use crate::ledger::Ledger;
use crate::ledger::hours::HOURS;
use crate::ledger::run::Run;
use crate::model::dictionary::{Dictionaries, Id, SharedDictionary};
use crate::model::error::{Error, FileRole, Op};
use crate::model::{Reason, SongId, UserId};
use crate::state::checkpoint::generation::{Generation, StateConfig};
use crate::state::checkpoint::periods::SavedPeriods;
use crate::state::checkpoint::segment::{SegmentReader, each_bytes};
use crate::state::checkpoint::table::Table;
use crate::state::input_progress::InputTracker;
use crate::state::input_record::InputRecord;
use crate::storage::Disk;
use crate::time::civil::Week;

/// The committed state.
#[derive(Debug)]
pub struct Loaded {
    /// The tables.
    pub ledger: Ledger,
    /// The progress of the inputs.
    pub inputs: InputTracker,
    /// For each song with unmatched plays, the offset of its last block.
    pub unmatched: HashMap<SongId, u64>,
    /// Hashes of all metadata that any song has had so far.
    pub metadata: HashSet<u128>,
    /// Rejected catalog rows that were already reported.
    pub catalog_rejects: HashSet<(Reason, Vec<u8>)>,
    /// The plays by period.
    pub periods: CommittedPeriods,
}

/// The committed plays by period.
#[derive(Debug, Default)]
pub struct CommittedPeriods {
    /// Where the plays are.
    pub saved: SavedPeriods,
    /// A day in the latest period of every length, as a number of days since 1970-01-01; `None` without plays.
    pub latest_day: Option<i64>,
    /// The catalog and the settings that the published tables have.
    pub basis: Option<String>,
}

impl Loaded {
    /// Loads a generation. The caller must have checked its segments. Fills `dictionaries`, which must be
    /// empty.
    ///
    /// # Errors
    /// If a segment is damaged, exit code 65.
    pub fn of(
        disk: &dyn Disk,
        folder: &Path,
        generation: &Generation,
        dictionaries: &Dictionaries,
    ) -> Result<Self, Error> {
        let mut loaded = Self::empty(&generation.config);
        loaded.load(disk, folder, generation, dictionaries)?;
        Ok(loaded)
    }

    /// A state without plays and without inputs.
    pub fn empty(config: &StateConfig) -> Self {
        let (ledger, inputs) = (Ledger::new(config.night_window()), InputTracker::new(config.max_bad_lines));
        let (unmatched, metadata, catalog_rejects) = (HashMap::new(), HashSet::new(), HashSet::new());
        let periods = CommittedPeriods::default();
        Self { ledger, inputs, unmatched, metadata, catalog_rejects, periods }
    }

    /// Adds the content of all segments of a generation.
    fn load(
        &mut self,
        disk: &dyn Disk,
        folder: &Path,
        generation: &Generation,
        dictionaries: &Dictionaries,
    ) -> Result<(), Error> {
        // A newer segment may replace the record of an input, so the inputs are restored last.
        let mut inputs = BTreeMap::new();
        for entry in &generation.segments {
            let failed = |cause: io::Error| {
                Error::file(FileRole::Committed, Op::Load, &folder.join(&entry.file), cause)
            };
            let segment = SegmentReader::open_checked(disk, folder, entry).map_err(failed)?;
            self.load_segment(&segment, dictionaries).map_err(failed)?;
            each_bytes(&segment, Table::Inputs, |number, record| {
                let record: InputRecord =
                    serde_json::from_slice(record).map_err(|cause| invalid(&cause.to_string()))?;
                inputs.insert(number, record);
                Ok(())
            })
            .map_err(failed)?;
        }
        for record in inputs.into_values() {
            self.inputs.restore(record);
        }
        self.ledger.restore(generation.plays, generation.latest);
        self.periods.latest_day = generation.latest_day;
        self.periods.basis.clone_from(&generation.periods_basis);
        self.periods.saved.follow(disk, folder, &generation.segments)
    }

    fn load_segment(&mut self, segment: &SegmentReader<'_>, dictionaries: &Dictionaries) -> io::Result<()> {
        load_dictionary(segment, Table::Users, &dictionaries.users)?;
        load_dictionary(segment, Table::Songs, &dictionaries.songs)?;
        let users = dictionaries.users.read().len() as u64;
        let songs = dictionaries.songs.read().len() as u64;
        let (user, song) = (number_below(users, "listener"), number_below(songs, "song"));
        let tables = self.ledger.tables_mut();
        for mut reader in segment.read(Table::Listens) {
            let mut run = Run::default();
            while let Some((key, plays)) = reader.next_number()? {
                user(key >> 32)?;
                song(key & u64::from(u32::MAX))?;
                run.append(key, plays);
            }
            tables.listens.restore(run);
        }
        each(segment, Table::SongPlays, |key, plays| {
            tables.song_plays.restore_plays(SongId(song(key)?), plays);
            Ok(())
        })?;
        each(segment, Table::SongMillis, |key, millis| {
            tables.song_plays.restore_millis(SongId(song(key)?), millis);
            Ok(())
        })?;
        each(segment, Table::SongWeeks, |key, plays| {
            let week = number_below(WEEKS, "week")(key >> 32)?;
            let song = song(key & u64::from(u32::MAX))?;
            tables.song_plays.restore_week(Week(i64::from(week)), SongId(song), plays);
            Ok(())
        })?;
        each(segment, Table::Nights, |key, plays| {
            tables.nights.restore(UserId(user(key)?), plays as u32);
            Ok(())
        })?;
        each(segment, Table::Hours, |key, plays| {
            let hour = number_below(HOURS as u64, "hour")(key)?;
            tables.hours.restore(hour as usize, plays);
            Ok(())
        })?;
        each(segment, Table::UnmatchedPositions, |key, position| {
            let song = SongId(song(key)?);
            match position {
                0 => self.unmatched.remove(&song),
                position => self.unmatched.insert(song, position - 1),
            };
            Ok(())
        })?;
        each_bytes(segment, Table::Metadata, |_, row| {
            self.metadata.insert(xxh3_128(row));
            Ok(())
        })?;
        each_bytes(segment, Table::CatalogRejects, |_, row| {
            let (code, raw) = row.split_at(row.iter().position(|&byte| byte == b'\n').unwrap_or(row.len()));
            let reason = Reason::ALL.iter().find(|reason| reason.code().as_bytes() == code);
            let reason = *reason.ok_or_else(|| invalid("a reject has an unknown reason"))?;
            self.catalog_rejects.insert((reason, raw.get(1..).unwrap_or_default().to_vec()));
            Ok(())
        })
    }
}

/// Upper bound of the week numbers between 1970 and the year 9999.
const WEEKS: u64 = 420_000;

fn load_dictionary<I: Id>(
    segment: &SegmentReader<'_>,
    table: Table,
    dictionary: &SharedDictionary<I>,
) -> io::Result<()> {
    each_bytes(segment, table, |number, id| {
        let fits = !id.is_empty() && dictionary.read().len() as u64 == number;
        if !fits || u64::from(dictionary.intern(id).to_u32()) != number {
            return Err(invalid("the numbers of ids are not consecutive"));
        }
        Ok(())
    })
}

/// Returns a function that checks that a number is below `end`.
fn number_below(end: u64, what: &'static str) -> impl Fn(u64) -> io::Result<u32> {
    move |number| {
        if number < end {
            Ok(number as u32)
        } else {
            Err(invalid(&format!("{what} {number} does not exist")))
        }
    }
}

fn each(
    segment: &SegmentReader<'_>,
    table: Table,
    mut take: impl FnMut(u64, u64) -> io::Result<()>,
) -> io::Result<()> {
    for mut reader in segment.read(table) {
        while let Some((key, value)) = reader.next_number()? {
            take(key, value)?;
        }
    }
    Ok(())
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
