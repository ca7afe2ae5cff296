//! From a generation back to the tables.

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
use crate::state::checkpoint::segment::SegmentReader;
use crate::state::checkpoint::table::{Table, TableReader};
use crate::state::input_progress::InputTracker;
use crate::storage::Disk;
use crate::time::civil::Week;

/// What was committed.
#[derive(Debug)]
pub struct Loaded {
    /// The tables.
    pub ledger: Ledger,
    /// What was read.
    pub inputs: InputTracker,
    /// The places of waiting plays.
    pub unmatched: HashMap<SongId, u64>,
    /// Hashes of the metadata that songs have had.
    pub metadata: HashSet<u128>,
    /// Rejected rows of catalogs that were reported.
    pub catalog_rejects: HashSet<(Reason, Vec<u8>)>,
}

impl Loaded {
    /// What a generation holds, whose parts were checked before; `dictionaries` must be empty.
    ///
    /// # Errors
    /// If a part is damaged, exit code 65.
    pub fn of(
        disk: &dyn Disk,
        folder: &Path,
        generation: &Generation,
        dictionaries: &Dictionaries,
    ) -> Result<Self, Error> {
        let mut loaded = Self::nothing(&generation.shape);
        loaded.load(disk, folder, generation, dictionaries)?;
        Ok(loaded)
    }

    /// Nothing, of a state of this shape.
    pub fn nothing(shape: &StateConfig) -> Self {
        let (ledger, inputs) = (Ledger::new(shape.night_window()), InputTracker::new(shape.max_bad_lines));
        let (unmatched, metadata, catalog_rejects) = (HashMap::new(), HashSet::new(), HashSet::new());
        Self { ledger, inputs, unmatched, metadata, catalog_rejects }
    }

    /// Adds all that the parts of a generation hold.
    fn load(
        &mut self,
        disk: &dyn Disk,
        folder: &Path,
        generation: &Generation,
        dictionaries: &Dictionaries,
    ) -> Result<(), Error> {
        // A part may replace what an older one says of an input, so inputs are taken in at the end.
        let mut inputs = BTreeMap::new();
        for file in &generation.parts {
            let failed = |cause: io::Error| {
                Error::file(FileRole::Committed, Op::Load, &folder.join(&file.file), cause)
            };
            let part = SegmentReader::open_checked(disk, folder, file).map_err(failed)?;
            self.load_part(&part, dictionaries).map_err(failed)?;
            each_bytes(&part, Table::Inputs, |number, record| {
                let record = serde_json::from_slice(record).map_err(|cause| wrong(&cause.to_string()))?;
                inputs.insert(number, record);
                Ok(())
            })
            .map_err(failed)?;
        }
        for record in inputs.into_values() {
            let restored = self.inputs.restore(record, generation.shape.delimiter);
            restored.map_err(|what| Error::Damaged(format!("{}: {what}", folder.display())))?;
        }
        self.ledger.restore(generation.plays, generation.latest);
        Ok(())
    }

    fn load_part(&mut self, part: &SegmentReader<'_>, dictionaries: &Dictionaries) -> io::Result<()> {
        load_names(part, Table::Users, &dictionaries.users)?;
        load_names(part, Table::Songs, &dictionaries.songs)?;
        let users = dictionaries.users.read().len() as u64;
        let songs = dictionaries.songs.read().len() as u64;
        let (user, song) = (number_below(users, "listener"), number_below(songs, "song"));
        let tables = self.ledger.tables_mut();
        for mut reader in part.read(Table::Listens) {
            let mut run = Run::default();
            while let Some((key, plays)) = reader.next_number()? {
                user(key >> 32)?;
                song(key & u64::from(u32::MAX))?;
                run.append(key, plays);
            }
            tables.listens.restore(run);
        }
        each(part, Table::SongPlays, |key, plays| {
            tables.song_plays.restore_plays(SongId(song(key)?), plays);
            Ok(())
        })?;
        each(part, Table::SongMillis, |key, millis| {
            tables.song_plays.restore_millis(SongId(song(key)?), millis);
            Ok(())
        })?;
        each(part, Table::SongWeeks, |key, plays| {
            let week = number_below(WEEKS, "week")(key >> 32)?;
            let song = song(key & u64::from(u32::MAX))?;
            tables.song_plays.restore_week(Week(i64::from(week)), SongId(song), plays);
            Ok(())
        })?;
        each(part, Table::Nights, |key, plays| {
            tables.nights.restore(UserId(user(key)?), plays as u32);
            Ok(())
        })?;
        each(part, Table::Hours, |key, plays| {
            let hour = number_below(HOURS as u64, "hour")(key)?;
            tables.hours.restore(hour as usize, plays);
            Ok(())
        })?;
        each(part, Table::WaitingPlaces, |key, place| {
            let song = SongId(song(key)?);
            match place {
                0 => self.unmatched.remove(&song),
                place => self.unmatched.insert(song, place - 1),
            };
            Ok(())
        })?;
        each_bytes(part, Table::Metadata, |_, row| {
            self.metadata.insert(xxh3_128(row));
            Ok(())
        })?;
        each_bytes(part, Table::CatalogRejects, |_, row| {
            let (code, raw) = row.split_at(row.iter().position(|&byte| byte == b'\n').unwrap_or(row.len()));
            let reason = Reason::ALL.iter().find(|reason| reason.code().as_bytes() == code);
            let reason = *reason.ok_or_else(|| wrong("an unknown reason"))?;
            self.catalog_rejects.insert((reason, raw.get(1..).unwrap_or_default().to_vec()));
            Ok(())
        })
    }
}

/// Weeks between 1970 and the year 9999, and some more.
const WEEKS: u64 = 420_000;

fn load_names<I: Id>(
    part: &SegmentReader<'_>,
    table: Table,
    dictionaries: &SharedDictionary<I>,
) -> io::Result<()> {
    each_bytes(part, table, |number, id| {
        let fits = !id.is_empty() && dictionaries.read().len() as u64 == number;
        if !fits || u64::from(dictionaries.intern(id).to_u32()) != number {
            return Err(wrong("ids are not numbered in the order in which they stand"));
        }
        Ok(())
    })
}

/// Checks numbers against the end of what they count.
fn number_below(end: u64, what: &'static str) -> impl Fn(u64) -> io::Result<u32> {
    move |number| {
        if number < end { Ok(number as u32) } else { Err(wrong(&format!("there is no {what} {number}"))) }
    }
}

fn each(
    part: &SegmentReader<'_>,
    table: Table,
    mut take: impl FnMut(u64, u64) -> io::Result<()>,
) -> io::Result<()> {
    for mut reader in part.read(table) {
        while let Some((key, value)) = reader.next_number()? {
            take(key, value)?;
        }
    }
    Ok(())
}

/// Hands on all entries of a table of bytes in a part.
///
/// # Errors
/// Those of reading and of `take`.
pub fn each_bytes(
    part: &SegmentReader<'_>,
    table: Table,
    mut take: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    for mut reader in part.read(table) {
        let reader: &mut TableReader<'_> = &mut reader;
        while let Some(key) = reader.next_bytes(&mut bytes)? {
            take(key, &bytes)?;
        }
    }
    Ok(())
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
