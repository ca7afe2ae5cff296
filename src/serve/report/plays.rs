//! Computes sums over the rows of `enriched_logs`. Several threads read the parts in parallel.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::ingest::decode::record::Record;
use crate::insights::enriched_logs::NAME;
use crate::ledger::hours::HOURS;
use crate::model::error::Error;

use crate::publish::manifest::{InsightEntry, PartEntry};
use crate::serve::overview::{GenrePlays, SongCount};
use crate::serve::report::loyalty_sample::LoyaltySample;
use crate::serve::report::published_output::PublishedOutput;
use crate::serve::report::tables::Table;
use crate::time::civil::{CivilDate, Week};

/// Number of cells of a row: `song_id,user_id,timestamp,duration_sec,title,artist,genre,mood`.
const CELLS: usize = 8;
/// Minutes per day.
const DAY: i64 = 24 * 60;

/// Sums over the matched plays, of all time or of a period.
#[derive(Debug)]
pub(super) struct PlaySummary {
    /// Plays by hour of the week, from Monday 00:00 on.
    pub(super) hours: [u64; HOURS],
    /// For each sampled listener, the plays by genre.
    pub(super) listeners: LoyaltySample,
    /// The latest titles and artists of the requested songs.
    pub(super) songs: HashMap<String, (String, String)>,
    /// The first rows of the table.
    pub(super) table: Table,
    genres: Genres,
    /// Times of the first and the last play, in local minutes since 1970.
    range: Option<(i64, i64)>,
    /// Plays of the requested songs by week.
    weeks: HashMap<(String, Week), u64>,
}

impl PlaySummary {
    /// Plays by genre, largest first.
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

    /// The local times of the first and the last play, such as `2025-03-20 00:00`.
    pub(super) fn range(&self) -> Option<(String, String)> {
        let text = |minute: i64| {
            let CivilDate { year, month, day } = CivilDate::from_days(minute.div_euclid(DAY));
            let time = minute.rem_euclid(DAY);
            format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", time / 60, time % 60)
        };
        self.range.map(|(first, last)| (text(first), text(last)))
    }

    /// The week of the top songs: the latest week in which each known song has exactly the number of plays
    /// that `top` gives. The table of top songs does not name its week. The latest play does not tell the
    /// week either: unmatched plays can be later, and this summary does not include them.
    pub(super) fn week_of(&self, top: &[SongCount]) -> Option<String> {
        let known: Vec<&SongCount> =
            top.iter().filter(|song| self.songs.contains_key(&song.song_id)).collect();
        let first = known.first()?;
        let weeks = self.weeks.keys().filter(|(song, _)| *song == first.song_id).map(|(_, week)| *week);
        let has_count =
            |song: &SongCount, week| self.weeks.get(&(song.song_id.clone(), week)) == Some(&song.count);
        let week = weeks.filter(|&week| known.iter().all(|song| has_count(song, week))).max()?;
        Some(week.to_string())
    }
}

/// Reads all parts, up to `threads` of them at the same time. With `days`, only plays of these days count.
///
/// # Errors
/// If a part cannot be read (66), or differs from the manifest or has an invalid row (65).
pub(super) fn read_plays(
    output: &PublishedOutput,
    entry: &InsightEntry,
    songs: &[String],
    days: Option<&Range<i64>>,
    threads: usize,
) -> Result<PlaySummary, Error> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let all = Mutex::new(Ok(Accumulator::new(songs, days)));
    let work = || {
        let mut sums = Accumulator::new(songs, days);
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = entry.parts.get(index) else { break };
            if let Err(error) = sums.read(output, index, part) {
                stop.store(true, Ordering::Relaxed);
                *all.lock().expect("no thread panics with the lock") = Err(error);
                return;
            }
        }
        if let Ok(all) = &mut *all.lock().expect("no thread panics with the lock") {
            all.merge(sums);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(entry.parts.len()) {
            scope.spawn(work);
        }
        work();
    });
    let sums = all.into_inner().expect("no thread panics with the lock")?;
    Ok(sums.into_summary(entry))
}

/// Genres and their plays. The genres are numbered in order of appearance.
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

/// A song whose title, artist and plays per week are needed.
#[derive(Debug, Default)]
struct RequestedSong {
    /// Index of the last part with a play of the song, and the title and artist in that part.
    latest: Option<(usize, Vec<u8>, Vec<u8>)>,
    weeks: HashMap<i64, u64>,
}

/// Sums over the parts that one thread has read.
#[derive(Debug)]
struct Accumulator {
    /// The days that count, in days since 1970; `None` if all days count.
    days: Option<Range<i64>>,
    hours: [u64; HOURS],
    listeners: LoyaltySample,
    genres: Genres,
    range: Option<(i64, i64)>,
    requested: HashMap<Vec<u8>, RequestedSong>,
    table: Table,
    /// Date of the last play, as text and as day number. Most plays have the same date as the play before.
    date: ([u8; 10], i64),
}

impl Accumulator {
    fn new(songs: &[String], days: Option<&Range<i64>>) -> Self {
        Self {
            days: days.cloned(),
            hours: [0; HOURS],
            listeners: LoyaltySample::default(),
            genres: Genres::default(),
            range: None,
            requested: songs
                .iter()
                .map(|song| (song.clone().into_bytes(), RequestedSong::default()))
                .collect(),
            table: Table::default(),
            date: ([0; 10], 0),
        }
    }

    fn read(&mut self, output: &PublishedOutput, index: usize, part: &PartEntry) -> Result<(), Error> {
        let mut record = Record::default();
        output.each_line(NAME, part, |number, line| {
            if index == 0 && self.table.has_room() {
                record.read(line).map_err(|_| output.bad_row(NAME, part, number))?;
                self.table.push(&record);
            }
            if number == 0 {
                return Ok(());
            }
            let added = match plain_cells(line) {
                Some(cells) => self.add(index, cells),
                None if record.read(line).is_ok() && record.len() == CELLS => {
                    self.add(index, std::array::from_fn(|cell| record.field(cell)))
                }
                None => None,
            };
            added.ok_or_else(|| output.bad_row(NAME, part, number))
        })
    }

    /// Adds a play of the part `index`; `None` if the timestamp is invalid.
    fn add(&mut self, index: usize, cells: [&[u8]; CELLS]) -> Option<()> {
        let [song, listener, timestamp, _, title, artist, genre, _] = cells;
        let minute = self.minute(timestamp)?;
        let (day, hour) = (minute.div_euclid(DAY), minute.rem_euclid(DAY) / 60);
        if self.days.as_ref().is_some_and(|days| !days.contains(&day)) {
            return Some(());
        }
        // 1970-01-01 was a Thursday.
        self.hours[((day + 3).rem_euclid(7) * 24 + hour) as usize] += 1;
        let (first, last) = self.range.unwrap_or((minute, minute));
        self.range = Some((first.min(minute), last.max(minute)));
        let number = self.genres.number(genre);
        self.genres.plays[number as usize] += 1;
        if !genre.is_empty() {
            self.listeners.add(listener, number);
        }
        if let Some(song) = self.requested.get_mut(song) {
            *song.weeks.entry(Week::of_day(day).0).or_default() += 1;
            let unchanged = |latest: &&(usize, Vec<u8>, Vec<u8>)| latest.1 == title && latest.2 == artist;
            if song.latest.as_ref().filter(unchanged).is_none_or(|(part, ..)| *part != index) {
                song.latest = Some((index, title.to_vec(), artist.to_vec()));
            }
        }
        Some(())
    }

    /// Converts a timestamp such as `2025-03-20T01:09…` to local minutes since 1970.
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
        let mut own_numbers = vec![0; numbers.len()];
        for (name, number) in numbers {
            let number = number as usize;
            own_numbers[number] = self.genres.number(&name);
            self.genres.plays[own_numbers[number] as usize] += other.genres.plays[number];
        }
        self.listeners.merge(other.listeners, &own_numbers);
        for (hour, plays) in self.hours.iter_mut().zip(other.hours) {
            *hour += plays;
        }
        self.range = match (self.range, other.range) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (range, None) | (None, range) => range,
        };
        for (song, other) in other.requested {
            let own = self.requested.entry(song).or_default();
            own.latest = own.latest.take().max(other.latest);
            for (week, plays) in other.weeks {
                *own.weeks.entry(week).or_default() += plays;
            }
        }
        if !other.table.columns.is_empty() {
            self.table = other.table;
        }
    }

    fn into_summary(self, entry: &InsightEntry) -> PlaySummary {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (mut songs, mut weeks) = (HashMap::new(), HashMap::new());
        for (song, requested) in self.requested {
            let song = text(&song);
            if let Some((_, title, artist)) = requested.latest {
                songs.insert(song.clone(), (text(&title), text(&artist)));
            }
            weeks
                .extend(requested.weeks.into_iter().map(|(week, plays)| ((song.clone(), Week(week)), plays)));
        }
        PlaySummary {
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

/// The cells of a line; `None` if the line has quotes or a different number of cells.
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
