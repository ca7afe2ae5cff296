//! The report: one epoch of the output folder as a self-contained HTML file.

mod html;
mod loyalty_sample;
mod plays;
mod published_output;
mod tables;

use std::collections::HashMap;

use futures::executor::block_on;

use crate::catalog::reload;
use crate::ingest::decode::record::Record;
use crate::insights::enriched_logs;
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;

use crate::publish::REJECTS;
use crate::publish::manifest::{Manifest, PERIODS};
use crate::publish::periods::PeriodIndex;
use crate::serve::overview::{Overview, SongCount, TopSongs, Unavailable};
use crate::serve::report::plays::{PlaySummary, read_plays};
use crate::serve::report::published_output::{PublishedOutput, read_consistently};
use crate::serve::report::tables::{Snapshots, Table, read_snapshots};
use crate::settings::Settings;
use crate::storage::SharedDisk;
use crate::text::shown;
use crate::time::period::Period;

pub use crate::serve::report::html::to_html;

/// The contents of a report, read from one epoch.
#[derive(Debug)]
pub struct Report {
    manifest: Manifest,
    /// The period; `None` for all time.
    period: Option<PeriodIndex>,
    /// Path of the folder with the tables.
    output: String,
    overview: Overview,
    /// Local times of the first and the last matched play, such as `2025-03-20 00:00`.
    range: Result<(String, String), Unavailable>,
    /// The first rows of every table: the insights ordered by name, then `_rejects`.
    tables: Vec<(&'static str, Result<Table, Unavailable>)>,
}

impl Report {
    /// The numbers and charts.
    pub fn overview(&self) -> &Overview {
        &self.overview
    }

    /// Reads the output folder that the settings name: the tables of all time, or of a period.
    ///
    /// # Errors
    /// If the folder has no manifest, does not have the period, or lacks a file that the manifest lists (66),
    /// or if a file differs from the manifest (65).
    pub fn read(disk: &SharedDisk, settings: &Settings, period: Option<Period>) -> Result<Self, Error> {
        let (source, snapshots, plays) = read_consistently(disk, &settings.output, period, |output| {
            let snapshots = read_snapshots(output)?;
            let plays = plays_of(output, &snapshots, settings)?;
            Ok(((output.manifest.clone(), output.period.clone()), snapshots, plays))
        })?;
        Ok(Self::new(source, snapshots, plays, settings))
    }

    fn new(
        (manifest, period): (Manifest, Option<(Period, PeriodIndex)>),
        snapshots: Snapshots,
        plays: Result<PlaySummary, Unavailable>,
        settings: &Settings,
    ) -> Self {
        let mut songs = Songs::default();
        if let Ok(plays) = &plays {
            songs.add(&plays.songs);
        }
        let charted = snapshots.top_songs.iter().chain(&snapshots.recommended).flatten();
        if charted.clone().any(|song| song.title.is_empty() && !songs.0.contains_key(&song.song_id)) {
            songs.add_from_catalog(settings, charted);
        }
        let week = |top: &[SongCount]| plays.as_ref().ok().and_then(|plays| plays.week_of(top));
        let name = |top: &[SongCount]| match &period {
            Some((period, _)) => Some(period.to_string()),
            None => week(top),
        };
        let top_songs =
            snapshots.top_songs.map(|top| TopSongs { period: name(&top), songs: songs.with_titles(top) });
        let threshold = settings.loyalty_threshold();
        let overview = Overview {
            epoch: manifest.epoch,
            top_songs,
            genres: from_plays(&plays, PlaySummary::genre_plays),
            hours: from_plays(&plays, |plays| plays.hours),
            night: settings.night_window(),
            loyalty: from_plays(&plays, |plays| plays.listeners.loyalty(threshold)),
            listen_times: snapshots.listen_times,
            recommended: snapshots.recommended.map(|recommended| songs.with_titles(recommended)),
            listeners: snapshots.listeners,
            night_owls: snapshots.night_owls,
            loyal: snapshots.loyal,
        };
        let range = plays
            .as_ref()
            .map_err(Unavailable::clone)
            .and_then(|plays| plays.range().ok_or_else(|| Unavailable("no matched plays yet".to_owned())));
        let mut tables = snapshots.tables;
        if period.is_none() {
            tables.push((enriched_logs::NAME, plays.map(|plays| plays.table)));
        }
        tables.sort_by_key(|(name, _)| (*name == REJECTS, *name));
        let folder = match &period {
            Some((period, _)) => settings.output.join(PERIODS).join(period.path()),
            None => settings.output.clone(),
        };
        let (output, period) = (shown(&folder), period.map(|(_, index)| index));
        Self { manifest, period, output, overview, range, tables }
    }
}

/// Derives a value from the plays, if the plays are available.
fn from_plays<T>(
    plays: &Result<PlaySummary, Unavailable>,
    value: impl FnOnce(&PlaySummary) -> T,
) -> Result<T, Unavailable> {
    plays.as_ref().map(value).map_err(Unavailable::clone)
}

/// Reads `enriched_logs`. The result includes the titles and weekly plays of the songs in charts.
fn plays_of(
    output: &PublishedOutput,
    snapshots: &Snapshots,
    settings: &Settings,
) -> Result<Result<PlaySummary, Unavailable>, Error> {
    let Some(entry) = output.manifest.insights.get(enriched_logs::NAME) else {
        return Ok(Err(tables::not_published(enriched_logs::NAME)));
    };
    let charted = snapshots.top_songs.iter().chain(&snapshots.recommended).flatten();
    let songs: Vec<String> = charted.map(|song| song.song_id.clone()).collect();
    let days = output.period.as_ref().map(|(period, _)| period.days());
    read_plays(output, entry, &songs, days.as_ref(), settings.decoders()).map(Ok)
}

/// Titles and artists by song id.
#[derive(Debug, Default)]
struct Songs(HashMap<String, (String, String)>);

impl Songs {
    fn add(&mut self, songs: &HashMap<String, (String, String)>) {
        self.0.extend(songs.iter().map(|(id, song)| (id.clone(), song.clone())));
    }

    /// Adds missing titles and artists from the catalog. Does nothing if the catalog cannot be read.
    fn add_from_catalog<'a>(&mut self, settings: &Settings, songs: impl Iterator<Item = &'a SongCount>) {
        let dictionaries = Dictionaries::default();
        let Ok(version) = block_on(reload::load(&settings.songs, &settings.catalog_dialect(), &dictionaries))
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

    /// Fills in titles and artists where they are known.
    fn with_titles(&self, mut songs: Vec<SongCount>) -> Vec<SongCount> {
        for song in &mut songs {
            if let Some((title, artist)) = self.0.get(&song.song_id) {
                // A title in a table belongs to this epoch, but the catalog may be newer. Known titles
                // therefore stay.
                if song.title.is_empty() {
                    song.title.clone_from(title);
                }
                song.artist.clone_from(artist);
            }
        }
        songs
    }
}
