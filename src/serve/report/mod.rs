//! A report: what one cut of the output folder says, as a page that needs nothing else.

mod cut;
mod page;
mod plays;
mod sample;
mod tables;

use std::collections::HashMap;

use futures::executor::block_on;

use crate::catalog::reload;
use crate::ingest::decode::record::Record;
use crate::insights::enriched_logs;
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;

use crate::publish::REJECTS;
use crate::publish::manifest::Manifest;
use crate::serve::overview::{Absent, Overview, Shown, SongCount, TopSongs};
use crate::serve::report::cut::{Cut, consistently};
use crate::serve::report::plays::{Plays, read_plays};
use crate::serve::report::tables::{Snapshots, Table, read_snapshots};
use crate::settings::Settings;
use crate::storage::SharedDisk;

pub use crate::serve::report::page::page;

/// What a page says.
#[derive(Debug)]
pub struct Report {
    manifest: Manifest,
    /// The output folder.
    output: String,
    overview: Overview,
    /// The local times of the first and the last play of a known song, `2025-03-20 00:00`.
    range: Shown<(String, String)>,
    /// The first rows of every table, the insights in the order of their names and the rejected rows last.
    tables: Vec<(&'static str, Shown<Table>)>,
}

impl Report {
    /// What it shows.
    pub fn overview(&self) -> &Overview {
        &self.overview
    }

    /// Reads the output folder of the settings.
    ///
    /// # Errors
    /// If it holds no manifest, or a file is missing that the manifest lists (66), or a file is not
    /// what the manifest says (65).
    pub fn read(disk: &SharedDisk, settings: &Settings) -> Result<Self, Error> {
        let (manifest, snapshots, plays) = consistently(disk, &settings.output, |cut| {
            let snapshots = read_snapshots(cut)?;
            let plays = plays_of(cut, &snapshots, settings)?;
            Ok((cut.manifest.clone(), snapshots, plays))
        })?;
        Ok(Self::new(manifest, snapshots, plays, settings))
    }

    fn new(manifest: Manifest, snapshots: Snapshots, plays: Shown<Plays>, settings: &Settings) -> Self {
        let mut songs = Songs::default();
        if let Ok(plays) = &plays {
            songs.add(&plays.songs);
        }
        let shown = snapshots.top_songs.iter().chain(&snapshots.recommended).flatten();
        if shown.clone().any(|song| song.title.is_empty() && !songs.0.contains_key(&song.song_id)) {
            songs.add_from_catalog(settings, shown);
        }
        let week = |top: &[SongCount]| plays.as_ref().ok().and_then(|plays| plays.week_of(top));
        let top_songs = snapshots.top_songs.map(|top| TopSongs { week: week(&top), songs: songs.named(top) });
        let threshold = settings.loyalty_threshold();
        let overview = Overview {
            epoch: manifest.epoch,
            top_songs,
            genres: of(&plays, Plays::genre_plays),
            hours: of(&plays, |plays| plays.hours),
            night: settings.night_window(),
            loyalty: of(&plays, |plays| plays.listeners.loyalty(threshold)),
            listen_times: snapshots.listen_times,
            recommended: snapshots.recommended.map(|recommended| songs.named(recommended)),
            listeners: snapshots.listeners,
            night_owls: snapshots.night_owls,
            loyal: snapshots.loyal,
        };
        let range = plays.as_ref().map_err(Absent::clone).and_then(|plays| {
            plays.range().ok_or_else(|| Absent("there are no plays of known songs yet".to_owned()))
        });
        let mut tables = snapshots.tables;
        tables.push((enriched_logs::NAME, plays.map(|plays| plays.table)));
        tables.sort_by_key(|(name, _)| (*name == REJECTS, *name));
        let output = settings.output.display().to_string();
        Self { manifest, output, overview, range, tables }
    }
}

/// A part of what is known of the plays.
fn of<T>(plays: &Shown<Plays>, part: impl FnOnce(&Plays) -> T) -> Shown<T> {
    plays.as_ref().map(part).map_err(Absent::clone)
}

/// Goes through `enriched_logs`; of the songs that will be shown, it remembers more.
fn plays_of(cut: &Cut, snapshots: &Snapshots, settings: &Settings) -> Result<Shown<Plays>, Error> {
    let Some(entry) = cut.manifest.insights.get(enriched_logs::NAME) else {
        return Ok(Err(tables::not_published(enriched_logs::NAME)));
    };
    let shown = snapshots.top_songs.iter().chain(&snapshots.recommended).flatten();
    let songs: Vec<String> = shown.map(|song| song.song_id.clone()).collect();
    read_plays(cut, entry, &songs, settings.decoders()).map(Ok)
}

/// Titles and artists by the ids of songs.
#[derive(Debug, Default)]
struct Songs(HashMap<String, (String, String)>);

impl Songs {
    fn add(&mut self, songs: &HashMap<String, (String, String)>) {
        self.0.extend(songs.iter().map(|(id, song)| (id.clone(), song.clone())));
    }

    /// Adds what the catalog says of songs that are not known yet; without a catalog, nothing.
    fn add_from_catalog<'a>(&mut self, settings: &Settings, songs: impl Iterator<Item = &'a SongCount>) {
        let dictionaries = Dictionaries::default();
        let Ok(version) = block_on(reload::load(&settings.songs, settings.input.delimiter, &dictionaries))
        else {
            return;
        };
        let dictionaries = dictionaries.songs.read();
        let mut record = Record::default();
        for song in songs.filter(|song| !song.song_id.is_empty()) {
            let row =
                dictionaries.get(song.song_id.as_bytes()).and_then(|song| version.catalog.row_end(song));
            let Some((text, len)) = row else { continue };
            if record.read(&text[..len - 1]).is_ok() {
                let cell = |index| String::from_utf8_lossy(record.field(index)).into_owned();
                self.0.entry(song.song_id.clone()).or_insert_with(|| (cell(1), cell(2)));
            }
        }
    }

    /// The same songs with titles and artists, where these are known.
    fn named(&self, mut songs: Vec<SongCount>) -> Vec<SongCount> {
        for song in &mut songs {
            if let Some((title, artist)) = self.0.get(&song.song_id) {
                // A title that a table gives is that of this epoch.
                if song.title.is_empty() {
                    song.title.clone_from(title);
                }
                song.artist.clone_from(artist);
            }
        }
        songs
    }
}
