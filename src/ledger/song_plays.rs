//! Song plays: the number and total duration of each song's plays, and the plays of each song by week.

use std::hint::black_box;

use crate::model::{PlayTime, SongId};
use crate::time::civil::Week;

/// All plays of one song.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Number of plays.
    pub plays: u64,
    /// The sum of the durations in milliseconds. A play lasts at most a day, so the sum of 2^37 plays
    /// fits.
    pub millis: u64,
}

/// Number of songs on a page of a week. A week in the distant past has few plays, so a week has pages
/// only for songs with plays. Even a page with a single play takes only half a kilobyte.
const PAGE: usize = 64;
/// Number of rows in a group. The counts of a group are loaded into the cache before the first row is
/// counted, so that the cache misses overlap.
const GROUP: usize = 64;

/// The plays of one week, by song.
#[derive(Clone, Debug, Default)]
struct WeekPlays {
    pages: Vec<Option<Box<[u64; PAGE]>>>,
    /// For each page, whether it has changed since the last save. At one byte per page, this list stays
    /// in the cache.
    unsaved: Vec<bool>,
}

impl WeekPlays {
    /// Counts one play per element of `songs`.
    fn add(&mut self, songs: &[SongId]) {
        self.grow(end_of(songs));
        for songs in songs.chunks(GROUP) {
            let page_of = |song: &SongId| self.pages[song.index() / PAGE].as_ref();
            let plays_of = |song| page_of(song).map_or(0, |page| page[song.index() % PAGE]);
            black_box(songs.iter().fold(0, |touched, song| touched | plays_of(song)));
            for &song in songs {
                *self.plays_of(song) += 1;
                self.unsaved[song.index() / PAGE] = true;
            }
        }
    }

    /// Grows the list of pages to cover all songs with an index below `end`.
    fn grow(&mut self, end: usize) {
        let pages = end.div_ceil(PAGE);
        if pages > self.pages.len() {
            self.pages.resize(pages, None);
            self.unsaved.resize(pages, false);
        }
    }

    #[inline]
    fn plays_of(&mut self, song: SongId) -> &mut u64 {
        let page = self.pages[song.index() / PAGE].get_or_insert_with(|| Box::new([0; PAGE]));
        &mut page[song.index() % PAGE]
    }
}

/// The largest index in `songs`, plus one. Zero if `songs` is empty.
fn end_of(songs: &[SongId]) -> usize {
    songs.iter().map(|song| song.0).max().map_or(0, |last| last as usize + 1)
}

/// Plays by song, and by week and song.
#[derive(Clone, Debug, Default)]
pub struct SongPlays {
    totals: Vec<Total>,
    /// Plays of each week. The index is the number of the week. Week 0 contains 1970-01-01, and no play
    /// lies far in the future, so the list stays short.
    weeks: Vec<WeekPlays>,
}

impl SongPlays {
    /// Counts one play per row.
    pub fn add(&mut self, songs: &[SongId], play_times: &[PlayTime], millis: &[u32]) {
        let end = end_of(songs);
        if end > self.totals.len() {
            self.totals.resize(end, Total::default());
        }
        for (songs, millis) in songs.chunks(GROUP).zip(millis.chunks(GROUP)) {
            black_box(songs.iter().fold(0, |touched, song| touched | self.totals[song.index()].plays));
            for (song, &millis) in songs.iter().zip(millis) {
                let total = &mut self.totals[song.index()];
                total.plays += 1;
                total.millis += u64::from(millis);
            }
        }
        // Most logs are sorted by time, so neighbouring rows usually lie in the same week.
        let (mut songs, mut play_times) = (songs, play_times);
        while let Some(first) = play_times.first() {
            let week = Week::of_local(first.local);
            let seconds = week.seconds();
            let rows = play_times.iter().take_while(|play_time| seconds.contains(&play_time.local)).count();
            let of_week;
            (of_week, songs) = songs.split_at(rows);
            play_times = &play_times[rows..];
            self.week(week).add(of_week);
        }
    }

    fn week(&mut self, week: Week) -> &mut WeekPlays {
        let week = week.0 as usize;
        if week >= self.weeks.len() {
            self.weeks.resize(week + 1, WeekPlays::default());
        }
        &mut self.weeks[week]
    }

    /// Calls `each` for every week and song with new plays since the previous call of this function, in
    /// ascending order. The last argument of `each` is the number of all plays of the song in the week.
    /// `songs` must contain the changed songs, ascending.
    ///
    /// # Errors
    /// The errors of `each`.
    pub fn take_unsaved_weeks<E>(
        &mut self,
        songs: &[SongId],
        mut each: impl FnMut(Week, SongId, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        for (week, plays) in (0..).zip(&mut self.weeks) {
            for (page, unsaved) in plays.unsaved.iter_mut().enumerate() {
                if !std::mem::take(unsaved) {
                    continue;
                }
                let Some(counts) = &plays.pages[page] else { continue };
                let from = songs.partition_point(|song| song.index() < page * PAGE);
                let changed = songs[from..].iter().take_while(|song| song.index() / PAGE == page);
                for &song in changed.filter(|song| counts[song.index() % PAGE] > 0) {
                    each(Week(week), song, counts[song.index() % PAGE])?;
                }
            }
        }
        Ok(())
    }

    /// Restores the saved plays of a song.
    pub fn restore_plays(&mut self, song: SongId, plays: u64) {
        self.total_of(song).plays = plays;
    }

    /// Restores the saved milliseconds of a song.
    pub fn restore_millis(&mut self, song: SongId, millis: u64) {
        self.total_of(song).millis = millis;
    }

    /// Restores the saved plays of a song in a week.
    pub fn restore_week(&mut self, week: Week, song: SongId, plays: u64) {
        let week = self.week(week);
        week.grow(song.index() + 1);
        *week.plays_of(song) = plays;
    }

    fn total_of(&mut self, song: SongId) -> &mut Total {
        if song.index() >= self.totals.len() {
            self.totals.resize(song.index() + 1, Total::default());
        }
        &mut self.totals[song.index()]
    }

    /// The songs with plays, ascending.
    pub fn songs(&self) -> impl Iterator<Item = SongId> {
        let played = (0..).zip(&self.totals).filter(|(_, total)| total.plays > 0);
        played.map(|(song, _)| SongId(song))
    }

    /// The plays and duration of each song. The index is the number of the song.
    pub fn totals(&self) -> &[Total] {
        &self.totals
    }

    /// The plays and duration of a song. Zero if the song has no plays.
    pub fn total(&self, song: SongId) -> Total {
        self.totals.get(song.index()).copied().unwrap_or_default()
    }

    /// The songs with plays in a week, and the number of their plays in this week.
    pub fn of_week(&self, week: Week) -> impl Iterator<Item = (SongId, u64)> {
        let plays = usize::try_from(week.0).ok().and_then(|week| self.weeks.get(week));
        plays.into_iter().flat_map(|plays| plays.pages.iter().enumerate()).flat_map(|(index, page)| {
            let songs = page.iter().flat_map(|page| page.iter().enumerate());
            songs
                .filter(|&(_, &plays)| plays > 0)
                .map(move |(at, &plays)| (SongId((index * PAGE + at) as u32), plays))
        })
    }
}
