//! What the rows of `enriched_logs` come to, part by part and all parts at the same time.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::ingest::decode::record::Record;
use crate::insights::enriched_logs::NAME;
use crate::ledger::hours::HOURS;
use crate::model::error::Error;

use crate::publish::manifest::{InsightEntry, PartEntry};
use crate::serve::overview::{GenrePlays, SongCount};
use crate::serve::report::cut::Cut;
use crate::serve::report::sample::Sample;
use crate::serve::report::tables::Table;
use crate::time::civil::{CivilDate, Week};

/// Cells of a row: `song_id,user_id,timestamp,duration_sec,title,artist,genre,mood`.
const CELLS: usize = 8;
/// Minutes of a day.
const DAY: i64 = 24 * 60;

/// What all plays of known songs come to.
#[derive(Debug)]
pub(super) struct Plays {
    /// Plays by hour of the week, from Monday 00:00 on.
    pub(super) hours: [u64; HOURS],
    /// The genres of listeners.
    pub(super) listeners: Sample,
    /// The latest titles and artists of the songs that were asked for.
    pub(super) songs: HashMap<String, (String, String)>,
    /// The first rows.
    pub(super) table: Table,
    genres: Genres,
    /// The first and the last minute, local.
    range: Option<(i64, i64)>,
    /// Plays of the songs that were asked for, by week.
    weeks: HashMap<(String, Week), u64>,
}

impl Plays {
    /// Plays by genre.
    pub(super) fn genre_plays(&self) -> Vec<GenrePlays> {
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        let genre = |(name, &number): (&Vec<u8>, &u32)| GenrePlays {
            genre: text(name),
            plays: self.genres.plays[number as usize],
        };
        let mut genres: Vec<GenrePlays> = self.genres.numbers.iter().map(genre).collect();
        genres.sort_by(|a, b| b.plays.cmp(&a.plays).then_with(|| a.genre.cmp(&b.genre)));
        genres
    }

    /// The local times of the first and the last play, `2025-03-20 00:00`.
    pub(super) fn range(&self) -> Option<(String, String)> {
        let text = |minute: i64| {
            let CivilDate { year, month, day } = CivilDate::from_days(minute.div_euclid(DAY));
            let time = minute.rem_euclid(DAY);
            format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", time / 60, time % 60)
        };
        self.range.map(|(first, last)| (text(first), text(last)))
    }

    /// The latest week in which all known songs of a table were played as often as it says. The table
    /// does not name its week, and the latest play may be one of an unknown song.
    pub(super) fn week_of(&self, top: &[SongCount]) -> Option<String> {
        let known: Vec<&SongCount> =
            top.iter().filter(|song| self.songs.contains_key(&song.song_id)).collect();
        let first = known.first()?;
        let weeks = self.weeks.keys().filter(|(song, _)| *song == first.song_id).map(|(_, week)| *week);
        let as_often =
            |song: &SongCount, week| self.weeks.get(&(song.song_id.clone(), week)) == Some(&song.count);
        let week = weeks.filter(|&week| known.iter().all(|song| as_often(song, week))).max()?;
        Some(week.to_string())
    }
}

/// Goes through all parts, as many as `workers` at the same time.
///
/// # Errors
/// If a part cannot be read (66), or is not what the manifest says or no log of plays (65).
pub(super) fn read_plays(
    cut: &Cut,
    entry: &InsightEntry,
    songs: &[String],
    workers: usize,
) -> Result<Plays, Error> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let all = Mutex::new(Ok(Fold::new(songs)));
    let work = || {
        let mut fold = Fold::new(songs);
        while !stop.load(Ordering::Relaxed) {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = entry.parts.get(place) else { break };
            if let Err(failure) = fold.read(cut, place, part) {
                stop.store(true, Ordering::Relaxed);
                *all.lock().expect("nobody has died with it") = Err(failure);
                return;
            }
        }
        if let Ok(all) = &mut *all.lock().expect("nobody has died with it") {
            all.merge(fold);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers.min(entry.parts.len()) {
            scope.spawn(work);
        }
        work();
    });
    let fold = all.into_inner().expect("nobody has died with it")?;
    Ok(fold.plays(entry))
}

/// Genres, numbered as they come.
#[derive(Debug, Default)]
struct Genres {
    numbers: HashMap<Vec<u8>, u32>,
    plays: Vec<u64>,
}

impl Genres {
    fn number(&mut self, name: &[u8]) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.plays.len() as u32;
        self.numbers.insert(name.to_vec(), number);
        self.plays.push(0);
        number
    }
}

/// A song that was asked for.
#[derive(Debug, Default)]
struct Wanted {
    /// The last part that has it, and its title and artist there.
    latest: Option<(usize, Vec<u8>, Vec<u8>)>,
    weeks: HashMap<i64, u64>,
}

/// What the parts come to that somebody has gone through.
#[derive(Debug)]
struct Fold {
    hours: [u64; HOURS],
    listeners: Sample,
    genres: Genres,
    range: Option<(i64, i64)>,
    wanted: HashMap<Vec<u8>, Wanted>,
    table: Table,
    /// The last date, which is mostly that of the next play.
    date: ([u8; 10], i64),
}

impl Fold {
    fn new(songs: &[String]) -> Self {
        Self {
            hours: [0; HOURS],
            listeners: Sample::default(),
            genres: Genres::default(),
            range: None,
            wanted: songs.iter().map(|song| (song.clone().into_bytes(), Wanted::default())).collect(),
            table: Table::default(),
            date: ([0; 10], 0),
        }
    }

    fn read(&mut self, cut: &Cut, place: usize, part: &PartEntry) -> Result<(), Error> {
        let mut record = Record::default();
        cut.each_line(NAME, part, |number, line| {
            if place == 0 && self.table.wants_more() {
                record.read(line).map_err(|_| cut.no_row(NAME, part, number))?;
                self.table.take(&record);
            }
            if number == 0 {
                return Ok(());
            }
            let taken = match plain_cells(line) {
                Some(cells) => self.take(place, cells),
                None if record.read(line).is_ok() && record.len() == CELLS => {
                    self.take(place, std::array::from_fn(|cell| record.field(cell)))
                }
                None => None,
            };
            taken.ok_or_else(|| cut.no_row(NAME, part, number))
        })
    }

    /// Counts a play, if it is one.
    fn take(&mut self, place: usize, cells: [&[u8]; CELLS]) -> Option<()> {
        let [song, listener, timestamp, _, title, artist, genre, _] = cells;
        let minute = self.minute(timestamp)?;
        let (day, hour) = (minute.div_euclid(DAY), minute.rem_euclid(DAY) / 60);
        // 1970-01-01 was a Thursday.
        self.hours[((day + 3).rem_euclid(7) * 24 + hour) as usize] += 1;
        let (first, last) = self.range.unwrap_or((minute, minute));
        self.range = Some((first.min(minute), last.max(minute)));
        let number = self.genres.number(genre);
        self.genres.plays[number as usize] += 1;
        if !genre.is_empty() {
            self.listeners.add(listener, number);
        }
        if let Some(wanted) = self.wanted.get_mut(song) {
            *wanted.weeks.entry(Week::of_day(day).0).or_default() += 1;
            let known = |latest: &&(usize, Vec<u8>, Vec<u8>)| latest.1 == title && latest.2 == artist;
            if wanted.latest.as_ref().filter(known).is_none_or(|(part, ..)| *part != place) {
                wanted.latest = Some((place, title.to_vec(), artist.to_vec()));
            }
        }
        Some(())
    }

    /// The local minute of `2025-03-20T01:09…`.
    fn minute(&mut self, timestamp: &[u8]) -> Option<i64> {
        let date = timestamp.first_chunk::<10>()?;
        if *date != self.date.0 {
            self.date = (*date, CivilDate::parse(std::str::from_utf8(date).ok()?)?.to_days()?);
        }
        let digit = |at: usize| {
            timestamp.get(at).filter(|byte| byte.is_ascii_digit()).map(|byte| i64::from(byte - b'0'))
        };
        let hour = digit(11)? * 10 + digit(12)?;
        let minute = digit(14)? * 10 + digit(15)?;
        (hour < 24 && minute < 60).then_some(self.date.1 * DAY + hour * 60 + minute)
    }

    fn merge(&mut self, other: Self) {
        let numbers = other.genres.numbers;
        let mut here = vec![0; numbers.len()];
        for (name, number) in numbers {
            let number = number as usize;
            here[number] = self.genres.number(&name);
            self.genres.plays[here[number] as usize] += other.genres.plays[number];
        }
        self.listeners.merge(other.listeners, &here);
        for (hour, plays) in self.hours.iter_mut().zip(other.hours) {
            *hour += plays;
        }
        self.range = match (self.range, other.range) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (range, None) | (None, range) => range,
        };
        for (song, other) in other.wanted {
            let wanted = self.wanted.entry(song).or_default();
            wanted.latest = wanted.latest.take().max(other.latest);
            for (week, plays) in other.weeks {
                *wanted.weeks.entry(week).or_default() += plays;
            }
        }
        if !other.table.columns.is_empty() {
            self.table = other.table;
        }
    }

    fn plays(self, entry: &InsightEntry) -> Plays {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (mut songs, mut weeks) = (HashMap::new(), HashMap::new());
        for (song, wanted) in self.wanted {
            let song = text(&song);
            if let Some((_, title, artist)) = wanted.latest {
                songs.insert(song.clone(), (text(&title), text(&artist)));
            }
            weeks.extend(wanted.weeks.into_iter().map(|(week, plays)| ((song.clone(), Week(week)), plays)));
        }
        Plays {
            hours: self.hours,
            listeners: self.listeners,
            songs,
            table: Table { total: entry.rows, ..self.table },
            genres: self.genres,
            range: self.range,
            weeks,
        }
    }
}

/// The cells of a line without quotes.
fn plain_cells(line: &[u8]) -> Option<[&[u8]; CELLS]> {
    let mut cells = [&line[..0]; CELLS];
    let (mut start, mut count) = (0, 0);
    for at in memchr::memchr2_iter(b',', b'"', line) {
        if line[at] == b'"' || count == CELLS - 1 {
            return None;
        }
        cells[count] = &line[start..at];
        start = at + 1;
        count += 1;
    }
    cells[count] = &line[start..];
    (count == CELLS - 1).then_some(cells)
}
