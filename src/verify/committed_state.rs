//! The part of the committed state that `verify` uses for the output of a `watch`.

use std::collections::HashSet;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use crate::insights::Column;
use crate::insights::enriched_logs;
use crate::model::SongId;
use crate::model::dictionary::Dictionaries;
use crate::model::error::{Error, FileRole, Op};
use crate::publish::formula_escape::FormulaEscape;
use crate::settings::Settings;
use crate::state::checkpoint::generation::{Generation, StateConfig, Unusable};
use crate::state::checkpoint::load::Loaded;
use crate::state::checkpoint::recover::{generations_in, read_sound};
use crate::state::checkpoint::segment::{SegmentReader, each_bytes};
use crate::state::checkpoint::table::Table;
use crate::state::unmatched::UnmatchedPlays;
use crate::storage::SharedDisk;
use crate::text::{push_cell, shown};
use crate::verify::rows::{SongIds, unmatched_rows};

/// The columns of a song with its metadata. All are text.
const SONG_COLUMNS: [Column; 5] = [Column::text("", ""); 5];

/// The newest generation and its content.
#[derive(Debug)]
pub struct CommittedState {
    /// The generation.
    pub generation: Generation,
    /// The content of the generation.
    pub loaded: Loaded,
    /// The ids of listeners and songs.
    pub dictionaries: Arc<Dictionaries>,
    /// The ids of all songs that have or had metadata.
    pub songs: SongIds,
    /// Hashes of songs. Each hash covers the id of a song, and metadata that the song has or had.
    pub metadata: HashSet<u128>,
}

impl CommittedState {
    /// Reads the newest generation of the state.
    ///
    /// # Errors
    /// If the state is missing, has a different format version or belongs to different settings (78), or if
    /// it is damaged (65).
    pub fn read(disk: &SharedDisk, settings: &Settings) -> Result<Self, Error> {
        let state = &settings.state;
        let Some(&newest) = generations_in(&**disk, state)?.first() else {
            let message = format!(
                "{}: no state here, so the inputs that were read are unknown; pass --state to use a \
                 different folder",
                shown(state)
            );
            return Err(Error::Config(message));
        };
        let generation = read_sound(&**disk, state, newest).map_err(|unusable| {
            let message = format!("{}: generation {newest}: {unusable}", shown(state));
            match unusable {
                Unusable::Damaged(_) => Error::Damaged(format!(
                    "{message}; continue from an older generation with `watch --rollback`"
                )),
                Unusable::Format(_) => {
                    Error::Config(format!("{message}; verify with the program version that wrote it"))
                }
            }
        })?;
        if let Some(difference) = generation.config.difference(&StateConfig::of(settings)) {
            return Err(Error::Config(format!(
                "{}: {difference}; verify with the settings that the `watch` ran with",
                shown(state)
            )));
        }
        let dictionaries = Arc::new(Dictionaries::default());
        let loaded = Loaded::of(&**disk, state, &generation, &dictionaries)?;
        let (mut songs, mut metadata) = (HashSet::new(), HashSet::new());
        let escape = FormulaEscape::of_columns(&SONG_COLUMNS, settings.csv.escape_formulas);
        let (mut cells, mut buffer) = (Vec::new(), Vec::new());
        for entry in &generation.segments {
            let failed = |cause| Error::file(FileRole::Committed, Op::Read, &state.join(&entry.file), cause);
            let segment = SegmentReader::open(&**disk, state, entry).map_err(failed)?;
            let ids = dictionaries.songs.read();
            let read = each_bytes(&segment, Table::Metadata, |_, row| {
                let Some((number, metadata_cells)) = row.split_first_chunk() else { return Ok(()) };
                let number = u32::from_le_bytes(*number);
                if (number as usize) < ids.len() {
                    let song = ids.resolve(SongId(number));
                    cells.clear();
                    push_cell(&mut cells, song);
                    cells.extend_from_slice(metadata_cells);
                    metadata.insert(xxh3_128(escape.apply(&cells, &mut buffer)));
                    songs.insert(song.to_vec());
                }
                Ok(())
            });
            read.map_err(failed)?;
        }
        Ok(Self { generation, loaded, dictionaries, songs, metadata })
    }

    /// Takes the unmatched plays of songs that had metadata in an earlier catalog. Returns these plays in the
    /// form of `enriched_logs` rows.
    ///
    /// # Errors
    /// If the file with unmatched plays is damaged, exit code 65.
    pub fn take_unmatched_rows(
        &mut self,
        disk: &SharedDisk,
        settings: &Settings,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let last_blocks = std::mem::take(&mut self.loaded.unmatched);
        let plays = UnmatchedPlays::open(disk, &settings.state, &self.generation.unmatched, last_blocks)?;
        let escape = FormulaEscape::of(enriched_logs::NAME, settings.csv.escape_formulas);
        unmatched_rows(plays, &self.dictionaries, &self.songs, escape)
    }
}
