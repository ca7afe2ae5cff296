//! Commits new plays to the state of an earlier `watch`, in real files.

#![allow(dead_code, reason = "each bench uses a part of this module")]

use std::path::Path;
use std::sync::Arc;

use futures::executor::block_on;
use music_insights::catalog::Catalog;
use music_insights::catalog::reload;
use music_insights::engine::recovery::{self, CommittedTables, Recovered};
use music_insights::model::dialect::CatalogDialect;
use music_insights::model::dictionary::Dictionaries;
use music_insights::model::shutdown::Shutdown;
use music_insights::model::{
    Batch, Epoch, Input, InputId, OutsidePlays, PlayTime, Position, SongId, Span, Text, UserId,
};
use music_insights::settings::Settings;
use music_insights::state::checkpoint::committer::{Commit, Committer, PeriodCommit};
use music_insights::state::checkpoint::load::Loaded;
use music_insights::state::checkpoint::recover::StartOptions;
use music_insights::state::unmatched::{UnmatchedChanges, UnmatchedFile};
use music_insights::storage::SharedDisk;
use music_insights::storage::real::RealDisk;

/// The number of plays per commit.
pub(crate) const NEW_PLAYS: u32 = 10_000;
/// The number of commits with different plays. Later commits repeat the same plays, so the number of pairs of
/// listener and song does not grow with the number of commits.
const DIFFERENT: u32 = 20;

/// A state, both in memory and on disk.
#[derive(Debug)]
pub(crate) struct Committing {
    loaded: Loaded,
    committer: Committer,
    dictionaries: Dictionaries,
    catalog: Arc<Catalog>,
    tables: CommittedTables,
    unmatched: UnmatchedFile,
    manifest: String,
    epoch: Epoch,
    plays: Vec<Batch>,
    /// The number of added batches.
    taken: usize,
}

impl Committing {
    /// Resumes the state of a `watch` with default settings.
    pub(crate) fn resume(root: &Path) -> Self {
        let settings =
            Settings { state: root.join("data/state"), output: root.join("output"), ..Settings::default() };
        let disk: SharedDisk = RealDisk::with_fsync(Shutdown::default());
        let dictionaries = Dictionaries::default();
        let Recovered { loaded, committer, published, tables, .. } =
            recovery::watch(&disk, &settings, StartOptions::default(), &dictionaries)
                .expect("the state is valid");
        let committer = committer.expect("watch has a committer");
        let songs = root.join("data/songs_metadata.csv");
        let catalog = block_on(reload::load(&songs, &CatalogDialect::default(), &dictionaries))
            .expect("a catalog")
            .catalog;
        let manifest = committer.current().manifest.clone().expect("watch has published");
        let unmatched = committer.current().unmatched.clone();
        let plays = (0..DIFFERENT).map(|number| plays(number, &dictionaries)).collect();
        let epoch = published.epoch();
        Self { loaded, committer, dictionaries, catalog, tables, unmatched, manifest, epoch, plays, taken: 0 }
    }

    /// Adds the plays of the next commit to the ledger.
    pub(crate) fn take(&mut self) {
        self.loaded.ledger.observe(&self.plays[self.taken % self.plays.len()]);
        self.taken += 1;
    }

    /// Commits the added plays.
    pub(crate) fn commit(&mut self) {
        let changes = self.loaded.ledger.cut();
        self.epoch.0 += 1;
        let periods = PeriodCommit::default();
        let commit = Commit {
            periods: &periods,
            ledger: &mut self.loaded.ledger,
            changes: &changes,
            dictionaries: &self.dictionaries,
            inputs: &mut self.loaded.inputs,
            unmatched: UnmatchedChanges { file: self.unmatched.clone(), last_blocks: Vec::new() },
            catalog: &self.catalog,
            enriched: self.tables.enriched.clone(),
            rejects: self.tables.rejects.clone(),
            epoch: self.epoch,
            manifest: &self.manifest,
        };
        self.committer.commit(commit).expect("the folder is writable");
    }

    /// Removes files that no generation needs. Starts to merge segments if there are many segments.
    pub(crate) fn retire(&mut self) {
        self.committer.remove_obsolete().expect("the folder is writable");
    }

    /// The size of the last segment in bytes.
    pub(crate) fn bytes_of_last_segment(&self) -> u64 {
        self.committer.current().segments.last().expect("a commit wrote a segment").bytes
    }
}

/// Plays of known listeners and songs. Listeners and songs are evenly distributed.
fn plays(number: u32, dictionaries: &Dictionaries) -> Batch {
    let (users, songs) = (dictionaries.users.read().len() as u32, dictionaries.songs.read().len() as u32);
    let pick = |row: u32, of: u32| (row * 7919 + number * 104_729) % of;
    let rows = 0..NEW_PLAYS;
    let play_time = |row: u32| PlayTime { local: 1_742_500_000 + i64::from(row) * 8, offset: 0, nanos: 0 };
    Batch {
        input: Input { id: InputId(u32::MAX), label: String::new() }.into(),
        span: Span { from: 0, to: 0, first_line: 1 },
        position: Position::default(),
        text: Text::default(),
        users: rows.clone().map(|row| UserId(pick(row, users))).collect(),
        songs: rows.clone().map(|row| SongId(pick(row, songs))).collect(),
        play_times: rows.clone().map(play_time).collect(),
        millis: rows.map(|row| row * 20).collect(),
        user_cells: Vec::new(),
        song_cells: Vec::new(),
        rejects: Vec::new(),
        plays_before: Vec::new(),
        outside: OutsidePlays::default(),
        future: 0,
        refused: None,
    }
}
