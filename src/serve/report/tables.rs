//! Reads the snapshots and `_rejects`: the first rows of each table, and totals over all rows.

use std::collections::HashMap;

use crate::ingest::decode::record::Record;
use crate::insights::{
    About, SNAPSHOTS, avg_listen_time_per_song, genre_loyalty_scores, happy_recommendations, night_owl_users,
    top_songs_this_week, user_favorite_genres,
};
use crate::model::error::Error;

use crate::publish::REJECTS;
use crate::serve::overview::{ListenTimes, SongCount, Unavailable};
use crate::serve::report::published_output::PublishedOutput;

/// Maximum number of rows that the report shows per table.
const ROWS: usize = 8;
/// Maximum number of songs per chart.
const SONGS: usize = 10;

/// The first rows of a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    /// Number of rows of the whole table.
    pub(super) total: u64,
}

impl Table {
    pub(super) fn has_room(&self) -> bool {
        self.rows.len() < ROWS
    }

    /// Adds a record. The first record is the header.
    pub(super) fn push(&mut self, record: &Record) {
        let cells = record.fields().map(|field| String::from_utf8_lossy(field).into_owned()).collect();
        if self.columns.is_empty() {
            self.columns = cells;
        } else if self.has_room() {
            self.rows.push(cells);
        }
    }
}

/// Tables and totals of the snapshots.
#[derive(Debug)]
pub(super) struct Snapshots {
    pub(super) tables: Vec<(&'static str, Result<Table, Unavailable>)>,
    /// The most played songs, without titles.
    pub(super) top_songs: Result<Vec<SongCount>, Unavailable>,
    /// The songs that are recommended to the most listeners.
    pub(super) recommended: Result<Vec<SongCount>, Unavailable>,
    pub(super) listen_times: Result<ListenTimes, Unavailable>,
    pub(super) listeners: Result<u64, Unavailable>,
    pub(super) night_owls: Result<u64, Unavailable>,
    pub(super) loyal: Result<u64, Unavailable>,
}

/// The reason why a table is not in the manifest.
pub(super) fn not_published(name: &str) -> Unavailable {
    Unavailable(format!("{name} is not published because insights.{name}.enabled was false"))
}

/// Reads all snapshots, and `_rejects` unless they are those of a period.
///
/// # Errors
/// If a file cannot be read (66), or differs from the manifest or has an invalid row (65).
pub(super) fn read_snapshots(output: &PublishedOutput) -> Result<Snapshots, Error> {
    let mut tables = Vec::new();
    if output.period.is_none() {
        tables.push((REJECTS, read_table(output, REJECTS, &mut |_| Some(()))?));
    }
    let mut totals = ChartTotals::default();
    for About { name, .. } in SNAPSHOTS {
        tables.push((name, read_table(output, name, &mut |row| totals.add(name, row))?));
    }
    Ok(totals.snapshots(tables))
}

/// Totals for the charts and figures, computed from the rows of snapshots.
#[derive(Debug, Default)]
struct ChartTotals {
    top: Vec<SongCount>,
    recommended: HashMap<Vec<u8>, SongCount>,
    times: ListenTimes,
    listeners: UserCount,
    loyal: UserCount,
    owls: UserCount,
}

impl ChartTotals {
    /// Adds a row of an insight; `None` if the row is invalid.
    fn add(&mut self, insight: &str, row: &Record) -> Option<()> {
        match insight {
            top_songs_this_week::NAME if self.top.len() < SONGS => {
                let (song_id, count) = (text(row, 0)?, number(row, 1)?);
                self.top.push(SongCount { song_id, count, ..SongCount::default() });
                Some(())
            }
            happy_recommendations::NAME => {
                let id = cell(row, 1)?;
                if let Some(song) = self.recommended.get_mut(id) {
                    song.count += 1;
                } else {
                    let (song_id, title) = (text(row, 1)?, text(row, 3)?);
                    let song = SongCount { song_id, title, count: 1, ..SongCount::default() };
                    self.recommended.insert(id.to_vec(), song);
                }
                Some(())
            }
            avg_listen_time_per_song::NAME => {
                self.times.add(std::str::from_utf8(cell(row, 1)?).ok()?.parse().ok()?);
                Some(())
            }
            user_favorite_genres::NAME => self.listeners.add(row),
            // Without loyal listeners, the only row of the table is a message.
            genre_loyalty_scores::NAME if row.len() > 1 => self.loyal.add(row),
            night_owl_users::NAME => self.owls.add(row),
            _ => Some(()),
        }
    }

    fn snapshots(self, tables: Vec<(&'static str, Result<Table, Unavailable>)>) -> Snapshots {
        let mut recommended: Vec<SongCount> = self.recommended.into_values().collect();
        recommended.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.song_id.cmp(&b.song_id)));
        recommended.truncate(SONGS);
        let available = |insight: &str| match tables.iter().find(|(name, _)| *name == insight) {
            Some((_, Ok(_))) => Ok(()),
            Some((_, Err(unavailable))) => Err(unavailable.clone()),
            None => Err(not_published(insight)),
        };
        Snapshots {
            top_songs: available(top_songs_this_week::NAME).map(|()| self.top),
            recommended: available(happy_recommendations::NAME).map(|()| recommended),
            listen_times: available(avg_listen_time_per_song::NAME).map(|()| self.times),
            listeners: available(user_favorite_genres::NAME).map(|()| self.listeners.count),
            night_owls: available(night_owl_users::NAME).map(|()| self.owls.count),
            loyal: available(genre_loyalty_scores::NAME).map(|()| self.loyal.count),
            tables,
        }
    }
}

/// Reads a table and calls `each` with every row. `each` returns `None` if the row is invalid.
fn read_table(
    output: &PublishedOutput,
    name: &'static str,
    each: &mut dyn FnMut(&Record) -> Option<()>,
) -> Result<Result<Table, Unavailable>, Error> {
    let Some(entry) = output.entry(name) else {
        let of_period =
            || Unavailable(format!("{name} was disabled, or not in the setting periods.insights"));
        return Ok(Err(output.period.as_ref().map_or_else(|| not_published(name), |_| of_period())));
    };
    let mut table = Table { total: entry.rows, ..Table::default() };
    let mut record = Record::default();
    for (index, part) in entry.parts.iter().enumerate() {
        output.each_line(name, part, |number, line| {
            let invalid = || output.bad_row(name, part, number);
            record.read(line).map_err(|_| invalid())?;
            if number > 0 || index == 0 {
                table.push(&record);
            }
            if number == 0 { Ok(()) } else { each(&record).ok_or_else(invalid) }
        })?;
    }
    Ok(Ok(table))
}

fn cell(row: &Record, index: usize) -> Option<&[u8]> {
    (index < row.len()).then(|| row.field(index))
}

fn text(row: &Record, index: usize) -> Option<String> {
    cell(row, index).map(|cell| String::from_utf8_lossy(cell).into_owned())
}

fn number(row: &Record, index: usize) -> Option<u64> {
    std::str::from_utf8(cell(row, index)?).ok()?.parse().ok()
}

/// Counts the distinct users of a table that is sorted by user.
#[derive(Debug, Default)]
struct UserCount {
    last: Vec<u8>,
    count: u64,
}

impl UserCount {
    fn add(&mut self, row: &Record) -> Option<()> {
        let user = cell(row, 0)?;
        if user != self.last {
            self.last.clear();
            self.last.extend_from_slice(user);
            self.count += 1;
        }
        Some(())
    }
}
