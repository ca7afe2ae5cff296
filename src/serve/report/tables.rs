//! The snapshots: their first rows, and what all of their rows come to.

use std::collections::HashMap;

use crate::ingest::decode::record::Record;
use crate::insights::{
    avg_listen_time_per_song, genre_loyalty_scores, happy_recommendations, night_owl_users,
    top_songs_this_week, user_favorite_genres,
};
use crate::model::error::Error;

use crate::publish::REJECTS;
use crate::serve::overview::{Absent, ListenTimes, Shown, SongCount};
use crate::serve::report::cut::Cut;

/// Rows of a table that a page shows.
const ROWS: usize = 8;
/// Songs that a chart shows.
const SONGS: usize = 10;

/// The beginning of a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    /// Rows of the whole table.
    pub(super) total: u64,
}

impl Table {
    pub(super) fn wants_more(&self) -> bool {
        self.rows.len() < ROWS
    }

    /// Takes the header first and then rows.
    pub(super) fn take(&mut self, record: &Record) {
        let cells = record.fields().map(|field| String::from_utf8_lossy(field).into_owned()).collect();
        if self.columns.is_empty() {
            self.columns = cells;
        } else if self.wants_more() {
            self.rows.push(cells);
        }
    }
}

/// What the snapshots say.
#[derive(Debug)]
pub(super) struct Snapshots {
    pub(super) tables: Vec<(&'static str, Shown<Table>)>,
    /// The first of the most played songs, without title.
    pub(super) top_songs: Shown<Vec<SongCount>>,
    /// The songs that are recommended to the most listeners.
    pub(super) recommended: Shown<Vec<SongCount>>,
    pub(super) listen_times: Shown<ListenTimes>,
    pub(super) listeners: Shown<u64>,
    pub(super) night_owls: Shown<u64>,
    pub(super) loyal: Shown<u64>,
}

/// Says that an insight is not published.
pub(super) fn not_published(name: &str) -> Absent {
    Absent(format!("{name} is not published: insights.{name}.enabled was false"))
}

/// Goes through the snapshots and the rejected rows.
///
/// # Errors
/// If a file cannot be read (66), or is not what the manifest says or no such table (65).
pub(super) fn read_snapshots(cut: &Cut) -> Result<Snapshots, Error> {
    let mut tables = Vec::new();
    let mut read = |name: &'static str, each: &mut dyn FnMut(&Record) -> Option<()>| {
        let table = read_table(cut, name, each)?;
        let shown = table.as_ref().map(|_| ()).map_err(Absent::clone);
        tables.push((name, table));
        Ok::<_, Error>(shown)
    };
    let _ = read(REJECTS, &mut |_| Some(()))?;

    let mut top = Vec::new();
    let has_top = read(top_songs_this_week::NAME, &mut |row| {
        if top.len() < SONGS {
            top.push(SongCount { song_id: text(row, 0)?, count: number(row, 1)?, ..SongCount::default() });
        }
        Some(())
    })?;

    let mut recommended = HashMap::<Vec<u8>, SongCount>::new();
    let has_recommended = read(happy_recommendations::NAME, &mut |row| {
        let id = cell(row, 1)?;
        if let Some(song) = recommended.get_mut(id) {
            song.count += 1;
        } else {
            let (song_id, title) = (text(row, 1)?, text(row, 3)?);
            let song = SongCount { song_id, title, count: 1, ..SongCount::default() };
            recommended.insert(id.to_vec(), song);
        }
        Some(())
    })?;
    let mut recommended: Vec<SongCount> = recommended.into_values().collect();
    recommended.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.song_id.cmp(&b.song_id)));
    recommended.truncate(SONGS);

    let mut times = ListenTimes::default();
    let has_times = read(avg_listen_time_per_song::NAME, &mut |row| {
        times.add(std::str::from_utf8(cell(row, 1)?).ok()?.parse().ok()?);
        Some(())
    })?;

    let mut listeners = Users::default();
    let has_listeners = read(user_favorite_genres::NAME, &mut |row| listeners.see(row))?;
    let mut loyal = Users::default();
    let has_loyal = read(genre_loyalty_scores::NAME, &mut |row| {
        // If nobody is loyal, the table is a message.
        if row.len() == 1 { Some(()) } else { loyal.see(row) }
    })?;
    let mut owls = Users::default();
    let has_owls = read(night_owl_users::NAME, &mut |row| owls.see(row))?;
    Ok(Snapshots {
        top_songs: has_top.map(|()| top),
        recommended: has_recommended.map(|()| recommended),
        listen_times: has_times.map(|()| times),
        listeners: has_listeners.map(|()| listeners.count),
        night_owls: has_owls.map(|()| owls.count),
        loyal: has_loyal.map(|()| loyal.count),
        tables,
    })
}

/// Gives each row of a table to `each`, which says whether it is one.
fn read_table(
    cut: &Cut,
    name: &str,
    each: &mut dyn FnMut(&Record) -> Option<()>,
) -> Result<Shown<Table>, Error> {
    let Some(entry) = cut.entry(name) else { return Ok(Err(not_published(name))) };
    let mut table = Table { total: entry.rows, ..Table::default() };
    let mut record = Record::default();
    for (place, part) in entry.parts.iter().enumerate() {
        cut.each_line(name, part, |number, line| {
            let no_row = || cut.no_row(name, part, number);
            record.read(line).map_err(|_| no_row())?;
            if number > 0 || place == 0 {
                table.take(&record);
            }
            if number == 0 { Ok(()) } else { each(&record).ok_or_else(no_row) }
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

/// Counts the users of a table that is sorted by them.
#[derive(Debug, Default)]
struct Users {
    last: Vec<u8>,
    count: u64,
}

impl Users {
    fn see(&mut self, row: &Record) -> Option<()> {
        let user = cell(row, 0)?;
        if user != self.last {
            self.last.clear();
            self.last.extend_from_slice(user);
            self.count += 1;
        }
        Some(())
    }
}
